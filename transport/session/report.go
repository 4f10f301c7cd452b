package session

import (
	"math/rand/v2"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Pauses before something is reported again that found no leader.
const (
	firstRetry = 100 * time.Millisecond
	maxRetry   = 2 * time.Second
)

// kind tells the reports of a session apart. Of each kind at most one is under way.
type kind uint8

const (
	ofHello kind = iota
	ofHeartbeat
	ofEvents
	ofDraining
	ofReceipt
	ofParting
)

// reply is what became of a report.
type reply struct {
	kind   kind
	answer *nodev1.SessionAnswer
	err    error
}

// undecided tells that the report should be made again: it found no leader, or nobody knows what became of it. Every report may be
// made twice.
func (r reply) undecided() bool {
	return r.err != nil || r.answer.GetUnknown() || r.answer.GetRefusal().GetGroup() == "cluster"
}

// outbox is what waits for the leader. The order among events is kept; of heartbeats only the latest counts.
type outbox struct {
	beat     *callboardv1.Heartbeat
	beatAt   time.Time
	events   []*callboardv1.ActorEvents // the first is under way if eventsOut
	sizes    []int
	bytes    int
	draining bool
	drainBy  time.Time

	eventsSeq uint64 // of the last batch taken
	sentBeat  *callboardv1.Heartbeat
	sentAt    time.Time // when the heartbeat under way had come
	eventsOut bool
	drainOut  bool
	receipts  int // how many of the evictions received are under way

	pause   time.Duration
	retryAt time.Time // zero: nothing to make again
}

func (o *outbox) push(batch *callboardv1.ActorEvents, size int) {
	o.events, o.sizes, o.bytes = append(o.events, batch), append(o.sizes, size), o.bytes+size
}

func (o *outbox) pop() {
	o.bytes -= o.sizes[0]
	o.events[0] = nil
	o.events, o.sizes = o.events[1:], o.sizes[1:]
	if len(o.events) == 0 {
		o.events, o.sizes = nil, nil
	}
}

func (o *outbox) full(cfg Config) bool {
	return len(o.events) >= cfg.MaxBacklog || o.bytes >= cfg.MaxBacklogBytes
}

// empty tells that nothing is left that must come before a Goodbye.
func (o *outbox) empty() bool { return len(o.events) == 0 }

// again puts off what is to be made again, longer each time.
func (o *outbox) again(now time.Time) {
	o.pause = min(max(2*o.pause, firstRetry), maxRetry)
	o.retryAt = now.Add(jitter(o.pause))
}

// jitter keeps ten thousand sessions from coming at once when there is a leader again.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// report hands one report over. It does not wait.
func (s *session) report(of kind, report *nodev1.SessionReport) error {
	report.RunnerId, report.SessionId = s.runner[:], s.id[:]
	if of == ofHello {
		report.RunnerId, report.SessionId = nil, nil
	}
	replies := s.replies
	return s.host.reporter.Report(report, func(answer *nodev1.SessionAnswer, err error) {
		select {
		case replies <- reply{of, answer, err}:
		default: // called twice: the Reporter's mistake must not block it
		}
	})
}

// handOver reports what waits and is not under way.
func (s *session) handOver(now time.Time) {
	o := &s.up
	if !o.retryAt.IsZero() && now.Before(o.retryAt) {
		return
	}
	o.retryAt = time.Time{}
	if o.beat != nil && now.Sub(o.beatAt) > s.heartbeatEvery {
		o.beat = nil // the next one should be here: a runner that has fallen silent must not live on
	}
	if o.beat != nil && o.sentBeat == nil {
		beat := &nodev1.SessionReport{Report: &nodev1.SessionReport_Heartbeat{Heartbeat: o.beat}}
		if !s.try(ofHeartbeat, beat, now) {
			return
		}
		o.sentBeat, o.sentAt, o.beat = o.beat, o.beatAt, nil
	}
	if len(o.events) > 0 && !o.eventsOut {
		batch := &nodev1.SessionReport{Report: &nodev1.SessionReport_Events{Events: o.events[0]}}
		if o.eventsOut = s.try(ofEvents, batch, now); !o.eventsOut {
			return
		}
	}
	if waiting := s.unacked.received; len(waiting) > 0 && o.receipts == 0 {
		part := waiting[:min(len(waiting), maxEvents)]
		if s.try(ofReceipt, &nodev1.SessionReport{Report: &nodev1.SessionReport_Receipt{Receipt: &nodev1.EvictionsReceived{Refs: part}}}, now) {
			o.receipts = len(part)
		} else {
			return
		}
	}
	if o.draining && !o.drainOut {
		left := clampMs(o.drainBy.Sub(now).Milliseconds())
		draining := &nodev1.SessionReport{Report: &nodev1.SessionReport_Draining{Draining: &callboardv1.Draining{DeadlineMs: left}}}
		o.drainOut = s.try(ofDraining, draining, now)
		o.draining = !o.drainOut
	}
}

func (s *session) try(of kind, report *nodev1.SessionReport, now time.Time) bool {
	if err := s.report(of, report); err != nil {
		s.up.again(now)
		return false
	}
	return true
}

// answered takes the leader's answer to a report.
func (s *session) answered(r reply) error {
	o, now := &s.up, time.Now()
	undecided := r.undecided()
	if undecided {
		o.again(now)
	} else {
		o.pause = 0
		if refusal := r.answer.GetRefusal(); refusal != nil {
			return &farewell{refusal: refusal, reconnect: r.answer.GetRetry() && refusal.GetCode() != "superseded"}
		}
	}
	switch r.kind {
	case ofHeartbeat:
		if undecided && o.beat == nil {
			o.beat, o.beatAt = o.sentBeat, o.sentAt
		}
		if !undecided {
			s.beatAck = &callboardv1.HeartbeatAck{Seq: o.sentBeat.GetSeq(), LostThresholdMs: r.answer.GetLostThresholdMs()}
		}
		o.sentBeat = nil
	case ofEvents:
		o.eventsOut = false
		if undecided {
			return nil
		}
		seq := o.events[0].GetSeq()
		o.pop()
		ack := &callboardv1.EventsAck{Seq: seq, Refused: r.answer.GetRefusedEvents()}
		err := s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_EventsAck{EventsAck: ack}})
		if err != nil && !s.goodbye { // behind a Goodbye the leader must hear the rest, whether or not the runner still listens
			return err
		}
	case ofReceipt:
		if !undecided {
			s.unacked.received = s.unacked.received[o.receipts:]
		}
		o.receipts = 0
	case ofDraining:
		o.drainOut = false
		o.draining = o.draining || undecided
	default:
		s.log.Warn("an answer that nobody waits for", "kind", r.kind)
	}
	return nil
}

// part reports the end of the session until the leader knows, or the state has moved on without it, or the node shuts down.
func (s *session) part(reason error) {
	for pause := firstRetry; s.current(); pause = min(2*pause, maxRetry) {
		if s.report(ofParting, s.parting(reason)) == nil && s.parted() {
			return
		}
		if s.host.isEnding() {
			return // one attempt is all there is time for
		}
		timer := time.NewTimer(jitter(pause))
		select {
		case <-timer.C:
		case <-s.host.ending:
		}
		timer.Stop()
	}
}

func (s *session) parting(reason error) *nodev1.SessionReport {
	if s.goodbye {
		return &nodev1.SessionReport{Report: &nodev1.SessionReport_Goodbye{Goodbye: &callboardv1.Goodbye{}}}
	}
	return &nodev1.SessionReport{Report: &nodev1.SessionReport_Broken{Broken: &nodev1.Broken{Reason: reason.Error()}}}
}

// parted waits for the answer to the last report, past those that are still under way.
func (s *session) parted() bool {
	for {
		select {
		case r := <-s.replies:
			if r.kind == ofParting {
				return !r.undecided()
			}
		case <-s.host.ctx.Done():
			return true
		}
	}
}
