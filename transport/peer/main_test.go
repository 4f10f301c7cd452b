package peer

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// town is where the nodes of a test live: an address leads to whichever server listens there now.
type town struct {
	t       *testing.T
	cluster string // of the clients
	caller  string // what the clients call themselves
	judge   Judge  // of the nodes

	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	conns     map[string][]*wire
}

// wire is a connection that can go dead: nothing goes either way any more, and nobody is told.
type wire struct {
	net.Conn
	frozen atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (w *wire) Write(p []byte) (int, error) {
	if w.frozen.Load() {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if w.frozen.Load() {
		<-w.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func newTown(t *testing.T) *town {
	return &town{t: t, cluster: "cluster-1", listeners: map[string]*bufconn.Listener{}, conns: map[string][]*wire{}}
}

func (w *town) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	listener := w.listeners[address]
	w.mu.Unlock()
	if listener == nil {
		return nil, errors.New("connection refused")
	}
	conn, err := listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	wire := &wire{Conn: conn, closed: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns[address] = append(w.conns[address], wire)
	return wire, nil
}

// serve starts a node at an address; the function it returns ends it like a kill.
func (w *town) serve(address string, leader Leader) (kill func()) {
	listener := bufconn.Listen(1 << 16)
	w.mu.Lock()
	w.listeners[address] = listener
	w.mu.Unlock()
	server := grpc.NewServer(ServerOptions()...)
	Register(server, func() string { return "cluster-1" }, w.judge, leader, describer{}, describer{})
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return sync.OnceFunc(func() {
		w.mu.Lock()
		delete(w.listeners, address)
		w.mu.Unlock()
		server.Stop()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	})
}

// hangUp breaks every connection to an address; the node stays.
func (w *town) hangUp(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns[address] {
		_ = conn.Close()
	}
	delete(w.conns, address)
}

// freeze lets every connection to an address go dead.
func (w *town) freeze(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns[address] {
		conn.frozen.Store(true)
	}
}

func (w *town) client() *Client {
	client := NewClient(func() string { return w.cluster }, w.caller, w.dial)
	w.t.Cleanup(client.Close)
	return client
}

// describer is a node that does not lead.
type describer struct{}

func (describer) Describe(context.Context) (*nodev1.DescribeResponse, error) {
	return &nodev1.DescribeResponse{Name: "n1", AppliedIndex: 7}, nil
}

func (describer) StateHashes() *nodev1.StateHashesResponse {
	return &nodev1.StateHashesResponse{Name: "n1", Form: 1, Hashes: []*nodev1.StateHash{{Index: 7, High: 1, Low: 2}}}
}

func (describer) ChangeMembership(context.Context, *nodev1.ChangeMembershipRequest) (*nodev1.ChangeMembershipResponse, error) {
	return nil, ErrNotLeader
}

func (describer) Membership(context.Context, *nodev1.MembershipRequest) (*nodev1.MembershipResponse, error) {
	return &nodev1.MembershipResponse{Member: true}, nil
}

// loop is a fake of the leader's loop.
type loop struct {
	submit func(*nodev1.SubmitRequest) (*nodev1.SubmitResponse, error)
	mu     sync.Mutex // guards calls
	calls  []int      // how many commands came with each call
	relay  func(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error
}

func (l *loop) ReportCarrier(context.Context, *nodev1.ReportCarrierRequest) (*nodev1.ReportCarrierResponse, error) {
	return &nodev1.ReportCarrierResponse{}, nil
}

func (l *loop) Submit(requests []*nodev1.SubmitRequest, answer func(int, *nodev1.SubmitResponse, error)) {
	l.mu.Lock()
	l.calls = append(l.calls, len(requests))
	l.mu.Unlock()
	for i, request := range requests {
		go func() {
			response, err := l.submit(request)
			answer(i, response, err)
		}()
	}
}

// carried returns how many commands came with each call, in the order in which they came.
func (l *loop) carried() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

func (l *loop) ReadIndex(context.Context) (*nodev1.ReadIndexResponse, error) {
	return &nodev1.ReadIndexResponse{Index: 42, Epoch: 3}, nil
}

func (l *loop) Relay(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error {
	return l.relay(ctx, node, reports, answer)
}
