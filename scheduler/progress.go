package scheduler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// RolloutStatus tells how a rollout stands: what has moved, what binds, and when it ends as things are.
func RolloutStatus(v *fsm.View, r *fsm.Rollout) *callboardv1.Rollout {
	p := v.RolloutPool(r)
	status := &callboardv1.Rollout{
		Namespace: v.PoolNamespace(p).Name, Pool: p.ID.Name, Id: r.ID, Version: r.Version, State: callboardv1.RolloutState(r.State), EndReason: r.EndReason,
		Paused: r.Paused, PauseReason: r.PauseReason, StartTs: r.StartWall, EndTs: r.EndWall,
		Moved: r.Moved, Moving: r.Moving, Lost: r.Lost, Left: r.Left,
	}
	if r.State != fsm.RolloutOpen {
		if r.WaitMs > v.ClockMs() {
			status.BlockedBy = []*callboardv1.Blocker{blocker(v, outlook{blocked: blockedCalledOff, atMs: r.WaitMs})}
		}
		return status
	}
	for runner := range v.PoolRunners(p) {
		switch {
		case runner.Drain.Cause != fsm.DrainNewerVersion:
		case runner.SafeToTerminate():
			status.DrainedRunners++
		default:
			status.DrainingRunners++
			status.Waiting += runner.Left()
		}
	}
	status.Asleep = v.PoolStats(p).Sleeping
	status.RateMicros, status.RateIsDefault = p.EvictionRateMicros(), p.Config == nil || p.Config.EvictionRateMicrosPerS == nil
	status.TokensMicros = v.Bucket(p).TokensMicros()
	status.BlockedBy = poolBlockers(v, p)
	status.Binds = binds(p, status.GetWaiting(), status.GetBlockedBy())
	if f := foretell(v, p.ID, statusReach, nil); !f.blocked {
		status.EtaTs, status.EtaIsEstimate = v.WallAt(f.endMs), f.estimate
	}
	return status
}

// DrainStatus tells how far a runner's drain has come; nil: it does not drain.
func DrainStatus(v *fsm.View, r *fsm.Runner) *callboardv1.Drain {
	d := r.Drain
	if !r.Draining() {
		return nil
	}
	status := &callboardv1.Drain{
		Cause: callboardv1.DrainCause(d.Cause), StartTs: d.StartWall, Reason: d.Reason, Force: d.Force, Total: max(d.Total, r.Held),
		Moving: r.Stopping, Left: r.Left(), FinishTs: d.FinishWall, SafeToTerminate: r.SafeToTerminate() || r.End != fsm.NotEnded, Standby: d.Standby, Held: d.Held,
	}
	status.Moved = status.GetTotal() - r.Held
	if d.DeadlineMs != 0 {
		status.DeadlineTs = v.WallAt(d.DeadlineMs)
	}
	if r.End != fsm.NotEnded || !r.Planned() || r.Left() == 0 {
		return status
	}
	p := v.RunnerPool(r)
	if why := passedOver(&v.State, p, r); why.blocked != "" {
		status.BlockedBy = append(status.BlockedBy, blocker(v, why))
		return status
	}
	to := roomIn(&v.State, p, 0)
	if firstOf(&v.State, p, r) == nil {
		status.BlockedBy = append(status.BlockedBy, blocker(v, outlook{blocked: blockedMoved}))
		return status
	}
	names, others := unhandled(&v.State, p, r)
	if len(names) > 0 {
		status.BlockedBy = append(status.BlockedBy, noHandler(names))
	}
	switch first := firstThatMay(&v.State, p, to).runner; {
	case !others:
		return status
	case to.firstOf(&v.State, p, r).actor == nil:
		status.BlockedBy = append(status.BlockedBy, blocker(v, outlook{blocked: blockedNoCapacity}))
	case first != nil && first.ID != r.ID:
		status.BlockedBy = append(status.BlockedBy, &callboardv1.Blocker{Code: "order", Message: fmt.Sprintf("runner %s is emptied first", first.ID)})
	}
	if look := lookAhead(&v.State, p); look.actor == nil && look.blocked != blockedRate {
		status.BlockedBy = append(status.BlockedBy, blocker(v, look))
	}
	return status
}

// poolBlockers tells why evictions of a pool that are due do not happen; none: they go at their pace.
func poolBlockers(v *fsm.View, p *fsm.Pool) []*callboardv1.Blocker {
	var blockers []*callboardv1.Blocker
	if v.PoolStats(p).Evictable == 0 {
		if left := unreachable(v, p); left > 0 {
			blockers = append(blockers, blocker(v, outlook{blocked: blockedDisconnected}))
		}
		return blockers
	}
	look, next := lookAhead(&v.State, p), nextUnnamed(&v.State, p)
	if next.actor == nil && next.blocked == blockedPaused {
		look = next // whatever the bucket says: it is not what is waited for
	}
	if look.actor == nil && look.blocked != blockedRate {
		blockers = append(blockers, blocker(v, look))
	}
	if next.actor != nil && !roomIn(&v.State, p, 0).takesSome(&v.State, p) {
		names, others := unhandledIn(&v.State, p)
		if others {
			blockers = append(blockers, blocker(v, outlook{blocked: blockedNoCapacity}))
		}
		if len(names) > 0 {
			blockers = append(blockers, noHandler(names))
		}
	}
	return blockers
}

// unhandledIn is unhandled for all runners of a pool that might give up actors now.
func unhandledIn(st *fsm.State, p *fsm.Pool) (names []string, others bool) {
	for r := range st.Ready(p) {
		if passedOver(st, p, r).blocked == "" {
			some, more := unhandled(st, p, r)
			names, others = append(names, some...), others || more
		}
	}
	slices.Sort(names)
	return slices.Compact(names), others
}

// noHandler is the blocker of actors that are passed over.
func noHandler(names []string) *callboardv1.Blocker {
	const most = 5
	what := strconv.Quote(names[0])
	for _, name := range names[1:min(len(names), most)] {
		what += ", " + strconv.Quote(name)
	}
	if len(names) > most {
		what += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return &callboardv1.Blocker{Code: blockedNoHandler, Message: "no runner that takes actors handles " + what +
		": those actors stay where they are, and hold up no others; start a runner that has a handler for them"}
}

// unreachable counts the actors on draining runners that are not connected.
func unreachable(v *fsm.View, p *fsm.Pool) uint32 {
	var n uint32
	for r := range v.PoolRunners(p) {
		if r.Planned() && !r.Connected {
			n += r.Left()
		}
	}
	return n
}

// blockerTexts say what each blocker means, and what can be done.
var blockerTexts = map[string]string{
	blockedDelay:        "actor_eviction_delay has not passed since the drain began",
	blockedForced:       "actors of a runner that was lost or shut down were moved first: what they took of the pace is paid off",
	blockedNoCapacity:   "no runner of the newest version has a free slot that no pending actor may use: start more, or with more slots",
	blockedPaused:       "the rollout is paused: `callboard rollout resume` lets it go on",
	blockedReceipts:     "as many evictions as a second's worth of the rate wait for their runner to acknowledge them",
	blockedDisconnected: "the runners that still have actors to give up are not connected: they are moved when they are back, or lost",
	blockedMoved:        "this rollout has moved the actors that are left once already, and their runner came back with an older version: `callboard actor reschedule` moves them",
	blockedSilent:       "a runner has not acknowledged an eviction for 2 s: others go first",
	blockedAway:         "the runners of the newer version that it drains for are not connected: it goes on when one is back, and is called off when the last one is lost",
	blockedCalledOff:    "a rollout was called off lately: the next one waits, longer each time it happens within 10 minutes",
}

func blocker(v *fsm.View, why outlook) *callboardv1.Blocker {
	b := &callboardv1.Blocker{Code: why.blocked, Message: blockerTexts[why.blocked]}
	if why.atMs != 0 {
		b.UntilTs = v.WallAt(why.atMs)
	}
	return b
}

// binds says in one sentence what limits the pace, and what would make it faster.
func binds(p *fsm.Pool, actors uint32, blockers []*callboardv1.Blocker) string {
	if len(blockers) > 0 {
		return blockers[0].GetCode() + " binds: " + blockers[0].GetMessage()
	}
	if actors == 0 {
		return ""
	}
	rate, origin := p.EvictionRateMicros(), ""
	if p.Config == nil || p.Config.EvictionRateMicrosPerS == nil {
		origin = " (default)"
	}
	if rate == fsm.MaxEvictionRateMicros {
		return fmt.Sprintf("nothing binds: the rate is unlimited, %s at once", counted(int(actors), "actor"))
	}
	takes := time.Duration(uint64(actors)*1_000_000_000/rate) * time.Millisecond
	return fmt.Sprintf("%s/s%s binds: %s, %s; faster: `callboard pool set %s --eviction-rate N`, or `unlimited`",
		rateText(rate), origin, counted(int(actors), "actor"), spanText(takes), p.ID.Name)
}

// counted writes a number of things.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// rateText writes micro-actors a second as actors a second.
func rateText(micros uint64) string {
	text := strconv.FormatUint(micros/1_000_000, 10)
	if rest := micros % 1_000_000; rest > 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%06d", rest), "0")
	}
	return text
}

// spanText writes a time as people say it.
func spanText(d time.Duration) string {
	switch {
	case d < time.Second:
		return "less than a second"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int64(d/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int64(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int64(d/time.Hour))
	}
	return fmt.Sprintf("%d days", int64(d/(24*time.Hour)))
}
