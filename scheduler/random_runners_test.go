package scheduler

import (
	"fmt"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func (r *random) newProcess() {
	p := r.newcomer()
	r.start(p)
	r.turn(Input{})
}

func (r *random) newcomer() *process {
	r.names++
	p := &process{
		name: fmt.Sprintf("r%d", r.names), pool: r.pick("pool", r.pools...), version: uint32(r.number("version", 0, 3)),
		slots: uint32(r.number("slots", 1, 4)), fences: true,
		slowMs: int64(rapid.SampledFrom([]int{0, 0, 0, 700, 8000}).Draw(r.rt, "slow")),
		deaf:   r.chance("deaf", 5), hangs: r.chance("hangs", 10), lags: int64(rapid.SampledFrom([]int{0, 0, 300, 5000}).Draw(r.rt, "lags")),
		refuses: r.chance("refuses", 5), names: r.someNames(),
	}
	if len(r.processes) > 0 && r.chance("same key", 30) {
		other := rapid.SampledFrom(r.processes).Draw(r.rt, "whose")
		p.key, p.pool = other.key, other.pool
	}
	return p
}

// someNames returns the names of actors that a process handles; none: any.
func (r *random) someNames() []string {
	switch r.pick("handles", "any", "any", "all", "counter", "bell") {
	case "all":
		return []string{"bell", "counter"}
	case "counter":
		return []string{"counter", "nobody"}
	case "bell":
		return []string{"bell"}
	}
	return nil
}

// someBody returns a life that really runs, and where; nil: there is none that its process can report.
func (r *random) someBody() (*process, *body) {
	type place struct {
		p *process
		b *body
	}
	var places []place
	for _, p := range r.processes {
		if p.up() && p.connected && !p.silent && !p.cut {
			for _, b := range p.bodiesInOrder() {
				places = append(places, place{p, b})
			}
		}
	}
	if len(places) == 0 {
		return nil, nil
	}
	at := rapid.SampledFrom(places).Draw(r.rt, "body")
	return at.p, at.b
}

// endBody has an actor crash, or end of its own accord.
func (r *random) endBody() {
	p, b := r.someBody()
	if p == nil {
		return
	}
	p.finish(r.world, b.ref, !r.chance("crash", 70))
	r.turn(Input{})
}

// actorAsks has an actor say something that is not its end.
func (r *random) actorAsks() {
	p, b := r.someBody()
	if p == nil {
		return
	}
	event := &callboardv1.ActorEvent{Ref: refOf(b.ref)}
	switch r.pick("asks", "sleep", "alarm", "no alarm", "save", "running") {
	case "sleep":
		event.Event = &callboardv1.ActorEvent_Sleep{Sleep: &callboardv1.SleepEvent{}}
	case "alarm":
		at := r.wallMs() + int64(rapid.SampledFrom([]int{-1000, 0, 2000, 20_000}).Draw(r.rt, "alarm"))
		event.Event = &callboardv1.ActorEvent_Alarm{Alarm: &callboardv1.AlarmEvent{AtUnixMs: &at}}
	case "no alarm":
		event.Event = &callboardv1.ActorEvent_Alarm{Alarm: &callboardv1.AlarmEvent{}}
	case "save":
		event.Event = &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: []byte("state")}}
	default: // said twice, or before its time
		event = running(b.ref)
	}
	r.report(p.events(event))
}

func (r *random) someProcess() *process {
	if len(r.processes) == 0 {
		return nil
	}
	return rapid.SampledFrom(r.processes).Draw(r.rt, "process")
}

func (r *random) changeProcess() {
	p := r.someProcess()
	if p == nil || !p.up() {
		return
	}
	switch r.pick("change", "kill", "kill quietly", "silence", "silence", "cut", "hear", "hear", "hear", "shut down", "knobs") {
	case "kill":
		if report := p.broken(); p.connected && !p.silent {
			p.die()
			r.report(report)
		} else {
			p.die()
		}
	case "kill quietly":
		p.die()
	case "silence":
		p.silent = true
	case "cut":
		p.cut = true
	case "hear":
		p.silent, p.cut = false, false
	case "shut down":
		if p.connected && !p.silent {
			p.leaves = true
			r.report(p.draining(120_000))
		}
	case "knobs":
		p.deaf, p.hangs, p.refuses = false, r.chance("hangs", 30), false
	}
	r.turn(Input{})
}

// redial has a stream break; the process connects again, perhaps with other slots or another version, or without one of its actors.
func (r *random) redial() {
	p := r.someProcess()
	if p == nil || !p.up() || !p.connected || p.silent || p.cut {
		return
	}
	report := p.broken()
	p.connected = false
	if r.chance("other slots", 30) {
		p.slots = uint32(r.number("slots", 1, 4))
	}
	if r.chance("other version", 20) {
		p.version = uint32(r.number("version", 0, 3))
	}
	if r.chance("other names", 20) {
		p.names = r.someNames()
	}
	if bodies := p.bodiesInOrder(); len(bodies) > 0 && r.chance("vanishes", 20) {
		ref := rapid.SampledFrom(bodies).Draw(r.rt, "body").ref
		p.said = slices.DeleteFunc(p.said, func(s saying) bool { return s.about(ref) })
		p.end(ref)
	}
	if r.chance("told", 50) {
		r.report(report)
	}
	r.turn(Input{})
}

// staleEvent is of a life that is over, or of one that another runner has: no actor may change (G3).
func (r *random) staleEvent() {
	name, p := r.someActor(), r.someProcess()
	if name == "" || p == nil || !p.up() || !p.connected || p.silent || p.cut {
		return
	}
	a := r.actor(name)
	if a == nil || a.Generation == 0 {
		return
	}
	if own := r.processAt(a.Runner); own != nil && r.chance("its own runner", 60) {
		p = own
	}
	number := r.view.Runner(p.runner).Number
	ref := fsm.Ref{Actor: a.ID, Generation: uint64(max(0, int(a.Generation)-r.number("older by", 0, 3)))}
	if p.bodies[ref] != nil || a.Runner == number && a.Generation == ref.Generation {
		return // not stale
	}
	events := []*callboardv1.ActorEvent{
		running(ref), stopped(ref, true, ""), stopped(ref, false, "late"), refused(ref), finished(ref),
		{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Sleep{Sleep: &callboardv1.SleepEvent{}}},
		{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Alarm{Alarm: &callboardv1.AlarmEvent{}}},
		{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: []byte("stale")}}},
	}
	event := rapid.SampledFrom(events).Draw(r.rt, "event")
	before := r.view
	out := r.step(Input{Reports: []*nodev1.SessionReport{p.events(event)}})
	for _, op := range out.Ops {
		// A plan is of what the Step before has placed on a draining runner, as a last resort: it looks at turns first.
		if op.GetHoldOrphan() == nil && op.GetReleaseOrphan() == nil && op.GetAssignActor() == nil && op.GetPlanEvictions() == nil {
			r.t.Fatalf("G3: a stale event made: %s", r.opText(op))
		}
	}
	was, now := *before.Actor(a.ID), *r.view.Actor(a.ID)
	was.Orphans, now.Orphans = 0, 0 // a body that should not be is waited for
	if now.Phase != fsm.Starting && !reflect.DeepEqual(was, now) {
		r.t.Fatalf("G3: a stale event changed %s from %s to %s", name, r.actorLine(name, &was), r.actorLine(name, &now))
	}
	p.observe(r.world)
	r.turn(Input{})
}

// processAt finds the process of a runner, if it can be talked to.
func (r *random) processAt(number uint32) *process {
	for _, p := range r.processes {
		if runner := r.view.Runner(p.runner); runner != nil && runner.Number == number && p.up() && p.connected && !p.silent && !p.cut {
			return p
		}
	}
	return nil
}
