package session

import (
	"cmp"
	"slices"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A Desired holds so much at most; one actor with a large input may exceed the bytes.
const (
	maxDesiredBytes = 1 << 20
	maxDesiredItems = 1_000
	refBytes        = 64 // what an item has beside its texts, about
)

// told is what a session has told its runner: a place in the revisions of the runner's row, and no more than it takes never to say
// the same thing of the same life twice. It is a value without clock or I/O.
type told struct {
	rev      uint64
	complete bool                 // the complete set has gone out
	claimed  map[fsm.Ref]struct{} // what the Hello named; until the complete set has gone out
	stops    map[fsm.Ref]struct{} // stops told, of lives that may still be stopping
	pruneAt  int                  // size of stops at which those that ended are dropped
}

// settled tells that there is nothing to tell.
func (t *told) settled(r *fsm.Runner) bool { return t.complete && t.rev == r.Rev }

// next returns the next Desired (without its seq) and how large it is, about; nil: there is nothing to tell. It is called again until
// then, with the same View or a newer one: what is not told yet is found by its revision.
func (t *told) next(view *fsm.View, r *fsm.Runner) (*callboardv1.Desired, int) {
	if t.settled(r) {
		return nil, 0
	}
	m := &message{desired: &callboardv1.Desired{}}
	orphans := t.newOrphans(view, r)
	for a := range view.ActorsOf(r, t.rev) {
		for len(orphans) > 0 && orphans[0].Rev < a.RunnerRev {
			if !t.tellOrphan(m, view, orphans[0]) {
				return m.desired, m.bytes
			}
			orphans = orphans[1:]
		}
		if !t.tellActor(m, view, a) {
			return m.desired, m.bytes
		}
	}
	for _, o := range orphans {
		if !t.tellOrphan(m, view, o) {
			return m.desired, m.bytes
		}
	}
	t.rev = r.Rev
	t.pruneStops(view, r)
	if !t.complete {
		t.complete, t.claimed = true, nil
		m.desired.Complete = true
		return m.desired, m.bytes
	}
	if m.items == 0 {
		return nil, 0
	}
	return m.desired, m.bytes
}

// newOrphans returns the orphans that are not told yet, in the order of revision.
func (t *told) newOrphans(view *fsm.View, r *fsm.Runner) []fsm.Orphan {
	var orphans []fsm.Orphan
	for o := range view.OrphansOf(r) {
		if o.Rev > t.rev {
			orphans = append(orphans, o)
		}
	}
	slices.SortFunc(orphans, func(a, b fsm.Orphan) int { return cmp.Compare(a.Rev, b.Rev) })
	return orphans
}

func (t *told) tellOrphan(m *message, view *fsm.View, o fsm.Orphan) bool {
	if !m.takes(refBytes) {
		return false
	}
	m.stop(o.Ref, callboardv1.StopReason_STOP_REASON_ORPHAN, view.Setting(fsm.ActorStopThreshold))
	t.rev = o.Rev
	return true
}

// tellActor returns false when the message is full.
func (t *told) tellActor(m *message, view *fsm.View, a *fsm.Actor) bool {
	ref := a.Ref()
	switch {
	case a.Phase == fsm.Starting && !t.claims(ref):
		if !m.takes(refBytes + len(a.Name) + len(a.Key) + len(a.Input) + len(a.Saved)) {
			return false
		}
		m.start(a)
	case a.Phase == fsm.Stopping && !t.stopTold(ref):
		if !m.takes(refBytes) {
			return false
		}
		m.stop(ref, callboardv1.StopReason(a.StopReason), view.StopLeftMs(a))
		if t.stops == nil {
			t.stops = map[fsm.Ref]struct{}{}
		}
		t.stops[ref] = struct{}{}
	}
	t.rev = a.RunnerRev
	return true
}

// claims tells whether the Hello named a life: it is there, or has ended there, and is not started.
func (t *told) claims(ref fsm.Ref) bool {
	_, ok := t.claimed[ref]
	return ok
}

func (t *told) stopTold(ref fsm.Ref) bool {
	_, ok := t.stops[ref]
	return ok
}

// pruneStops forgets the stops of lives that have ended. It waits until enough may have, so that its cost stays in proportion.
func (t *told) pruneStops(view *fsm.View, r *fsm.Runner) {
	if len(t.stops) <= t.pruneAt {
		return
	}
	for ref := range t.stops {
		a := view.Actor(ref.Actor)
		if a == nil || a.Generation != ref.Generation || a.Phase != fsm.Stopping || a.Runner != r.Number {
			delete(t.stops, ref)
		}
	}
	if len(t.stops) == 0 {
		t.stops = nil // a map does not shrink
	}
	t.pruneAt = 2*len(t.stops) + 16
}

// message is a Desired that is being filled.
type message struct {
	desired *callboardv1.Desired
	items   int
	bytes   int
}

// takes tells whether one more item of a size fits, and counts it.
func (m *message) takes(bytes int) bool {
	if m.items > 0 && (m.items == maxDesiredItems || m.bytes+bytes > maxDesiredBytes) {
		return false
	}
	m.items++
	m.bytes += bytes
	return true
}

func (m *message) start(a *fsm.Actor) {
	start := &callboardv1.StartActor{
		Ref: refOf(a.Ref()), Name: a.Name, Input: a.Input, State: a.Saved, StateVersion: a.SavedVersion, CreateUnixMs: a.CreateMs,
	}
	if a.HasKey {
		start.Key = &a.Key
	}
	m.desired.Start = append(m.desired.Start, start)
}

func (m *message) stop(ref fsm.Ref, reason callboardv1.StopReason, timeoutMs int64) {
	m.desired.Stop = append(m.desired.Stop, &callboardv1.StopActor{Ref: refOf(ref), Reason: reason, TimeoutMs: clampMs(timeoutMs)})
}

func refOf(ref fsm.Ref) *callboardv1.ActorRef {
	return &callboardv1.ActorRef{ActorId: ref.Actor.String(), Generation: ref.Generation}
}

// clampMs makes a time fit for the wire, where 0 could be read as none.
func clampMs(ms int64) uint32 { return uint32(min(max(ms, 1), 1<<31)) }
