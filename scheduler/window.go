package scheduler

import (
	"math"
	"slices"
	"sort"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A pool with an eviction period names the actors that it will move, a window at a time: as many as its rate moves in a period, each with
// its turn, the turns 1/rate apart. They and their runners are told ahead. A turn whose actor leaves by itself is given to the next actor
// that is not named yet.

// name keeps the window of a pool filled.
func (s *step) name(p *fsm.Pool) {
	s.unnamePassedOver(p)
	size, bucket := p.WindowSize(), s.tx.Bucket(p)
	if bucket.WindowTurns > 0 && (size == 0 || bucket.WindowRateMicros != p.EvictionRateMicros() || bucket.WindowTurns != size) {
		s.unname(p, s.namedIn(p)) // the pace has changed: everybody gets a new turn
		bucket = s.tx.Bucket(p)
	}
	if size == 0 {
		return
	}
	named, left := int(s.tx.PoolStats(p).Named), turnsAfter(bucket, s.tx.ClockMs())
	switch {
	case left > 0 && (named >= left || int(s.tx.PoolStats(p).Evictable) <= named):
		return // no turn is free, or nobody is left to be named
	case left == 0 && named > 0:
		return // they are late, and go first
	}
	if left > 0 {
		if last, some := s.lastFreeTurn(p, bucket, left); some && s.unnamedBefore(p, last) {
			s.fill(p, bucket, s.freeTurns(p, bucket, left))
		}
		return
	}
	begins, some := s.nameableFrom(p)
	if !some || !s.unnamedBefore(p, math.MaxInt64) {
		return
	}
	bucket.WindowFromMs = max(begins, bucket.TokenMs(p.EvictionRateMicros()), 1) // a turn at 0 would be none
	bucket.WindowTurns, bucket.WindowRateMicros = size, p.EvictionRateMicros()
	turns := make([]int64, size)
	for i := range turns {
		turns[i] = bucket.TurnMs(uint32(i))
	}
	s.fill(p, bucket, turns)
}

// nameableFrom returns the cluster clock from which actors of a pool may be evicted; not some: there is none that may be named.
func (s *step) nameableFrom(p *fsm.Pool) (clockMs int64, some bool) {
	for r := range s.tx.Ready(p) {
		if passedOver(&s.tx.State, p, r).blocked == "" {
			return s.tx.ClockMs(), true
		}
	}
	for r := range s.tx.Delayed(p) {
		if passedOver(&s.tx.State, p, r).blocked == blockedDelay {
			return p.EvictionBeginsMs(r), true
		}
	}
	return 0, false
}

// unnamedBefore tells whether somebody may be left to be named for turns up to a clock. It counts, and looks through no actors: those
// whose delay is not over by then, or whose rollout is paused, may be many and wait for long.
func (s *step) unnamedBefore(p *fsm.Pool, lastMs int64) bool {
	named, actors := s.tx.PoolStats(p).Named, uint32(0)
	for r := range s.tx.Ready(p) {
		if why := passedOver(&s.tx.State, p, r).blocked; why == "" || why == blockedSilent {
			actors += toMove(&s.tx.State, p, r)
		}
		if actors > named {
			return true
		}
	}
	for r := range s.tx.Delayed(p) {
		if p.EvictionBeginsMs(r) > lastMs || actors > named {
			break
		}
		if passedOver(&s.tx.State, p, r).blocked == blockedDelay {
			actors += toMove(&s.tx.State, p, r)
		}
	}
	return actors > named
}

// turnsAfter returns how many turns of a window lie ahead.
func turnsAfter(b fsm.Bucket, clockMs int64) int {
	return int(b.WindowTurns) - sort.Search(int(b.WindowTurns), func(i int) bool { return b.TurnMs(uint32(i)) > clockMs })
}

// lastFreeTurn returns the last turn of a window that nobody has, of those that lie ahead.
func (s *step) lastFreeTurn(p *fsm.Pool, b fsm.Bucket, ahead int) (atMs int64, some bool) {
	turn := int(b.WindowTurns) - 1
	for at := range s.tx.NamedTurns(p) {
		if turn < int(b.WindowTurns)-ahead || b.TurnMs(uint32(turn)) != at {
			break
		}
		turn--
	}
	return b.TurnMs(uint32(max(turn, 0))), turn >= int(b.WindowTurns)-ahead
}

// freeTurns returns the last turns of a window, as many as lie ahead, without those that somebody has.
func (s *step) freeTurns(p *fsm.Pool, b fsm.Bucket, ahead int) []int64 {
	taken := map[int64]int{}
	for at := range s.tx.NamedTurns(p) {
		taken[at]++
	}
	var free []int64
	for turn := int(b.WindowTurns) - ahead; turn < int(b.WindowTurns); turn++ {
		at := b.TurnMs(uint32(turn))
		if taken[at] > 0 {
			taken[at]-- // fast turns may share a millisecond
			continue
		}
		free = append(free, at)
	}
	return free
}

// maxNamedPerStep bounds how many turns one entry gives. The rest of a window is given in the next ones.
const maxNamedPerStep = 2_000

// fill gives turns to the actors that come next.
func (s *step) fill(p *fsm.Pool, bucket fsm.Bucket, turns []int64) {
	more := len(turns) > maxNamedPerStep
	if more {
		turns = turns[:maxNamedPerStep]
	}
	op := &logv1.PlanEvictions{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, WindowFromMs: bucket.WindowFromMs, WindowTurns: bucket.WindowTurns}
	n := s.nominees(p, turns)
	for _, at := range turns {
		if a := n.next(at); a != nil {
			op.Evictions = append(op.Evictions, &logv1.PlannedEviction{Ref: refOp(a.Ref()), AtMs: at})
		}
	}
	if len(op.GetEvictions()) > 0 { // none: those that are left are handled by nobody else
		s.out.Unfinished = s.out.Unfinished || more
		s.do(&logv1.Op{Op: &logv1.Op_PlanEvictions{PlanEvictions: op}})
	}
}

// unnamedOf returns the next actors of a runner that are not named, at most limit.
func (s *step) unnamedOf(p *fsm.Pool, r *fsm.Runner, limit int) []*fsm.Actor {
	var actors []*fsm.Actor
	if toMove(&s.tx.State, p, r) == 0 {
		return nil
	}
	if s.tx.ListsNames(p) && !r.Drain.Force {
		return s.unnamedHandled(p, r, limit)
	}
	for a := range s.tx.ActorsOf(r, 0) {
		if len(actors) == limit {
			break
		}
		if !a.Named() && movable(&s.tx.State, p, r, a) {
			actors = append(actors, a)
		}
	}
	return actors
}

// unnamePassedOver takes the turns of a runner that has none: one that is not connected or does not answer, or whose rollout is paused.
func (s *step) unnamePassedOver(p *fsm.Pool) {
	for {
		var head *fsm.Runner
		for a := range s.tx.NamedActors(p) {
			head = s.tx.RunnerByNumber(a.Runner)
			break
		}
		if head == nil {
			return
		}
		if why := passedOver(&s.tx.State, p, head).blocked; why == "" || why == blockedDelay {
			if stuck := s.namedUnhandled(p, head); len(stuck) > 0 {
				s.unname(p, stuck)
			}
			return
		}
		s.unname(p, s.namedOn(head))
	}
}

func (s *step) namedOn(r *fsm.Runner) []*fsm.Actor {
	var named []*fsm.Actor
	if s.tx.PoolStats(s.tx.RunnerPool(r)).Named == 0 {
		return nil
	}
	for a := range s.tx.ActorsOf(r, 0) {
		if a.Named() {
			named = append(named, a)
		}
	}
	return named
}

// namedFor returns the actors of a pool that are named because of drains of one cause.
func (s *step) namedFor(p *fsm.Pool, cause fsm.DrainCause) []*fsm.Actor {
	return slices.DeleteFunc(s.namedIn(p), func(a *fsm.Actor) bool { return s.tx.RunnerByNumber(a.Runner).Drain.Cause != cause })
}

func (s *step) namedIn(p *fsm.Pool) []*fsm.Actor {
	var named []*fsm.Actor
	for a := range s.tx.NamedActors(p) {
		named = append(named, a)
	}
	return named
}

// unname takes the turns of actors. When nobody is named any more, the window ends.
func (s *step) unname(p *fsm.Pool, named []*fsm.Actor) {
	bucket := s.tx.Bucket(p)
	if len(named) == 0 && bucket.WindowTurns == 0 {
		return
	}
	op := &logv1.PlanEvictions{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name}
	if len(named) < int(s.tx.PoolStats(p).Named) {
		op.WindowFromMs, op.WindowTurns = bucket.WindowFromMs, bucket.WindowTurns
	}
	for _, a := range named {
		op.Evictions = append(op.Evictions, &logv1.PlannedEviction{Ref: refOp(a.Ref())})
	}
	s.do(&logv1.Op{Op: &logv1.Op_PlanEvictions{PlanEvictions: op}})
}
