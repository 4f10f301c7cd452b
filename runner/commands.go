package runner

import (
	"context"
	"fmt"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/protobuf/proto"
)

// waitingStart is a Start that is not obeyed yet: a Hello is out, or an older generation has not ended here.
type waitingStart struct {
	link  *link
	start *callboardv1.StartActor
}

// commanded handles a Desired. Sequence numbers have no gaps; a gap ends the stream, and the next one begins with the full set.
func (l *loop) commanded(now time.Duration, m linkMessage, d *callboardv1.Desired) {
	k := m.link
	if d.GetSeq() != k.desiredSeq+1 {
		l.endLink(now, k, fmt.Errorf("%w: Desired %d after %d", errGap, d.GetSeq(), k.desiredSeq))
		return
	}
	k.desiredSeq++
	if !l.send(now, k, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_CommandsAck{
		CommandsAck: &callboardv1.CommandsAck{Seq: d.GetSeq()},
	}}) {
		return
	}
	if len(l.unsettled) > int(l.cfg.Slots)+maxUnacknowledgedEnds {
		l.endLink(now, k, fmt.Errorf("%w: it acknowledges no ends", errProtocol))
		return
	}
	for _, s := range d.GetStart() {
		l.mayStart(now, &waitingStart{link: k, start: s})
	}
	for _, s := range d.GetStop() {
		l.stop(now, m, s)
	}
	for _, e := range d.GetEvict() {
		l.announceEviction(e)
	}
	if d.GetComplete() {
		l.drainSettled()
	}
}

// mayStart obeys a Start, or lets it wait while a Hello is out: the Welcome's node may know better.
func (l *loop) mayStart(now time.Duration, s *waitingStart) {
	if l.current != s.link {
		return // of a stream that is over; the full set of the next one names it again
	}
	if l.next == nil || !l.next.greeted {
		l.start(now, s)
		return
	}
	l.waitingBytes += proto.Size(s.start)
	l.waiting = append(l.waiting, s)
	if l.waitingBytes > maxWaitingStartBytes {
		l.endLink(now, s.link, fmt.Errorf("more than %d bytes of Starts wait for a Welcome", maxWaitingStartBytes))
	}
}

func (l *loop) dropWaiting() { l.waiting, l.waitingBytes = nil, 0 }

// obeyWaiting follows a failed dial: the stream that is up is the current one still.
func (l *loop) obeyWaiting(now time.Duration) {
	waiting := l.waiting
	l.dropWaiting()
	for _, s := range waiting {
		l.mayStart(now, s)
	}
}

// start obeys a Start under three conditions: it comes on the current stream, under a valid lease, and its generation is newer
// than any of that actor that has ended or was refused here. What it refuses it reports as ended, so that the engine decides anew.
func (l *loop) start(now time.Duration, w *waitingStart) {
	s := w.start
	ref := s.GetRef()
	id, generation := ref.GetActorId(), ref.GetGeneration()
	if l.current != w.link {
		return
	}
	if here := l.actors[id]; here != nil {
		switch {
		case generation > here.Generation():
			here.successor = w
			l.fence(now, here, ErrSuperseded)
		case generation == here.Generation() && here.running:
			l.tellRunning(here) // it was asked because that did not arrive
		}
		return
	}
	reg := l.runner.registry.find(s.GetName())
	switch {
	case id == "" || generation == 0:
		l.endLink(now, w.link, fmt.Errorf("%w: a Start without actor or generation", errProtocol))
	case l.ended.has(id, generation):
		l.refuseStart(ref, "this generation has ended or was refused here")
	case !l.lease.valid(now):
		l.refuseStart(ref, "the runner has no valid lease")
	case l.shutdown != nil || l.refused != nil || l.farewell != nil:
		l.refuseStart(ref, "the runner shuts down")
	case len(l.actors) >= int(l.cfg.Slots):
		l.refuseStart(ref, "the runner has no free slot")
	case l.lingering[id] != nil:
		l.holdStart(now, l.lingering[id], w)
	case reg == nil:
		// Nothing ran, so that nothing went wrong with the actor: whatever its crash policy, it goes to a runner that has the code.
		l.refuseStart(ref, fmt.Sprintf("this runner has no handler for actors named %q", cut(s.GetName(), 100)))
	default:
		l.launch(s, reg)
	}
}

func (l *loop) refuseStart(ref *callboardv1.ActorRef, why string) {
	l.log.Warn("a Start is refused", "actor_id", ref.GetActorId(), "generation", ref.GetGeneration(), "reason", why)
	if l.unsettled[keyOf(ref)] == nil {
		l.settle(nil, ending{ref: ref, refused: true, message: "not started: " + why})
	}
}

func (l *loop) launch(s *callboardv1.StartActor, reg *registration) {
	a := &Actor{
		ref:          s.GetRef(),
		name:         s.GetName(),
		key:          s.Key,
		namespace:    l.cfg.Namespace,
		pool:         l.cfg.Pool,
		input:        s.GetInput(),
		state:        s.GetState(),
		stateVersion: s.GetStateVersion(),
		created:      time.UnixMilli(s.GetCreateUnixMs()),
		reg:          reg,
		loop:         l,
		supervised:   l.group.Done,
		log:          l.log.With("actor_id", s.GetRef().GetActorId(), "generation", s.GetRef().GetGeneration(), "name", s.GetName()),
		dead:         make(chan struct{}),
		calls:        make(chan struct{}, 1),
		changed:      make(chan struct{}, 1),
		shared:       shared{touched: time.Now(), drained: make(chan struct{})},
	}
	if !l.watchdog.add(a, l.clock.Now()) {
		l.refuseStart(a.ref, "the lease has just ended")
		return
	}
	a.ctx, a.cancel = context.WithCancelCause(l.base)
	a.tasksCtx, a.cancelTasks = context.WithCancelCause(l.base)
	a.setDrain(l.drainOf(a))
	l.actors[a.ID()] = a
	l.group.Add(1)
	a.begin()
}

// stop asks an actor to stop, at most until a second before the engine gives it up.
func (l *loop) stop(now time.Duration, m linkMessage, s *callboardv1.StopActor) {
	ref := s.GetRef()
	id, generation := ref.GetActorId(), ref.GetGeneration()
	if id == "" || generation == 0 {
		l.endLink(now, m.link, fmt.Errorf("%w: a Stop without actor or generation", errProtocol))
		return
	}
	timeout := time.Duration(s.GetTimeoutMs())*time.Millisecond - (now - m.at)
	timeout -= min(stopMargin, timeout/2)
	if l.shutdown != nil { // an end that comes with the process is never told
		timeout = min(timeout, l.shutdown.deadline-now-stopMargin)
	}
	timeout = max(timeout, 0)
	if a := l.actors[id]; a != nil && a.Generation() == generation {
		a.localStop = false
		a.ask(stopReasonOf(s.GetReason()), timeout)
		return
	}
	for i, w := range l.waiting {
		if w.start.GetRef().GetActorId() == id && w.start.GetRef().GetGeneration() == generation {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			break
		}
	}
	for _, a := range []*Actor{l.actors[id], l.lingering[id]} {
		if a != nil && a.successor != nil && a.successor.start.GetRef().GetGeneration() == generation {
			a.successor = nil
		}
	}
	// Nothing of it runs here. Say so, again if need be: the engine holds a slot until it knows.
	if l.unsettled[keyOf(ref)] == nil {
		l.settle(nil, ending{ref: ref, clean: true, message: "it was not running here"})
	}
}

func (l *loop) announceEviction(e *callboardv1.EvictNotice) {
	a := l.actors[e.GetRef().GetActorId()]
	if a == nil || a.Generation() != e.GetRef().GetGeneration() {
		return
	}
	a.evictAt = time.Now().Add(time.Duration(e.GetInMs()) * time.Millisecond)
	a.setDrain(l.drainOf(a))
}
