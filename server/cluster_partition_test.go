package server

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/fsm/snapshot"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// A follower that holds a runner's session is cut off from the others. The runner hears no acknowledgement, moves to another node, and
// none of its actors is stopped.
func TestHolderCutOff(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		holder := c.follower()
		r := c.run(runner.Config{Endpoint: c.GRPCAddr(holder.name), Slots: 100})
		defer r.end()
		c.populate(20, r)
		id := c.onlyRunner().ID
		if at := c.onlyRunner().Holder; at != holder.name {
			t.Fatalf("held by %s, want %s", at, holder.name)
		}
		c.isolate(holder.name)
		c.eventually(12*time.Second, "the runner on another node", func() bool {
			row := c.leader().core.replica.Current().Runner(id)
			return row.Holder != holder.name && row.Connected
		})
		time.Sleep(30 * time.Second)
		c.heal()
		time.Sleep(15 * time.Second)
		if row := c.leader().core.replica.Current().Runner(id); row.End != fsm.NotEnded {
			t.Errorf("the runner was ended (%d)", row.End)
		}
		r.livedOnce(t)
	})
}

// The leader hears its followers but they do not hear it: they elect another, and the old one steps down as soon as it hears of that.
func TestLeaderHeardByNobody(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		old := c.leader()
		r := c.run(runner.Config{Slots: 100})
		defer r.end()
		c.populate(20, r)
		for _, name := range c.names {
			if name != old.name {
				c.network.Cut(old.name, name)
			}
		}
		c.eventually(10*time.Second, "another leader", func() bool {
			for _, n := range c.nodes {
				if n != old && n.core.engine.inbox.gate.isOpen() {
					return true
				}
			}
			return false
		})
		time.Sleep(20 * time.Second)
		if old.core.engine.inbox.gate.isOpen() {
			t.Error("the old leader still takes requests")
		}
		// Through the node that nobody hears, a write is done and shown, or unknown: it is never said to have failed.
		if _, err := c.create(old, "after"); err != nil && !errors.Is(err, callboardv1.ErrOutcomeUnknown) {
			t.Error(err)
		}
		if _, err := c.create(c.leader(), "after too"); err != nil {
			t.Error(err)
		}
		c.heal()
		time.Sleep(15 * time.Second)
		r.livedOnce(t)
	})
}

// A node that was away while the others compacted their log gets a snapshot, and can lead with it.
func TestSnapshotThenLead(t *testing.T) {
	inClusterTuned(t, 3, func(config *raft.Config) {
		config.SnapshotThreshold, config.TrailingLogs, config.SnapshotInterval = 40, 20, 2*time.Second
	}, func(t *testing.T, c *testCluster) {
		late := c.follower().name
		r := c.run(runner.Config{Slots: 1000})
		defer r.end()
		c.populate(5, r)
		c.kill(late)
		for i := range 120 {
			if _, err := c.create(c.leader(), fmt.Sprintf("meanwhile-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Second) // the others take their snapshots
		c.start(late)
		c.eventually(20*time.Second, "the late node to catch up", func() bool {
			return c.nodes[late].core.replica.Current().LiveActors() == 125
		})
		if first := c.nodes[late].core.raft.Stats()["last_snapshot_index"]; first == "0" {
			t.Error("it caught up from the log: the test does not test a snapshot")
		}
		for _, name := range c.names { // those that could lead in its place go away, one after the other
			if name != late && c.leader().name == name {
				c.kill(name)
				time.Sleep(5 * time.Second)
				if c.leader().name != late {
					if err := c.leader().core.raft.LeadershipTransferToServer(raft.ServerID(late), raft.ServerAddress(late)).Error(); err != nil {
						t.Fatal(err)
					}
				}
				break
			}
		}
		c.eventually(10*time.Second, "the late node leading", func() bool { return c.leader().name == late })
		if _, err := c.create(c.nodes[late], "after"); err != nil {
			t.Fatal(err)
		}
		c.sameEverywhere()
		c.eventually(10*time.Second, "all running", func() bool { return r.running() == 126 })
		r.livedOnce(t)
	})
}

// Wall clocks an hour apart change nothing but what is displayed, and the displayed time never goes back.
func TestWallClocksApart(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		for i, name := range c.names {
			c.wall[name] = time.Duration(i-1) * time.Hour
		}
		r := c.run(runner.Config{Slots: 1000})
		defer r.end()
		c.populate(10, r)
		var last int64
		for range 3 {
			now := c.leader()
			c.kill(now.name)
			time.Sleep(3 * time.Second)
			if _, err := c.create(c.leader(), ""); err != nil {
				t.Fatal(err)
			}
			v := c.leader().core.replica.Current()
			if v.WallMs() < last {
				t.Errorf("the displayed time went back from %d to %d", last, v.WallMs())
			}
			last = v.WallMs()
			c.start(now.name)
			time.Sleep(3 * time.Second)
		}
		c.sameEverywhere()
		if end := c.onlyRunner().End; end != fsm.NotEnded {
			t.Errorf("the runner was ended (%d)", end)
		}
		r.livedOnce(t)
	})
}

// What a caller is told is unknown is only ever that: with its leader gone between the write and the answer, the write is there or not,
// and asking again with the same key answers without doing it twice.
func TestUnknownStaysUnknown(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		r := c.run(runner.Config{Slots: 1000})
		defer r.end()
		c.populate(1, r)
		unknown := 0
		for i := range 30 {
			through, leader := c.follower(), c.leader()
			request := &nodev1.SubmitRequest{IdempotencyKey: fmt.Sprintf("once-%d", i), Command: &nodev1.Command{
				Command: &nodev1.Command_CreateActor{CreateActor: &callboardv1.CreateRequest{Namespace: "default", Name: "once", Pool: "default"}},
			}}
			answered := make(chan error, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				_, err := through.core.engine.Submit(ctx, request)
				answered <- err
			}()
			time.Sleep(time.Duration(i*150) * time.Microsecond) // a little later each time into the life of the request
			c.isolate(leader.name)
			err := <-answered
			if errors.Is(err, callboardv1.ErrOutcomeUnknown) {
				unknown++
			}
			c.heal()
			time.Sleep(11 * time.Second)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if _, err := c.leader().core.engine.Submit(ctx, request); err != nil {
				t.Fatalf("asked again: %v", err)
			}
			cancel()
		}
		v := c.leader().core.replica.Current()
		made := 0
		for range v.Actors(v.Namespace("default"), "once", 0) {
			made++
		}
		if made != 30 {
			t.Errorf("%d actors for 30 requests", made)
		}
		if unknown == 0 {
			t.Error("no outcome was unknown: the test does not reach what it tests")
		}
	})
}

// populate waits for a connected runner, and creates actors until they run.
func (c *testCluster) populate(actors int, r *testRunner) {
	c.t.Helper()
	c.awaitRunner()
	for i := range actors {
		if _, err := c.create(c.leader(), fmt.Sprintf("populate-%d", i)); err != nil {
			c.t.Fatal(err)
		}
	}
	c.eventually(5*time.Second, "all running", func() bool { return r.running() == actors })
}

func (c *testCluster) awaitRunner() {
	c.t.Helper()
	c.eventually(20*time.Second, "a connected runner", func() bool {
		v := c.leader().core.replica.Current()
		p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
		return p != nil && v.PoolStats(p).Connected > 0
	})
}

// onlyRunner returns the runner that connected first.
func (c *testCluster) onlyRunner() *fsm.Runner {
	v := c.leader().core.replica.Current()
	var first *fsm.Runner
	for r := range v.Runners(v.Namespace("default"), 0) {
		first = r
	}
	return first
}

// sameEverywhere waits until all nodes are at one index, and compares their states.
func (c *testCluster) sameEverywhere() {
	c.t.Helper()
	c.eventually(20*time.Second, "equal indexes", func() bool {
		hashes := map[[32]byte]bool{}
		index := c.leader().core.replica.Current().Index()
		for _, n := range c.nodes {
			v := n.core.replica.Current()
			if v.Index() != index {
				return false
			}
			hashes[snapshot.Hash(v)] = true
		}
		if len(hashes) != 1 {
			c.t.Fatalf("%d different states at index %d", len(hashes), index)
		}
		return true
	})
}

// livedOnce tells that no actor was ever started twice.
func (r *testRunner) livedOnce(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, generations := range r.runs {
		if len(generations) != 1 {
			t.Errorf("actor %s lived %v", id, generations)
		}
	}
}
