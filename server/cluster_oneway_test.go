package server

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// cutCalls parts a node from the others for calls, in both directions; Raft's messages pass.
func (c *testCluster) cutCalls(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.names {
		if other != name {
			c.cuts[min(name, other)+"|"+max(name, other)] = make(chan struct{})
		}
	}
}

// A follower that holds a runner is half cut off: it hears the leader's log and cannot report, or it can report and does not hear the log.
// Both ways its runner hears no acknowledgement, moves to another node, and none of its actors is stopped.
func TestHolderHalfCutOff(t *testing.T) {
	for name, cut := range map[string]func(c *testCluster, holder, leader string){
		"it cannot report": func(c *testCluster, holder, _ string) { c.cutCalls(holder) },
		"it hears no log":  func(c *testCluster, holder, leader string) { c.network.Cut(leader, holder) },
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				holder := c.follower()
				r := c.run(runner.Config{Endpoint: c.GRPCAddr(holder.name), Slots: 100})
				defer r.end()
				c.populate(20, r)
				id := c.onlyRunner().ID
				if at := c.onlyRunner().Holder; at != holder.name {
					t.Fatalf("held by %s, want %s", at, holder.name)
				}
				cut(c, holder.name, c.leader().name)
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
				c.sameEverywhere()
				r.livedOnce(t)
			})
		})
	}
}

// A node of a minority answers stale reads at once, from what it has; everything else finds no leader, and is told so.
func TestReadsOfTheCutOff(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		r := c.run(runner.Config{Slots: 100})
		defer r.end()
		c.populate(3, r)
		cutOff := c.follower()
		c.eventually(5*time.Second, "the follower to have them", func() bool { return cutOff.core.replica.Current().LiveActors() == 3 })
		c.isolate(cutOff.name)
		time.Sleep(3 * time.Second)
		if _, err := c.create(c.leader(), "meanwhile"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		v, err := cutOff.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_STALE)
		if err != nil || v.LiveActors() != 3 || time.Since(began) > 0 {
			t.Errorf("a stale read: %v, %v, after %v", v, err, time.Since(began))
		}
		if _, err := cutOff.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE); !errors.Is(err, callboardv1.ErrNoLeader) {
			t.Errorf("a linearizable read: %v", err)
		}
		if took := time.Since(began); took > retryLeaderFor+time.Second {
			t.Errorf("it took %v to say so", took)
		}
		c.heal()
		c.eventually(20*time.Second, "a linearizable read", func() bool {
			v, err := cutOff.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
			return err == nil && v.LiveActors() == 4
		})
		r.livedOnce(t)
	})
}
