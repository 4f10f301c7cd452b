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
	named    map[fsm.Ref]struct{} // coming evictions told, of lives that may still run
	pruneAt  int                  // size of both at which those that ended are dropped
}

// settled tells that there is nothing to tell.
func (t *told) settled(r *fsm.Runner) bool { return t.complete && t.rev == r.Rev }

// next returns the next Desired (without its seq); nil: there is nothing to tell. It is called again until then, with the same View or a
// newer one: what is not told yet is found by its revision.
func (t *told) next(view *fsm.View, r *fsm.Runner) *message {
	if t.settled(r) {
		return nil
	}
	m := &message{desired: &callboardv1.Desired{}}
	orphans := t.newOrphans(view, r)
	for a := range view.ActorsOf(r, t.rev) {
		for len(orphans) > 0 && orphans[0].Rev < a.RunnerRev {
			if !t.tellOrphan(m, view, orphans[0]) {
				return m
			}
			orphans = orphans[1:]
		}
		if !t.tellActor(m, view, a) {
			return m
		}
	}
	for _, o := range orphans {
		if !t.tellOrphan(m, view, o) {
			return m
		}
	}
	t.rev = r.Rev
	t.prune(view, r)
	if !t.complete {
		t.complete, t.claimed = true, nil
		m.desired.Complete = true
		return m
	}
	if m.items == 0 {
		return nil
	}
	return m
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
		delete(t.named, ref)
		if view.AwaitsReceipt(ref) {
			m.evictions = append(m.evictions, refOf(ref))
		}
	}
	if !t.tellTurn(m, view, a) {
		return false
	}
	t.rev = a.RunnerRev
	return true
}

// tellTurn tells that an actor will be asked to move, or that it will not after all. It returns false when the message is full.
func (t *told) tellTurn(m *message, view *fsm.View, a *fsm.Actor) bool {
	ref := a.Ref()
	_, known := t.named[ref]
	switch {
	case a.Named():
		if !m.takes(refBytes) {
			return false
		}
		m.evict(ref, clampMs(a.EvictMs-view.ClockMs()))
		if t.named == nil {
			t.named = map[fsm.Ref]struct{}{}
		}
		t.named[ref] = struct{}{}
	case known && a.Phase != fsm.Stopping:
		if !m.takes(refBytes) {
			return false
		}
		m.evict(ref, 0)
		delete(t.named, ref)
	}
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

// prune forgets what was told of lives that have ended. It waits until enough may have, so that its cost stays in proportion.
func (t *told) prune(view *fsm.View, r *fsm.Runner) {
	if len(t.stops)+len(t.named) <= t.pruneAt {
		return
	}
	for ref := range t.stops {
		if a := lifeOn(view, r, ref); a == nil || a.Phase != fsm.Stopping {
			delete(t.stops, ref)
		}
	}
	for ref := range t.named {
		if lifeOn(view, r, ref) == nil {
			delete(t.named, ref)
		}
	}
	if len(t.stops) == 0 {
		t.stops = nil // a map does not shrink
	}
	if len(t.named) == 0 {
		t.named = nil
	}
	t.pruneAt = 2*(len(t.stops)+len(t.named)) + 16
}

// lifeOn finds the actor of a life that a runner has; nil: it has not.
func lifeOn(view *fsm.View, r *fsm.Runner, ref fsm.Ref) *fsm.Actor {
	if a := view.Actor(ref.Actor); a != nil && a.Generation == ref.Generation && a.Runner == r.Number {
		return a
	}
	return nil
}

// message is a Desired that is being filled.
type message struct {
	desired   *callboardv1.Desired
	evictions []*callboardv1.ActorRef // of its stops, those whose receipt the leader waits for
	items     int
	bytes     int
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
		Ref: refOf(a.Ref()), Name: a.Name, Input: []byte(a.Input), State: []byte(a.Saved), StateVersion: a.SavedVersion, CreateUnixMs: a.CreateMs,
	}
	if a.HasKey {
		start.Key = &a.Key
	}
	m.desired.Start = append(m.desired.Start, start)
}

func (m *message) stop(ref fsm.Ref, reason callboardv1.StopReason, timeoutMs int64) {
	m.desired.Stop = append(m.desired.Stop, &callboardv1.StopActor{Ref: refOf(ref), Reason: reason, TimeoutMs: clampMs(timeoutMs)})
}

func (m *message) evict(ref fsm.Ref, inMs uint32) {
	m.desired.Evict = append(m.desired.Evict, &callboardv1.EvictNotice{Ref: refOf(ref), InMs: inMs})
}

func refOf(ref fsm.Ref) *callboardv1.ActorRef {
	return &callboardv1.ActorRef{ActorId: ref.Actor.String(), Generation: ref.Generation}
}

// clampMs makes a time fit for the wire, where 0 could be read as none.
func clampMs(ms int64) uint32 { return uint32(min(max(ms, 1), 1<<31)) }
