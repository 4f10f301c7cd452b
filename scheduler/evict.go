package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// receiptOverdueMs is how long a runner may take to acknowledge an eviction before others are emptied first.
const receiptOverdueMs = 2_000

// maxPlannedPerStep bounds how many planned evictions of a pool one entry holds. Few at a time keep the gap of each move short: what stops
// together starts together, and waits for each other.
const maxPlannedPerStep = 100

// evict has draining runners give up actors at the pace of their pools: of those that changed, and of those whose time has come.
func (s *step) evict() {
	for _, p := range s.tx.PoolsToEvict() {
		s.evictPool(p)
	}
}

func (s *step) evictPool(p *fsm.Pool) {
	s.name(p)
	queueServed, more := false, false
	for n := 0; ; n++ {
		next := lookAhead(&s.tx.State, p)
		if next.actor == nil {
			return
		}
		if n == maxPlannedPerStep {
			return // the pool is looked at again a millisecond after its last eviction
		}
		if s.budget.stops == maxStopsPerStep || s.full() {
			s.out.Unfinished = true
			return
		}
		if !queueServed {
			more = s.placeSome(p) // who waits comes first
			queueServed = true
		}
		to := roomIn(&s.tx.State, p, s.drawUint32())
		next = firstThatMay(&s.tx.State, p, to)
		if next.actor == nil {
			s.out.Unfinished = s.out.Unfinished || more // there may be room when all of them are placed
			return                                      // whatever else makes room makes the pool be looked at again
		}
		s.budget.stops++
		if !s.evictOne(next, to) {
			return
		}
	}
}

func (s *step) evictOne(next outlook, to room) bool {
	op := &logv1.EvictActor{Ref: refOp(next.actor.Ref()), StopDeadlineMs: s.tx.ClockMs() + s.tx.Setting(fsm.ActorStopThreshold)}
	if to.takes(&s.tx.State, next) {
		op.PromisedRunnerId = to.of(&s.tx.State, next.actor).runner.ID[:]
	}
	return s.do(&logv1.Op{Op: &logv1.Op_EvictActor{EvictActor: op}}) == fsm.CodeOK
}

// Blockers: why evictions that are due do not happen. The codes are public (callboard.v1.Blocker).
const (
	blockedDelay        = "delay"
	blockedRate         = "rate"
	blockedForced       = "forced_moves"
	blockedNoCapacity   = "no_capacity"
	blockedPaused       = "paused"
	blockedReceipts     = "receipts"
	blockedDisconnected = "runner_disconnected"
	blockedSilent       = "runner_silent"
	blockedMoved        = "moved_already"
	blockedCalledOff    = "called_off"
	blockedAway         = "newer_version_away"
	blockedNoHandler    = "no_handler"
)

// outlook is what the pace of a pool allows next: an actor to be evicted now, or when to look again and why not now.
type outlook struct {
	actor   *fsm.Actor
	runner  *fsm.Runner
	atMs    int64  // cluster clock; 0: something must happen first
	blocked string // one of the blockers; empty: an actor may be evicted if there is room
}

// lookAhead finds the next planned eviction of a pool, but for whether there is room.
func lookAhead(st *fsm.State, p *fsm.Pool) outlook {
	bucket := st.Bucket(p)
	if next := st.DrawnMs(p) + fsm.PortionEveryMs; p.Portioned() && next > st.ClockMs() && st.DrawnMs(p) < st.ClockMs() {
		return outlook{atMs: next, blocked: blockedRate}
	}
	switch {
	case !bucket.HasToken() && bucket.Nanos < 0:
		return outlook{atMs: bucket.TokenMs(p.EvictionRateMicros()), blocked: blockedForced}
	case !bucket.HasToken():
		return outlook{atMs: bucket.TokenMs(p.EvictionRateMicros()), blocked: blockedRate}
	case st.PoolStats(p).Unreceived >= p.MaxUnreceived():
		return outlook{blocked: blockedReceipts}
	}
	if p.WindowSize() > 0 {
		return nextNamed(st, p)
	}
	return nextUnnamed(st, p)
}

// nextNamed is lookAhead for a pool that names its actors ahead.
func nextNamed(st *fsm.State, p *fsm.Pool) outlook {
	for a := range st.NamedActors(p) {
		r := st.RunnerByNumber(a.Runner)
		if a.EvictMs > st.ClockMs() {
			return outlook{atMs: a.EvictMs, blocked: blockedRate}
		}
		if why := passedOver(st, p, r); why.blocked != "" {
			return why
		}
		return outlook{actor: a, runner: r}
	}
	// Nobody is named. Of those that could be, all wait for the same thing.
	if next := nextUnnamed(st, p); next.actor == nil {
		return next
	}
	return outlook{blocked: blockedRate, atMs: st.ClockMs() + 1} // they are named in the next entry
}

// nextUnnamed is lookAhead for a pool that does not name its actors.
func nextUnnamed(st *fsm.State, p *fsm.Pool) outlook {
	first := outlook{blocked: blockedDisconnected}
	instead := func(why outlook) {
		if first.blocked == blockedDisconnected || first.blocked == blockedMoved || why.atMs != 0 && (first.atMs == 0 || why.atMs < first.atMs) {
			first = why
		}
	}
	for r := range st.Ready(p) {
		why := passedOver(st, p, r)
		if why.blocked == "" {
			if a := firstOf(st, p, r); a != nil {
				return outlook{actor: a, runner: r}
			}
			why = outlook{blocked: blockedMoved}
		}
		instead(why)
	}
	for r := range st.Delayed(p) { // the others wait longer
		instead(passedOver(st, p, r))
		break
	}
	return first
}

// passedOver says why a runner is not emptied now: its turn has not come, its rollout is paused, or it does not answer.
func passedOver(st *fsm.State, p *fsm.Pool, r *fsm.Runner) outlook {
	if !r.Planned() || !r.Connected {
		return outlook{blocked: blockedDisconnected}
	}
	if r.Drain.Cause == fsm.DrainNewerVersion {
		switch open := st.OpenRollout(p); {
		case open == nil && st.RolloutWaitMs(p) == 0:
			return outlook{blocked: blockedAway}
		case open == nil:
			return outlook{blocked: blockedCalledOff}
		case open.Paused:
			return outlook{blocked: blockedPaused}
		case open.Version <= r.Version:
			return outlook{blocked: blockedAway}
		}
	}
	if begins := r.Drain.StartMs + p.EvictionDelayMs(); begins > st.ClockMs() {
		return outlook{blocked: blockedDelay, atMs: begins}
	}
	if since, ok := st.UnreceivedSinceMs(r); ok && st.ClockMs()-since >= receiptOverdueMs {
		return outlook{blocked: blockedSilent}
	}
	return outlook{}
}

// firstOf returns the actor that a runner gives up first; nil: there is none that may be moved.
func firstOf(st *fsm.State, p *fsm.Pool, r *fsm.Runner) *fsm.Actor {
	if toMove(st, p, r) == 0 {
		return nil
	}
	for a := range st.ActorsOf(r, 0) {
		if movable(st, p, r, a) {
			return a
		}
	}
	return nil
}

// toMove counts the actors of a draining runner that may be moved.
func toMove(st *fsm.State, p *fsm.Pool, r *fsm.Runner) uint32 {
	if r.Drain.Cause != fsm.DrainNewerVersion {
		return r.Left()
	}
	if open := st.OpenRollout(p); open != nil {
		return r.Left() - st.MovedOn(r, open.ID)
	}
	return 0
}

// movable tells whether an actor of a draining runner may be moved: it is not on its way already, and its rollout has not moved it before.
func movable(st *fsm.State, p *fsm.Pool, r *fsm.Runner, a *fsm.Actor) bool {
	if a.Phase == fsm.Stopping {
		return false
	}
	open := st.OpenRollout(p)
	return r.Drain.Cause != fsm.DrainNewerVersion || open != nil && a.MovedIn != open.ID
}

// room is where actors of a pool may be moved: the one runner that would be chosen next, if no pending actor may use it.
type room struct {
	runner *fsm.Runner // nil: there is no room
	names  *namedRooms // nil: runners of the pool do not list names
}

// roomIn finds the room of a pool. Among equals the seed says which.
func roomIn(st *fsm.State, p *fsm.Pool, seed uint32) room {
	if st.ListsNames(p) {
		some := room{names: &namedRooms{pool: p, seed: seed, byName: map[string]room{}}}
		for to := range st.Candidates(p, seed) {
			if !to.Draining() {
				some.runner = to
			}
			break
		}
		return some
	}
	for to := range st.Candidates(p, seed) {
		if to.Draining() || st.FirstPending(p, to.Version) != nil {
			break
		}
		return room{runner: to}
	}
	return room{}
}

// takes tells whether there is room for an actor, on a version that it may go to.
func (to room) takes(st *fsm.State, next outlook) bool {
	to = to.of(st, next.actor)
	if to.runner == nil {
		return false
	}
	p, floor := st.RunnerPool(next.runner), next.actor.FloorVersion
	if open := st.OpenRollout(p); open != nil && next.runner.Drain.Cause == fsm.DrainNewerVersion {
		floor = max(floor, open.Version)
	}
	return !st.FloorBinds(p, next.actor.Name, floor, to.runner.Version)
}

// may tells whether an eviction that is due may happen: there is room, or none is asked for.
func (to room) may(st *fsm.State, next outlook) bool {
	return next.runner.Drain.Force || to.takes(st, next)
}

// firstThatMay finds the first actor that is due to be evicted and has room, or needs none: one that has to wait for room holds up no
// other runner's. No actor: there is none.
func firstThatMay(st *fsm.State, p *fsm.Pool, to room) outlook {
	if to.runner == nil && st.PoolStats(p).Forceful == 0 {
		return outlook{}
	}
	if p.WindowSize() > 0 {
		for a := range st.NamedActors(p) {
			if a.EvictMs > st.ClockMs() {
				break
			}
			next := outlook{actor: a, runner: st.RunnerByNumber(a.Runner)}
			if passedOver(st, p, next.runner).blocked == "" && to.may(st, next) {
				return next
			}
		}
		return outlook{}
	}
	for r := range st.Evictable(p) {
		if passedOver(st, p, r).blocked != "" {
			continue
		}
		if next := to.firstOf(st, p, r); next.actor != nil {
			return next
		}
	}
	return outlook{}
}
