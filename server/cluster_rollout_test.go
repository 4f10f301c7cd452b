package server

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// A pool moves to a newer version at its rate while leaders die and the whole cluster is restarted from its disks. The evictions that were
// decided keep the pace on the cluster clock, those that runners received keep it in real time (G7), and every actor moves once (G10).
func TestRolloutKeepsItsPaceThroughFailovers(t *testing.T) {
	for _, pace := range []pace{
		{rate: 5, actors: 300}, // a minute: half the rate would be seen
		{rate: 20, delay: 2, period: 3, actors: 200},
		{rate: 0.4, actors: 8},
	} {
		t.Run(fmt.Sprintf("%v a second, delay %d s, period %d s", pace.rate, pace.delay, pace.period), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) { rollOutThroughFailovers(t, c, pace) })
		})
	}
}

type pace struct {
	rate          float64 // actors a second
	delay, period uint32  // seconds
	actors        int
}

func rollOutThroughFailovers(t *testing.T, c *testCluster, pace pace) {
	c.putPace(pace)
	old := c.run(runner.Config{Key: "old", Version: 1, Slots: 1000})
	defer old.end()
	c.awaitRunner()
	for i := range pace.actors {
		if _, err := c.create(c.leader(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	c.eventually(10*time.Second, "all actors run", func() bool { return old.running() == pace.actors })

	decided := c.recordEvictions()
	defer decided.end()
	began := time.Now()
	newer := c.run(runner.Config{Key: "newer", Version: 2, Slots: 1000})
	defer newer.end()
	moved := func(n int) {
		c.eventually(10*time.Minute, fmt.Sprint(n, " actors have moved"), func() bool { return newer.running() >= n })
	}
	for i := range 2 { // a leader dies
		moved((i + 1) * pace.actors / 5)
		leader := c.leader().name
		c.kill(leader)
		c.leader()
		c.start(leader)
		decided.watch(c.nodes[leader])
	}
	moved(3 * pace.actors / 5)
	for _, name := range c.names { // everything dies, and comes back from its disks
		c.kill(name)
	}
	time.Sleep(2 * time.Second)
	for _, name := range c.names {
		c.start(name)
		decided.watch(c.nodes[name])
	}
	moved(pace.actors)
	took := time.Since(began)
	select {
	case err := <-old.done:
		old.done <- err // end waits for it
		if err != nil {
			t.Errorf("the drained runner ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the old runner has given up everything, and was not told that it is drained")
	}

	times := decided.times()
	if len(times) != pace.actors {
		t.Errorf("%d evictions were decided, for %d actors", len(times), pace.actors)
	}
	for actor, generations := range newer.runs {
		if !slices.Equal(generations, []uint64{2}) {
			t.Errorf("G10: %s has the generations %v on the newer version", actor, generations)
		}
	}
	pace.check(t, "decided", times, func(windowS float64) float64 { return 1 + pace.rate*(windowS+0.1) })
	pace.check(t, "received", old.endings(), func(windowS float64) float64 {
		return 1 + math.Ceil(pace.rate) + pace.rate*(1.1*windowS+0.1)
	})
	// Three elections and a restart of everything, of a few seconds each, are all that it may take longer than the rate says.
	if ideal := time.Duration(float64(pace.actors-1)/pace.rate*float64(time.Second)) + time.Duration(pace.delay)*time.Second; took < ideal-time.Second || took > ideal*10/9+20*time.Second {
		t.Errorf("it took %v, at the rate alone it takes %v", took, ideal)
	}
}

// check holds a series of instants, in ms, to a bound for every window.
func (p pace) check(t *testing.T, what string, at []int64, allowed func(windowS float64) float64) {
	t.Helper()
	slices.Sort(at)
	worst, worstOf := 0.0, ""
	for i := range at {
		for j := i; j < len(at); j++ {
			windowS := float64(at[j]-at[i]) / 1000
			n := float64(j - i + 1)
			if used := n / allowed(windowS); used > worst {
				worst, worstOf = used, fmt.Sprintf("%v within %.3f s", n, windowS)
			}
			if n > allowed(windowS)+1e-9 {
				t.Fatalf("G7, %s: %v within %.3f s at %v/s, at most %.2f are allowed", what, n, windowS, p.rate, allowed(windowS))
			}
		}
	}
	t.Logf("%s: the fullest window used %.0f %% of what is allowed (%s)", what, 100*worst, worstOf)
}

func (c *testCluster) putPace(p pace) {
	c.t.Helper()
	micros := uint64(p.rate * 1e6)
	put := &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{
		ActorEvictionRateMicros: &micros, ActorEvictionDelay: &p.delay, ActorEvictionPeriod: &p.period,
	}}
	out, err := c.leader().core.engine.Submit(context.Background(), &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: put}}})
	if err != nil || out.GetRefusal() != nil {
		c.t.Fatal(err, out.GetRefusal())
	}
}

// evictions are the planned evictions that the nodes' Views have shown, each with the cluster clock of its decision.
type evictions struct {
	mu     sync.Mutex
	at     map[fsm.Ref]int64
	cancel context.CancelFunc
	ctx    context.Context //nolint:containedctx // of the watchers, which end with the test
	wait   sync.WaitGroup
}

func (c *testCluster) recordEvictions() *evictions {
	e := &evictions{at: map[fsm.Ref]int64{}}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	for _, n := range c.nodes {
		e.watch(n)
	}
	return e
}

// watch looks at every View that a node publishes.
func (e *evictions) watch(n *testNode) {
	e.wait.Go(func() {
		_, _ = n.core.replica.Wait(e.ctx, func(v *fsm.View) bool { // it ends with the context
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, number := range v.Touched() {
				r := v.RunnerByNumber(number)
				if r == nil {
					continue
				}
				for a := range v.ActorsOf(r, 0) {
					if a.Evicting() {
						e.at[a.Ref()] = a.EvictMs
					}
				}
			}
			return false
		})
	})
}

func (e *evictions) end() {
	e.cancel()
	e.wait.Wait()
}

func (e *evictions) times() []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var at []int64
	for _, ms := range e.at {
		at = append(at, ms)
	}
	return at
}

// endings tells when bodies ended, in ms.
func (r *testRunner) endings() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var at []int64
	for _, b := range r.bodies {
		at = append(at, b.to.UnixMilli())
	}
	return at
}
