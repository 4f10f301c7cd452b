package session

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Limits of what a runner sends.
const (
	maxEvents     = 1_000
	maxMessage    = 1 << 10
	inboxLength   = 8
	replyRoom     = 8 // at most one of each kind is under way
	maxDrainingMs = 30 * 60_000
	// maxRequestBytes bounds any message. gRPC lets more through: nodes that report to each other share the port.
	maxRequestBytes = 8 << 20
)

// session is one stream. Its loop owns all of it; the reader only receives.
type session struct {
	host      *Host
	wire      Wire
	log       *slog.Logger
	ctx       context.Context // of the stream
	cancel    context.CancelCauseFunc
	sendTimer *time.Timer // runs while Send does, and cuts a slow runner off

	inbox   chan *callboardv1.ConnectRequest // closed by the reader
	readErr error                            // why; to be read once inbox is closed
	replies chan reply
	wake    <-chan struct{}
	timer   *time.Timer // for the one next thing that is due
	timed   bool

	opened         bool // the leader has made the session
	goodbye        bool // the runner has said goodbye
	runner         fsm.RunnerID
	id             fsm.SessionID
	number         uint32
	heartbeatEvery time.Duration

	// down: what the runner was told
	told       told
	desiredSeq uint64
	unacked    window
	drain      drainTold
	beatAck    *callboardv1.HeartbeatAck // behind the commands of the View that has it

	// up: what waits for the leader
	up outbox
}

func newSession(ctx context.Context, h *Host, wire Wire) *session {
	s := &session{
		host: h, wire: wire, log: h.cfg.Logger,
		inbox: make(chan *callboardv1.ConnectRequest, inboxLength), replies: make(chan reply, replyRoom),
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.sendTimer = time.AfterFunc(time.Hour, func() {
		s.cancel(callboardv1.Refuse("session", "slow_reader", "nothing could be sent for %v", h.cfg.SendTimeout))
	})
	s.sendTimer.Stop()
	return s
}

// read is the reader: it receives until the stream ends. When the loop takes nothing, it waits, and so does the runner.
func (s *session) read() {
	defer close(s.inbox)
	for {
		m, err := s.wire.Receive(s.ctx)
		if err != nil {
			s.readErr = err
			return
		}
		if size := proto.Size(m); size > maxRequestBytes {
			s.readErr = violate("bad_message", "a message of %d bytes: at most %d", size, maxRequestBytes)
			return
		}
		select {
		case s.inbox <- m:
		case <-s.ctx.Done():
			s.readErr = context.Cause(s.ctx)
			return
		}
	}
}

// run is the session from its Hello to the reason of its end.
func (s *session) run() error {
	if err := s.open(); err != nil {
		return err
	}
	wake, cancel := s.host.views.Subscribe(s.number)
	defer cancel()
	s.wake = wake
	s.timer = time.NewTimer(time.Hour)
	s.timer.Stop()
	defer s.timer.Stop()
	s.log.Debug("stream opened")
	return s.loop()
}

// loop reacts to state, not to events: whatever woke it, it looks at the View, says what is new, and hands over what waits.
func (s *session) loop() error {
	for {
		if err := s.follow(); err != nil {
			return err
		}
		now := time.Now()
		if s.handOver(now); s.goodbye && s.up.empty() {
			return errGoodbye
		}
		if s.unacked.stalled(now) && !s.goodbye {
			return violate("slow_reader", "the runner acknowledged no command for %v", s.host.cfg.SendTimeout)
		}
		s.setTimer(now)
		select {
		case m, ok := <-s.readable():
			if !ok {
				return s.readErr
			}
			if err := s.take(m); err != nil {
				return err
			}
		case r := <-s.replies:
			if err := s.answered(r); err != nil {
				return err
			}
		case <-s.wake:
		case <-s.timer.C:
			s.timed = false
		case <-s.host.ending:
			return leaving()
		}
	}
}

// readable is the inbox, unless too much waits for the leader already or nothing more may come.
func (s *session) readable() <-chan *callboardv1.ConnectRequest {
	if s.goodbye || s.up.full(s.host.cfg) {
		return nil
	}
	return s.inbox
}

func (s *session) setTimer(now time.Time) {
	due := s.up.retryAt
	if stall := s.unacked.stallAt; !stall.IsZero() && (due.IsZero() || stall.Before(due)) {
		due = stall
	}
	switch {
	case !due.IsZero():
		s.timer.Reset(max(due.Sub(now), 0))
		s.timed = true
	case s.timed:
		s.timer.Stop()
		s.timed = false
	}
}

// take looks at what the runner said.
func (s *session) take(m *callboardv1.ConnectRequest) error {
	switch said := m.GetMessage().(type) {
	case *callboardv1.ConnectRequest_Heartbeat:
		s.up.beat, s.up.beatAt = said.Heartbeat, time.Now()
	case *callboardv1.ConnectRequest_Events:
		return s.takeEvents(said.Events)
	case *callboardv1.ConnectRequest_CommandsAck:
		if !s.unacked.ack(said.CommandsAck.GetSeq(), s.desiredSeq) {
			return violate("bad_message", "commands_ack.seq: %d was never sent", said.CommandsAck.GetSeq())
		}
	case *callboardv1.ConnectRequest_Draining:
		s.up.draining, s.up.drainBy = true, time.Now().Add(time.Duration(min(said.Draining.GetDeadlineMs(), maxDrainingMs))*time.Millisecond)
	case *callboardv1.ConnectRequest_Goodbye:
		s.goodbye = true
	case *callboardv1.ConnectRequest_Hello:
		return violate("bad_message", "a second Hello: a stream has one")
	default:
		return violate("bad_message", "the message says nothing that this engine knows")
	}
	return nil
}

func (s *session) takeEvents(batch *callboardv1.ActorEvents) error {
	if batch.GetSeq() != s.up.eventsSeq+1 {
		return violate("sequence_gap", "events.seq: got %d, want %d", batch.GetSeq(), s.up.eventsSeq+1)
	}
	if len(batch.GetEvents()) > maxEvents {
		return violate("bad_message", "events: at most %d in one message, got %d", maxEvents, len(batch.GetEvents()))
	}
	for i, event := range batch.GetEvents() {
		if _, err := parseRef(event.GetRef()); err != nil {
			return violate("bad_message", "events[%d].ref: %v", i, err)
		}
		if event.GetEvent() == nil {
			return violate("bad_message", "events[%d] says nothing that this engine knows", i)
		}
		if state := event.GetSave().GetState(); len(state) > fsm.MaxSaved {
			return violate("bad_message", "events[%d].save.state: at most %d bytes, got %d", i, fsm.MaxSaved, len(state))
		}
		if text := event.GetStopped().GetMessage(); len(text) > maxMessage {
			return violate("bad_message", "events[%d].stopped.message: at most %d bytes, got %d", i, maxMessage, len(text))
		}
	}
	s.up.eventsSeq++
	s.up.push(batch, proto.Size(batch))
	return nil
}

// send puts one message on its way. A runner that takes nothing for too long is cut off.
func (s *session) send(m *callboardv1.ConnectResponse) error {
	s.sendTimer.Reset(s.host.cfg.SendTimeout)
	defer s.sendTimer.Stop()
	return s.wire.Send(s.ctx, m)
}

func (s *session) disconnect(said *farewell) error {
	err := s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Disconnect{Disconnect: &callboardv1.Disconnect{
		Error: said.refusal, Reconnect: said.reconnect, EngineAddrs: s.host.cfg.EngineAddrs(), ClusterId: s.host.cluster(),
	}}})
	if err != nil && !errors.Is(err, io.EOF) {
		s.log.Debug("the runner could not be told why its stream ends", "reason", said.refusal.Name(), "error", err)
	}
	return err
}
