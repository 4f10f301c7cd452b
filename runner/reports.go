package runner

import (
	"fmt"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// flush sends what actors have to say, as much as may be in flight.
func (l *loop) flush(now time.Duration) {
	for l.current != nil && l.farewell == nil {
		k := l.current
		events := l.events.next(k.eventsSeq+1, now)
		if events == nil {
			return
		}
		k.eventsSeq++
		l.send(now, k, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Events{
			Events: &callboardv1.ActorEvents{Seq: k.eventsSeq, Events: events},
		}})
	}
}

func (l *loop) actorRuns(a *Actor) {
	if a.ending == nil && !a.running {
		a.running = true
		l.tellRunning(a)
	}
}

func (l *loop) tellRunning(a *Actor) {
	l.events.push(&event{actor: a, body: &callboardv1.ActorEvent{
		Ref:   a.ref,
		Event: &callboardv1.ActorEvent_Running{Running: &callboardv1.RunningEvent{}},
	}})
}

// actorAsks queues a save, an alarm or the wish to sleep.
func (l *loop) actorAsks(m actorSays) {
	e := &event{actor: m.actor, body: m.body, reply: m.reply}
	if m.actor.ending != nil {
		e.answer(m.actor.whyDead())
		return
	}
	l.events.push(e)
}

func (l *loop) actorHasEnded(now time.Duration, m actorEnded) {
	a, end := m.actor, m.end
	delete(l.fenced, a)
	delete(l.actors, a.ID())
	l.watchdog.remove(a)
	if a.localStop && end.clean && !end.finished {
		// The engine did not ask for this stop: without the word fenced it would take it for the actor's own, final end.
		end.fenced = true
		end.message = "the runner shut down"
	}
	if end.abandoned {
		l.log.Error("an actor's code does not return; it is given up", "actor_id", a.ID(), "generation", a.Generation(),
			"name", a.Name(), "on_stuck", l.cfg.OnStuck)
		if l.cfg.OnStuck == ExitProcess {
			l.exit()
		}
		if l.shutdown != nil {
			l.shutdown.leftBehind++
		}
	}
	l.settle(a, end)
	if end.abandoned && !a.returned() {
		l.lingering[a.ID()] = a
	}
	l.succeed(now, a)
}

// settle makes an end known: to the memory that refuses older Starts, and to the engine until it acknowledges.
func (l *loop) settle(a *Actor, end ending) {
	e := &end
	if a != nil {
		a.ending = e
	}
	l.ended.remember(e.ref.GetActorId(), e.ref.GetGeneration())
	l.unsettled[keyOf(e.ref)] = e
	l.events.push(&event{actor: a, ending: e, body: &callboardv1.ActorEvent{
		Ref: e.ref,
		Event: &callboardv1.ActorEvent_Stopped{Stopped: &callboardv1.StoppedEvent{
			Clean: e.clean, Message: e.message, Abandoned: e.abandoned, Fenced: e.fenced, Finished: e.finished, Refused: e.refused,
		}},
	}})
}

// eventsAcknowledged settles the batches up to the acknowledgement's. Refusals speak of the batch it names.
func (l *loop) eventsAcknowledged(ack *callboardv1.EventsAck) {
	refusals := make(map[int]*Refusal, len(ack.GetRefused()))
	for _, r := range ack.GetRefused() {
		refusals[int(r.GetPosition())] = refusalOf(r.GetError())
	}
	for _, b := range l.events.acknowledged(ack.GetSeq()) {
		for i, e := range b.events {
			if r := refusals[i]; r != nil && b.seq == ack.GetSeq() {
				l.eventRefused(e, r)
			} else {
				e.answer(nil)
			}
			l.endKnown(e.ending)
		}
	}
}

// eventRefused: the engine's state decides, so a refused end is an end that it knows better about, and settled like any other.
func (l *loop) eventRefused(e *event, r *Refusal) {
	l.log.Debug("the engine refuses an event", "actor_id", e.body.GetRef().GetActorId(),
		"generation", e.body.GetRef().GetGeneration(), "error", r)
	e.answer(r)
	if e.body.GetSleep() != nil && e.actor.ending == nil {
		e.actor.sleepRefused(r)
	}
}

func (l *loop) endKnown(e *ending) {
	if e != nil && l.unsettled[keyOf(e.ref)] == e {
		delete(l.unsettled, keyOf(e.ref))
	}
}

// helloAcknowledged: a Welcome acknowledges the ends that its Hello named. Everything else that was not acknowledged on the old
// stream goes out again on the new one.
func (l *loop) helloAcknowledged(k *link) {
	known := func(e *ending) bool { return e != nil && e.toldIn == k.attempt }
	l.events.requeue(func(e *event) bool {
		if known(e.ending) {
			return true
		}
		if e.actor != nil && known(e.actor.ending) {
			e.answer(fmt.Errorf("%w: %w", ErrUnknownOutcome, ErrEnded))
			return true
		}
		return false
	})
	for _, e := range l.unsettled {
		if known(e) {
			l.endKnown(e)
		}
	}
}
