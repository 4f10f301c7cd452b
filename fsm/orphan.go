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
	runner uint32
	ref    Ref
	rev    uint64
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
	rev := tx.nextRev(r.Number)
	tx.orphans.Put(orphanKey{runner: r.Number, ref: ref, rev: rev})
	tx.hold(r.Number, +1, +1)
	return Result{}
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
	if !tx.orphans.Delete(orphanKey{runner: r.Number, ref: ref}) {
		return refuse(CodeNotFound)
	}
	tx.hold(r.Number, -1, -1)
	return Result{}
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
		tx.orphans.Delete(k)
		tx.hold(r.Number, -1, -1)
	}
}

// Orphan is a generation that a runner should stop.
type Orphan struct {
	Ref Ref
	Rev uint64
}

// OrphansOf yields the orphans of a runner.
func (s *State) OrphansOf(r *Runner) iter.Seq[Orphan] {
	return func(yield func(Orphan) bool) {
		for k := range s.orphans.From(orphanKey{runner: r.Number}) {
			if k.runner != r.Number || !yield(Orphan{k.ref, k.rev}) {
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
