package server

import (
	"errors"
	"testing"
	"time"

	"github.com/callboard/callboard/runner"
)

// The leader's disk answers nothing any more. Its Raft goes on telling the others that it leads, so the node has to end; then another
// one leads, and nothing acknowledged is missing.
func TestALeaderWhoseDiskHangsEnds(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(4)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 20 })
		leader := c.leader()
		goOn := c.disks[leader.name].Hang()
		defer goOn()
		began := time.Now()
		select {
		case err := <-leader.done:
			if !errors.Is(err, errStuck) {
				t.Errorf("the node ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the node goes on")
		}
		if took := time.Since(began); took > (stuckAfter+3)*time.Second {
			t.Errorf("the node ended after %s", took)
		}
		c.bury(leader)
		c.eventually(5*time.Second, "another leader", func() bool { return c.leader() != leader })
		time.Sleep(time.Second)
		w.end()
		goOn()
		c.start(leader.name)
		c.check(w)
	})
}

// A node is told to end while its disk hangs: it does not wait for ever.
func TestANodeWhoseDiskHangsCanBeEnded(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		n := c.follower()
		goOn := c.disks[n.name].Hang()
		c.putThreshold(60) // something to write
		time.Sleep(time.Second)
		began := time.Now()
		n.stop()
		select {
		case err := <-n.done:
			if !errors.Is(err, errStuck) {
				t.Errorf("the node ended with %v", err)
			}
			if took := time.Since(began); took > shutdownLimit+handOverLimit {
				t.Errorf("the node ended after %s", took)
			}
		case <-time.After(time.Minute):
			t.Error("the node goes on")
		}
		c.bury(n)
		goOn()
	})
}

// bury takes a node away whose process has ended by itself.
func (c *testCluster) bury(n *testNode) {
	c.t.Helper()
	n.done <- nil // it has been read
	c.kill(n.name)
	_ = n.core.raft.Shutdown()
}
