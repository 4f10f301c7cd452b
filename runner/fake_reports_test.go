package runner

import (
	"fmt"
	"slices"
	"testing/synctest"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// reported returns what was reported so far.
func (e *fakeEngine) reported() []string {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.events)
}

// expect fails unless exactly these events were reported, in this order, since the last expect.
func (e *fakeEngine) expect(want ...string) {
	e.t.Helper()
	got := e.reported()
	e.set(func(e *fakeEngine) { e.events = nil })
	if !slices.Equal(got, want) {
		e.t.Fatalf("%s: reported\n  got  %q\n  want %q", e.addr, got, want)
	}
}

// expectSet is expect for events whose order does not matter.
func (e *fakeEngine) expectSet(want ...string) {
	e.t.Helper()
	got := e.reported()
	e.set(func(e *fakeEngine) { e.events = nil })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		e.t.Fatalf("%s: reported\n  got  %q\n  want %q", e.addr, got, want)
	}
}

func describe(ev *callboardv1.ActorEvent) string {
	ref := fmt.Sprintf("%s/%d", ev.GetRef().GetActorId(), ev.GetRef().GetGeneration())
	switch body := ev.GetEvent().(type) {
	case *callboardv1.ActorEvent_Running:
		return "running " + ref
	case *callboardv1.ActorEvent_Stopped:
		return "stopped " + ref + howEnded(body.Stopped)
	case *callboardv1.ActorEvent_Sleep:
		return "sleep " + ref
	case *callboardv1.ActorEvent_Alarm:
		if body.Alarm.AtUnixMs == nil {
			return "alarm " + ref + " off"
		}
		return fmt.Sprintf("alarm %s %d", ref, body.Alarm.GetAtUnixMs())
	case *callboardv1.ActorEvent_Save:
		return fmt.Sprintf("save %s %d bytes", ref, len(body.Save.GetState()))
	default:
		return "unknown " + ref
	}
}

// told is an end as it is told, in an event or in a Hello.
type told interface {
	GetClean() bool
	GetFenced() bool
	GetAbandoned() bool
	GetFinished() bool
	GetRefused() bool
}

func howEnded(end told) string {
	s := " crashed"
	switch {
	case end.GetFinished():
		s = " finished"
	case end.GetRefused():
		s = " refused"
	case end.GetClean():
		s = " clean"
	}
	if end.GetFenced() {
		s += " fenced"
	}
	if end.GetAbandoned() {
		s += " abandoned"
	}
	return s
}

// inHello describes a Hello's full set.
func inHello(h *callboardv1.Hello) []string {
	var set []string
	for _, r := range h.GetRunning() {
		s := fmt.Sprintf("runs %s/%d", r.GetRef().GetActorId(), r.GetRef().GetGeneration())
		if r.GetStarting() {
			s += " starting"
		}
		if r.GetStopping() {
			s += " stopping"
		}
		set = append(set, s)
	}
	for _, x := range h.GetEnded() {
		set = append(set, fmt.Sprintf("ended %s/%d", x.GetRef().GetActorId(), x.GetRef().GetGeneration())+
			howEnded(x))
	}
	slices.Sort(set)
	return set
}
