package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
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

// A follower's disk answers nothing any more, so that its own View stands still. Whoever asks it is told so, and does not wait for ever.
func TestAFollowerWhoseDiskHangsSaysSo(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		n := c.follower()
		goOn := c.disks[n.name].Hang()
		defer goOn()
		c.putThreshold(60) // something that it does not get
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		_, err := n.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
		if refusal, _ := callboardv1.AsRefusal(err); refusal.Name() != "cluster.node_behind" {
			t.Errorf("a read ends with %v", err)
		}
		if took := time.Since(began); took > viewWait+time.Second {
			t.Errorf("a read ends after %s", took)
		}
		began = time.Now()
		threshold := uint32(30)
		_, err = n.core.engine.Submit(ctx, &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_PutPool{
			PutPool: &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{RunnerLostThreshold: &threshold}},
		}}})
		if !errors.Is(err, callboardv1.ErrOutcomeUnknown) {
			t.Errorf("a write ends with %v", err)
		}
		if took := time.Since(began); took > viewWait+time.Second {
			t.Errorf("a write ends after %s", took)
		}
		goOn()
		c.eventually(10*time.Second, "the node's View with the write", func() bool {
			view, err := n.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
			return err == nil && view.LostThresholdMs(view.Pool(fsm.PoolID{Namespace: view.Namespace("default").ID, Name: "default"})) == 30_000
		})
	})
}

// bury takes a node away whose process has ended by itself.
func (c *testCluster) bury(n *testNode) {
	c.t.Helper()
	n.done <- nil // it has been read
	c.kill(n.name)
	_ = n.core.raft.Shutdown()
	_ = n.core.voting.Close() // as Raft's shutdown would, if its disk answered
}
