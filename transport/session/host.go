package session

import (
	"context"
	"errors"
	"sync"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Host holds the streams of one node.
type Host struct {
	cfg      Config
	views    Views
	reporter Reporter

	ctx    context.Context // of reports that outlive their stream; ends with Shutdown
	end    context.CancelFunc
	ending chan struct{} // closed when Shutdown begins
	served sync.WaitGroup

	// A lock and not a loop: streams come and go on goroutines that belong to the wire, and all there is to own is this set.
	mu       sync.Mutex
	sessions map[*session]struct{}
	closed   bool
}

// NewHost returns a Host without streams. It starts no goroutine.
func NewHost(cfg Config, views Views, reporter Reporter) *Host {
	ctx, end := context.WithCancel(context.Background())
	return &Host{
		cfg: cfg.withDefaults(), views: views, reporter: reporter,
		ctx: ctx, end: end, ending: make(chan struct{}), sessions: map[*session]struct{}{},
	}
}

// Serve runs one stream until it has ended and the leader knows. It returns nil when the runner said goodbye, or was told in a
// Disconnect why the stream ends; a *callboardv1.Error when the runner broke a rule or found no room; otherwise what broke the stream.
func (h *Host) Serve(ctx context.Context, wire Wire) error {
	s := newSession(ctx, h, wire)
	defer s.cancel(nil)
	if refused := h.admit(s); refused != nil {
		_ = s.disconnect(refused) // the status says it too
		return refused.refusal
	}
	defer h.dismiss(s)

	go s.read()
	err := s.run() //nolint:contextcheck // the session holds the stream's context, which is made of this one
	reason := err
	if said := (*farewell)(nil); errors.As(err, &said) {
		// A stream that does not take a Disconnect any more is broken, which ends it just as well.
		_ = s.disconnect(said)
		if err = nil; said.violation {
			err = said.refusal
		}
	}
	if slow := (*callboardv1.Error)(nil); errors.As(context.Cause(s.ctx), &slow) { //nolint:contextcheck // as above
		err, reason = slow, slow // why Send came back
	}
	toPart := s.opened
	if errors.Is(err, errGoodbye) {
		err, toPart = nil, false
		s.part(reason) // the runner waits for this
	}
	s.cancel(err)
	for range s.inbox { // the reader closes it when it has ended
	}
	if toPart {
		s.part(reason)
	}
	s.log.Debug("stream ended", "reason", reason)
	return err
}

// admit counts a stream in, or says why not.
func (h *Host) admit(s *session) *farewell {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return leaving()
	}
	if len(h.sessions) >= h.cfg.MaxStreams {
		return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "limit_reached",
			"this node holds %d streams, as many as it may: connect to another one", h.cfg.MaxStreams)}
	}
	h.sessions[s] = struct{}{}
	h.served.Add(1)
	return nil
}

func (h *Host) dismiss(s *session) {
	h.mu.Lock()
	delete(h.sessions, s)
	h.mu.Unlock()
	h.served.Done()
}

// Streams returns how many streams the node holds.
func (h *Host) Streams() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions)
}

// Shutdown tells every runner to connect elsewhere, and returns when all streams have ended. What has not ended when ctx does is cut
// off. Later streams are refused.
func (h *Host) Shutdown(ctx context.Context) {
	h.mu.Lock()
	if !h.closed {
		h.closed = true
		close(h.ending)
	}
	h.mu.Unlock()
	cutOff := context.AfterFunc(ctx, func() {
		h.end()
		h.mu.Lock()
		defer h.mu.Unlock()
		for s := range h.sessions {
			s.cancel(leaving().refusal)
		}
	})
	h.served.Wait()
	cutOff()
	h.end()
}

// cluster is the id of this node's cluster; empty before it is founded.
func (h *Host) cluster() string {
	if id := h.views.Current().Cluster(); !fsm.ID(id).IsZero() {
		return id.String()
	}
	return ""
}

// isEnding tells whether Shutdown has begun.
func (h *Host) isEnding() bool {
	select {
	case <-h.ending:
		return true
	default:
		return false
	}
}

// farewell is why the engine ends a stream. It is told in a Disconnect.
type farewell struct {
	refusal   *callboardv1.Error
	reconnect bool
	violation bool // the runner broke a rule: the stream also ends with a status
}

func (f *farewell) Error() string { return f.refusal.Error() }

// violate ends a stream whose runner broke a rule of the protocol. It may dial again: the next stream begins with full sets.
func violate(code, format string, args ...any) *farewell {
	return &farewell{refusal: callboardv1.Refuse("session", code, format, args...), reconnect: true, violation: true}
}

func leaving() *farewell {
	return &farewell{reconnect: true, refusal: callboardv1.Refuse("session", "node_leaving", "this node shuts down: connect to another one")}
}

// errGoodbye is the runner's own end of the stream.
var errGoodbye = errors.New("the runner said goodbye")
