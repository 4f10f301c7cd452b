package fsm

import (
	"iter"
	"math"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Eviction says how the eviction of an actor stands; a set of flags.
type Eviction uint8

// The flags.
const (
	evictionUnreceived Eviction = 1 << iota // the runner has not said that it heard of it
	evictionByRollout                       // the rollout of MovedIn counts it
	evictionForced                          // while it backs off: it was moved off a lost runner, and draws its token when it comes back
	evictionMask       = evictionUnreceived | evictionByRollout | evictionForced
)

// namedKey orders the actors of a pool that are named to be evicted, by their turn.
type namedKey struct {
	atMs    int64
	seq     uint64
	pool    uint32
	ordinal uint32
}

func namedLess(a, b namedKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.atMs != b.atMs:
		return a.atMs < b.atMs
	}
	return a.seq < b.seq
}

// unreceivedKey orders the planned evictions that a runner has not acknowledged, by when they were decided.
type unreceivedKey struct {
	atMs    int64
	seq     uint64
	runner  uint32
	ordinal uint32
}

func unreceivedLess(a, b unreceivedKey) bool {
	switch {
	case a.runner != b.runner:
		return a.runner < b.runner
	case a.atMs != b.atMs:
		return a.atMs < b.atMs
	}
	return a.seq < b.seq
}

// Named tells whether an actor is named to be evicted at a turn.
func (a *Actor) Named() bool { return a.EvictMs != 0 && a.Phase != Stopping }

// Evicting tells whether an actor stops because of a planned eviction.
func (a *Actor) Evicting() bool { return a.EvictMs != 0 && a.Phase == Stopping }

// Paced tells whether an actor that was moved off a lost runner waits for its turn.
func (a *Actor) Paced() bool { return a.Phase == Pending && a.DueMs != 0 }

// NamedActors yields the actors of a pool that are named to be evicted, in the order of their turns.
func (s *State) NamedActors(p *Pool) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		for k := range s.named.From(namedKey{pool: p.ordinal, atMs: math.MinInt64}) {
			if k.pool != p.ordinal || !yield(s.actorAt(k.ordinal)) {
				return
			}
		}
	}
}

// NamedTurns yields the turns of the named actors of a pool, the last one first.
func (s *State) NamedTurns(p *Pool) iter.Seq[int64] {
	return func(yield func(int64) bool) {
		for k := range s.named.DownFrom(namedKey{pool: p.ordinal, atMs: math.MaxInt64, seq: math.MaxUint64}) {
			if k.pool != p.ordinal || !yield(k.atMs) {
				return
			}
		}
	}
}

// UnreceivedSinceMs returns when the oldest planned eviction was decided that a runner has not acknowledged; ok is false when there is none.
func (s *State) UnreceivedSinceMs(r *Runner) (clockMs int64, ok bool) {
	k, ok := s.unreceived.First(unreceivedKey{runner: r.Number, atMs: math.MinInt64})
	return k.atMs, ok && k.runner == r.Number
}

// planEvictions names actors, each with its turn. It begins a window, or fills free turns of the one there is.
func (tx *Tx) planEvictions(op *logv1.PlanEvictions) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	if op.GetWindowTurns() > MaxWindowTurns || len(op.GetEvictions()) > 2*MaxWindowTurns {
		return refuse(CodeMalformed)
	}
	rows := make([]*Actor, len(op.GetEvictions()))
	seen := make(map[uint32]bool, len(rows))
	for i, e := range op.GetEvictions() {
		a := tx.actorFrom(e.GetRef().GetActorId())
		switch {
		case a == nil:
			return refuse(CodeNotFound)
		case a.Generation != e.GetRef().GetGeneration(), a.Phase != Starting && a.Phase != Running:
			return refuse(CodeStale)
		case a.pool != p.ordinal, e.GetAtMs() < 0, seen[a.ordinal]:
			return refuse(CodeMalformed)
		case e.GetAtMs() != 0 && !tx.runners.Get(a.Runner).Planned():
			return refuse(CodeIllegal)
		}
		rows[i], seen[a.ordinal] = a, true
	}
	b := tx.Bucket(p)
	b.WindowFromMs, b.WindowTurns, b.WindowRateMicros = op.GetWindowFromMs(), op.GetWindowTurns(), p.EvictionRateMicros()
	if b.WindowTurns == 0 {
		b.WindowFromMs, b.WindowRateMicros = 0, 0
	}
	tx.putBucket(p, b)
	for i, a := range rows {
		next := *a
		next.EvictMs = op.GetEvictions()[i].GetAtMs()
		if next.EvictMs != a.EvictMs {
			next.RunnerRev = tx.nextRev(a.Runner) // its runner hears of it
			tx.replaceActor(a, &next)
		}
	}
	return Result{}
}

func (tx *Tx) evictActor(op *logv1.EvictActor) Result {
	a, next, res := tx.stepRef(op.GetRef(), EventStop, Stopping)
	if res.Code != CodeOK {
		return res
	}
	if a.Phase == Stopping {
		return refuse(CodeIllegal)
	}
	if op.GetStopDeadlineMs() <= tx.clockMs {
		return refuse(CodeMalformed)
	}
	r := tx.runners.Get(a.Runner)
	p := tx.pools.Get(r.pool)
	if op.GetForced() {
		if !r.Forced() || r.End != NotEnded {
			return refuse(CodeIllegal)
		}
		next.StopReason, next.EvictMs, next.Eviction = r.stopReason(), 0, 0
		tx.putBucket(p, tx.Bucket(p).owe(p.EvictionRateMicros()))
		tx.countMove(r)
		r = tx.runners.Get(a.Runner)
	} else {
		if res := tx.mayEvict(p, r, a); res.Code != CodeOK {
			return res
		}
		if res := tx.promise(op.GetPromisedRunnerId(), r, next); res.Code != CodeOK {
			return res
		}
		next.StopReason, next.EvictMs, next.Eviction = StopEvict, max(tx.clockMs, 1), evictionUnreceived
		tx.countEvicted(p, r, next)
		b := tx.Bucket(p).draw()
		b.Emptying = r.Number
		tx.putBucket(p, b)
	}
	next.ConnectableMs = 0
	next.setStopDue(r, op.GetStopDeadlineMs(), tx.clockMs)
	tx.replaceActor(a, next)
	return Result{}
}

// setStopDue says until when a stop may take. Without any report the generation is lost T and a tenth of the time-out after that.
func (a *Actor) setStopDue(r *Runner, deadlineMs, clockMs int64) {
	a.StopLimitMs = deadlineMs - clockMs
	a.DueMs = deadlineMs + r.ThresholdMs + a.StopLimitMs/10
}

// stopReason says what the actors of a runner that must give them up are told.
func (r *Runner) stopReason() StopReason {
	switch r.Drain.Cause {
	case DrainReplaced:
		return StopReplaced
	case DrainShutdown:
		return StopShutdown
	default:
		return StopEvict
	}
}

// mayEvict holds the pace (G7) and the single move (G10).
func (tx *Tx) mayEvict(p *Pool, r *Runner, a *Actor) Result {
	switch {
	case !r.Planned() || !r.Connected:
		return refuse(CodeIllegal)
	case tx.clockMs < r.Drain.StartMs+p.EvictionDelayMs(), !tx.Bucket(p).HasToken(), tx.PoolStats(p).Unreceived >= p.MaxUnreceived():
		return refuse(CodeFull)
	}
	if r.Drain.Cause != DrainNewerVersion {
		return Result{}
	}
	if open := tx.OpenRollout(p); open == nil || open.Paused || open.Version <= r.Version || a.MovedIn == open.ID {
		return refuse(CodeIllegal)
	}
	return Result{}
}

// promise has a runner keep a slot for an actor that will be moved. Only a forced drain goes without one.
func (tx *Tx) promise(id []byte, from *Runner, next *Actor) Result {
	if len(id) == 0 {
		if !from.Drain.Force {
			return refuse(CodeFull)
		}
		return Result{}
	}
	to, res := tx.liveRunner(id)
	if res.Code != CodeOK {
		return res
	}
	if to.pool != from.pool || to.Number == from.Number || !to.Placeable() || to.FreeSlots() == 0 {
		return refuse(CodeFull)
	}
	next.Promise = to.Number
	return Result{}
}

// countEvicted counts a planned eviction for its rollout. The actor counts as having run on the rollout's version: it does not go back.
func (tx *Tx) countEvicted(p *Pool, r *Runner, next *Actor) {
	if r.Drain.Cause != DrainNewerVersion {
		return
	}
	open := tx.OpenRollout(p)
	next.MovedIn, next.FloorVersion = open.ID, max(next.FloorVersion, open.Version)
	next.Eviction |= evictionByRollout
	row := *open
	row.Moving++
	tx.replaceRollout(open, &row)
}

// countLeft counts the end of a life for the rollout that moved it, or that its runner drains for.
func (tx *Tx) countLeft(a *Actor, lost bool) {
	r := tx.runners.Get(a.Runner)
	if a.Eviction&evictionByRollout != 0 {
		if moving := tx.rollout(a.pool, a.MovedIn); moving != nil {
			row := *moving
			row.Moving--
			if lost {
				row.Lost++
			} else {
				row.Moved++
			}
			tx.replaceRollout(moving, &row)
		}
		return
	}
	open := tx.OpenRollout(tx.pools.Get(a.pool))
	if open == nil || r.Drain.Cause != DrainNewerVersion || r.Version >= open.Version {
		return
	}
	row := *open
	if lost {
		row.Lost++
	} else {
		row.Left++
	}
	tx.replaceRollout(open, &row)
}

// countMove counts a forced move of a runner; the first one begins them.
func (tx *Tx) countMove(r *Runner) {
	next := *r
	if next.Moves.Total == 0 {
		next.Moves = Moves{FromMs: tx.clockMs, Total: max(r.left(), 1)}
		if r.End != NotEnded {
			next.Moves.Total = max(r.Held, 1)
		}
	}
	next.Moves.Done++
	tx.replaceRunner(r, &next)
}

// Moves counts the forced moves of a runner: from when, how many there are, and how many were made.
type Moves struct {
	FromMs int64 // cluster clock
	Total  uint32
	Done   uint32
}

// evictionsReceived takes note of receipts. It refuses none: a receipt may be late.
func (tx *Tx) evictionsReceived(op *logv1.EvictionsReceived) Result {
	for _, ref := range op.GetRefs() {
		a := tx.actorFrom(ref.GetActorId())
		if a == nil || a.Generation != ref.GetGeneration() || a.Eviction&evictionUnreceived == 0 {
			continue
		}
		next := *a
		next.Eviction &^= evictionUnreceived
		tx.replaceActor(a, &next)
		tx.dirtyPool(a.pool) // the next one may be evicted
	}
	return Result{}
}

// AwaitsReceipt tells whether the planned eviction of a life has not been acknowledged by its runner.
func (s *State) AwaitsReceipt(ref Ref) bool {
	a := s.Actor(ref.Actor)
	return a != nil && a.Generation == ref.Generation && a.Eviction&evictionUnreceived != 0
}
