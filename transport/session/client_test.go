package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// pipe is a Wire in memory with room for one message each way.
type pipe struct {
	up     chan *callboardv1.ConnectRequest
	down   chan *callboardv1.ConnectResponse
	broken chan struct{}
}

var errCut = errors.New("the stream is cut")

func (p *pipe) Receive(ctx context.Context) (*callboardv1.ConnectRequest, error) {
	select {
	case m, ok := <-p.up:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-p.broken:
		return nil, errCut
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pipe) Send(ctx context.Context, m *callboardv1.ConnectResponse) error {
	select {
	case <-p.broken:
		return errCut
	default:
	}
	select {
	case p.down <- m:
		return nil
	case <-p.broken:
		return errCut
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// client is a runner as the stream sees it: it keeps what it is told, in order, and acknowledges commands.
type client struct {
	t    *testing.T
	pipe *pipe

	mu     sync.Mutex
	got    []*callboardv1.ConnectResponse
	mute   bool // it acknowledges nothing
	deaf   chan struct{}
	result error
	ended  chan struct{} // Serve has returned
	beats  uint64
	events uint64
}

// dial opens a stream and says nothing.
func dial(t *testing.T, host *Host) *client {
	c := &client{t: t, ended: make(chan struct{}), pipe: &pipe{
		up: make(chan *callboardv1.ConnectRequest, 1), down: make(chan *callboardv1.ConnectResponse, 1), broken: make(chan struct{}),
	}}
	go func() {
		defer close(c.ended)
		c.result = host.Serve(t.Context(), c.pipe)
	}()
	go c.listen()
	return c
}

func (c *client) listen() {
	for {
		c.mu.Lock()
		deaf := c.deaf
		c.mu.Unlock()
		if deaf != nil {
			<-deaf
		}
		select {
		case m := <-c.pipe.down:
			c.hear(m)
		case <-c.ended:
			for {
				select {
				case m := <-c.pipe.down:
					c.hear(m)
				default:
					return
				}
			}
		}
	}
}

func (c *client) hear(m *callboardv1.ConnectResponse) {
	c.mu.Lock()
	c.got = append(c.got, m)
	mute := c.mute
	c.mu.Unlock()
	if seq := m.GetDesired().GetSeq(); seq > 0 && !mute {
		go c.ack(seq)
	}
}

func (c *client) ack(seq uint64) {
	c.offer(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_CommandsAck{CommandsAck: &callboardv1.CommandsAck{Seq: seq}}})
}

// offer sends, unless the stream ends first.
func (c *client) offer(m *callboardv1.ConnectRequest) {
	select {
	case c.pipe.up <- m:
	case <-c.pipe.broken:
	case <-c.ended:
	}
}

// say sends and lets everybody react.
func (c *client) say(m *callboardv1.ConnectRequest) {
	c.t.Helper()
	c.offer(m)
	synctest.Wait()
}

func (c *client) hello(change ...func(*callboardv1.Hello)) {
	c.t.Helper()
	h := testHello()
	for _, f := range change {
		f(h)
	}
	c.say(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Hello{Hello: h}})
}

// attempts rises with every Hello of every process.
var attempts atomic.Uint32

func testHello() *callboardv1.Hello {
	return &callboardv1.Hello{
		Protocol: 1, Namespace: "default", Pool: "default", Key: "key-1", Version: 1, Slots: 100, InstanceId: testID(100).String(),
		Attempt: attempts.Add(1),
	}
}

func instance(n uint64) func(*callboardv1.Hello) {
	return func(h *callboardv1.Hello) { h.InstanceId = testID(n).String() }
}

func key(k string) func(*callboardv1.Hello) { return func(h *callboardv1.Hello) { h.Key = k } }

func slots(n uint32) func(*callboardv1.Hello) { return func(h *callboardv1.Hello) { h.Slots = n } }

func running(refs ...*callboardv1.ActorRef) func(*callboardv1.Hello) {
	return func(h *callboardv1.Hello) {
		for _, ref := range refs {
			h.Running = append(h.Running, &callboardv1.RunningActor{Ref: ref})
		}
	}
}

func (c *client) heartbeat() {
	c.t.Helper()
	c.beats++
	c.say(beat(c.beats))
}

func beat(seq uint64) *callboardv1.ConnectRequest {
	return &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Heartbeat{Heartbeat: &callboardv1.Heartbeat{Seq: seq, ThresholdMs: 15_000}}}
}

func (c *client) tell(events ...*callboardv1.ActorEvent) {
	c.t.Helper()
	c.events++
	c.say(batch(c.events, events...))
}

func batch(seq uint64, events ...*callboardv1.ActorEvent) *callboardv1.ConnectRequest {
	return &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Events{Events: &callboardv1.ActorEvents{Seq: seq, Events: events}}}
}

func runs(ref *callboardv1.ActorRef) *callboardv1.ActorEvent {
	return &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Running{Running: &callboardv1.RunningEvent{}}}
}

func stopped(ref *callboardv1.ActorRef) *callboardv1.ActorEvent {
	return &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Stopped{Stopped: &callboardv1.StoppedEvent{Clean: true}}}
}

func (c *client) goodbye() {
	c.t.Helper()
	c.say(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Goodbye{Goodbye: &callboardv1.Goodbye{}}})
}

func (c *client) cut() {
	close(c.pipe.broken)
	synctest.Wait()
}

// stopListening makes the client take nothing from its stream until the returned function is called.
func (c *client) stopListening() (resume func()) {
	deaf := make(chan struct{})
	c.mu.Lock()
	c.deaf = deaf
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		c.deaf = nil
		c.mu.Unlock()
		close(deaf)
	}
}

// heard returns everything that came since the last call.
func (c *client) heard() []*callboardv1.ConnectResponse {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// welcomed opens a stream that is past its Welcome and its complete set.
func welcomed(t *testing.T, host *Host, change ...func(*callboardv1.Hello)) (*client, *callboardv1.Welcome) {
	t.Helper()
	c := dial(t, host)
	c.hello(change...)
	got := c.heard()
	if len(got) == 0 || got[0].GetWelcome() == nil {
		t.Fatalf("no Welcome: %v", got)
	}
	if last := got[len(got)-1]; !last.GetDesired().GetComplete() {
		t.Fatalf("no complete set: %v", got)
	}
	return c, got[0].GetWelcome()
}

// startedOn is welcomed with some actors that run.
func startedOn(t *testing.T, e *engine, host *Host, n int) (*client, *callboardv1.Welcome, []*callboardv1.ActorRef) {
	t.Helper()
	c, w := welcomed(t, host)
	for range n {
		e.create(nil)
	}
	var refs []*callboardv1.ActorRef
	var events []*callboardv1.ActorEvent
	for _, start := range starts(c.heard()) {
		refs = append(refs, start.GetRef())
		events = append(events, runs(start.GetRef()))
	}
	if len(refs) != n {
		t.Fatalf("%d starts, want %d", len(refs), n)
	}
	c.tell(events...)
	c.heard()
	return c, w, refs
}

func starts(got []*callboardv1.ConnectResponse) (all []*callboardv1.StartActor) {
	for _, m := range got {
		all = append(all, m.GetDesired().GetStart()...)
	}
	return all
}

func stops(got []*callboardv1.ConnectResponse) (all []*callboardv1.StopActor) {
	for _, m := range got {
		all = append(all, m.GetDesired().GetStop()...)
	}
	return all
}

// wantEnd waits for the end of the stream and checks how it was told.
func (c *client) wantEnd(code string, reconnect bool) error {
	c.t.Helper()
	got := c.heard()
	select {
	case <-c.ended:
	default:
		c.t.Fatalf("the stream has not ended; it said %v", got)
	}
	if len(got) == 0 || got[len(got)-1].GetDisconnect() == nil {
		c.t.Fatalf("no Disconnect: %v", got)
	}
	d := got[len(got)-1].GetDisconnect()
	if d.GetError().GetGroup()+"."+d.GetError().GetCode() != code || d.GetReconnect() != reconnect {
		c.t.Errorf("Disconnect %v, want %s with reconnect %v", d, code, reconnect)
	}
	if own := fsm.ClusterID(testID(1)).String(); d.GetClusterId() != own {
		c.t.Errorf("cluster %q says goodbye, want %q", d.GetClusterId(), own)
	}
	return c.result
}

func (c *client) wantOpen() {
	c.t.Helper()
	synctest.Wait()
	select {
	case <-c.ended:
		c.t.Fatalf("the stream has ended: %v", c.result)
	default:
	}
}

// inBubble runs a test with an engine and a host in a bubble of fake time.
func inBubble(t *testing.T, cfg Config, test func(t *testing.T, e *engine, host *Host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		if cfg.Node == "" {
			cfg.Node = "n1"
		}
		cfg.EngineAddrs = func() []string { return []string{"10.0.0.1:6421", "10.0.0.2:6421"} }
		host := NewHost(cfg, e, e)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			host.Shutdown(ctx)
		})
		test(t, e, host)
	})
}
