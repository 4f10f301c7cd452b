package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// MaxOrphansPerRunner bounds how far unwanted generations may fill a runner beyond its slots.
const MaxOrphansPerRunner = 100_000

// orphanKey is a generation that runs on a runner although the state does not want it there: its slot is held until its end is
// confirmed, or its runner ends.
type orphanKey struct {
	runner     uint32
	ref        Ref
	rev        uint64
	holdsActor bool // its actor is not placed before it has ended
}

func orphanLess(a, b orphanKey) bool {
	if a.runner != b.runner {
		return a.runner < b.runner
	}
	if a.ref.Actor != b.ref.Actor {
		return ID(a.ref.Actor).less(ID(b.ref.Actor))
	}
	return a.ref.Generation < b.ref.Generation
}

// bodyLess orders the orphans that actors wait for by actor.
func bodyLess(a, b orphanKey) bool {
	if a.ref.Actor != b.ref.Actor {
		return ID(a.ref.Actor).less(ID(b.ref.Actor))
	}
	return orphanLess(a, b)
}

func (tx *Tx) holdOrphan(op *logv1.HoldOrphan) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	ref, ok := refFrom(op.GetRef())
	if !ok {
		return refuse(CodeMalformed)
	}
	if a := tx.Actor(ref.Actor); a != nil && a.Generation == ref.Generation && a.Runner == r.Number {
		return refuse(CodeIllegal) // it is wanted
	}
	if _, held := tx.orphans.Get(orphanKey{runner: r.Number, ref: ref}); held {
		return refuse(CodeExists)
	}
	if r.Held >= r.Slots+MaxOrphansPerRunner {
		return refuse(CodeFull)
	}
	tx.hold(r.Number, holding{slots: +1, stopping: +1, told: true})
	tx.putOrphan(orphanKey{runner: r.Number, ref: ref, rev: tx.runners.Get(r.Number).Rev, holdsActor: op.GetHoldsActor()})
	return Result{}
}

// putOrphan adds a key, and lets its actor wait for it.
func (tx *Tx) putOrphan(k orphanKey) {
	tx.rehash(StateHash{}, k.hash())
	tx.orphans.Put(k)
	if k.holdsActor {
		tx.bodies.Put(k)
		tx.waitForOrphans(k.ref.Actor)
	}
}

// waitForOrphans counts anew what an actor waits for.
func (tx *Tx) waitForOrphans(id ActorID) {
	if a := tx.Actor(id); a != nil {
		next := *a
		next.Orphans = tx.bodiesOf(id)
		next.KeepsKey = next.KeepsKey && next.Orphans > 0
		tx.writeActor(a, &next)
	}
}

func (s *State) bodiesOf(id ActorID) (n uint32) {
	for k := range s.bodies.From(orphanKey{ref: Ref{Actor: id}}) {
		if k.ref.Actor != id {
			break
		}
		n++
	}
	return n
}

// WaitsFor yields the runners that still have a body of an actor, which is not placed before they have stopped it.
func (s *State) WaitsFor(a *Actor) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.bodies.From(orphanKey{ref: Ref{Actor: a.ID}}) {
			if k.ref.Actor != a.ID || !yield(s.runners.Get(k.runner)) {
				return
			}
		}
	}
}

func (tx *Tx) releaseOrphan(op *logv1.ReleaseOrphan) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	ref, ok := refFrom(op.GetRef())
	if !ok {
		return refuse(CodeMalformed)
	}
	k, held := tx.orphans.Get(orphanKey{runner: r.Number, ref: ref})
	if !held {
		return refuse(CodeNotFound)
	}
	tx.release(k)
	return Result{}
}

func (tx *Tx) release(k orphanKey) {
	tx.rehash(k.hash(), StateHash{})
	tx.orphans.Delete(k)
	if k.holdsActor {
		tx.bodies.Delete(k)
		tx.waitForOrphans(k.ref.Actor)
	}
	tx.hold(k.runner, holding{slots: -1, stopping: -1})
}

// releaseOrphans gives back the slots of all orphans of a runner that ends.
func (tx *Tx) releaseOrphans(r *Runner) {
	var held []orphanKey
	for k := range tx.orphans.From(orphanKey{runner: r.Number}) {
		if k.runner != r.Number {
			break
		}
		held = append(held, k)
	}
	for _, k := range held {
		tx.release(k)
	}
}

// Orphan is a generation that a runner should stop.
type Orphan struct {
	Ref        Ref
	Rev        uint64
	HoldsActor bool // its actor is not placed before it has ended
}

// OrphansOf yields the orphans of a runner.
func (s *State) OrphansOf(r *Runner) iter.Seq[Orphan] {
	return func(yield func(Orphan) bool) {
		for k := range s.orphans.From(orphanKey{runner: r.Number}) {
			if k.runner != r.Number || !yield(Orphan{k.ref, k.rev, k.holdsActor}) {
				return
			}
		}
	}
}

// IsOrphan tells whether a runner holds a slot for an unwanted generation.
func (s *State) IsOrphan(r *Runner, ref Ref) bool {
	_, ok := s.orphans.Get(orphanKey{runner: r.Number, ref: ref})
	return ok
}

func refFrom(ref *logv1.Ref) (Ref, bool) {
	id, ok := idFrom(ref.GetActorId())
	return Ref{ActorID(id), ref.GetGeneration()}, ok
}
