package fsm

import (
	"cmp"
	"iter"
	"math"
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// DrainCause says why a runner gives up its actors, numbered as callboard.v1.DrainCause.
type DrainCause uint8

// The causes; zero: it does not drain.
const (
	NotDraining DrainCause = iota
	DrainNewerVersion
	DrainOperator
	DrainShutdown
	DrainReplaced
	DrainLost
	DrainURLChanged
	DrainRequestEnd
)

// weight orders the causes: a drain under way gives way to one of a weightier cause, never the other way round.
var weight = [...]int{
	NotDraining: 0, DrainNewerVersion: 1, DrainURLChanged: 2, DrainOperator: 3, DrainRequestEnd: 4, DrainShutdown: 5, DrainReplaced: 6, DrainLost: 7,
}

// Outweighs tells whether a drain of one cause takes the place of one of another.
func (c DrainCause) Outweighs(o DrainCause) bool { return weight[c] > weight[o] }

// planned tells whether a drain of the cause is paced by the pool's bucket and waits for room.
func (c DrainCause) planned() bool {
	return c == DrainNewerVersion || c == DrainOperator || c == DrainURLChanged
}

// Leaves reports whether a runner that is drained for the cause has nothing to wait for when its last actor has gone.
func (c DrainCause) Leaves() bool {
	return c == DrainNewerVersion || c == DrainURLChanged || c == DrainRequestEnd
}

// finishes tells whether a drain of the cause is finished when the last actor has gone: its runner is told, and may leave.
func (c DrainCause) finishes() bool { return c.planned() || c == DrainRequestEnd }

// Drain is how a runner gives up its actors; the zero value: it does not.
type Drain struct {
	Cause      DrainCause
	StartMs    int64 // cluster clock
	DeadlineMs int64 // cluster clock; 0: none
	Reason     string
	Force      bool   // its actors move whether or not there is room elsewhere
	Overdue    bool   // its deadline has passed: what is left moves at once
	Standby    bool   // it came when it was outdated already, and has had no actor since
	Held       bool   // because its pool holds its version back
	Total      uint32 // actors that it had when the drain began, and those that it got since
	StartWall  int64
	FinishWall int64 // when its last actor had left; 0: not yet
}

// Draining tells whether a runner gives up its actors.
func (r *Runner) Draining() bool { return r.Drain.Cause != NotDraining }

// left is how many actors have not been told to stop.
func (r *Runner) left() uint32 { return r.Held - r.Stopping }

// Left returns how many of a runner's actors have not been told to stop.
func (r *Runner) Left() uint32 { return r.left() }

// Forced tells whether it gives up its actors whatever the pace and the room.
func (r *Runner) Forced() bool {
	return r.Draining() && (!r.Drain.Cause.planned() || r.Drain.Overdue)
}

// Planned tells whether its actors are moved at the pool's pace.
func (r *Runner) Planned() bool { return r.Drain.Cause.planned() && !r.Drain.Overdue }

// SafeToTerminate tells whether a draining runner has nothing and gets nothing any more.
func (r *Runner) SafeToTerminate() bool { return r.Drain.FinishWall != 0 }

// LastResort tells whether it takes new actors when no other runner can: it drains only because a newer version is there, and has not
// finished.
func (r *Runner) LastResort() bool {
	return r.End == NotEnded && r.Connected && r.Drain.Cause == DrainNewerVersion && !r.SafeToTerminate()
}

// drainWork tells whether its drain has something to be done now: actors to be told to stop whatever the pace, or its end.
func (r *Runner) drainWork() bool {
	switch {
	case r.End != NotEnded || !r.Draining():
		return false
	case r.Held == 0:
		return r.Drain.Cause == DrainReplaced || r.Drain.Cause.finishes() && !r.SafeToTerminate() && !r.Drain.Standby
	}
	return r.Forced() && r.left() > 0
}

// evictable tells whether the pool's pace has something to take from it.
func (r *Runner) evictable() bool {
	return r.End == NotEnded && r.Connected && r.Planned() && r.left() > 0
}

// versionDrain tells whether it drains because a newer version is there.
func (r *Runner) versionDrain() bool { return r.End == NotEnded && r.Drain.Cause == DrainNewerVersion }

// Unfinished tells whether a rollout has to wait for it.
func (r *Runner) Unfinished() bool { return r.unfinished() }

func (r *Runner) unfinished() bool {
	return r.versionDrain() && !r.SafeToTerminate() && !r.Drain.Standby
}

// drainDue tells whether something follows when its deadline passes.
func (r *Runner) drainDue() bool {
	if r.End != NotEnded || r.Drain.DeadlineMs == 0 {
		return false
	}
	return r.Drain.Cause == DrainShutdown || r.Drain.Cause == DrainOperator && !r.Drain.Overdue && r.left() > 0
}

// longestGraceMs is the most that a runner may take for its own shutdown.
const longestGraceMs = 30 * minuteMs

// drainDueMs is when that is. A runner that has announced its end is given a lost threshold more for its goodbye to arrive, and a tenth of
// its time because clocks run at different rates.
func (r *Runner) drainDueMs() int64 {
	if r.Drain.Cause == DrainShutdown {
		return r.Drain.DeadlineMs + min(r.Drain.DeadlineMs-r.Drain.StartMs, longestGraceMs)/10 + r.ThresholdMs
	}
	return r.Drain.DeadlineMs
}

// evictableKey orders the runners of a pool that are emptied at its pace: earliest deadline, then oldest version, then fewest actors left.
// Those whose delay is not over come behind all others.
type evictableKey struct {
	pool       uint32
	delayed    bool
	deadlineMs int64
	version    uint32
	left       uint32
	number     uint32
}

func evictableLess(a, b evictableKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.delayed != b.delayed:
		return b.delayed
	case a.deadlineMs != b.deadlineMs:
		return a.deadlineMs < b.deadlineMs
	case a.version != b.version:
		return a.version < b.version
	case a.left != b.left:
		return a.left < b.left
	}
	return a.number < b.number
}

func (s *State) evictableKey(r *Runner) evictableKey {
	k := evictableKey{pool: r.pool, deadlineMs: r.Drain.DeadlineMs, version: r.Version, left: r.left(), number: r.Number}
	k.delayed = s.pools.Get(r.pool).EvictionBeginsMs(r) > s.clockMs
	if k.deadlineMs == 0 {
		k.deadlineMs = math.MaxInt64
	}
	return k
}

// EmptiedBefore tells whether one of two runners that give up their actors is emptied before the other.
func (s *State) EmptiedBefore(a, b *Runner) bool {
	x, y := s.evictableKey(a), s.evictableKey(b)
	x.delayed, y.delayed = false, false
	return evictableLess(x, y)
}

// Evictable yields the runners of a pool that its pace may take an actor from, in the order in which they are emptied: first the one
// that is being emptied already, and last those whose delay is not over.
func (s *State) Evictable(p *Pool) iter.Seq[*Runner] { return s.evictable(p, true) }

// Ready yields the runners that Evictable yields, but for those whose delay is not over.
func (s *State) Ready(p *Pool) iter.Seq[*Runner] { return s.evictable(p, false) }

func (s *State) evictable(p *Pool, delayed bool) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		emptying := s.runners.Get(s.buckets.Get(p.ordinal).Emptying)
		if emptying != nil && (emptying.pool != p.ordinal || !emptying.evictable() || !delayed && p.EvictionBeginsMs(emptying) > s.clockMs) {
			emptying = nil
		}
		if emptying != nil && !yield(emptying) {
			return
		}
		for k := range s.evictables.From(evictableKey{pool: p.ordinal, deadlineMs: math.MinInt64}) {
			if k.pool != p.ordinal || k.delayed && !delayed {
				return
			}
			if emptying != nil && k.number == emptying.Number {
				continue
			}
			if !yield(s.runnerAt(k.number)) {
				return
			}
		}
	}
}

// PoolsToEvict returns the pools that have something to be evicted at their pace and that changed in this Tx, or whose time has come with
// it, by the names of their namespaces and their own: a restore changes ordinals, and must not change the order of decisions.
func (tx *Tx) PoolsToEvict() []*Pool {
	pools := slices.DeleteFunc(tx.DirtyPools(), func(p *Pool) bool { return tx.PoolStats(p).Evictable == 0 })
	slices.SortFunc(pools, tx.compareNames)
	return pools
}

// compareNames orders pools by the names of their namespaces and their own.
func (s *State) compareNames(a, b *Pool) int {
	return cmp.Or(cmp.Compare(s.PoolNamespace(a).Name, s.PoolNamespace(b).Name), cmp.Compare(a.ID.Name, b.ID.Name))
}

// drainWorkKey orders the runners whose drain has something to be done whatever the pool's pace, by when it is to be done.
type drainWorkKey struct {
	atMs   int64
	number uint32
}

func drainWorkLess(a, b drainWorkKey) bool {
	if a.atMs != b.atMs {
		return a.atMs < b.atMs
	}
	return a.number < b.number
}

// drainWorkKey is when that is: the turn of its next forced move, or at once.
func (s *State) drainWorkKey(r *Runner) drainWorkKey {
	k := drainWorkKey{number: r.Number}
	if r.Held > 0 && r.Moves.Total > 0 {
		k.atMs = s.ForcedTurnMs(r)
	}
	return k
}

// DrainWork yields the runners whose drain has something to be done now whatever the pace, the longest due first.
func (s *State) DrainWork() iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.drainWork.From(drainWorkKey{atMs: math.MinInt64}) {
			if k.atMs > s.clockMs || !yield(s.runnerAt(k.number)) {
				return
			}
		}
	}
}

// NextDrainWorkMs returns when a drain has something to be done whatever the pace, if not now.
func (s *State) NextDrainWorkMs() (atMs int64, ok bool) {
	k, ok := s.drainWork.First(drainWorkKey{atMs: s.clockMs + 1})
	return k.atMs, ok
}

func (tx *Tx) startDrain(op *logv1.StartDrain) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	cause := DrainCause(op.GetCause())
	if cause == NotDraining || cause == DrainLost || op.GetCause() > uint32(DrainRequestEnd) || op.GetStandby() && cause != DrainNewerVersion || op.GetHeld() && cause != DrainOperator {
		return refuse(CodeMalformed)
	}
	if r.Draining() && cause != r.Drain.Cause && !cause.Outweighs(r.Drain.Cause) {
		return refuse(CodeIllegal)
	}
	next := *r
	next.Drain = Drain{
		Cause: cause, StartMs: tx.clockMs, DeadlineMs: op.GetDeadlineMs(), Reason: op.GetReason(), Force: op.GetForce(),
		Standby: op.GetStandby() && r.Held == 0, Held: op.GetHeld(), Total: r.Held, StartWall: tx.wallMs,
	}
	next.Drain.Overdue = cause == DrainOperator && op.GetDeadlineMs() != 0 && op.GetDeadlineMs() <= tx.clockMs
	if r.Draining() { // it has been told already: what it has lost since counts, and its delay does not begin anew
		next.Drain.StartMs, next.Drain.StartWall, next.Drain.Total = r.Drain.StartMs, r.Drain.StartWall, r.Drain.Total
	}
	if !next.Forced() {
		next.Moves = Moves{} // forced moves of an earlier deadline: those of the next begin anew
	}
	tx.replaceRunner(r, &next)
	return Result{}
}

func (tx *Tx) cancelDrain(op *logv1.CancelDrain) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	if !r.Drain.Cause.planned() {
		return refuse(CodeIllegal)
	}
	next := *r
	next.Drain, next.Moves = Drain{}, Moves{}
	tx.replaceRunner(r, &next)
	return Result{}
}

func (tx *Tx) finishDrain(op *logv1.FinishDrain) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	if !r.Drain.Cause.finishes() || r.Held > 0 || r.SafeToTerminate() || r.Drain.Standby {
		return refuse(CodeIllegal)
	}
	next := *r
	next.Drain.FinishWall = max(tx.wallMs, 1)
	tx.replaceRunner(r, &next)
	return Result{}
}
