package check

import (
	"maps"
	"slices"

	"github.com/callboard/callboard/jepsen/history"
)

// Recent says whether every linearizable reading shows each actor whose creation was acknowledged, by whatever node, before the
// reading began, and none whose end was.
func Recent(events []history.Event) Verdict {
	r := recency{
		live: map[string]identity{}, ending: map[string]bool{}, ended: map[string]bool{},
		readings: map[call]reading{},
	}
	for _, e := range events {
		switch {
		case e.Op == history.List && e.Kind == history.Invoke:
			r.begin(e)
		case e.Op == history.List:
			if e.Kind == history.OK {
				r.judge(e)
			}
			delete(r.readings, callOf(e))
		case creates(e) && e.Kind == history.OK && !r.ending[e.Actor]:
			r.live[e.Actor] = identityOf(e)
		case e.Op == history.Destroy && e.Kind == history.Invoke:
			r.release(e.Actor)
		case e.Op == history.Destroy && e.Kind == history.OK:
			r.ended[e.Actor] = true
		default:
		}
	}
	return r.Verdict
}

// recency is what everybody may know at a point of the history.
type recency struct {
	Verdict
	live     map[string]identity // acknowledged, and nobody has asked to destroy them
	ending   map[string]bool     // somebody has
	ended    map[string]bool     // and was told that it happened
	readings map[call]reading    // under way
}

// reading is what a reading must and must not show: what was known when it began.
type reading struct {
	must    map[string]identity
	mustNot map[string]bool
}

func (r *recency) begin(e history.Event) {
	must := map[string]identity{}
	for id, who := range r.live {
		if who.name == e.Name {
			must[id] = who
		}
	}
	r.readings[callOf(e)] = reading{must: must, mustNot: maps.Clone(r.ended)}
}

// release says that from now on an actor may be there or not.
func (r *recency) release(actor string) {
	r.ending[actor] = true
	delete(r.live, actor)
	for _, under := range r.readings {
		delete(under.must, actor)
	}
}

func (r *recency) judge(e history.Event) {
	r.Looked++
	shown, under := byID(e.Actors), r.readings[callOf(e)]
	for _, id := range slices.Sorted(maps.Keys(under.must)) {
		if _, there := shown[id]; !there {
			r.wrong("a reading of %s at %s (index %d) does not show %s (%s), which had been acknowledged before it began",
				e.Name, e.Target, e.Index, id, under.must[id].key)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(under.mustNot)) {
		if is, there := shown[id]; there && is.Live() {
			r.wrong("a reading of %s at %s (index %d) shows %s as %s, whose end had been acknowledged before it began",
				e.Name, e.Target, e.Index, id, is.State)
		}
	}
}
