package raftnet

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

func TestThreeNodesElectALeaderAndReplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		leader := c.leader()
		for i := uint64(1); i <= 3; i++ {
			must(t, c.apply(leader, i))
		}
		c.agree(1, 2, 3)
	})
}

func TestACutOffLeaderStepsDownAndCatchesUpWhenHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		old := c.leader()
		must(t, c.apply(old, 1))
		c.network.Isolate(old)
		if err := c.apply(old, 99); err == nil {
			t.Fatal("a leader without followers acknowledged a write")
		}
		next := c.leader(others(old)...)
		must(t, c.apply(next, 2))
		c.network.Heal()
		c.leader()
		c.agree(1, 2)
	})
}

// Pre-vote: a follower that was away does not come back with a higher term and unseat the leader.
func TestAHealedFollowerDisturbsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		leader := c.leader()
		term := c.nodes[leader].raft.CurrentTerm()
		away := others(leader)[0]
		c.network.Isolate(away)
		time.Sleep(time.Minute)
		must(t, c.apply(leader, 1))
		c.network.Heal()
		c.agree(1)
		if again := c.leader(); again != leader || c.nodes[leader].raft.CurrentTerm() != term {
			t.Fatalf("leader %s in term %d, was %s in %d", again, c.nodes[leader].raft.CurrentTerm(), leader, term)
		}
	})
}

// The follower hears nothing but is heard: it asks for votes all the time, and must not unseat the leader.
func TestAOneWayCutTowardsAFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		leader := c.leader()
		term := c.nodes[leader].raft.CurrentTerm()
		deaf := others(leader)[0]
		c.network.Cut(leader, deaf)
		time.Sleep(10 * time.Second)
		must(t, c.apply(leader, 1))
		if now := c.nodes[leader].raft.CurrentTerm(); now != term {
			t.Fatalf("term %d, was %d", now, term)
		}
		c.network.Heal()
		c.agree(1)
	})
}

// The leader is heard but hears nothing: it must step down, though its heartbeats still arrive.
func TestAOneWayCutTowardsTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		deaf := c.leader()
		for _, name := range others(deaf) {
			c.network.Cut(name, deaf)
		}
		time.Sleep(time.Second)
		if c.nodes[deaf].raft.State() == raft.Leader {
			t.Fatal("a deaf leader stayed")
		}
		must(t, c.apply(c.leader(others(deaf)...), 1))
		c.network.Heal()
		c.agree(1)
	})
}

func TestACrashedLeaderComesBackWithItsDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		old := c.leader()
		must(t, c.apply(old, 1))
		c.crash(old)
		must(t, c.apply(c.leader(others(old)...), 2))
		c.start(old)
		c.leader()
		c.agree(1, 2)
	})
}

func TestAllNodesCrashAndNothingIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		must(t, c.apply(c.leader(), 1))
		for _, name := range names {
			c.crash(name)
		}
		for _, name := range names {
			c.start(name)
		}
		must(t, c.apply(c.leader(), 2))
		c.agree(1, 2)
	})
}

func TestAFarBehindFollowerGetsASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		leader := c.leader()
		away := others(leader)[0]
		c.crash(away)
		c.disks[away].Wipe()
		var want []uint64
		for i := uint64(1); i <= 300; i++ {
			must(t, c.apply(leader, i))
			want = append(want, i)
		}
		must(t, c.nodes[leader].raft.Snapshot().Error())
		c.start(away)
		c.agree(want...)
		if metas, _ := c.nodes[away].store.Snapshots.List(); len(metas) != 1 {
			t.Fatalf("%d snapshots on the node that was away", len(metas))
		}
		c.crash(away)
		c.start(away)
		c.agree(want...)
	})
}

func TestADelayedLinkLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t)
		leader := c.leader()
		for _, name := range others(leader) {
			c.network.Delay(leader, name, 50*time.Millisecond)
		}
		begin := time.Now()
		must(t, c.apply(leader, 1))
		if took := time.Since(begin); took < 50*time.Millisecond {
			t.Fatalf("committed after %v over links of 50 ms", took)
		}
		c.agree(1)
	})
}

func TestRPCsRespectTheirTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		a, b := network.Join("a"), network.Join("b")
		vote := func() (time.Duration, error) {
			begin := time.Now()
			err := a.RequestVote("b", "b", &raft.RequestVoteRequest{}, &raft.RequestVoteResponse{})
			return time.Since(begin), err
		}
		if took, err := vote(); !errors.Is(err, errLost) || took != memoryTimeout {
			t.Fatalf("a node that does not read: %v after %v", err, took)
		}
		go func() {
			for range 2 {
				rpc := <-b.Consumer()
				rpc.Respond(&raft.RequestVoteResponse{Granted: true}, nil)
			}
		}()
		if took, err := vote(); err != nil || took != 2*memoryLatency {
			t.Fatalf("a node that answers: %v after %v", err, took)
		}
		network.Cut("b", "a")
		if took, err := vote(); !errors.Is(err, errLost) || took != memoryTimeout {
			t.Fatalf("an answer that is lost: %v after %v", err, took)
		}
		network.Kill("b")
		if took, err := vote(); !errors.Is(err, errRefused) || took != memoryLatency {
			t.Fatalf("a dead node: %v after %v", err, took)
		}
	})
}

func TestAFormerStartNoLongerWrites(t *testing.T) {
	disk := NewDisk()
	former := disk.Open()
	must(t, former.Log.StoreLogs(entries(1, 2)))
	sink, err := former.Snapshots.Create(raft.SnapshotVersionMax, 2, 1, raft.Configuration{}, 1, nil)
	must(t, err)
	now := disk.Open()
	if err := former.Log.StoreLogs(entries(3, 3)); !errors.Is(err, errPowerOff) {
		t.Fatalf("got %v", err)
	}
	if err := sink.Close(); !errors.Is(err, errPowerOff) {
		t.Fatalf("got %v", err)
	}
	must(t, former.Stable.SetUint64([]byte("CurrentTerm"), 9))
	must(t, now.Log.DeleteRange(1, 1))
	must(t, former.Log.GetLog(1, &raft.Log{})) // what the former start reads stands still
	if last, _ := now.Log.LastIndex(); last != 2 {
		t.Fatalf("last index %d", last)
	}
	if _, err := now.Stable.GetUint64([]byte("CurrentTerm")); err == nil {
		t.Fatal("a term was written by a crashed node")
	}
	if metas, _ := now.Snapshots.List(); len(metas) != 0 {
		t.Fatal("half a snapshot is visible")
	}
}
