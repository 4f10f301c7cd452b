package check

import "github.com/callboard/callboard/jepsen/history"

// GenerationsUnchanged says whether every actor of before is there in after with the same generation.
func GenerationsUnchanged(before, after []history.Actor) Verdict {
	return GenerationsMoved(before, after, func(history.Actor) bool { return false })
}

// GenerationsMoved says whether every actor of before that moved has the next generation in after, and every other one the same.
func GenerationsMoved(before, after []history.Actor, moved func(before history.Actor) bool) Verdict {
	var v Verdict
	now := byID(after)
	for _, was := range before {
		v.Looked++
		is, there := now[was.ID]
		want := was.Generation
		if moved(was) {
			want++
		}
		switch {
		case !there:
			v.wrong("actor %s (%s) is gone", was.ID, was.Key)
		case is.Generation != want:
			v.wrong("actor %s (%s) has generation %d, want %d after %d", was.ID, was.Key, is.Generation, want, was.Generation)
		}
	}
	return v
}

// GenerationsRise says whether no reading shows an older generation than one that was over before it began, and whether each
// generation ran in one process only, later ones later.
func GenerationsRise(events []history.Event) Verdict {
	var v Verdict
	type began struct {
		generation uint64
		process    string
	}
	seen := map[string]uint64{}            // highest generation that a reading has shown
	floors := map[call]map[string]uint64{} // what seen was when a reading began
	last := map[string]began{}
	for _, e := range events {
		switch {
		case e.Kind == history.Invoke && e.Op == history.List:
			floor := make(map[string]uint64, len(seen))
			for id, generation := range seen {
				floor[id] = generation
			}
			floors[callOf(e)] = floor
		case e.Kind == history.OK && e.Op == history.List:
			for _, a := range e.Actors {
				v.Looked++
				if floor := floors[callOf(e)][a.ID]; a.Generation < floor {
					v.wrong("actor %s was shown to %s with generation %d, after a reading that had shown %d", a.ID, e.Process, a.Generation, floor)
				}
				seen[a.ID] = max(seen[a.ID], a.Generation)
			}
			delete(floors, callOf(e))
		case e.Kind == history.BodyStart:
			v.Looked++
			if was, ok := last[e.Actor]; ok && e.Generation <= was.generation {
				v.wrong("actor %s began generation %d on %s, after generation %d on %s", e.Actor, e.Generation, e.Process, was.generation, was.process)
			}
			last[e.Actor] = began{generation: e.Generation, process: e.Process}
		default:
		}
	}
	return v
}

func byID(actors []history.Actor) map[string]history.Actor {
	m := make(map[string]history.Actor, len(actors))
	for _, a := range actors {
		m[a.ID] = a
	}
	return m
}

// call names a call within a history.
type call struct {
	process string
	number  uint64
}

func callOf(e history.Event) call { return call{process: e.Process, number: e.Call} }
