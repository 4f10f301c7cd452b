package session

import (
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// follow compares the node's View with what the runner was told, and tells it the rest: that the stream is over, drains, commands,
// and behind the commands the acknowledgement of its heartbeat.
func (s *session) follow() error {
	view := s.host.views.Current()
	r := view.RunnerByNumber(s.number)
	if over := s.over(r); over != nil {
		return over
	}
	if s.goodbye {
		return nil // it wants to hear nothing more
	}
	if err := s.tellDrain(view, r); err != nil {
		return err
	}
	settled, err := s.tellCommands(view, r)
	if err != nil || !settled {
		return err
	}
	if s.beatAck == nil {
		return nil
	}
	ack := s.beatAck
	s.beatAck = nil
	if ack.GetLostThresholdMs() == 0 {
		ack.LostThresholdMs = clampMs(r.ThresholdMs)
	}
	s.heartbeatEvery = time.Duration(min(ack.GetLostThresholdMs(), clampMs(r.ThresholdMs))) * time.Millisecond / time.Duration(s.host.cfg.HeartbeatFraction)
	return s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_HeartbeatAck{HeartbeatAck: ack}})
}

// over tells why the state has no more use for the stream; nil: it has. A number may have been given to another runner since.
func (s *session) over(r *fsm.Runner) error {
	switch {
	case r == nil || r.ID != s.runner:
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "ended", "the runner has ended and is forgotten; it may connect again as a new one")}
	case r.Session != s.id:
		return &farewell{refusal: callboardv1.Refuse("session", "superseded", "a newer session of this runner has taken over")}
	case r.End == fsm.EndLost:
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "lost",
			"the runner was declared lost after its silence; it may connect again as a new one")}
	case !fsm.ID(r.ReplacedBy).IsZero() && (r.Held == 0 || r.End == fsm.EndStopped):
		return &farewell{refusal: callboardv1.Refuse("session", "replaced",
			"another process has connected with runner key %q and taken this one's place; give every process its own key", r.Key)}
	case r.End == fsm.EndStopped:
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "ended", "the runner has ended; it may connect again as a new one")}
	}
	return nil
}

// current tells whether the state still has the session, so that its end is worth a report.
func (s *session) current() bool {
	r := s.host.views.Current().Runner(s.runner)
	return r == nil || r.Session == s.id && r.End == fsm.NotEnded // nil: the View is behind
}

// drainTold is what the runner was told of its drain.
type drainTold struct {
	cause      fsm.DrainCause
	deadlineMs int64 // cluster clock
	drained    bool
}

func (s *session) tellDrain(view *fsm.View, r *fsm.Runner) error {
	is := drainTold{r.Drain.Cause, r.Drain.DeadlineMs, r.Drain.Cause.Leaves() && r.SafeToTerminate()}
	if is == s.drain {
		return nil
	}
	notice := &callboardv1.DrainNotice{
		Cause: callboardv1.DrainCause(is.cause), Cancelled: is.cause == fsm.NotDraining, Drained: is.drained,
	}
	if left, ok := view.DrainLeftMs(r); ok {
		notice.DeadlineMs = max(left, 1)
	}
	s.drain = is
	return s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_DrainNotice{DrainNotice: notice}})
}

// tellCommands sends what should run and was not told, as far as the runner keeps up. It returns whether nothing is left.
func (s *session) tellCommands(view *fsm.View, r *fsm.Runner) (settled bool, err error) {
	for !s.unacked.full(s.host.cfg) {
		next := s.told.next(view, r)
		if next == nil {
			return true, nil
		}
		s.desiredSeq++
		next.desired.Seq = s.desiredSeq
		m := &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Desired{Desired: next.desired}}
		if err := s.send(m); err != nil {
			return false, err
		}
		s.unacked.sent(next)
	}
	if s.told.settled(r) {
		return true, nil
	}
	s.unacked.waits(s.host.cfg)
	return false, nil
}

// window counts the Desired messages that the runner has not acknowledged.
type window struct {
	messages []sentMessage // behind acked, in order
	bytes    int
	acked    uint64
	received []*callboardv1.ActorRef // evictions of acknowledged messages that the leader waits to hear of
	stallAt  time.Time               // when a runner that acknowledges nothing is slow; zero: nothing waits for it
}

// sentMessage is what is remembered of one that was sent.
type sentMessage struct {
	bytes     int
	evictions []*callboardv1.ActorRef
}

func (w *window) full(cfg Config) bool {
	return len(w.messages) >= cfg.MaxUnacked || len(w.messages) > 0 && w.bytes >= cfg.MaxUnackedBytes
}

func (w *window) sent(m *message) {
	w.messages = append(w.messages, sentMessage{m.bytes, m.evictions})
	w.bytes += m.bytes
}

// waits notes that something waits for room.
func (w *window) waits(cfg Config) {
	if w.stallAt.IsZero() {
		w.stallAt = time.Now().Add(cfg.SendTimeout)
	}
}

func (w *window) stalled(now time.Time) bool { return !w.stallAt.IsZero() && !now.Before(w.stallAt) }

// ack takes a receipt for everything up to seq. It returns false for one that was never sent.
func (w *window) ack(seq, last uint64) bool {
	if seq > last {
		return false
	}
	for ; w.acked < seq; w.acked++ {
		w.bytes -= w.messages[0].bytes
		w.received = append(w.received, w.messages[0].evictions...)
		w.messages = w.messages[1:]
		w.stallAt = time.Time{}
	}
	if len(w.messages) == 0 {
		w.messages = nil
	}
	return true
}
