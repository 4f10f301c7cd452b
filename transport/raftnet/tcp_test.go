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

// Three nodes over TCP and on disk; one is ended and started again.
func TestThreeNodesOverTCP(t *testing.T) {
	c := &cluster{t: t, nodes: map[string]*node{}}
	dirs, addresses := map[string]string{}, map[string]string{}
	logs := &lines{}
	log := slog.New(slog.NewTextHandler(logs, nil))
	start := func(name, bind string) {
		stores, err := Open(dirs[name], quiet)
		must(t, err)
		transport, err := ListenTCP(bind, "", nil, log)
		must(t, err)
		addresses[name] = string(transport.LocalAddr())
		list := &list{}
		r, err := raft.NewRaft(Config(name, DefaultTiming(), log), list, stores.Log, stores.Stable, stores.Snapshots, transport)
		must(t, err)
		c.nodes[name] = &node{raft: r, list: list, store: stores}
	}
	stop := func(name string) {
		must(t, c.nodes[name].raft.Shutdown().Error())
		must(t, c.nodes[name].store.Close())
		delete(c.nodes, name)
	}
	var servers []raft.Server
	for _, name := range names {
		dirs[name] = t.TempDir()
		start(name, "127.0.0.1:0")
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(addresses[name])})
	}
	must(t, c.nodes["n1"].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	leader := c.leader()
	must(t, c.apply(leader, 1))
	stop(leader)
	must(t, c.apply(c.leader(others(leader)...), 2))
	start(leader, addresses[leader])
	c.leader()
	c.agree(1, 2)
	for _, name := range names {
		stop(name)
	}
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
		if transport, err := ListenTCP(test.bind, test.advertise, nil, quiet); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v", name, transport, err)
		}
	}
	transport, err := ListenTCP("127.0.0.1:0", "node-1.example:6422", nil, quiet)
	must(t, err)
	if transport.LocalAddr() != "node-1.example:6422" {
		t.Errorf("announces %s", transport.LocalAddr())
	}
	must(t, transport.Close())
}

func TestInboundConnectionsAreBoundedAndClosed(t *testing.T) {
	transport, err := ListenTCP("127.0.0.1:0", "", nil, quiet)
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
