package raftnet

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// tcpCluster is three nodes over TCP and on disk.
type tcpCluster struct {
	cluster
	dirs       map[string]string
	transports map[string]*TCP
	log        *slog.Logger

	mu        sync.Mutex // guards addresses: Raft asks for them
	addresses map[string]string
}

func newTCPCluster(t *testing.T, log *slog.Logger) *tcpCluster {
	c := &tcpCluster{cluster: cluster{t: t, nodes: map[string]*node{}}, dirs: map[string]string{}, transports: map[string]*TCP{}, addresses: map[string]string{}, log: log}
	var servers []raft.Server
	for _, name := range names {
		c.dirs[name] = t.TempDir()
		c.start(name, "127.0.0.1:0")
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(c.addresses[name])})
	}
	must(t, c.nodes["n1"].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	t.Cleanup(func() {
		for _, name := range names {
			c.stop(name)
		}
	})
	return c
}

func (c *tcpCluster) where(id raft.ServerID) (raft.ServerAddress, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return raft.ServerAddress(c.addresses[string(id)]), nil
}

func (c *tcpCluster) start(name, bind string) {
	c.t.Helper()
	stores, err := Open(c.dirs[name], Options{NodeID: name, Log: quiet})
	must(c.t, err)
	transport, err := ListenTCP(name, bind, "", c.where, nil, c.log)
	must(c.t, err)
	c.mu.Lock()
	c.addresses[name] = string(transport.LocalAddr())
	c.mu.Unlock()
	list := &list{}
	r, err := raft.NewRaft(Config(name, DefaultTiming(), c.log), list, stores.Log, stores.Stable, stores.Snapshots, transport)
	must(c.t, err)
	c.nodes[name], c.transports[name] = &node{raft: r, list: list, store: stores}, transport
}

func (c *tcpCluster) stop(name string) {
	c.t.Helper()
	must(c.t, c.nodes[name].raft.Shutdown().Error())
	must(c.t, c.nodes[name].store.Close())
	delete(c.nodes, name)
}

// One of three nodes over TCP and on disk is ended and started again.
func TestThreeNodesOverTCP(t *testing.T) {
	logs := &lines{}
	c := newTCPCluster(t, slog.New(slog.NewTextHandler(logs, nil)))
	leader := c.leader()
	must(t, c.apply(leader, 1))
	c.stop(leader)
	must(t, c.apply(c.leader(others(leader)...), 2))
	c.start(leader, c.addresses[leader])
	c.leader()
	c.agree(1, 2)
	if text := logs.String(); strings.Contains(text, "pre-vote is disabled") || !strings.Contains(text, "component=raft") {
		t.Fatalf("pre-vote does not pass through, or nothing was logged:\n%s", text)
	}
}

func TestListenTCPRefusesAddresses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	for name, test := range map[string]struct{ bind, advertise, want string }{
		"taken":              {taken.Addr().String(), "", "address already in use"},
		"no address":         {"here", "", "raft address here"},
		"wildcard":           {"0.0.0.0:0", "", "cannot be dialled"},
		"wildcard announced": {"127.0.0.1:0", "[::]:6422", "cannot be dialled"},
		"port 0 announced":   {"127.0.0.1:0", "node:0", "cannot be dialled"},
		"no port announced":  {"127.0.0.1:0", "node", "missing port"},
	} {
		if transport, err := ListenTCP("n1", test.bind, test.advertise, nil, nil, quiet); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v", name, transport, err)
		}
	}
	transport, err := ListenTCP("n1", "127.0.0.1:0", "node-1.example:6422", nil, nil, quiet)
	must(t, err)
	if transport.LocalAddr() != "node-1.example:6422" {
		t.Errorf("announces %s", transport.LocalAddr())
	}
	must(t, transport.Close())
}

func TestInboundConnectionsAreBoundedAndClosed(t *testing.T) {
	transport, err := ListenTCP("n1", "127.0.0.1:0", "", nil, nil, quiet)
	must(t, err)
	var conns []net.Conn
	for range maxInbound + 1 {
		conn, err := net.Dial("tcp", string(transport.LocalAddr()))
		must(t, err)
		defer conn.Close()
		conns = append(conns, conn)
	}
	closed := func(conn net.Conn) bool {
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err := conn.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	if !closed(conns[maxInbound]) {
		t.Fatal("one connection too many was kept")
	}
	must(t, transport.Close())
	if !closed(conns[0]) {
		t.Fatal("a connection outlives the transport")
	}
}

// A message reaches the node that it is meant for, and no other that has its address now.
func TestAnAddressThatIsAnotherNodesNow(t *testing.T) {
	listen := func(id string, where Where) *TCP {
		transport, err := ListenTCP(id, "127.0.0.1:0", "", where, nil, quiet)
		must(t, err)
		t.Cleanup(func() { must(t, transport.Close()) })
		return transport
	}
	here := listen("n2", nil)
	from := listen("n1", func(raft.ServerID) (raft.ServerAddress, error) { return here.LocalAddr(), nil })
	got := make(chan string, 10)
	end := make(chan struct{})
	var answering sync.WaitGroup
	answering.Go(func() {
		for {
			select {
			case rpc := <-here.Consumer():
				vote, _ := rpc.Command.(*raft.RequestVoteRequest)
				got <- string(vote.GetRPCHeader().Addr)
				rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
			case <-end:
				return
			}
		}
	})
	defer answering.Wait()
	defer close(end)
	ask := func(id raft.ServerID) (bool, error) {
		var answer raft.RequestVoteResponse
		request := &raft.RequestVoteRequest{RPCHeader: raft.RPCHeader{Addr: from.EncodePeer("n1", from.LocalAddr())}}
		err := from.RequestVote(id, "unknown:1", request, &answer)
		return answer.Granted, err
	}
	for _, other := range []raft.ServerID{"n2-wiped", "n", "", "n2@elsewhere"} {
		if granted, err := ask(other); err == nil || granted {
			t.Errorf("n2 gave the vote of %q: %v, %v", other, granted, err)
		}
	}
	if granted, err := ask("n2"); err != nil || !granted {
		t.Errorf("n2: %v, %v", granted, err)
	}
	if name := <-got; name != string(from.LocalAddr()) || len(got) > 0 {
		t.Errorf("%s asked, and %d more; want %s", name, len(got), from.LocalAddr())
	}
	// Nor does one that sends something else.
	conn, err := net.Dial("tcp", string(here.LocalAddr()))
	must(t, err)
	defer conn.Close()
	_, err = conn.Write(bytes.Repeat([]byte{1}, 100))
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("nonsense was answered: %d, %v", n, err)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}
