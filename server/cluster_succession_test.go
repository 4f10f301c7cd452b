package server

import (
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/transport/raftnet"
)

// seer is a node's transport in memory that notices, as TCP does, when a process is gone.
type seer struct {
	*raftnet.MemoryTransport
	broken chan struct{}
	gone   func(id raft.ServerID) bool
	asked  int // how often this node asked for votes at once
}

func (s *seer) Broken() <-chan struct{}                          { return s.broken }
func (s *seer) Gone(id raft.ServerID, _ raft.ServerAddress) bool { return s.gone(id) }

func (s *seer) Campaign() error {
	s.asked++
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	return s.TimeoutNow("", s.LocalAddr(), request, new(raft.TimeoutNowResponse))
}

// seers are the transports of a cluster by node.
type seers map[string]*seer

// inSeeingCluster runs a test on three nodes that notice when a process is gone.
func inSeeingCluster(t *testing.T, test func(t *testing.T, c *testCluster, all seers)) {
	t.Helper()
	all := seers{}
	inClusterWith(t, 3, func(c *testCluster) {
		c.join = func(name string) raft.Transport {
			s := &seer{MemoryTransport: c.network.Join(name), broken: make(chan struct{}, 1), gone: func(id raft.ServerID) bool {
				c.mu.Lock()
				defer c.mu.Unlock()
				return c.doors[c.GRPCAddr(string(id))] == nil
			}}
			all[name] = s
			return s
		}
	}, func(t *testing.T, c *testCluster) { test(t, c, all) })
}

// tell lets every node notice that a connection has ended.
func (all seers) tell() {
	for _, s := range all {
		select {
		case s.broken <- struct{}{}:
		default:
		}
	}
}

// successor waits for a leader other than one that is gone, and returns how long that took.
func (c *testCluster) successor(gone string) time.Duration {
	c.t.Helper()
	began := time.Now()
	for time.Since(began) < 10*time.Second {
		for name, n := range c.nodes {
			if name != gone && n.core.raft.State() == raft.Leader {
				return time.Since(began)
			}
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Fatalf("nobody follows %s", gone)
	return 0
}

// A leader that was killed is followed in a fraction of the time-out: its connections are gone, and its door too.
func TestAKilledLeaderIsFollowedAtOnce(t *testing.T) {
	inSeeingCluster(t, func(t *testing.T, c *testCluster, all seers) {
		for range 5 {
			leader := c.leader()
			gone := leader.name
			c.kill(gone)
			all.tell()
			if took := c.successor(gone); took > turnOfSuccessor/2 {
				t.Errorf("%s was followed after %s", gone, took)
			}
			c.start(gone)
			time.Sleep(successionPause + time.Second)
		}
	})
}

// The first in turn lacks the last entries: it gets no vote, and the next one leads after its turn.
func TestASuccessorThatIsBehindLetsTheNextOneLead(t *testing.T) {
	inSeeingCluster(t, func(t *testing.T, c *testCluster, all seers) {
		gone := c.leader().name
		c.putThreshold(60) // a pool, for actors to be made in
		var heirs []string
		for _, name := range c.names {
			if name != gone {
				heirs = append(heirs, name)
			}
		}
		behind, next := heirs[0], heirs[1]
		c.part(gone, behind)
		if _, err := c.create(c.nodes[gone], "last"); err != nil {
			t.Fatal(err)
		}
		c.kill(gone)
		c.heal()
		all.tell()
		if took := c.successor(gone); took > turnOfSuccessor+turnOfSuccessor/2 {
			t.Errorf("%s was followed after %s", gone, took)
		}
		if leader := c.leader().name; leader != next {
			t.Errorf("%s leads, which was behind: %s should", leader, next)
		}
		if all[behind].asked != 1 || all[next].asked != 1 {
			t.Errorf("%s asked %d times and %s %d times, want once each", behind, all[behind].asked, next, all[next].asked)
		}
	})
}

// A connection that broke while the leader's door is there is no reason for anything.
func TestABrokenConnectionAloneElectsNobody(t *testing.T) {
	inSeeingCluster(t, func(t *testing.T, c *testCluster, all seers) {
		leader := c.leader()
		epoch := leader.core.replica.Current().Epoch()
		for range 20 {
			all.tell()
			time.Sleep(100 * time.Millisecond)
		}
		if now := c.leader(); now != leader || now.core.replica.Current().Epoch() != epoch {
			t.Errorf("%s leads in epoch %d: %s led in %d", now.name, now.core.replica.Current().Epoch(), leader.name, epoch)
		}
	})
}

// A node that is wrong about the leader each time (a firewall refuses in its name) costs one election in ten seconds at most.
func TestAWrongWitnessDisturbsSeldom(t *testing.T) {
	inSeeingCluster(t, func(t *testing.T, c *testCluster, all seers) {
		for _, s := range all {
			s.gone = func(raft.ServerID) bool { return true }
		}
		c.putThreshold(60) // a pool, for an actor to be made in
		began := c.leader().core.replica.Current().Epoch()
		for range 100 {
			all.tell()
			time.Sleep(100 * time.Millisecond)
		}
		// Each of three nodes may have taken each of the two others for gone once in this time.
		if now := c.leader().core.replica.Current().Epoch(); now-began > 6 {
			t.Errorf("%d elections in ten seconds", now-began)
		}
		if _, err := c.create(c.leader(), "still"); err != nil {
			t.Error(err)
		}
	})
}
