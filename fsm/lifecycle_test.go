package fsm

import (
	"fmt"
	"slices"
	"testing"
)

// TestOnlyTheTableIsLegal tries every event in every phase, with an op that has nothing else wrong with it. What the table does not
// have is refused and leaves no trace; what it has is done.
func TestOnlyTheTableIsLegal(t *testing.T) {
	// How an actor comes to a phase, and its generation then.
	lives := map[Phase][]string{
		NoPhase:    nil,
		Pending:    {"create-actor a"},
		Starting:   {"create-actor a", "assign-actor a/1 r1"},
		Running:    {"create-actor a", "assign-actor a/1 r1", "actor-running a/1"},
		Stopping:   {"create-actor a", "assign-actor a/1 r1", "stop-actor a/1 reason=sleep"},
		Sleeping:   {"create-actor a", "sleep-actor a"},
		BackingOff: {"create-actor a", "assign-actor a/1 r1", "actor-stopped a/1 next=backing_off reschedule=99000"},
		Destroyed:  {"create-actor a", "destroy-actor a"},
	}
	paced := []string{"create-actor a", "assign-actor a/1 r1", "actor-stopped a/1 next=pending reschedule=99000"} // waits for its turn
	for from := NoPhase; from < phaseCount; from++ {
		for event := range eventCount {
			life := lives[from]
			if from == Pending && event == EventEnqueue {
				life = paced
			}
			v := playOn(play("register-runner r1 slots=5"), life...)
			generation, key := uint64(0), idOf("a")
			if a := v.Actor(ActorID(key)); a != nil {
				generation = a.Generation
			}
			for to, line := range attempts(from, event, generation) {
				t.Run(fmt.Sprintf("%s/%s/%s", from, event, to), func(t *testing.T) {
					tx := v.Begin(v.clockMs, v.wallMs)
					before := tx.Hash()
					res := tx.Do(mustOp(&tx.State, line))
					if legal := slices.Contains(Next(from, event), to); legal != (res.Code == CodeOK) {
						t.Fatalf("%s: %s; the table says %v", line, res.Code, legal)
					}
					if res.Code != CodeOK && tx.Hash() != before {
						t.Fatalf("%s: refused (%s), and left a trace", line, res.Code)
					}
					if is := phaseOf(&tx.State, key); res.Code == CodeOK && is != to {
						t.Fatalf("%s: it is %s now", line, is)
					}
					if err := tx.Check(); err != nil {
						t.Fatal(err)
					}
				})
			}
		}
	}
}

func phaseOf(s *State, id []byte) Phase {
	if a := s.Actor(ActorID(id)); a != nil {
		return a.Phase
	}
	return NoPhase
}

// attempts are the ops of an event, by the phase that each should lead to.
func attempts(from Phase, event Event, generation uint64) map[Phase]string {
	ref := fmt.Sprint("a/", generation)
	switch event {
	case EventCreate:
		return map[Phase]string{Pending: "create-actor a"}
	case EventAssign:
		return map[Phase]string{Starting: fmt.Sprint("assign-actor a/", generation+1, " r1")}
	case EventRunning:
		return map[Phase]string{Running: "actor-running " + ref}
	case EventStop:
		return map[Phase]string{Stopping: "stop-actor " + ref + " reason=destroy"}
	case EventStopped:
		return map[Phase]string{
			Pending:    "actor-stopped " + ref + " clean next=pending",
			BackingOff: "actor-stopped " + ref + " next=backing_off reschedule=99000",
			Sleeping:   "actor-stopped " + ref + " clean next=sleeping",
			Destroyed:  "actor-stopped " + ref + " clean next=destroyed",
		}
	case EventEnqueue:
		return map[Phase]string{Pending: "enqueue-actor a"}
	case EventSleep:
		return map[Phase]string{Sleeping: "sleep-actor a"}
	case EventWake:
		if from == Stopping { // the wake is kept
			return map[Phase]string{Stopping: "wake-actor a"}
		}
		return map[Phase]string{Pending: "wake-actor a"}
	case EventDestroy:
		return map[Phase]string{Destroyed: "destroy-actor a"}
	case EventForget:
		return map[Phase]string{NoPhase: "forget-actor a"}
	default:
		panic("this test does not know the event " + event.String())
	}
}
