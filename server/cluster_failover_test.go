package server

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/fsm/snapshot"
	"github.com/callboard/callboard/runner"
)

// writer creates keyed actors through one node after the other, and remembers what it was told.
type writer struct {
	mu      sync.Mutex
	acked   map[string]fsm.ActorID
	unknown map[string]bool
	refused int
	stop    chan struct{}
	wait    sync.WaitGroup
}

func (c *testCluster) write(writers int) *writer {
	w := &writer{acked: map[string]fsm.ActorID{}, unknown: map[string]bool{}, stop: make(chan struct{})}
	for i := range writers {
		w.wait.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-w.stop:
					return
				case <-time.After(40 * time.Millisecond):
				}
				node := c.alive(i + n)
				if node == nil {
					continue
				}
				key := fmt.Sprintf("w%d-%d", i, n)
				w.note(key, c.createAt(node, key))
			}
		})
	}
	return w
}

func (w *writer) end() {
	close(w.stop)
	w.wait.Wait()
}

func (c *testCluster) alive(i int) *testNode {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.names {
		if n := c.nodes[c.names[(i+k)%len(c.names)]]; n != nil {
			return n
		}
	}
	return nil
}

// check holds what was told against every node: acknowledged writes are there, refused ones are not, each key has one actor, and
// equal indexes have equal states.
func (c *testCluster) check(w *writer) {
	c.t.Helper()
	time.Sleep(15 * time.Second) // raft's back-off may keep a healed follower ten seconds behind
	leader := c.leader()
	if _, err := c.create(leader, "last-of-all"); err != nil {
		c.t.Fatal(err)
	}
	hashes := map[uint64][32]byte{}
	for name, n := range c.nodes {
		v := n.core.replica.Current()
		ns := v.Namespace("default")
		for key, id := range w.acked {
			if a := v.ActorByKey(ns.ID, "counter", key); a == nil || a.ID != id {
				c.t.Errorf("%s: %s was acknowledged as %v and is not there", name, key, id)
			}
		}
		total := 0
		for a := range v.Actors(ns, "counter", 0) {
			_, acked := w.acked[a.Key]
			if !acked && !w.unknown[a.Key] && a.Key != "last-of-all" {
				c.t.Errorf("%s: %s is there although no caller was told so", name, a.Key)
			}
			total++
		}
		if total < len(w.acked) {
			c.t.Errorf("%s: %d actors, %d acknowledged", name, total, len(w.acked))
		}
		hash := snapshot.Hash(v)
		if other, seen := hashes[v.Index()]; seen && other != hash {
			c.t.Errorf("%s: another state than elsewhere at index %d", name, v.Index())
		}
		hashes[v.Index()] = hash
		if err := v.CheckAll(); err != nil {
			c.t.Errorf("%s: %v", name, err)
		}
	}
}

// A leader dies while clients write through every node: what was acknowledged survives, and nobody's actor moves.
func TestLeaderKilledUnderWrites(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		first := c.leader()
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(8)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 100 })
		for range 2 {
			victim := c.leader()
			c.kill(victim.name)
			began := time.Now()
			next := c.leader()
			if next == first {
				t.Fatal("the dead lead")
			}
			t.Logf("leading again after %v", time.Since(began))
			time.Sleep(3 * time.Second)
			c.start(victim.name)
			time.Sleep(3 * time.Second)
		}
		w.end()
		if len(w.acked) < 200 {
			t.Errorf("only %d writes were acknowledged", len(w.acked))
		}
		t.Logf("acknowledged %d, unknown %d, refused %d", len(w.acked), len(w.unknown), w.refused)
		c.check(w)
		for id, generations := range r.runs {
			if len(generations) != 1 {
				t.Errorf("actor %s lived %v", id, generations)
			}
		}
	})
}

// A leader that is cut off with writes in flight can do nothing: the others elect, and what it could not commit is told as unknown
// or as without effect.
func TestLeaderCutOff(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		old := c.leader()
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(8)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 50 })
		c.isolate(old.name)
		time.Sleep(3 * time.Second)
		if old.core.engine.inbox.gate.isOpen() {
			t.Error("a leader without a majority still takes requests after 3 s")
		}
		c.heal()
		time.Sleep(5 * time.Second)
		w.end()
		t.Logf("acknowledged %d, unknown %d, refused %d", len(w.acked), len(w.unknown), w.refused)
		c.check(w)
	})
}

// Every node is killed at the same instant and started again: nothing acknowledged is missing, no actor is moved.
func TestAllKilled(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(4)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 50 })
		for _, name := range c.names {
			c.kill(name)
		}
		time.Sleep(2 * time.Second)
		for _, name := range c.names {
			c.start(name)
		}
		c.leader()
		time.Sleep(3 * time.Second)
		w.end()
		c.check(w)
		c.eventually(10*time.Second, "all running", func() bool { return r.running() == int(c.leader().core.replica.Current().LiveActors()) })
		for id, generations := range r.runs {
			if len(generations) != 1 {
				t.Errorf("actor %s lived %v", id, generations)
			}
		}
	})
}
