package scheduler

import (
	"cmp"
	"slices"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A process is a naive runner: it does what the View says it should do, and reports it. Its knobs make it slow, silent, deaf or
// dead. One that is manual does nothing by itself but heartbeats: a story speaks for it.

type process struct {
	name          string
	namespace     string
	pool          string
	key           string
	version       uint32
	slots         uint32
	names         []string // of the actors that it handles; none: any
	instance      fsm.InstanceID
	request       string // that it answers
	attempt       uint32
	registrations int

	manual  bool
	silent  bool  // nothing of what it says arrives, and it hears nothing
	cut     bool  // what it says arrives, and it hears nothing
	deaf    bool  // it ignores starts
	refuses bool  // it will not start anything
	leaves  bool  // it shuts down: when nothing is left it says goodbye
	hangs   bool  // its code does not return when it is told to stop: the library abandons it in time
	slowMs  int64 // how long a start and a stop take
	fences  bool  // it gives up its actors when its lease runs out
	dials   bool  // it dials now, although it is manual
	exited  string
	dead    bool
	heard   string // the answer to its last Hello, for a story
	lags    int64  // how long it takes to acknowledge what it is told

	runner    fsm.RunnerID
	session   fsm.SessionID
	connected bool
	knownMs   uint32 // the lost threshold that it was told last
	agreedMs  uint32 // the one that it was told and has acknowledged: until then the smaller of the two holds
	leaseMs   int64  // its lease counts from here
	nextBeat  int64

	bodies   map[fsm.Ref]*body
	said     []saying // in order of time
	ended    []*callboardv1.EndedActor
	received map[fsm.Ref]bool       // evictions that it has acknowledged in this session
	endedAt  map[fsm.ActorID]uint64 // the newest generation that has ended here
}

// body is one life of an actor that really runs here.
type body struct {
	ref      fsm.Ref
	starting bool
	stopping bool
}

// saying is what it will say at a time, or what a story made it say.
type saying struct {
	atMs   int64
	report *nodev1.SessionReport
	does   func() // when it is said
}

func (w *world) start(p *process) *process {
	w.t.Helper()
	if p.namespace == "" {
		p.namespace = "default"
	}
	if p.pool == "" {
		p.pool = "default"
	}
	if p.key == "" {
		p.key = p.name
	}
	p.slots = max(p.slots, 1)
	p.instance = fsm.InstanceID(idOf("instance " + p.name))
	p.bodies, p.endedAt = map[fsm.Ref]*body{}, map[fsm.ActorID]uint64{}
	w.processes = append(w.processes, p)
	return p
}

func (p *process) up() bool { return !p.dead && p.exited == "" }

// hello says what it is and what it has.
func (p *process) hello(_ *world) *nodev1.SessionReport {
	p.attempt++
	h := &callboardv1.Hello{
		Protocol: Protocol, Namespace: p.namespace, Pool: p.pool, Key: p.key, Version: p.version, Slots: p.slots,
		InstanceId: fsm.ID(p.instance).String(), Attempt: p.attempt, Ended: p.ended, ServerlessRequestId: p.request, ActorNames: p.names,
	}
	for _, b := range p.bodiesInOrder() {
		h.Running = append(h.Running, &callboardv1.RunningActor{Ref: refOf(b.ref), Starting: b.starting, Stopping: b.stopping})
	}
	return &nodev1.SessionReport{Report: &nodev1.SessionReport_Hello{Hello: &nodev1.HelloReport{Hello: h, Holder: "n1"}}}
}

func refOf(ref fsm.Ref) *callboardv1.ActorRef {
	return &callboardv1.ActorRef{ActorId: ref.Actor.String(), Generation: ref.Generation}
}

func (p *process) bodiesInOrder() []*body {
	var bodies []*body
	for _, b := range p.bodies {
		bodies = append(bodies, b)
	}
	slices.SortFunc(bodies, func(a, b *body) int {
		return cmp.Or(slices.Compare(a.ref.Actor[:], b.ref.Actor[:]), cmp.Compare(a.ref.Generation, b.ref.Generation))
	})
	return bodies
}

// in makes a report of its current session.
func (p *process) in(report *nodev1.SessionReport) *nodev1.SessionReport {
	report.RunnerId, report.SessionId = slices.Clone(p.runner[:]), slices.Clone(p.session[:])
	return report
}

func (p *process) events(events ...*callboardv1.ActorEvent) *nodev1.SessionReport {
	return p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Events{Events: &callboardv1.ActorEvents{Events: events}}})
}

// say has it say something after a while.
func (p *process) say(w *world, afterMs int64, event *callboardv1.ActorEvent, does func()) {
	p.said = append(p.said, saying{w.clockMs + afterMs, p.events(event), does})
	slices.SortStableFunc(p.said, func(a, b saying) int { return cmp.Compare(a.atMs, b.atMs) })
}

// hasToSay tells whether there is something for the next Step.
func (p *process) hasToSay(w *world) bool {
	if !p.up() || p.silent || p.cut && !p.connected {
		return false
	}
	return !p.connected && (p.dials || !p.manual) || len(p.said) > 0 && p.connected && p.said[0].atMs <= w.clockMs
}

// speak returns what it has to say now, in order.
func (p *process) speak(w *world) []*nodev1.SessionReport {
	if !p.hasToSay(w) {
		return nil
	}
	if !p.connected {
		p.dials = false
		return []*nodev1.SessionReport{p.hello(w)}
	}
	var reports []*nodev1.SessionReport
	for len(p.said) > 0 && p.said[0].atMs <= w.clockMs {
		says := p.said[0]
		p.said = p.said[1:]
		reports = append(reports, says.report)
		if says.does != nil {
			says.does()
		}
	}
	return reports
}

// answered takes the answer to what it said.
func (p *process) answered(w *world, report *nodev1.SessionReport, answer *nodev1.SessionAnswer) {
	refusal := answer.GetRefusal()
	if report.GetHello() == nil {
		if refusal != nil {
			p.leave(refusal)
		}
		return
	}
	if refusal != nil {
		p.heard = refusalText(refusal)
		if !answer.GetRetry() {
			p.exited = refusal.Name()
			p.bodies = map[fsm.Ref]*body{} // it stops what it runs, and ends
		}
		return
	}
	p.heard = "registered as " + w.label(answer.GetRunnerId())
	if answer.GetResumed() {
		p.heard = "resumed"
	}
	p.runner, p.session, p.connected = fsm.RunnerID(answer.GetRunnerId()), fsm.SessionID(answer.GetSessionId()), true
	p.knownMs, p.leaseMs, p.ended = answer.GetLostThresholdMs(), w.clockMs, nil
	p.agreedMs, p.received = p.knownMs, nil
	p.nextBeat = w.clockMs + int64(p.knownMs)/5
	for i := range p.said { // what it has still to say, it says in the new session
		p.in(p.said[i].report)
	}
}

// leave ends its session: it dials again, unless it was told not to.
func (p *process) leave(refusal *callboardv1.Error) {
	if refusal.GetCode() != "superseded" {
		p.connected = false
	}
}

// acknowledged takes the answer to a heartbeat.
func (p *process) acknowledged(_ *world, report *nodev1.SessionReport, answer *nodev1.SessionAnswer) {
	if p.silent || p.cut || !p.up() || string(report.GetSessionId()) != string(p.session[:]) {
		return
	}
	if refusal := answer.GetRefusal(); refusal != nil {
		p.leave(refusal)
		return
	}
	p.leaseMs = max(p.leaseMs, int64(report.GetTag())) // when it was sent
	p.knownMs = answer.GetLostThresholdMs()
	if report.GetHeartbeat().GetThresholdMs() == p.knownMs {
		p.agreedMs = p.knownMs
	}
	if p.heard != "" {
		p.heard = "acknowledged, T=" + seconds(int64(p.knownMs))
	}
}

// nextMs is when it does something by itself.
func (p *process) nextMs(_ *world) (int64, bool) {
	if !p.up() {
		return 0, false
	}
	at, some := int64(0), false
	next := func(ms int64) {
		if !some || ms < at {
			at, some = ms, true
		}
	}
	if p.fences && p.runner != (fsm.RunnerID{}) && len(p.bodies) > 0 {
		next(p.leaseEndMs())
	}
	if p.silent || !p.connected {
		return at, some
	}
	next(p.nextBeat)
	if len(p.said) > 0 {
		next(p.said[0].atMs)
	}
	return at, some
}

// leaseEndMs is when its lease runs out.
func (p *process) leaseEndMs() int64 { return p.leaseMs + int64(min(p.knownMs, p.agreedMs))*7/10 }

// pass has it notice the time.
func (p *process) pass(w *world) {
	if !p.up() {
		return
	}
	if p.fences && len(p.bodies) > 0 && w.clockMs >= p.leaseEndMs() {
		p.fence()
	}
	if p.connected && !p.silent && w.clockMs >= p.nextBeat {
		p.beat(w, p.knownMs)
		p.nextBeat = w.clockMs + int64(p.knownMs)/5
	}
}

// fence gives up every actor, and the session.
func (p *process) fence() {
	for _, b := range p.bodiesInOrder() {
		p.end(b.ref)
		p.ended = append(p.ended, &callboardv1.EndedActor{Ref: refOf(b.ref), Fenced: true})
	}
	p.said, p.connected = nil, false
}

// beat hands over a heartbeat. A newer one takes the place of one that waits.
func (p *process) beat(w *world, knownMs uint32) {
	beat := &callboardv1.Heartbeat{ThresholdMs: knownMs}
	report := p.in(&nodev1.SessionReport{Tag: uint64(w.clockMs), Report: &nodev1.SessionReport_Heartbeat{Heartbeat: beat}})
	for i, b := range w.waiting {
		if b.from == p {
			w.waiting[i].report = report
			return
		}
	}
	w.waiting = append(w.waiting, heartbeat{p, report})
}

// die ends it without a word.
func (p *process) die() {
	p.dead, p.connected = true, false
	p.bodies, p.said = map[fsm.Ref]*body{}, nil
}

func (p *process) broken() *nodev1.SessionReport {
	return p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Broken{Broken: &nodev1.Broken{}}})
}

func (p *process) draining(withinMs uint32) *nodev1.SessionReport {
	return p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Draining{Draining: &callboardv1.Draining{DeadlineMs: withinMs}}})
}

func (s saying) about(ref fsm.Ref) bool {
	events := s.report.GetEvents().GetEvents()
	return len(events) == 1 && events[0].GetRef().GetActorId() == ref.Actor.String() && events[0].GetRef().GetGeneration() == ref.Generation
}

func (p *process) willSay(ref fsm.Ref) bool {
	return slices.ContainsFunc(p.said, func(s saying) bool { return s.about(ref) })
}

func running(ref fsm.Ref) *callboardv1.ActorEvent {
	return &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Running{Running: &callboardv1.RunningEvent{}}}
}

func stopped(ref fsm.Ref, clean bool, message string) *callboardv1.ActorEvent {
	return &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Stopped{
		Stopped: &callboardv1.StoppedEvent{Clean: clean, Message: message},
	}}
}

func finished(ref fsm.Ref) *callboardv1.ActorEvent {
	event := stopped(ref, true, "")
	event.GetStopped().Finished = true
	return event
}

func refused(ref fsm.Ref) *callboardv1.ActorEvent {
	event := stopped(ref, false, "no")
	event.GetStopped().Refused = true
	return event
}
