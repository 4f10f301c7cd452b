package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
	"github.com/callboard/callboard/transport/session"
)

// testCluster is a whole cluster in virtual time: real Raft, real gRPC, real runners; only the network and the disks are memory.
type testCluster struct {
	t       *testing.T
	log     *slog.Logger
	network *raftnet.Memory
	names   []string
	nodes   map[string]*testNode
	disks   map[string]*raftnet.Disk

	mu    sync.Mutex
	doors map[string]*bufconn.Listener // gRPC doors by address
	cuts  map[string]chan struct{}     // by the two names: nothing passes between these nodes until it is closed

	tune func(*raft.Config)               // for nodes that start from now on
	join func(name string) raft.Transport // the same

	decide decide                   // the same
	wall   map[string]time.Duration // how wrong the wall clocks are

	stalls map[string]chan struct{}  // by node: as leader it decides nothing until this is closed
	lags   map[string]time.Duration  // by node: how long it takes to apply what is committed
	look   func(before, v *fsm.View) // is shown every View of every node
}

type testNode struct {
	name   string
	told   *prometheus.Registry
	core   *core
	server *grpc.Server
	stop   context.CancelFunc
	done   chan error
}

// inCluster runs a test on a cluster of n nodes, in virtual time.
func inCluster(t *testing.T, n int, test func(t *testing.T, c *testCluster)) {
	t.Helper()
	inClusterWith(t, n, func(*testCluster) {}, test)
}

// inClusterTuned is inCluster with another Raft configuration.
func inClusterTuned(t *testing.T, n int, tune func(*raft.Config), test func(t *testing.T, c *testCluster)) {
	t.Helper()
	inClusterWith(t, n, func(c *testCluster) { c.tune = tune }, test)
}

// inClusterWith is inCluster, prepared before its nodes start.
func inClusterWith(t *testing.T, n int, prepare func(*testCluster), test func(t *testing.T, c *testCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, n, prepare)
		defer c.shutdown()
		test(t, c)
	})
}

// newTestCluster starts a cluster of n nodes; shutdown must follow.
func newTestCluster(t *testing.T, n int, prepare func(*testCluster)) *testCluster {
	t.Helper()
	level := slog.LevelError + 1
	if os.Getenv("CALLBOARD_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	c := &testCluster{
		t: t, network: raftnet.NewMemory(), nodes: map[string]*testNode{}, disks: map[string]*raftnet.Disk{},
		doors: map[string]*bufconn.Listener{}, cuts: map[string]chan struct{}{}, wall: map[string]time.Duration{},
		stalls: map[string]chan struct{}{}, lags: map[string]time.Duration{},
		log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level})),
	}
	c.join = func(name string) raft.Transport { return c.network.Join(name) }
	prepare(c)
	var servers []raft.Server
	for i := range n {
		name := fmt.Sprintf("n%d", i+1)
		c.names = append(c.names, name)
		c.disks[name] = raftnet.NewDisk()
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
	}
	for _, name := range c.names {
		c.start(name)
	}
	if err := c.nodes["n1"].core.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *testCluster) shutdown() {
	for _, name := range c.names {
		if c.nodes[name] != nil {
			c.stopNode(name)
		}
	}
}

// GRPCAddr makes the cluster the directory of its nodes.
func (c *testCluster) GRPCAddr(nodeID string) string { return nodeID + ":6421" }

func (c *testCluster) addrs() (addrs []string) {
	for _, name := range c.names {
		addrs = append(addrs, c.GRPCAddr(name))
	}
	return addrs
}

// Changed never tells: addresses never change here.
func (c *testCluster) Changed() <-chan struct{} { return nil }

// watch has every View of every node shown to a test.
func (c *testCluster) watch(look func(before, v *fsm.View)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look = look
}

func (c *testCluster) looks() func(before, v *fsm.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.look
}

// start starts a node on its disk, for the first time or again.
func (c *testCluster) start(name string) {
	c.t.Helper()
	n := &testNode{name: name, told: prometheus.NewRegistry(), done: make(chan error, 1)}
	var err error
	n.core, err = newCore(parts{
		name: name, id: name, log: c.log.With("node", name), registry: n.told, timing: raftnet.DefaultTiming(),
		stores: c.disks[name].Open(), transport: c.join(name), directory: c,
		dial:  func(ctx context.Context, addr string) (net.Conn, error) { return c.dialFrom(ctx, name, addr) },
		addrs: c.addrs, tune: c.tune, decide: c.decide, still: func() { c.standStill(name) }, wall: func() time.Time { c.standStill(name); return time.Now().Add(c.wall[name]) },
		fsm: func(r *replica) raft.FSM {
			return laggard{watcher{r, r, c.looks}, func() time.Duration { return c.lagOf(name) }}
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	door := bufconn.Listen(256 << 10)
	n.server = grpc.NewServer(peer.ServerOptions()...)
	session.Register(n.server, n.core.sessions)
	peer.Register(n.server, n.core.replica.cluster, nil, peerLeader{n.core.engine}, noMembership{}, n.core)
	var ctx context.Context
	ctx, n.stop = context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() { defer close(served); _ = n.server.Serve(door) }()
	go func() {
		err := n.core.run(ctx)
		n.server.Stop()
		<-served
		n.done <- err
	}()
	c.mu.Lock()
	c.doors[c.GRPCAddr(name)] = door
	c.mu.Unlock()
	c.nodes[name] = n
}

// noMembership answers for nodes whose membership never changes.
type noMembership struct{ peer.Node }

// stopNode stops a node cleanly.
func (c *testCluster) stopNode(name string) {
	c.t.Helper()
	n := c.forget(name)
	ctx, cancel := context.WithTimeout(context.Background(), shutdownWait)
	defer cancel()
	n.core.sessions.Shutdown(ctx)
	n.server.Stop()
	n.stop()
	if err := <-n.done; err != nil {
		c.t.Errorf("%s: %v", name, err)
	}
}

const shutdownWait = 5 * time.Second

// kill ends a node as kill -9 does: from one instant to the next nothing of it is heard or written any more.
func (c *testCluster) kill(name string) {
	c.t.Helper()
	n := c.forget(name)
	c.network.Kill(name)
	c.disks[name].Open() // what the dead still write is not kept
	n.server.Stop()
	n.stop()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	n.core.sessions.Shutdown(ended)
	if err := <-n.done; err != nil {
		c.log.Debug("a killed node ended", "node", name, "error", err)
	}
}

func (c *testCluster) forget(name string) *testNode {
	n := c.nodes[name]
	if n == nil {
		c.t.Fatalf("%s does not run", name)
	}
	delete(c.nodes, name)
	c.mu.Lock()
	delete(c.doors, c.GRPCAddr(name))
	c.mu.Unlock()
	return n
}

// leader waits until one node leads and takes requests.
func (c *testCluster) leader() *testNode {
	c.t.Helper()
	var leader *testNode
	c.eventually(30*time.Second, "a leader", func() bool {
		for _, n := range c.nodes {
			if n.core.engine.inbox.gate.isOpen() {
				leader = n
				return true
			}
		}
		return false
	})
	return leader
}

// follower returns a node that does not lead.
func (c *testCluster) follower() *testNode {
	leader := c.leader()
	for _, name := range c.names {
		if n := c.nodes[name]; n != nil && n != leader {
			return n
		}
	}
	c.t.Fatal("no follower")
	return nil
}

// eventually lets virtual time pass until something holds.
func (c *testCluster) eventually(within time.Duration, what string, holds func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			c.t.Fatalf("after %v there is still not: %s", within, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// create makes a counter.
func (c *testCluster) create(n *testNode, key string) (fsm.ActorID, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := &callboardv1.CreateRequest{Namespace: "default", Name: "counter", Pool: "default"}
	if key != "" {
		request.Key = &key
	}
	out, err := n.core.engine.Submit(ctx, &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_CreateActor{CreateActor: request}}})
	if err != nil {
		return fsm.ActorID{}, err
	}
	if refusal := out.GetRefusal(); refusal != nil {
		return fsm.ActorID{}, refusal
	}
	return fsm.ActorID(out.GetSuccess().GetId()), nil
}
