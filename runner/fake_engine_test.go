package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"
)

// The defaults of the cluster, which the tests run at.
const (
	testThreshold = 15 * time.Second
	testInterval  = 3 * time.Second
	testStop      = 30 * time.Second
	testCluster   = "cluster-1"
)

// fakeNet is a network of fake engine nodes, by address.
type fakeNet struct {
	mu        sync.Mutex
	listeners map[string]*bufconn.Listener
	dials     []string
	dialTimes []time.Time
	gone      map[string]bool // nobody answers there for now
}

// away makes a node answer nobody who dials it, or answer again.
func (e *fakeEngine) away(away bool) {
	e.net.mu.Lock()
	defer e.net.mu.Unlock()
	if e.net.gone == nil {
		e.net.gone = map[string]bool{}
	}
	e.net.gone[e.addr] = away
}

func (n *fakeNet) dial(ctx context.Context, addr string) (net.Conn, error) {
	n.mu.Lock()
	n.dials, n.dialTimes = append(n.dials, addr), append(n.dialTimes, time.Now())
	lis, gone := n.listeners[addr], n.gone[addr]
	n.mu.Unlock()
	if lis == nil || gone {
		return nil, fmt.Errorf("nobody listens at %s", addr)
	}
	return lis.DialContext(ctx)
}

func (n *fakeNet) dialled() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials)
}

// pauses returns how long it took from each dial to the next.
func (n *fakeNet) pauses() []time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	var pauses []time.Duration
	for i := 1; i < len(n.dialTimes); i++ {
		pauses = append(pauses, n.dialTimes[i].Sub(n.dialTimes[i-1]))
	}
	return pauses
}

// fakeEngine is one engine node that does what a test says. By itself it welcomes every Hello, acknowledges every heartbeat and
// every event, and orders nothing.
type fakeEngine struct {
	callboardv1.UnimplementedSessionServiceServer
	t      *testing.T
	net    *fakeNet
	addr   string
	server *grpc.Server

	arrived chan *fakeSession // welcomed streams, for tests without a bubble

	mu         sync.Mutex
	onDraining func(*fakeSession)
	threshold  time.Duration // as the settings say; what a Welcome and an acknowledgement carry
	cluster    string
	addrs      []string // that a Welcome tells
	welcome    func(*callboardv1.Hello) *callboardv1.ConnectResponse
	muteBeats  bool                                             // heartbeats are not acknowledged
	muteEvents bool                                             // events are not acknowledged
	refuse     func(*callboardv1.ActorEvent) *callboardv1.Error // nil accepts
	sessions   []*fakeSession
	events     []string // all that was reported, on whatever stream
	saves      [][]byte
}

type fakeSession struct {
	engine *fakeEngine
	hello  *callboardv1.Hello // with its chunks joined
	parts  int
	stream callboardv1.SessionService_ConnectServer
	end    chan error // the test ends the stream here

	sendMu sync.Mutex
	seq    uint64

	mu       sync.Mutex // guards what follows
	beats    []*callboardv1.Heartbeat
	receipts []uint64
	draining []*callboardv1.Draining
	goodbye  bool
	closed   bool
}

func newFakeEngine(t *testing.T, n *fakeNet, addr string) *fakeEngine {
	lis := newFakeListener(n, addr)
	e := &fakeEngine{
		t: t, net: n, addr: addr, threshold: testThreshold, cluster: testCluster, server: grpc.NewServer(), arrived: make(chan *fakeSession, 100),
	}
	callboardv1.RegisterSessionServiceServer(e.server, e)
	var serving sync.WaitGroup
	serving.Go(func() { _ = e.server.Serve(lis) })
	t.Cleanup(func() {
		e.server.Stop()
		serving.Wait()
	})
	return e
}

func newFakeListener(n *fakeNet, addr string) *bufconn.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners == nil {
		n.listeners = make(map[string]*bufconn.Listener)
	}
	n.listeners[addr] = bufconn.Listen(1 << 16)
	return n.listeners[addr]
}

func (e *fakeEngine) set(change func(*fakeEngine)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

// Connect is one stream.
func (e *fakeEngine) Connect(stream callboardv1.SessionService_ConnectServer) error {
	s := &fakeSession{engine: e, stream: stream, end: make(chan error, 1)}
	if err := s.readHello(); err != nil {
		return err
	}
	e.mu.Lock()
	welcome := e.welcome
	threshold, cluster, addrs := e.threshold, e.cluster, e.addrs
	e.sessions = append(e.sessions, s)
	e.mu.Unlock()
	answer := welcomeMessage(threshold, s.hello.GetAttempt() > 1)
	answer.GetWelcome().ClusterId, answer.GetWelcome().EngineAddrs = cluster, addrs
	if welcome != nil {
		answer = welcome(s.hello)
	}
	if answer != nil {
		s.send(answer)
	}
	select {
	case e.arrived <- s:
	default: // nobody takes them in this test
	}
	received := make(chan error, 1)
	go func() { received <- s.receive() }()
	var err error
	select {
	case err = <-s.end:
	case err = <-received:
	}
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return err
}

func welcomeMessage(threshold time.Duration, resumed bool) *callboardv1.ConnectResponse {
	return &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Welcome{Welcome: &callboardv1.Welcome{
		RunnerId: "runner-1", SessionId: newUUID(), ClusterId: testCluster, Resumed: resumed,
		HeartbeatIntervalMs: milliseconds(threshold / 5),
		LostThresholdMs:     milliseconds(threshold),
		StopThresholdMs:     milliseconds(testStop),
	}}}
}

func (s *fakeSession) readHello() error {
	for {
		m, err := s.stream.Recv()
		if err != nil {
			return err
		}
		h := m.GetHello()
		if h == nil {
			return errors.New("the first messages must be Hellos")
		}
		s.parts++
		if s.hello == nil {
			s.hello = h
		} else {
			s.hello.Running = append(s.hello.Running, h.GetRunning()...)
			s.hello.Ended = append(s.hello.Ended, h.GetEnded()...)
		}
		if !h.GetMore() {
			return nil
		}
	}
}

func (s *fakeSession) receive() error {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.handle(m)
	}
}

func (s *fakeSession) handle(m *callboardv1.ConnectRequest) {
	e := s.engine
	switch body := m.GetMessage().(type) {
	case *callboardv1.ConnectRequest_Heartbeat:
		s.mu.Lock()
		s.beats = append(s.beats, body.Heartbeat)
		s.mu.Unlock()
		e.mu.Lock()
		mute, threshold := e.muteBeats, e.threshold
		e.mu.Unlock()
		if !mute {
			s.send(acknowledgement(body.Heartbeat.GetSeq(), threshold))
		}
	case *callboardv1.ConnectRequest_Events:
		s.events(body.Events)
	case *callboardv1.ConnectRequest_CommandsAck:
		s.mu.Lock()
		s.receipts = append(s.receipts, body.CommandsAck.GetSeq())
		s.mu.Unlock()
	case *callboardv1.ConnectRequest_Draining:
		s.mu.Lock()
		s.draining = append(s.draining, body.Draining)
		s.mu.Unlock()
		e.mu.Lock()
		onDraining := e.onDraining
		e.mu.Unlock()
		if onDraining != nil {
			onDraining(s)
		}
	case *callboardv1.ConnectRequest_Goodbye:
		s.mu.Lock()
		s.goodbye = true
		s.mu.Unlock()
	}
}

func acknowledgement(seq uint64, threshold time.Duration) *callboardv1.ConnectResponse {
	return &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_HeartbeatAck{HeartbeatAck: &callboardv1.HeartbeatAck{
		Seq: seq, LostThresholdMs: milliseconds(threshold),
	}}}
}

func (s *fakeSession) events(batch *callboardv1.ActorEvents) {
	e := s.engine
	ack := &callboardv1.EventsAck{Seq: batch.GetSeq()}
	e.mu.Lock()
	for i, ev := range batch.GetEvents() {
		e.events = append(e.events, describe(ev))
		if save := ev.GetSave(); save != nil {
			e.saves = append(e.saves, save.GetState())
		}
		if e.refuse != nil {
			if refusal := e.refuse(ev); refusal != nil {
				ack.Refused = append(ack.Refused, &callboardv1.RefusedEvent{Ref: ev.GetRef(), Error: refusal, Position: uint32(i)})
			}
		}
	}
	mute := e.muteEvents
	e.mu.Unlock()
	if !mute {
		s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_EventsAck{EventsAck: ack}})
	}
}

func (s *fakeSession) send(m *callboardv1.ConnectResponse) {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	_ = s.stream.Send(m)
}

// desire sends an increment with the next sequence number.
func (s *fakeSession) desire(d *callboardv1.Desired) {
	s.seq++
	d.Seq = s.seq
	s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Desired{Desired: d}})
}

func (s *fakeSession) start(ids ...string) { s.startAt(1, ids...) }

func (s *fakeSession) startAt(generation uint64, ids ...string) {
	d := &callboardv1.Desired{}
	for _, id := range ids {
		d.Start = append(d.Start, startOf(id, generation))
	}
	s.desire(d)
}

func startOf(id string, generation uint64) *callboardv1.StartActor {
	return &callboardv1.StartActor{Ref: &callboardv1.ActorRef{ActorId: id, Generation: generation}, Name: "test"}
}

func (s *fakeSession) stop(id string, generation uint64, reason callboardv1.StopReason) {
	s.desire(&callboardv1.Desired{Stop: []*callboardv1.StopActor{{
		Ref: &callboardv1.ActorRef{ActorId: id, Generation: generation}, Reason: reason, TimeoutMs: milliseconds(testStop),
	}}})
}

// gone tells that the stream has ended.
func (s *fakeSession) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *fakeSession) heartbeats() []*callboardv1.Heartbeat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.beats)
}

// session returns the nth stream, waiting for it up to a minute.
func (e *fakeEngine) session(n int) *fakeSession {
	e.t.Helper()
	for range 600 {
		synctest.Wait()
		e.mu.Lock()
		var s *fakeSession
		if len(e.sessions) > n {
			s = e.sessions[n]
		}
		e.mu.Unlock()
		if s != nil {
			return s
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.t.Fatalf("%s: no session %d", e.addr, n)
	return nil
}

func (e *fakeEngine) sessionCount() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.sessions)
}
