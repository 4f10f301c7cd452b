package server

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// A leader dies while entries of many writes each are under way. Each write is done or not, and told as what it is: done, without effect,
// or unknown.
func TestLeaderKilledMidBatch(t *testing.T) {
	const rounds, atOnce = 8, 120
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		c.awaitRunner()
		w := &writer{acked: map[string]fsm.ActorID{}, unknown: map[string]bool{}}
		for round := range rounds {
			leader := c.leader()
			before := leader.core.replica.Current().Index()
			var all sync.WaitGroup
			for i := range atOnce {
				node, key := c.nodes[c.names[i%3]], fmt.Sprintf("batch-%d-%d", round, i)
				all.Go(func() { w.note(key, c.createAt(node, key)) })
			}
			time.Sleep(time.Duration(round) * 300 * time.Microsecond) // a little later each time into the life of the entries
			c.kill(leader.name)
			all.Wait()
			c.leader()
			if entries := c.leader().core.replica.Current().Index() - before; entries > atOnce/2 {
				t.Errorf("%d entries for %d writes: these are no batches", entries, atOnce)
			}
			c.start(leader.name)
			time.Sleep(5 * time.Second)
		}
		t.Logf("acknowledged %d, unknown %d, refused %d", len(w.acked), len(w.unknown), w.refused)
		if len(w.unknown) == 0 || len(w.acked) == 0 {
			t.Error("the deaths met no batch under way, or always one")
		}
		c.check(w)
		r.livedOnce(t)
	})
}

type created struct {
	id  fsm.ActorID
	err error
}

func (c *testCluster) createAt(n *testNode, key string) created {
	id, err := c.create(n, key)
	return created{id, err}
}

// note remembers what became of a write.
func (w *writer) note(key string, made created) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case made.err == nil:
		w.acked[key] = made.id
	case errors.Is(made.err, callboardv1.ErrOutcomeUnknown):
		w.unknown[key] = true
	default:
		w.refused++
	}
}

// The next leader dies as soon as it leads. Three of five are left, and no actor notices.
func TestTwoLeadersKilledInARow(t *testing.T) {
	inCluster(t, 5, func(t *testing.T, c *testCluster) {
		first := c.leader().name
		r := c.run(runner.Config{Slots: 100_000})
		defer r.end()
		w := c.write(3)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 50 })
		c.kill(first)
		second := c.leader().name
		c.kill(second)
		began := time.Now()
		third := c.leader().name
		t.Logf("leading again after %v", time.Since(began))
		if third == first || third == second {
			t.Fatal("the dead lead")
		}
		time.Sleep(10 * time.Second)
		c.start(first)
		c.start(second)
		time.Sleep(3 * time.Second)
		w.end()
		c.check(w)
		r.livedOnce(t)
	})
}

// Every node is stopped and started again, one after the other, as in an upgrade; then every one is killed and started again. Writes go
// on, and no actor notices.
func TestEveryNodeRestarted(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		var all []*testRunner
		for i := range 3 {
			r := c.run(runner.Config{Key: fmt.Sprint("r", i), Slots: 100_000, Endpoint: c.GRPCAddr(c.names[i])})
			defer r.end()
			all = append(all, r)
		}
		w := c.write(1)
		c.eventually(20*time.Second, "some actors", func() bool { return all[0].running() > 20 })
		for _, end := range []func(string){c.stopNode, c.kill} {
			for _, name := range c.names {
				acked := w.count()
				end(name)
				time.Sleep(4 * time.Second)
				if w.count() == acked {
					t.Errorf("no write was acknowledged in the 4 s after the end of %s", name)
				}
				c.start(name)
				time.Sleep(4 * time.Second)
			}
		}
		w.end()
		c.check(w)
		for _, row := range c.rows() {
			if row.End != fsm.NotEnded || !row.Connected {
				t.Errorf("runner %s: end %d, connected %v", row.Key, row.End, row.Connected)
			}
		}
		for _, r := range all {
			r.livedOnce(t)
		}
	})
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}
