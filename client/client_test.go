package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an engine node that answers as a test says, and remembers what it was asked.
type node struct {
	callboardv1.UnimplementedActorServiceServer
	addr   string
	server *grpc.Server

	mu      sync.Mutex
	answers []error // of the next calls; nil: success. When they are used up: success
	asked   []*callboardv1.CreateRequest
	reads   int
}

func startNode(t *testing.T, answers ...error) *node {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{addr: listener.Addr().String(), server: grpc.NewServer(), answers: answers}
	callboardv1.RegisterActorServiceServer(n.server, n)
	callboardv1.RegisterClusterServiceServer(n.server, &members{node: n})
	var serving sync.WaitGroup
	serving.Go(func() { _ = n.server.Serve(listener) })
	t.Cleanup(func() {
		n.server.Stop()
		serving.Wait()
	})
	return n
}

func (n *node) next() error {
	if len(n.answers) == 0 {
		return nil
	}
	err := n.answers[0]
	n.answers = n.answers[1:]
	return err
}

func (n *node) Create(ctx context.Context, req *callboardv1.CreateRequest) (*callboardv1.CreateResponse, error) {
	n.mu.Lock()
	n.asked = append(n.asked, req)
	err := n.next()
	n.mu.Unlock()
	if errors.Is(err, errHang) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &callboardv1.CreateResponse{Actor: &callboardv1.Actor{Name: req.GetName()}, Index: 7}, err
}

func (n *node) Get(context.Context, *callboardv1.GetRequest) (*callboardv1.GetResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reads++
	return &callboardv1.GetResponse{Index: 9}, n.next()
}

// members is the part of a node that changes membership.
type members struct {
	callboardv1.UnimplementedClusterServiceServer
	node *node
}

func (m *members) AddVoter(context.Context, *callboardv1.AddVoterRequest) (*callboardv1.AddVoterResponse, error) {
	n := m.node
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reads++
	return &callboardv1.AddVoterResponse{}, n.next()
}

func (n *node) creates() []*callboardv1.CreateRequest {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked
}

// errHang makes a call wait for the end of its caller.
var errHang = errors.New("hang")

var (
	noLeader   = callboardv1.ErrNoLeader
	overloaded = callboardv1.ErrOverloaded
	nodeBehind = callboardv1.ErrNodeBehind
	unknownOut = callboardv1.ErrOutcomeUnknown
	broken     = status.Error(codes.Unavailable, "the connection broke")
)

// nobody returns an address where nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

func newClient(t *testing.T, addrs []string, opts ...Option) *Client {
	t.Helper()
	c, err := New(addrs, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestWhatIsTriedAgain: a call goes on while that is safe, and every attempt carries the same key.
func TestWhatIsTriedAgain(t *testing.T) {
	for name, answers := range map[string][]error{
		"no leader":             {noLeader, noLeader},
		"overloaded":            {overloaded},
		"a node that is behind": {nodeBehind},
		"unknown, with a key":   {unknownOut},
		"the connection broke":  {broken, broken},
		"all of them":           {broken, noLeader, unknownOut, overloaded},
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t, answers...)
			c := newClient(t, []string{n.addr})
			answer, err := c.Actors.Create(t.Context(), &callboardv1.CreateRequest{Name: "a"})
			if err != nil || answer.GetIndex() != 7 {
				t.Fatalf("%v, %v", answer, err)
			}
			asked := n.creates()
			if len(asked) != len(answers)+1 {
				t.Errorf("%d attempts, want %d", len(asked), len(answers)+1)
			}
			for _, req := range asked {
				if req.GetIdempotencyKey() == "" || req.GetIdempotencyKey() != asked[0].GetIdempotencyKey() || req.GetNamespace() != "default" {
					t.Errorf("an attempt with %v", req)
				}
			}
		})
	}
}

// TestWhatIsNotTriedAgain: a refusal that stays one, and whatever the caller did not want sent twice.
func TestWhatIsNotTriedAgain(t *testing.T) {
	taken := callboardv1.Refuse("actor", "duplicate_key", "taken").With("existing_actor_id", "x")
	n := startNode(t, taken)
	c := newClient(t, []string{n.addr})
	_, err := c.Actors.Create(t.Context(), &callboardv1.CreateRequest{Name: "a"})
	var refusal *callboardv1.Error
	if !errors.As(err, &refusal) || !errors.Is(err, taken) || refusal.GetMetadata()["existing_actor_id"] != "x" || len(n.creates()) != 1 {
		t.Errorf("%v after %d attempts; want the refusal, whole, after one", err, len(n.creates()))
	}

	n = startNode(t, noLeader)
	c = newClient(t, []string{n.addr}, WithoutRetry())
	if _, err = c.Actors.Create(t.Context(), &callboardv1.CreateRequest{Name: "a"}); !errors.Is(err, noLeader) || len(n.creates()) != 1 {
		t.Errorf("without retry: %v after %d attempts", err, len(n.creates()))
	}

	n = startNode(t, broken) // a write that has no key
	c = newClient(t, []string{n.addr})
	if _, err = c.Cluster.AddVoter(t.Context(), &callboardv1.AddVoterRequest{NodeId: "n"}); !errors.Is(err, unknownOut) || n.reads != 1 {
		t.Errorf("add-voter: %v after %d attempts; want unknown after one", err, n.reads)
	}
}

// TestWhatCannotBeSentIsRefused at once, and by name: text that is not UTF-8 does not fit into a message.
func TestWhatCannotBeSentIsRefused(t *testing.T) {
	n := startNode(t)
	c := newClient(t, []string{n.addr})
	bad := "\xff"
	for _, call := range []struct {
		field string
		do    func(ctx context.Context) error
	}{
		{"key", func(ctx context.Context) error {
			_, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "a", Key: &bad})
			return err
		}},
		{"name", func(ctx context.Context) error {
			_, err := c.Actors.CreateBatch(ctx, &callboardv1.CreateBatchRequest{Actors: []*callboardv1.NewActor{{Name: "a"}, {Name: bad}}})
			return err
		}},
		{"actor_ids", func(ctx context.Context) error {
			_, err := c.Actors.List(ctx, &callboardv1.ListRequest{ActorIds: []string{"a", bad}})
			return err
		}},
		{"values", func(ctx context.Context) error {
			_, err := c.Cluster.PutSettings(ctx, &callboardv1.PutSettingsRequest{Values: map[string]string{"a": bad}})
			return err
		}},
		{"namespace", func(ctx context.Context) error {
			_, err := newClient(t, []string{n.addr}, WithNamespace(bad)).Actors.Get(ctx, &callboardv1.GetRequest{})
			return err
		}},
	} {
		err := call.do(t.Context())
		var refusal *callboardv1.Error
		if !errors.As(err, &refusal) || refusal.GetCode() != "bad_request" || refusal.GetMetadata()["field"] != call.field {
			t.Errorf("%s: %v; want api.bad_request about it", call.field, err)
		}
	}
	if len(n.creates()) != 0 {
		t.Errorf("%d calls arrived", len(n.creates()))
	}
}

func TestKeysAreTheCallersOrNew(t *testing.T) {
	n := startNode(t)
	c := newClient(t, []string{n.addr}, WithNamespace("mine"))
	for _, call := range []struct {
		ctx context.Context
		req *callboardv1.CreateRequest
	}{
		{t.Context(), &callboardv1.CreateRequest{}},
		{t.Context(), &callboardv1.CreateRequest{}},
		{WithIdempotencyKey(t.Context(), "of the context"), &callboardv1.CreateRequest{}},
		{WithIdempotencyKey(t.Context(), "of the context"), &callboardv1.CreateRequest{IdempotencyKey: "of the request", Namespace: "other"}},
	} {
		if _, err := c.Actors.Create(call.ctx, call.req); err != nil {
			t.Fatal(err)
		}
		if call.req.GetIdempotencyKey() != "" && call.req.GetIdempotencyKey() != "of the request" || call.req.GetNamespace() == "mine" {
			t.Errorf("the caller's request was changed: %v", call.req)
		}
	}
	asked := n.creates()
	if asked[0].GetIdempotencyKey() == asked[1].GetIdempotencyKey() || asked[2].GetIdempotencyKey() != "of the context" || asked[3].GetIdempotencyKey() != "of the request" {
		t.Errorf("keys: %v", asked)
	}
	if asked[0].GetNamespace() != "mine" || asked[3].GetNamespace() != "other" {
		t.Errorf("namespaces: %v", asked)
	}
}

// TestAnotherNodeIsTried when one is away, and the one that answered is kept.
func TestAnotherNodeIsTried(t *testing.T) {
	leaderless, well := startNode(t, noLeader), startNode(t)
	c := newClient(t, []string{nobody(t), leaderless.addr, well.addr})
	for range 3 {
		if _, err := c.Actors.Create(t.Context(), &callboardv1.CreateRequest{Name: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if len(leaderless.creates()) != 1 || len(well.creates()) != 3 {
		t.Errorf("%d and %d calls, want 1 and 3", len(leaderless.creates()), len(well.creates()))
	}
}

// TestANodeThatIsThereIsNotCalledAway: of a leaderless node and one that is away, what the first one says counts, whichever was tried
// last when the time was up.
func TestANodeThatIsThereIsNotCalledAway(t *testing.T) {
	answers := make([]error, 1000)
	for i := range answers {
		answers[i] = noLeader
	}
	n := startNode(t, answers...)
	for _, addrs := range [][]string{{n.addr, nobody(t)}, {nobody(t), n.addr}, {n.addr, nobody(t), nobody(t)}} {
		for what, call := range map[string]func(context.Context, *Client) error{
			"read": func(ctx context.Context, c *Client) error {
				_, err := c.Actors.Get(ctx, &callboardv1.GetRequest{})
				return err
			},
			"write": func(ctx context.Context, c *Client) error {
				_, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "a"})
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			if err := call(ctx, newClient(t, addrs)); !errors.Is(err, noLeader) {
				t.Errorf("%s: %v, want that there is no leader", what, err)
			}
			cancel()
		}
	}
}

// TestOutcomes tells apart what a caller must tell apart.
func TestOutcomes(t *testing.T) {
	short := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 150*time.Millisecond)
	}
	t.Run("nothing was sent", func(t *testing.T) {
		ctx, cancel := short()
		defer cancel()
		addr := nobody(t)
		_, err := newClient(t, []string{addr}).Actors.Create(ctx, &callboardv1.CreateRequest{})
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || unreachable.Addrs[0] != addr {
			t.Errorf("%v; want unreachable", err)
		}
	})
	t.Run("it may have happened", func(t *testing.T) {
		ctx, cancel := short()
		defer cancel()
		_, err := newClient(t, []string{startNode(t, errHang).addr}).Actors.Create(WithIdempotencyKey(ctx, "k"), &callboardv1.CreateRequest{})
		refusal, _ := callboardv1.AsRefusal(err)
		if !errors.Is(err, unknownOut) || refusal.GetMetadata()["idempotency_key"] != "k" {
			t.Errorf("%v; want unknown, with the key to retry", err)
		}
		if len(unknownOut.GetMetadata()) > 0 {
			t.Error("the shared refusal was changed")
		}
	})
	t.Run("a later refusal takes nothing back", func(t *testing.T) {
		ctx, cancel := short()
		defer cancel()
		answers := []error{broken}
		for range 50 {
			answers = append(answers, noLeader)
		}
		_, err := newClient(t, []string{startNode(t, answers...).addr}).Actors.Create(ctx, &callboardv1.CreateRequest{})
		if !errors.Is(err, unknownOut) {
			t.Errorf("%v; want unknown", err)
		}
	})
	t.Run("nothing took effect", func(t *testing.T) {
		ctx, cancel := short()
		defer cancel()
		var answers []error
		for range 50 {
			answers = append(answers, noLeader)
		}
		_, err := newClient(t, []string{startNode(t, answers...).addr}).Actors.Create(ctx, &callboardv1.CreateRequest{})
		if !errors.Is(err, noLeader) {
			t.Errorf("%v; want no leader", err)
		}
	})
	t.Run("reads are never unknown", func(t *testing.T) {
		ctx, cancel := short()
		defer cancel()
		var answers []error
		for range 50 {
			answers = append(answers, broken)
		}
		_, err := newClient(t, []string{startNode(t, answers...).addr}).Actors.Get(ctx, &callboardv1.GetRequest{})
		if errors.Is(err, unknownOut) || err == nil {
			t.Errorf("%v", err)
		}
	})
	t.Run("the node is older", func(t *testing.T) {
		_, err := newClient(t, []string{startNode(t).addr}).Actors.Wake(t.Context(), &callboardv1.WakeRequest{})
		if refusal, ok := callboardv1.AsRefusal(err); !ok || refusal.Name() != "api.not_built" {
			t.Errorf("%v; want api.not_built", err)
		}
	})
}

// TestAPortThatSpeaksSomethingElse is told from one where nothing listens.
func TestAPortThatSpeaksSomethingElse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	})
	t.Cleanup(accepting.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = newClient(t, []string{listener.Addr().String()}).Actors.Get(ctx, &callboardv1.GetRequest{})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) {
		t.Errorf("%v; want unreachable", err)
	}
}

func TestDialOptionsOfTheCaller(t *testing.T) {
	var seen []string
	count := func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		seen = append(seen, method)
		return invoke(ctx, method, req, reply, cc, opts...)
	}
	c := newClient(t, []string{startNode(t).addr}, WithGRPC(grpc.WithUnaryInterceptor(count)))
	if _, err := c.Actors.Create(t.Context(), &callboardv1.CreateRequest{Name: "a"}); err != nil || len(seen) != 1 {
		t.Errorf("%v: the caller's interceptor saw %v, want one call", err, seen)
	}
}

func TestAddressesAreChecked(t *testing.T) {
	for _, addrs := range [][]string{nil, {""}, {"localhost"}, {":6421"}, {"127.0.0.1:"}, {"ftp://127.0.0.1"}, {"127.0.0.1:65536"}, {"127.0.0.1:6421", "x"}} {
		if c, err := New(addrs); err == nil {
			t.Errorf("%q were taken", addrs)
			_ = c.Close()
		}
	}
}
