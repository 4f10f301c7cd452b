package fsm

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// What a story shows of rows.

func (s *story) show(t *testing.T, d *datadriven.TestData) string {
	var out []string
	for _, a := range d.CmdArgs[1:] {
		switch d.CmdArgs[0].Key {
		case "actor":
			out = append(out, s.showActor(a.Key))
		case "runner":
			out = append(out, s.showRunner(a.Key))
		case "pool":
			out = append(out, s.showPool(a.Key))
		case "rollouts":
			out = append(out, s.showRollouts(a.Key))
		case "bucket":
			out = append(out, s.showBucket(a.Key))
		case "request":
			out = append(out, s.showRequest(a.Key))
		case "endpoint":
			out = append(out, s.showEndpoint(a.Key))
		case "outcome":
			outcome, fingerprint, ok := s.view.Outcome(a.Key)
			out = append(out, fmt.Sprintf("%s: %v %q fingerprint=%d", a.Key, ok, outcome, fingerprint))
		default:
			t.Fatalf("%s: nothing to show of %s", d.Pos, d.CmdArgs[0].Key)
		}
	}
	switch d.CmdArgs[0].Key {
	case "namespaces":
		for ns := range s.view.Namespaces("") {
			out = append(out, fmt.Sprintf("%s %q %s", ns.Name, ns.DisplayName, textOf(ID(ns.ID))))
		}
	case "settings":
		for _, info := range Settings() {
			if s.view.SettingIsSet(info.Setting) {
				out = append(out, fmt.Sprintf("%s = %d", info.Name, s.view.Setting(info.Setting)))
			}
		}
	case "counts":
		for p := Pending; p <= Destroyed; p++ {
			if n := s.view.Count(p); n > 0 {
				out = append(out, fmt.Sprintf("%s %d", p, n))
			}
		}
		out = append(out, fmt.Sprintf("live %d, stored %d bytes, outcomes %d", s.view.LiveActors(), s.view.StoredBytes(), s.view.OutcomeCount()))
	case "state":
		v := s.view
		out = append(out, fmt.Sprintf("index=%d base=%d epoch=%d clock=%d wall=%+d leader=%s cluster=%s", v.index, v.base, v.epoch, v.clockMs, v.wallMs-1_700_000_000_000, v.leader, textOf(ID(v.cluster))))
	}
	return strings.Join(out, "\n")
}

// line collects what is not zero.
type line struct{ strings.Builder }

func (l *line) add(name string, value any, zero bool) {
	if !zero {
		fmt.Fprintf(l, " %s=%v", name, value)
	}
}

func (l *line) flag(name string, is bool) {
	if is {
		l.WriteString(" " + name)
	}
}

func (s *story) showActor(name string) string {
	a := s.view.Actor(ActorID(idOf(name)))
	if a == nil {
		return name + ": not there"
	}
	var l line
	fmt.Fprintf(&l, "%s %s generation=%d", name, a.Phase, a.Generation)
	l.add("claimed", a.Claimed, a.Claimed == 0)
	l.add("orphans", a.Orphans, a.Orphans == 0)
	if r := s.view.RunnerByNumber(a.Runner); r != nil {
		l.add("runner", textOf(ID(r.ID)), false)
	}
	l.add("rev", a.RunnerRev, a.RunnerRev == 0)
	l.add("reason", names["reason"][a.StopReason], a.StopReason == NoStop)
	l.add("limit", a.StopLimitMs, a.StopLimitMs == 0)
	l.flag("wake-kept", a.WakeKept)
	l.flag("destroying", a.Destroying)
	l.flag("keeps-key", a.KeepsKey)
	l.flag("alarm-woke", a.AlarmWoke)
	l.add("place", a.QueueSeq, a.Phase != Pending)
	l.add("due", a.DueMs, a.DueMs == 0)
	l.add("turn", a.EvictMs, !a.Named())
	l.add("evicted", a.EvictMs, !a.Evicting())
	l.flag("unreceived", a.Eviction&evictionUnreceived != 0)
	l.add("rollout", a.MovedIn, a.MovedIn == 0)
	if to := s.view.RunnerByNumber(a.Promise); to != nil {
		l.add("promised", textOf(ID(to.ID)), false)
	}
	l.add("alarm", a.AlarmMs-1_700_000_000_000, a.AlarmMs == 0)
	l.add("floor", a.FloorVersion, a.FloorVersion == 0)
	l.add("input", strconv.Quote(clip(a.Input, 20)), len(a.Input) == 0)
	l.add("saved", fmt.Sprintf("%q@%d", clip(a.Saved, 20), a.SavedVersion), len(a.Saved) == 0)
	if t := a.Trouble; t != nil {
		l.add("error", t.Code, t.Code == ErrorNone)
		l.add("message", strconv.Quote(t.Message), t.Message == "")
		l.add("on", textOf(ID(t.Runner)), ID(t.Runner).IsZero())
		l.add("retries", t.Retries, t.Retries == 0)
		l.add("earlier", earlierText(t), earlierText(t) == "")
		l.add("prefers", textOf(ID(t.Preferred)), ID(t.Preferred).IsZero())
	}
	l.WriteString("\n  since:")
	for _, at := range []struct {
		name string
		ms   int64
	}{
		{"created", a.CreateMs},
		{"pending", a.PendingMs},
		{"started", a.StartMs},
		{"connectable", a.ConnectableMs},
		{"sleeping", a.SleepMs},
		{"back at", a.RescheduleMs},
		{"destroyed", a.DestroyMs},
	} {
		l.add(at.name, at.ms-1_700_000_000_000, at.ms == 0)
	}
	return l.String()
}

func (s *story) showRequest(name string) string {
	r := s.view.Request(RequestID(idOf(name)))
	if r == nil {
		return name + ": not there"
	}
	var l line
	fmt.Fprintf(&l, "%s %s by %s/%s slots=%d", name, []string{"", "opening", "waiting", "joined", "ended"}[r.Phase], r.Node, textOf(ID(r.Start)), r.Slots)
	l.add("instance", textOf(ID(r.Instance)), ID(r.Instance).IsZero())
	l.add("runner", textOf(ID(r.Runner)), ID(r.Runner).IsZero())
	l.flag("expiring", r.Expiring)
	l.flag("drains", r.Drains)
	l.add("due", r.dueMs(), false)
	l.add("end", r.End, r.End == 0)
	l.add("because", strconv.Quote(r.Code+": "+r.Message), r.Code == "")
	return l.String()
}

func (s *story) showEndpoint(pool string) string {
	p := s.view.Pool(PoolID{NamespaceID(idOf("default")), pool})
	stats := s.view.PoolStats(p)
	var idle []string
	for r := range s.view.IdleRunners(p) {
		idle = append(idle, textOf(ID(r.ID)))
	}
	var l line
	fmt.Fprintf(&l, "requests=%d half-open=%d asked=%d ended=%d slots=%d", stats.Requests, stats.HalfOpen, stats.AskedSlots, stats.EndedRequests, stats.Slots)
	l.add("idle", strings.Join(idle, ","), len(idle) == 0)
	e := s.view.Endpoint(p)
	l.add("failures", e.GetFailures(), e.GetFailures() == 0)
	l.add("look", e.GetLookMs(), e.GetLookMs() == 0)
	l.add("error", e.GetErrorCode(), e.GetErrorCode() == "")
	return l.String()
}

func (s *story) showRunner(name string) string {
	r := s.view.Runner(RunnerID(idOf(name)))
	if r == nil {
		return name + ": not there"
	}
	var l line
	fmt.Fprintf(&l, "%s number=%d version=%d slots=%d held=%d", name, r.Number, r.Version, r.Slots, r.Held)
	l.add("stopping", r.Stopping, r.Stopping == 0)
	l.add("session", textOf(ID(r.Session)), false)
	l.flag("connected", r.Connected)
	l.add("end", []string{"", "stopped", "lost"}[r.End], r.End == NotEnded)
	l.add("promised", r.Promised, r.Promised == 0)
	l.add("drain", names["cause"][r.Drain.Cause], !r.Draining())
	l.add("since", r.Drain.StartWall-1_700_000_000_000, r.Drain.StartWall == 0)
	l.add("deadline", r.Drain.DeadlineMs, r.Drain.DeadlineMs == 0)
	l.add("total", r.Drain.Total, r.Drain.Total == 0)
	l.flag("force", r.Drain.Force)
	l.flag("overdue", r.Drain.Overdue)
	l.flag("standby", r.Drain.Standby)
	l.flag("held", r.Drain.Held)
	l.flag("safe-to-terminate", r.SafeToTerminate())
	l.add("moves", fmt.Sprintf("%d/%d@%d", r.Moves.Done, r.Moves.Total, r.Moves.FromMs), r.Moves.Total == 0)
	l.add("replaced-by", textOf(ID(r.ReplacedBy)), ID(r.ReplacedBy).IsZero())
	l.add("T", r.ThresholdMs, false)
	l.add("seen", s.view.LastSeenMs(r), false)
	l.add("ineligible", s.view.Ineligible(r), s.view.Ineligible(r) == "")
	return l.String()
}

func (s *story) showRollouts(pool string) string {
	var out []string
	for r := range s.view.Rollouts(s.view.Pool(PoolID{NamespaceID(idOf("default")), pool}), 0) {
		var l line
		fmt.Fprintf(&l, "%d to version %d: %s", r.ID, r.Version, r.State)
		l.add("because", strconv.Quote(r.EndReason), r.EndReason == "")
		l.flag("paused", r.Paused)
		l.add("for", strconv.Quote(r.PauseReason), r.PauseReason == "")
		l.add("start", r.StartMs, false)
		l.add("end", r.EndMs, r.EndMs == 0)
		l.add("wait", r.WaitMs, r.WaitMs == 0)
		l.add("moving", r.Moving, r.Moving == 0)
		l.add("moved", r.Moved, r.Moved == 0)
		l.add("lost", r.Lost, r.Lost == 0)
		l.add("left", r.Left, r.Left == 0)
		out = append(out, l.String())
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, "\n")
}

func (s *story) showBucket(pool string) string {
	p := s.view.Pool(PoolID{NamespaceID(idOf("default")), pool})
	b, rate := s.view.Bucket(p), p.EvictionRateMicros()
	var l line
	fmt.Fprintf(&l, "%s rate=%d tokens=%d", pool, rate, b.TokensMicros())
	l.add("next", b.TokenMs(rate), b.HasToken())
	l.add("emptying", b.Emptying, b.Emptying == 0)
	l.add("window", fmt.Sprintf("%d turns from %d", b.WindowTurns, b.WindowFromMs), b.WindowTurns == 0)
	l.add("unreceived", s.view.PoolStats(p).Unreceived, s.view.PoolStats(p).Unreceived == 0)
	return l.String()
}

func (s *story) showPool(name string) string {
	p := s.view.Pool(PoolID{NamespaceID(idOf("default")), name})
	if p == nil {
		return name + ": not there"
	}
	var l line
	stats := s.view.PoolStats(p)
	fmt.Fprintf(&l, "%s runners=%d connected=%d candidates=%d pending=%d live=%d T=%d", name, stats.Runners, stats.Connected, stats.Candidates, stats.Pending, stats.Live, s.view.LostThresholdMs(p))
	l.flag("binpack", p.Placement() == Binpack)
	l.flag("auto", p.AutoCreated)
	l.flag("deleted", p.Config == nil)
	l.flag("usable", s.view.PoolUsable(p))
	version, ok := s.view.NewestVersion(p)
	l.add("newest", version, !ok)
	l.add("paced", stats.Paced, stats.Paced == 0)
	l.add("sleeping", stats.Sleeping, stats.Sleeping == 0)
	l.add("draining", stats.Draining, stats.Draining == 0)
	l.add("outdated", stats.VersionOut, stats.VersionOut == 0)
	l.add("unfinished", stats.Unfinished, stats.Unfinished == 0)
	l.add("last-resorts", stats.LastResorts, stats.LastResorts == 0)
	l.add("evictable", stats.Evictable, stats.Evictable == 0)
	l.add("named", stats.Named, stats.Named == 0)
	l.add("unreceived", stats.Unreceived, stats.Unreceived == 0)
	if await := s.view.Await(p); await != (Await{}) {
		fmt.Fprintf(&l, "\n  awaits version %d until %d", await.Version, await.UntilMs)
	}
	for h := range s.view.HeldVersions(p) {
		fmt.Fprintf(&l, "\n  holds version %d: %s", h.Version, h.Reason)
	}
	for d := range s.view.KeptDrains(p, "") {
		fmt.Fprintf(&l, "\n  drain of %s instance=%s version=%d at=%d", d.Key, textOf(ID(d.Instance)), d.Version, d.AtMs)
		l.add("deadline", d.DeadlineMs, d.DeadlineMs == 0)
		l.add("reason", d.Reason, d.Reason == "")
		l.flag("force", d.Force)
		l.flag("keep", d.Keep)
		l.flag("finished", d.Finished)
	}
	return l.String()
}
