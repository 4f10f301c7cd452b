package serverless

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// world is a carrier with the state that it follows, a leader that it tells, and an endpoint behind connections in memory: all in virtual time.
type world struct {
	t       *testing.T
	carrier *Carrier
	policy  *Policy

	mu       sync.Mutex
	view     *fsm.View
	changed  chan struct{}
	deaf     bool // there is no leader
	reports  []*nodev1.RequestReport
	dials    int
	conns    chan net.Conn
	received []*http.Request
}

var (
	testNamespace = fsm.ID{1}
	testStart     = fsm.StartID{2}
	errNoLeader   = errors.New("no leader")
)

// newWorld begins a world with one serverless pool, whose endpoint answers as the handler does. It ends with the test.
func newWorld(t *testing.T, handler http.HandlerFunc) *world {
	t.Helper()
	w := &world{t: t, view: fsm.NewView(), changed: make(chan struct{}), conns: make(chan net.Conn)}
	w.policy = &Policy{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		},
		connect: w.dial,
	}
	cluster := fsm.ID{9}
	w.do(&logv1.Op{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{Node: "n1", ClusterId: cluster[:]}}})
	w.do(&logv1.Op{Op: &logv1.Op_PutNamespace{PutNamespace: &logv1.PutNamespace{NamespaceId: testNamespace[:], Name: "games"}}})
	w.configure(&logv1.ServerlessConfig{
		Url: "http://app.test/api?k=v", RequestLifespanS: 900, Headers: []*logv1.HeaderField{{Name: "Authorization", Value: "secret"}},
	})
	w.carrier = New(Config{
		Start: testStart, Endpoint: func() string { return "engine:6421" }, URLs: func() string { return "http://engine:6420" }, Policy: w.policy, Logger: slog.New(slog.DiscardHandler),
	}, w, w)
	ctx, cancel := context.WithCancel(context.Background())
	endpoint := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.received = append(w.received, r)
		many := len(w.received) > 100
		w.mu.Unlock()
		if many { // a carrier that sends without end would never let time pass
			<-r.Context().Done()
			return
		}
		handler(rw, r)
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = endpoint.Serve(pipes{w.conns, ctx}) })
	tasks.Go(func() { _ = w.carrier.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		_ = endpoint.Close()
		tasks.Wait()
	})
	return w
}

// configure gives the pool a config.
func (w *world) configure(c *logv1.ServerlessConfig) {
	w.do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: testNamespace[:], Name: "web", Config: &logv1.PoolConfig{Serverless: c}}}})
}

// do applies an op to the state.
func (w *world) do(op *logv1.Op) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	tx := w.view.Begin(w.view.ClockMs()+1, w.view.WallMs()+1)
	if res := tx.Do(op); res.Code != fsm.CodeOK {
		w.t.Errorf("%v: %v", op, res.Code)
	}
	w.view = tx.Seal(w.view.Index() + 1)
	close(w.changed)
	w.changed = make(chan struct{})
}

// open opens a request that this node carries, and waits until all is quiet.
func (w *world) open(n byte) fsm.RequestID {
	w.t.Helper()
	id := fsm.RequestID{0: 7, 15: n}
	now := w.Current().ClockMs()
	w.do(&logv1.Op{Op: &logv1.Op_OpenRequest{OpenRequest: &logv1.OpenRequest{
		RequestId: id[:], NamespaceId: testNamespace[:], Pool: "web", Node: "n1", StartId: testStart[:], Slots: 5, Endpoint: 1,
		SendByMs: now + 10_000, ReplaceMs: now + 800_000, DrainMs: now + 880_000, ExpireMs: now + 900_001,
	}}})
	synctest.Wait()
	return id
}

// end ends a request in the state.
func (w *world) end(id fsm.RequestID, cause fsm.RequestEnd) {
	w.t.Helper()
	w.do(&logv1.Op{Op: &logv1.Op_EndRequest{EndRequest: &logv1.EndRequest{RequestId: id[:], Cause: uint32(cause)}}})
	synctest.Wait()
}

// Current is of Views.
func (w *world) Current() *fsm.View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// Wait is of Views.
func (w *world) Wait(ctx context.Context, until func(*fsm.View) bool) (*fsm.View, error) {
	for {
		w.mu.Lock()
		view, changed := w.view, w.changed
		w.mu.Unlock()
		if until(view) {
			return view, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ReportRequest is of Reporter. What the state makes of it is up to the test.
func (w *world) ReportRequest(_ context.Context, report *nodev1.RequestReport) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deaf {
		return errNoLeader
	}
	w.reports = append(w.reports, report)
	return nil
}

// Announce is of Reporter.
func (w *world) Announce(context.Context) error { return nil }

// ended returns the report of a request's end; nil: there is none, or there are two.
func (w *world) ended(id fsm.RequestID) (end *nodev1.RequestEnded) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, r := range w.reports {
		if e := r.GetEnded(); e != nil && fsm.RequestID(r.GetRequestId()) == id {
			end = e
			n++
		}
	}
	if n > 1 {
		w.t.Errorf("the end of request %s was told %d times", id, n)
	}
	return end
}

// sent returns how many requests the endpoint got.
func (w *world) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.received)
}

// dial connects to the endpoint.
func (w *world) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.mu.Lock()
	w.dials++
	w.mu.Unlock()
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// pipes is a listener for connections in memory.
type pipes struct {
	conns chan net.Conn
	ctx   context.Context //nolint:containedctx // a listener has no other way to end
}

// Accept is of net.Listener.
func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close is of net.Listener.
func (p pipes) Close() error { return nil }

// Addr is of net.Listener.
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// stream answers as an endpoint does, with a text.
func streaming(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
	}
}
