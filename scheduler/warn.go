package scheduler

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Warning is something that was accepted and is probably not meant.
type Warning struct {
	Code    string
	Message string
}

// The codes of warnings.
const (
	WarnDrainOn          = "drain_turned_on"
	WarnVersionZero      = "version_not_configured"
	WarnVersionIsStart   = "version_is_start_time"
	WarnVersionsRising   = "versions_rising"
	WarnKeep             = "keep_on_lease_lost"
	WarnNotBelieved      = "generation_not_believed"
	WarnAllOut           = "all_runners_out"
	WarnBelowSaved       = "below_saved_version"
	versionIsStartWithin = 5 // seconds
	risingRollouts       = 3
	risingWithinMs       = 10 * 60_000
)

func (s *step) warn(code, format string, args ...any) string {
	text := fmt.Sprintf(format, args...)
	s.out.Warnings = append(s.out.Warnings, Warning{code, text})
	return text
}

// warnDrainOn says what it does to connected runners that a pool drains from now on.
func (s *step) warnDrainOn(before, now *fsm.Pool) []string {
	if before == nil || before.DrainOn() || !now.DrainOn() || s.tx.PoolStats(now).Connected == 0 {
		return nil
	}
	older := 0
	newest, _ := s.tx.NewestConnected(now)
	for r := range s.tx.PoolRunners(now) {
		if r.Version >= newest {
			break
		}
		older++
	}
	what := "none of them is outdated yet"
	if older > 0 {
		what = fmt.Sprintf("%d of them older than version %d, to give up the actors there", older, newest)
	}
	return []string{s.warn(WarnDrainOn, "drain_on_version_upgrade is on from now on for %s of pool %q: %s",
		counted(int(s.tx.PoolStats(now).Connected), "connected runner"), now.ID.Name, what)}
}

// warnVersion says of a runner that has just registered what is odd about its version.
func (s *step) warnVersion(p *fsm.Pool, h *callboardv1.Hello) []string {
	var texts []string
	if n := s.tx.RegisteredAt(p, 0); h.GetVersion() == 0 && p.DrainOn() && n > 1 {
		texts = append(texts, s.warn(WarnVersionZero,
			"%d runners of pool %q have version 0, which means that none is configured: no rollout will tell new ones from old ones; set RIVET_RUNNER_VERSION when you build", n, p.ID.Name))
	}
	started := h.GetProcessStartUnixMs() // not above 0: it does not say
	if away := started/1000 - int64(h.GetVersion()); started > 0 && h.GetVersion() != 0 && away >= -versionIsStartWithin && away <= versionIsStartWithin {
		texts = append(texts, s.warn(WarnVersionIsStart,
			"version %d of runner %q in pool %q is the time at which the process started: every restart would be a new version and move every actor; set the version when you build, not when you run",
			h.GetVersion(), clipText(h.GetKey()), p.ID.Name))
	}
	return texts
}

// warnKeep says what a runner gives up that does not fence itself.
func (s *step) warnKeep(p *fsm.Pool, h *callboardv1.Hello) []string {
	if !h.GetKeepOnLeaseLost() {
		return nil
	}
	return []string{s.warn(WarnKeep,
		"runner %q in pool %q keeps its actors when its lease ends (on_lease_lost: keep): while it is cut off they may run elsewhere too, so nothing promises that one of them runs only once",
		clipText(h.GetKey()), p.ID.Name)}
}

// warnNotBelieved says that a runner names a generation that cannot be: once for all that it names together, and not again while it holds
// the same one.
func (s *step) warnNotBelieved(r *fsm.Runner, ref fsm.Ref) {
	if ref.Generation <= fsm.MaxRaised || s.disbelieved == r.Number || s.tx.IsOrphan(r, ref) {
		return
	}
	s.disbelieved = r.Number
	s.warn(WarnNotBelieved,
		"runner %q in pool %q names generation %d of actor %s: no actor has had that many lives, so it is told to stop, and the actor's own generation stays as it is; is it a runner at all?",
		clipText(r.Key), r.Pool.Name, ref.Generation, ref.Actor)
}

// warnRising says that rollouts to ever newer versions follow each other within minutes. One to the version of the one before does not
// count: that was called off, or a last resort gives up what it was given.
func (s *step) warnRising(p *fsm.Pool, version uint32) {
	n, later := 0, uint32(0)
	for r := range s.tx.Rollouts(p, 0) { // newest first
		if s.tx.ClockMs()-r.StartMs > risingWithinMs || n > risingRollouts {
			break
		}
		if later == version && r.Version == version {
			return
		}
		if r.Version != later {
			n, later = n+1, r.Version
		}
	}
	if n == risingRollouts {
		s.warn(WarnVersionsRising,
			"the newest version of pool %q has risen %d times within %d minutes: is a value of the moment used as version? Every rise moves every actor",
			p.ID.Name, n, risingWithinMs/60_000)
	}
}

// noteBelow notes that an actor starts on a version below the one that wrote its saved state.
func (s *step) noteBelow(a *fsm.Actor, r *fsm.Runner) {
	if a.SavedVersion <= r.Version || a.Saved == "" {
		return
	}
	if s.below == nil {
		s.below = map[fsm.PoolID]*below{}
	}
	b := s.below[r.Pool]
	if b == nil {
		b = &below{pool: r.Pool.Name, first: a.ID}
		s.below[r.Pool] = b
		s.belows = append(s.belows, b)
	}
	b.actors, b.version, b.saved = b.actors+1, r.Version, max(b.saved, a.SavedVersion)
}

// below is the lives of a pool that start in one Step on a version below that of their saved state.
type below struct {
	pool           string
	first          fsm.ActorID
	actors         int
	version, saved uint32
}

// warnBelow says so, once for all of a pool.
func (s *step) warnBelow() {
	for _, b := range s.belows {
		s.warn(WarnBelowSaved, "%s of pool %q, %s first, go to version %d with state that version %d saved: can the older code read it?",
			counted(b.actors, "actor"), b.pool, b.first, b.version, b.saved)
	}
}
