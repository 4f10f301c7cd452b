package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func peer(name string) Peer {
	return Peer{Name: name, NodeID: "id-" + name, RaftAddr: name + ":6422", GRPCAddr: name + ":6421", HTTPAddr: name + ":6420", Version: "1.2.3"}
}

// fast finds the dead in a second instead of ten.
func fast(config *memberlist.Config) {
	config.ProbeInterval, config.ProbeTimeout = 100*time.Millisecond, 50*time.Millisecond
	config.GossipInterval, config.SuspicionMult = 20*time.Millisecond, 2
	config.PushPullInterval = 0 // what heals here is ours
	config.GossipToTheDeadTime = 0
}

var fastPace = pace{alone: 50 * time.Millisecond, fewer: 100 * time.Millisecond, settled: time.Hour, rival: time.Second}

// start runs a node until the test ends or it is stopped.
func start(t *testing.T, self Peer, bind string, seeds ...string) (node *Gossip, stop func()) {
	t.Helper()
	node, err := Listen(Options{Bind: bind, Seeds: seeds, Self: self, Log: quiet, tune: fast, pace: &fastPace})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()
	stop = func() {
		cancel()
		if err := errors.Join(<-done, node.Close()); err != nil {
			t.Error(err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return node, stop
}

// await waits until a node sees exactly these peers.
func await(t *testing.T, members Members, want ...Peer) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		changed := members.Changed()
		got := members.Peers()
		if slices.Equal(got, want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("sees %+v\nwant %+v", got, want)
		}
	}
}

func alive(p Peer) Peer {
	p.Alive = true
	return p
}

func TestThreeNodesFindEachOther(t *testing.T) {
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	n2, _ := start(t, peer("n2"), "127.0.0.1:0", n1.Addr())
	n3, _ := start(t, peer("n3"), "127.0.0.1:0", "127.0.0.1:1", n2.Addr())
	for _, node := range []*Gossip{n1, n2, n3} {
		await(t, node, alive(peer("n1")), alive(peer("n2")), alive(peer("n3")))
	}

	changed := peer("n2")
	changed.ClusterID, changed.GRPCAddr = "c1", "elsewhere:6421"
	if err := n2.Update(changed); err != nil {
		t.Fatal(err)
	}
	for _, node := range []*Gossip{n1, n2, n3} {
		await(t, node, alive(peer("n1")), alive(changed), alive(peer("n3")))
	}
}

// At memberlist's own pace it takes five seconds to find a node dead.
func TestANodeThatLeavesIsGoneAtOnce(t *testing.T) {
	var nodes [2]*Gossip
	for i := range nodes {
		node, err := Listen(Options{Bind: "127.0.0.1:0", Self: peer(fmt.Sprintf("n%d", i+1)), Log: quiet})
		if err != nil {
			t.Fatal(err)
		}
		defer node.Close()
		nodes[i] = node
	}
	if _, err := nodes[1].list.Join([]string{nodes[0].Addr()}); err != nil {
		t.Fatal(err)
	}
	await(t, nodes[0], alive(peer("n1")), alive(peer("n2")))
	begin := time.Now()
	if err := nodes[1].Leave(); err != nil {
		t.Fatal(err)
	}
	await(t, nodes[0], alive(peer("n1")), peer("n2"))
	if took := time.Since(begin); took > 4*time.Second {
		t.Fatalf("took %v", took)
	}
	if err := errors.Join(nodes[1].Leave(), nodes[1].Close()); err != nil {
		t.Fatal(err)
	}
}

// The seed starts later than the node that is told of it.
func TestALateSeedIsFound(t *testing.T) {
	place, stop := start(t, peer("n0"), "127.0.0.1:0")
	address := place.Addr()
	stop()
	n1, _ := start(t, peer("n1"), "127.0.0.1:0", address)
	await(t, n1, alive(peer("n1")))
	n2, _ := start(t, peer("n2"), address)
	await(t, n2, alive(peer("n1")), alive(peer("n2")))
}

// A node that died is called until it is back, though nobody has it as a seed and it has none.
func TestASilentNodeIsCalledAgain(t *testing.T) {
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	n2, stop := start(t, peer("n2"), "127.0.0.1:0", n1.Addr())
	await(t, n1, alive(peer("n1")), alive(peer("n2")))
	stop()
	await(t, n1, alive(peer("n1")), peer("n2"))
	newer := peer("n2")
	newer.Version = "1.2.4"
	n2, _ = start(t, newer, n2.Addr())
	await(t, n1, alive(peer("n1")), alive(newer))
	await(t, n2, alive(peer("n1")), alive(newer))
}

func TestALabelKeepsOthersOut(t *testing.T) {
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	other, err := Listen(Options{Bind: "127.0.0.1:0", Label: "other", Self: peer("n2"), Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.list.Join([]string{n1.Addr()}); err == nil {
		t.Fatal("joined under another label")
	}
	await(t, n1, alive(peer("n1")))
}

// A node of another cluster has an address that this cluster still calls: both stay among themselves, each with its own n1. One that has
// no cluster yet may meet any.
func TestClustersStayApart(t *testing.T) {
	of := func(cluster, name string) Peer {
		p := peer(name)
		p.ClusterID, p.NodeID = cluster, cluster+name
		return p
	}
	a1, a2, b1, b2 := of("a", "n1"), of("a", "n2"), of("b", "n1"), of("b", "n3")
	first, _ := start(t, a1, "127.0.0.1:0")
	other, _ := start(t, b1, "127.0.0.1:0", first.Addr())
	otherToo, _ := start(t, b2, "127.0.0.1:0", other.Addr(), first.Addr())
	await(t, other, alive(b1), alive(b2))
	await(t, otherToo, alive(b1), alive(b2))
	second, _ := start(t, a2, "127.0.0.1:0", first.Addr(), other.Addr(), otherToo.Addr())
	await(t, first, alive(a1), alive(a2))
	await(t, second, alive(a1), alive(a2))
	blank := peer("n4")
	newcomer, _ := start(t, blank, "127.0.0.1:0", first.Addr())
	await(t, newcomer, alive(a1), alive(a2), alive(blank))
	await(t, second, alive(a1), alive(a2), alive(blank))
	await(t, other, alive(b1), alive(b2))
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	long := peer("n1")
	long.RaftAddr = strings.Repeat("x", 512)
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"a taken port":        {Options{Bind: taken.Addr().String(), Self: peer("n1")}, "gossip address " + taken.Addr().String()},
		"no port":             {Options{Bind: "127.0.0.1", Self: peer("n1")}, "missing port"},
		"no name":             {Options{Bind: "127.0.0.1:0"}, "needs a name"},
		"too much to tell":    {Options{Bind: "127.0.0.1:0", Self: long}, "at most 512 fit"},
		"a wildcard":          {Options{Bind: "127.0.0.1:0", Advertise: "0.0.0.0:1", Self: peer("n1")}, "cannot be reached"},
		"an IPv6 wildcard":    {Options{Bind: "[::]:0", Self: peer("n1")}, "cannot be reached"},
		"a seed without port": {Options{Bind: "127.0.0.1:0", Seeds: []string{"n2"}, Self: peer("n1")}, `seed "n2"`},
	} {
		test.options.Log = quiet
		if _, err := Listen(test.options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Listen(Options{Bind: taken.Addr().String(), Self: peer("n1"), Log: quiet}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v is not EADDRINUSE, which the node makes a sentence of", err)
	}
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	if err := n1.Update(long); err == nil {
		t.Error("an update too large was taken")
	}
}

func TestTheRosterForgets(t *testing.T) {
	r := newRoster("")
	now := time.Now()
	for i := range maxGone + 10 {
		node := &memberlist.Node{Name: fmt.Sprintf("n%03d", i), Meta: []byte("{}"), State: memberlist.StateDead}
		r.NotifyJoin(node)
		r.NotifyLeave(node)
		r.members[node.Name] = member{name: node.Name, peer: Peer{Name: node.Name}, gone: now.Add(time.Duration(i) * time.Second)}
	}
	r.NotifyJoin(&memberlist.Node{Name: "here", Meta: []byte("not JSON")})
	r.forget(now.Add(time.Hour))
	if peers := r.board.read(); len(peers) != maxGone+1 || peers[1].Name != "n010" || peers[0] != (Peer{Name: "here", Alive: true}) {
		t.Fatalf("%d peers, first %+v", len(peers), peers[:2])
	}
	r.forget(now.Add(forgetAfter + time.Hour))
	if peers := r.board.read(); len(peers) != 1 {
		t.Fatalf("%d peers", len(peers))
	}
	if note := <-r.notes; !strings.Contains(note, "here") {
		t.Fatalf("noted %q", note)
	}
}

func TestStatic(t *testing.T) {
	members := NewStatic(peer("b"), peer("a"))
	changed := members.Changed()
	members.Set(peer("a"), peer("b")) // the same
	select {
	case <-changed:
		t.Fatal("changed for nothing")
	default:
	}
	members.Set(peer("a"))
	<-changed
	await(t, members, peer("a"))
}

func TestLogLines(t *testing.T) {
	var out bytes.Buffer
	log := standardLog(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	log.Printf("[DEBUG] memberlist: fine")
	log.Printf("[WARN] memberlist: slow %s\n", "n2")
	log.Printf("[ERR] memberlist: broken")
	log.Printf("plain")
	want := "level=WARN msg=\"slow n2\" component=gossip\nlevel=ERROR msg=broken component=gossip\nlevel=INFO msg=plain component=gossip\n"
	if out.String() != want {
		t.Fatalf("got\n%swant\n%s", out.String(), want)
	}
}
