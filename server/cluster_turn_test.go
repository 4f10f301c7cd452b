package server

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
	"github.com/callboard/callboard/scheduler"
)

// A turn of the leader's loop does not end, whatever holds it. Its Raft goes on telling the others that it leads, so the node has to end;
// then another one leads.
func TestALeaderWhoseTurnDoesNotEndEnds(t *testing.T) {
	hold := make(chan struct{})
	held := false
	var mu sync.Mutex
	holding := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return held
	}
	stuck := func(c *testCluster) {
		hold = make(chan struct{}) // of the bubble
		c.decide = func(tx *fsm.Tx, in scheduler.Input) scheduler.Output {
			if holding() {
				<-hold
			}
			return scheduler.Step(tx, in)
		}
	}
	inClusterWith(t, 3, stuck, func(t *testing.T, c *testCluster) {
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(4)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 20 })
		leader := c.leader()
		set := func(to bool) { mu.Lock(); held = to; mu.Unlock() }
		set(true)
		began := time.Now()
		select {
		case err := <-leader.done:
			if !errors.Is(err, errStuck) {
				t.Errorf("the node ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("the node goes on")
		}
		if took := time.Since(began); took > (stuckAfter+4)*time.Second {
			t.Errorf("the node ended after %s", took)
		}
		set(false)
		close(hold)
		c.bury(leader)
		c.eventually(5*time.Second, "another leader", func() bool { return c.leader() != leader })
		time.Sleep(time.Second)
		w.end()
		c.start(leader.name)
		c.check(w)
	})
}

// The seconds of a turn are counted by looks: one long pause of the process counts as one second, and another turn begins anew.
func TestTheSecondsOfATurn(t *testing.T) {
	of := &turns{}
	watch := turnWatch{of: of}
	ticks := func(n int) (err error) {
		for range n {
			err = watch.tick()
		}
		return err
	}
	for range 100 {
		of.begin()
		if err := ticks(stuckAfter); err != nil {
			t.Fatal(err)
		}
		of.end()
		if err := ticks(100); err != nil {
			t.Fatal(err)
		}
	}
	of.begin()
	if err := ticks(stuckAfter + 3); !errors.Is(err, errStuck) {
		t.Errorf("stuck for %d s: %v", stuckAfter+3, err)
	}
}
