package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The floor of an actor yields when no runner of the version that it last ran on, or a newer one, has taken actors for a while: a restart of
// the only newer runner moves nobody down, and an undo that somebody else does, runner by runner, leaves nobody without a runner for long.
// There are two such times. All of them leave: then the wait begins in that entry. Or those that are there are full, and only the floor
// keeps an actor from a slot lower down: then it begins when an actor waits so, in a pool without an open rollout.
//
// What an operator takes away, by a drain, a rollback or another url, is not awaited; neither is what was lost or replaced: a runner that is
// lost has been away for as long.

// maxAwaitMs is how long the floor of an actor binds it without a runner that takes it. A pool with a lower lost threshold waits for that.
const maxAwaitMs = 30_000

func (s *step) awaitMs(p *fsm.Pool) int64 { return min(maxAwaitMs, s.tx.LostThresholdMs(p)) }

// awaitLeft begins the wait for a version whose last runner leaves, and ends it when one of it has come.
func (s *step) awaitLeft(p *fsm.Pool) {
	newest, some := s.tx.NewestVersion(p)
	before, was := s.tx.Before().NewestVersion(p)
	await := s.tx.Await(p)
	there := some && newest >= await.Version
	switch {
	case await.Version == 0:
	case there && (!was || before < await.Version):
		s.awaitVersion(p, 0, 0) // it has come
		await = fsm.Await{}
	case !there && await.UntilMs == 0:
		s.awaitVersion(p, 0, 0) // they have waited already, while it was there and full
		return
	}
	if !was || some && newest >= before || !s.mayComeBack(p, before) || !s.hasLower(p, before) {
		return
	}
	if await.UntilMs != 0 && await.Version <= before { // it was there and full: they wait already
		return
	}
	s.awaitVersion(p, max(await.Version, before), s.tx.ClockMs()+s.awaitMs(p))
}

// mayComeBack tells whether the runners of a pool's newest version have left of their own accord, or some of them are about to: others of it
// may follow.
func (s *step) mayComeBack(p *fsm.Pool, version uint32) bool {
	if s.tx.Holds(p, version) {
		return false
	}
	leaving, some := s.tx.NewestLeaving(p)
	return some && leaving >= version || s.left[p.ID] >= version && version > 0
}

// hasLower tells whether a pool has a runner of a lower version that may take actors.
func (s *step) hasLower(p *fsm.Pool, version uint32) bool {
	registered, some := s.tx.OldestVersion(p)
	outdated, any := s.tx.NewestOutdated(p)
	return some && registered < version || any && outdated < version
}

// noteLeft notes that a runner has ended of its own accord.
func (s *step) noteLeft(r *fsm.Runner) {
	if c := r.Drain.Cause; c == fsm.DrainOperator || c == fsm.DrainURLChanged || c == fsm.DrainReplaced {
		return
	}
	if s.left == nil {
		s.left = map[fsm.PoolID]uint32{}
	}
	s.left[r.Pool] = max(s.left[r.Pool], r.Version)
}

// awaitRoom begins the wait of actors that nothing but their floor keeps from a slot, ends it when there is no such actor, and has the floor
// bind again when a runner of their version has room.
func (s *step) awaitRoom(p *fsm.Pool) {
	await := s.tx.Await(p)
	newest, some := s.tx.NewestVersion(p)
	if await.Version != 0 && (!some || newest < await.Version) {
		return // all have left: awaitLeft sees to it
	}
	if await.Version != 0 && await.UntilMs == 0 {
		if room, any := s.roomyVersion(p); any && room >= await.Version {
			s.awaitVersion(p, 0, 0)
		}
		return
	}
	floor := s.waitingFloor(p)
	switch waits := floor != 0 && newest >= floor && s.tx.OpenRollout(p) == nil; {
	case !waits && await.Version != 0:
		s.awaitVersion(p, 0, 0)
	case waits && (floor > await.Version || s.tookNewer[p.ID]): // who takes actors is waited for
		s.awaitVersion(p, floor, s.tx.ClockMs()+s.awaitMs(p))
	}
}

// roomyVersion returns the version that the next actor without a floor would go to, but for last resorts.
func (s *step) roomyVersion(p *fsm.Pool) (version uint32, some bool) {
	for r := range s.tx.Candidates(p, 0) {
		return r.Version, !r.Draining()
	}
	return 0, false
}

// waitingFloor returns the highest floor in the queue of a pool if only that keeps its actor from a free slot; 0: it is not so.
func (s *step) waitingFloor(p *fsm.Pool) uint32 {
	floor := s.tx.HighestFloor(p)
	if floor == 0 || AtConcurrencyLimit(&s.tx.State, p) {
		return 0
	}
	if s.tx.ListsNames(p) {
		highest := uint32(0)
		for _, name := range s.tx.NamesToPlace(p) {
			if floor := s.tx.HighestFloorFor(p, name); floor > highest && s.bindsFrom(p, name, floor) {
				highest = floor
			}
		}
		return highest
	}
	if !s.bindsFrom(p, "", floor) {
		return 0
	}
	return floor
}

// bindsFrom tells whether a floor keeps an actor of a name from the runner that it would go to.
func (s *step) bindsFrom(p *fsm.Pool, name string, floor uint32) bool {
	for r := range s.tx.CandidatesFor(p, name, 0) { // the first has the highest version, but for last resorts, which come last
		return s.tx.FloorBinds(p, name, floor, r.Version)
	}
	return false
}

// awaitOver ends a wait: the floor yields.
func (s *step) awaitOver(p *fsm.Pool) {
	await := s.tx.Await(p)
	if newest, some := s.tx.NewestVersion(p); !some || newest < await.Version || s.tx.OpenRollout(p) != nil {
		await.Version = 0 // nobody is there who could bind it, or the rollout decides
	}
	s.awaitVersion(p, await.Version, 0)
}

func (s *step) awaitVersion(p *fsm.Pool, version uint32, untilMs int64) {
	s.do(&logv1.Op{Op: &logv1.Op_AwaitVersion{AwaitVersion: &logv1.AwaitVersion{
		NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Version: version, UntilMs: untilMs,
	}}})
}
