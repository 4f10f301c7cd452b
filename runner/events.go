package runner

import (
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/protobuf/proto"
)

// ending is an end that the engine has not acknowledged. It is told, as an event and in every Hello, until it is.
type ending struct {
	ref       *callboardv1.ActorRef
	clean     bool
	message   string
	fenced    bool
	abandoned bool
	finished  bool   // of its own accord, before it was asked to stop
	refused   bool   // it was never begun here
	toldIn    uint32 // attempt number of the last Hello that named it
}

// event is one ActorEvent on its way to the engine.
type event struct {
	actor  *Actor // nil for what never ran here
	ending *ending
	body   *callboardv1.ActorEvent
	reply  chan<- error // with room for one; nil when nobody waits
}

func (e *event) answer(err error) {
	if e.reply != nil {
		e.reply <- err
		e.reply = nil
		<-e.actor.calls // the next call may begin
	}
}

// eventQueue holds what actors have to say, in order. One batch is in flight on a stream, or a few when they are full; when the stream ends what was not
// acknowledged goes out again on the next one. That is safe: saves and alarms of one generation are repeated in their order, and
// the other events say what is.
//
// It is bounded by the actors: each has at most one call waiting and a handful of events.
type eventQueue struct {
	pending  []*event
	inFlight []batch
}

type batch struct {
	seq    uint64
	sentAt time.Duration
	events []*event
}

func (q *eventQueue) push(e *event) { q.pending = append(q.pending, e) }

// next takes a batch to send, or nothing when there is none or enough are in flight.
func (q *eventQueue) next(seq uint64, now time.Duration) []*callboardv1.ActorEvent {
	if len(q.pending) == 0 || len(q.inFlight) >= maxBatchesInFlight {
		return nil
	}
	if len(q.inFlight) > 0 && len(q.pending) < maxBatchEvents {
		return nil // the engine decides on one batch of a runner after the other: what comes meanwhile goes together
	}
	size, n := 0, 0
	for n < len(q.pending) && n < maxBatchEvents {
		size += proto.Size(q.pending[n].body) + 8
		if n > 0 && size > maxBatchBytes {
			break
		}
		n++
	}
	b := batch{seq: seq, sentAt: now, events: q.pending[:n:n]}
	q.pending = q.pending[n:]
	q.inFlight = append(q.inFlight, b)
	bodies := make([]*callboardv1.ActorEvent, n)
	for i, e := range b.events {
		bodies[i] = e.body
	}
	return bodies
}

// acknowledged takes out the batches up to seq. The last of them is the one that the acknowledgement's refusals speak of.
func (q *eventQueue) acknowledged(seq uint64) []batch {
	n := 0
	for n < len(q.inFlight) && q.inFlight[n].seq <= seq {
		n++
	}
	done := q.inFlight[:n:n]
	q.inFlight = q.inFlight[n:]
	return done
}

// oldest tells since when the oldest batch has been in flight.
func (q *eventQueue) oldest() (time.Duration, bool) {
	if len(q.inFlight) == 0 {
		return 0, false
	}
	return q.inFlight[0].sentAt, true
}

// requeue makes everything in flight pending again, and drops what drop says.
func (q *eventQueue) requeue(drop func(*event) bool) {
	var all []*event
	for _, b := range q.inFlight {
		all = append(all, b.events...)
	}
	all = append(all, q.pending...)
	q.inFlight, q.pending = nil, all[:0]
	for _, e := range all {
		if !drop(e) {
			q.pending = append(q.pending, e)
		}
	}
}
