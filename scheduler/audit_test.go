package scheduler

import (
	"iter"
	"slices"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The audit holds every entry to the guarantees, op by op, by looking at everything: it knows no index and no shortcut.

type audit struct {
	generations map[fsm.ActorID]uint64
	pace        map[fsm.PoolID]*pace
	moved       map[move]bool
	events      int // how much it has looked at, so that a test can see that it did
}

func newAudit() *audit {
	return &audit{generations: map[fsm.ActorID]uint64{}, pace: map[fsm.PoolID]*pace{}, moved: map[move]bool{}}
}

// manyOps is how many ops an entry may have for all of its assignments to be looked at: beyond it every hundredth is.
const manyOps = 500

// entry checks the ops of a Step before they are applied.
func (u *audit) entry(w *world, v *fsm.View, out Output) {
	w.t.Helper()
	tx := v.Begin(w.clockMs, w.wallMs())
	u.rates(&tx.State)
	for i, op := range out.Ops {
		if a := op.GetAssignActor(); a != nil && (len(out.Ops) <= manyOps || i%100 == 0) {
			u.assign(w, &tx.State, a)
		}
		u.lost(w, &tx.State, op.GetMarkLost())
		u.evict(w, &tx.State, op.GetEvictActor())
		if res := tx.Do(op); res.Code != fsm.CodeOK {
			w.t.Fatalf("an op that was decided is refused with %v: %s", res.Code, w.opText(op))
		}
		u.keys(w, &tx.State, op.GetCreateActor())
		if op.GetPutPool() != nil || op.GetDeletePool() != nil {
			u.rates(&tx.State)
		}
	}
	if !out.Unfinished && w.thorough(1) {
		u.fair(w, &tx.State)
	}
}

// assign checks the generation (G3), that no newer version has room (G5), the slots (G6) and the order of the queue (G9).
func (u *audit) assign(w *world, s *fsm.State, op *logv1.AssignActor) {
	w.t.Helper()
	u.events++
	a, r := s.Actor(fsm.ActorID(op.GetRef().GetActorId())), s.Runner(fsm.RunnerID(op.GetRunnerId()))
	what := w.opText(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: op}})
	if op.GetRef().GetGeneration() <= u.generations[a.ID] {
		w.t.Fatalf("G3: %s, after generation %d", what, u.generations[a.ID])
	}
	u.generations[a.ID] = op.GetRef().GetGeneration()
	if why := unfit(s, r); why != "" {
		w.t.Fatalf("%s: the runner is %s", what, why)
	}
	if p := s.RunnerPool(r); s.Holds(p, r.Version) {
		w.t.Fatalf("%s, whose version %d is held back", what, r.Version)
	} else if kept := s.KeptDrain(p, r.Key); kept != nil && kept.Instance == r.Instance {
		w.t.Fatalf("%s, which an operator has drained: %+v", what, *kept)
	}
	actors := actorsOf(s, r.Pool)
	if held(s, actors, r) >= r.Slots {
		w.t.Fatalf("G6: %s, which has %d slots and %d are held", what, r.Slots, held(s, actors, r))
	}
	if !mayUse(s, a, r) {
		w.t.Fatalf("the floor: %s, on version %d after %d", what, r.Version, a.FloorVersion)
	}
	returns := a.Trouble != nil && a.Trouble.Preferred == r.ID
	for other := range runnersOf(s, r.Pool) {
		better := other.Version > r.Version && (!other.Draining() || r.Draining()) || r.Draining() && !other.Draining() && mayUse(s, a, other)
		if better && handles(other, a) && unfit(s, other) == "" && held(s, actors, other) < other.Slots && !returns {
			w.t.Fatalf("G5: %s of version %d, while %s of version %d has room", what, r.Version, w.label(other.ID[:]), other.Version)
		}
	}
	if Rule(op.GetDecision().GetRule()) == RulePromised {
		return // the slot was kept for it
	}
	for b := range pendingOf(actors) {
		if b.QueueSeq < a.QueueSeq && mayUse(s, b, r) {
			w.t.Fatalf("G9: %s, while %s has waited longer", what, w.label(b.ID[:]))
		}
	}
}

// lost checks that nobody is declared lost early (G8).
func (u *audit) lost(w *world, s *fsm.State, op *logv1.MarkLost) {
	w.t.Helper()
	if op == nil {
		return
	}
	u.events++
	if r := s.Runner(fsm.RunnerID(op.GetRunnerId())); s.ClockMs()-s.LastSeenMs(r) < r.ThresholdMs {
		w.t.Fatalf("G8: %s is declared lost after %d ms of %d", w.label(r.ID[:]), s.ClockMs()-s.LastSeenMs(r), r.ThresholdMs)
	}
}

// keys checks that a key has one live actor (G4).
func (u *audit) keys(w *world, s *fsm.State, op *logv1.CreateActor) {
	w.t.Helper()
	if op == nil || op.Key == nil {
		return
	}
	u.events++
	live := 0
	ns := s.NamespaceByID(fsm.NamespaceID(op.GetNamespaceId()))
	for a := range s.Actors(ns, op.GetName(), 0) {
		if a.HasKey && a.Key == op.GetKey() && a.Phase != fsm.Destroyed {
			live++
		}
	}
	if live != 1 {
		w.t.Fatalf("G4: %d live actors have the key %q", live, op.GetKey())
	}
}

// fair checks that no room is left that a pending actor may use (G9).
func (u *audit) fair(w *world, s *fsm.State) {
	w.t.Helper()
	for ns := range s.Namespaces("") {
		for p := range s.Pools(ns, "") {
			actors := actorsOf(s, p.ID)
			var room []*fsm.Runner
			for r := range runnersOf(s, p.ID) {
				if unfit(s, r) == "" && held(s, actors, r) < r.Slots {
					room = append(room, r)
				}
			}
			if len(room) == 0 {
				continue
			}
			for a := range pendingOf(actors) {
				for _, r := range room {
					if mayUse(s, a, r) {
						w.t.Fatalf("G9: %s is pending and %s has room", w.label(a.ID[:]), w.label(r.ID[:]))
					}
				}
			}
		}
	}
}

// unfit says why a runner may not be given actors, whatever its slots.
func unfit(s *fsm.State, r *fsm.Runner) string {
	switch {
	case r.End != fsm.NotEnded:
		return "ended"
	case r.Draining() && !r.LastResort():
		return "draining"
	case !r.Connected:
		return "disconnected"
	}
	silence := r.ThresholdMs * 2 / 3
	if set := s.Setting(fsm.RunnerEligibleThreshold); set > 0 {
		silence = min(silence, set)
	}
	if s.ClockMs()-s.LastSeenMs(r) >= silence {
		return "silent"
	}
	return ""
}

// held counts what holds a slot of a runner, and what it has promised, among the actors of its pool.
func held(s *fsm.State, actors []*fsm.Actor, r *fsm.Runner) uint32 {
	var n uint32
	for _, a := range actors {
		if a.Phase.OnRunner() && a.Runner == r.Number || a.Promise == r.Number {
			n++
		}
	}
	for range s.OrphansOf(r) {
		n++
	}
	return n
}

// handles reports whether a runner lists an actor's name, or lists none.
func handles(r *fsm.Runner, a *fsm.Actor) bool {
	names := r.Names.Names()
	return len(names) == 0 || slices.Contains(names, a.Name)
}

// mayUse is the floor: below the version that the actor last ran on only when nobody of that version or newer is there.
func mayUse(s *fsm.State, a *fsm.Actor, r *fsm.Runner) bool {
	for other := range s.WaitsFor(a) {
		if other.End == fsm.NotEnded {
			return false // a body of it still runs there
		}
	}
	if !handles(r, a) {
		return false
	}
	if r.Version >= a.FloorVersion {
		return true
	}
	if await := s.Await(s.RunnerPool(r)); a.FloorVersion <= await.Version {
		return await.UntilMs == 0 // its time is over
	}
	for other := range runnersOf(s, r.Pool) {
		if other.Version >= a.FloorVersion && other.End == fsm.NotEnded && !other.Draining() && handles(other, a) {
			return false
		}
	}
	return true
}

func runnersOf(s *fsm.State, pool fsm.PoolID) iter.Seq[*fsm.Runner] {
	return func(yield func(*fsm.Runner) bool) {
		for r := range s.Runners(s.NamespaceByID(pool.Namespace), 0) {
			if r.Pool == pool && !yield(r) {
				return
			}
		}
	}
}

func actorsOf(s *fsm.State, pool fsm.PoolID) (actors []*fsm.Actor) {
	ns := s.NamespaceByID(pool.Namespace)
	for name := range s.ActorNames(ns, "") {
		for a := range s.Actors(ns, name, 0) {
			if s.ActorPool(a).ID == pool {
				actors = append(actors, a)
			}
		}
	}
	return actors
}

func pendingOf(actors []*fsm.Actor) iter.Seq[*fsm.Actor] {
	return func(yield func(*fsm.Actor) bool) {
		for _, a := range actors {
			if a.Phase == fsm.Pending && !a.Paced() && !yield(a) {
				return
			}
		}
	}
}
