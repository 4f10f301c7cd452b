package gossip

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// started is a peer in its count-th start.
func started(name string, count uint64) Peer {
	p := peer(name)
	p.Start = NewStart(count)
	p.Running = true
	return p
}

// open makes a node that answers, and does not run yet.
func open(t *testing.T, self Peer, seeds ...string) *Gossip {
	t.Helper()
	node, err := Listen(Options{Bind: "127.0.0.1:0", Seeds: seeds, Self: self, Log: quiet, tune: fast, pace: &fastPace})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = node.Close() })
	return node
}

func TestStartsAreOrderedAndWritten(t *testing.T) {
	ordered := []Start{{}, {1, 50, "b"}, {2, 10, "b"}, {2, 20, "a"}, {2, 20, "b"}, {10, 1, "a"}}
	if !slices.IsSortedFunc(ordered, Start.Compare) {
		t.Error("starts are not ordered by count, time and id")
	}
	for _, start := range ordered {
		id, got := ParseCaller(Caller("n#1", start))
		if id != "n#1" || got != start {
			t.Errorf("%v is read as %s, %v", start, id, got)
		}
	}
	if a, b := NewStart(1), NewStart(1); a == b {
		t.Error("two starts are the same")
	}
}

// A node that was killed is there again at another address at once: nobody waits for the former start to be found dead. The name may be
// another too.
func TestANodeBackAtAnotherAddressCountsAtOnce(t *testing.T) {
	first := started("n2", 1)
	n1, _ := startSlow(t, peer("n1"))
	n2, stop := startSlow(t, first, n1.Addr())
	await(t, n1, alive(peer("n1")), alive(first))
	_ = n2
	stop()
	began := time.Now()
	second := started("another", 2)
	second.NodeID, second.RaftAddr = first.NodeID, "elsewhere:6422"
	again := open(t, second, n1.Addr())
	if err := again.Meet(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, n1, alive(second), alive(peer("n1")))
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("took %v", took)
	}
}

// startSlow is start at memberlist's own pace, which finds nobody dead in the time of a test.
func startSlow(t *testing.T, self Peer, seeds ...string) (node *Gossip, stop func()) {
	t.Helper()
	node, err := Listen(Options{Bind: "127.0.0.1:0", Seeds: seeds, Self: self, Log: quiet, pace: &fastPace})
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

// A copy of a living node ends before it does anything, whatever its name, and nobody takes it for the node. The tie-break of two that
// counted the same is their time.
func TestACopyOfALivingNodeEnds(t *testing.T) {
	original := started("n2", 3)
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	n2, _ := start(t, original, "127.0.0.1:0", n1.Addr())
	await(t, n1, alive(peer("n1")), alive(original))
	for name, count := range map[string]uint64{"a": 4, "z": 4, "n2": 3} {
		double := started(name, count)
		double.NodeID, double.Running = original.NodeID, false
		double.Start.UnixMs = original.Start.UnixMs + 1
		node := open(t, double, n1.Addr())
		var other *OtherStartError
		if err := node.Meet(t.Context()); !errors.As(err, &other) {
			t.Fatalf("%s: %v", name, err)
		}
		if other.There != original.Start || other.Here != double.Start || other.Address != n2.Addr() || !strings.Contains(other.Error(), "runs already") {
			t.Errorf("%s: %+v", name, other)
		}
		if err := n1.Judge(t.Context(), double.NodeID, double.Start); !errors.As(err, &other) {
			t.Errorf("%s may act for the node: %v", name, err)
		}
		if err := n1.Judge(t.Context(), original.NodeID, original.Start); err != nil {
			t.Errorf("the original may not act: %v", err)
		}
		if peers := n1.Peers(); !slices.Contains(peers, alive(original)) || len(peers) != 2 {
			t.Errorf("%s: n1 sees %+v", name, peers)
		}
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Of two processes that begin at once the older goes on, and does not end for the newer.
func TestOfTwoThatBeginTheOlderGoesOn(t *testing.T) {
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	older, newer := started("n2", 1), started("n2", 2)
	older.Running, newer.Running = false, false
	a, b := open(t, older, n1.Addr()), open(t, newer, n1.Addr())
	await(t, n1, alive(peer("n1")))
	met := make(chan error, 2)
	go func() { met <- a.Meet(t.Context()) }()
	var other *OtherStartError
	if err := b.Meet(t.Context()); err != nil && !errors.As(err, &other) {
		t.Error(err)
	}
	if err := <-met; err != nil {
		t.Errorf("the older: %v", err)
	}
	for end := time.Now().Add(20 * time.Second); !errors.As(b.Meet(t.Context()), &other); { // it may not know the older yet
		if time.Now().After(end) {
			t.Fatal("the newer goes on")
		}
	}
}

// An older directory than the one that ran last is told apart, though nothing of the last one is there.
func TestAnOlderStartNeverComesBack(t *testing.T) {
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	last := started("n2", 7)
	_, stop := start(t, last, "127.0.0.1:0", n1.Addr())
	await(t, n1, alive(peer("n1")), alive(last))
	stop()
	await(t, n1, alive(peer("n1")), last)
	old := started("n2", 5)
	node, _ := start(t, old, "127.0.0.1:0", n1.Addr())
	await(t, node, alive(peer("n1")), alive(old))
	var other *OtherStartError
	if err := n1.Judge(t.Context(), old.NodeID, old.Start); !errors.As(err, &other) || !other.Gone || !strings.Contains(err.Error(), "an older one") {
		t.Errorf("%v", err)
	}
	if peers := n1.Peers(); !slices.Contains(peers, last) {
		t.Errorf("n1 sees %+v", peers)
	}
	next := started("n2", 8)
	_, _ = start(t, next, "127.0.0.1:0", n1.Addr())
	await(t, n1, alive(peer("n1")), alive(next))
}

// Two that met when both ran already: the newer ends.
func TestTheNewerOfTwoThatRunEnds(t *testing.T) {
	original, double := started("n2", 1), started("n2", 2)
	n1, _ := start(t, peer("n1"), "127.0.0.1:0")
	_, _ = start(t, original, "127.0.0.1:0", n1.Addr())
	await(t, n1, alive(peer("n1")), alive(original))
	node := open(t, double, n1.Addr())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var other *OtherStartError
	if err := node.Run(ctx); !errors.As(err, &other) || other.There != original.Start {
		t.Fatalf("%v", err)
	}
	if peers := n1.Peers(); !slices.Contains(peers, alive(original)) {
		t.Errorf("n1 sees %+v", peers)
	}
}

// A process that was suspended, and has been replaced meanwhile, looks for the newer start when it is thawed, and ends. One that was not
// suspended goes on: the newer one has found it, or will.
func TestAThawedNodeLooksForItsSuccessor(t *testing.T) {
	first, second := started("n2", 1), started("n2", 2)
	second.NodeID = first.NodeID
	thawed := open(t, first)
	next := open(t, second, thawed.Addr())
	go next.join(t.Context())
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, others, _ := thawed.roster.of(first.NodeID); len(others) == 1 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the two did not meet")
		}
	}
	awake := rival{looked: time.Now()}
	if err := awake.look(t.Context(), thawed); err != nil {
		t.Errorf("it was not suspended: %v", err)
	}
	var other *OtherStartError
	asleep := rival{looked: time.Now().Add(-suspended - time.Second)}
	if err := asleep.look(t.Context(), thawed); !errors.As(err, &other) || other.There != second.Start || other.Here != first.Start {
		t.Errorf("it was suspended: %v", err)
	}
	late := rival{looked: time.Now(), woke: time.Now().Add(-wakeFor - time.Second)}
	if err := late.look(t.Context(), thawed); err != nil {
		t.Errorf("it woke long ago: %v", err)
	}
}

// Who refuses an older copy says that the newer start answers only if it does.
func TestAnOlderCopyIsToldWhetherTheNewerStartAnswers(t *testing.T) {
	newer := started("n2", 5)
	n1, _ := startSlow(t, peer("n1"))
	_, stop := startSlow(t, newer, n1.Addr())
	await(t, n1, alive(peer("n1")), alive(newer))
	for _, want := range []string{"answers at", "ran last as"} {
		var other *OtherStartError
		if err := n1.Judge(t.Context(), newer.NodeID, NewStart(2)); !errors.As(err, &other) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %q", err, want)
		}
		stop() // at memberlist's own pace n1 takes it for alive for seconds
	}
}
