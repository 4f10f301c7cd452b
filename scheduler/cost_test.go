package scheduler

import (
	"fmt"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A Step costs what its inputs and its due work come to, however many wait for something while a condition lasts. Each condition is made
// with n and with 4n of those that wait: the benchmark shows the same µs, and the test counts the same rows looked at. Run with
//
//	go test ./scheduler -run '^$' -bench Waiting -benchtime 200x

// conditions make worlds in which many wait and nothing is due.
var conditions = []struct {
	name string
	n    int // of the benchmark; the test has a tenth
	make func(c *costly, n int)
}{
	{"pools whose rollout has no room", 250, noRoom},
	{"runners whose delay is not over", 2_500, delayed},
	{"runners whose rollout is paused", 2_500, paused},
	{"a window before the delay of others", 250, windowBeforeDelays},
	{"runners in a paced shutdown", 500, shutdowns},
	{"runners with many actors in a paced shutdown", 50, greatShutdowns},
	{"actors that may not be moved again", 2_500, func(c *costly, n int) { unmovable(c, n, 0) }},
	{"actors that may not be moved again, in a pool with a period", 2_500, func(c *costly, n int) { unmovable(c, n, 60) }},
	{"silent runners", 1_250, silent},
}

func BenchmarkStepBesideWaiting(b *testing.B) {
	for _, cond := range conditions {
		for _, n := range []int{cond.n, 4 * cond.n} {
			b.Run(fmt.Sprintf("%s/n=%d", cond.name, n), func(b *testing.B) {
				c := newCostly(b)
				cond.make(c, n)
				c.settle()
				b.ResetTimer()
				for b.Loop() {
					c.w.clockMs++
					c.step(Input{})
				}
			})
		}
	}
}

func TestNothingIsScannedForWhileManyWait(t *testing.T) {
	for _, cond := range conditions {
		t.Run(cond.name, func(t *testing.T) {
			var idle, busy [2]uint64
			for i, n := range []int{cond.n / 10, 4 * cond.n / 10} {
				c := newCostly(t)
				cond.make(c, n)
				c.settle()
				before := c.visited
				for range 10 {
					c.w.clockMs++
					c.step(Input{})
				}
				idle[i] = c.visited - before
				// Whatever happens in a pool has it looked at again. That is not to be a look at everybody who waits in it.
				before = c.visited
				for range 10 {
					c.w.clockMs++
					c.step(Input{Commands: []Command{{Command: create("", "", c.busy, callboardv1.CrashPolicy_CRASH_POLICY_RESTART)}}})
				}
				busy[i] = c.visited - before
			}
			if idle[0] > 20 || idle[1] > 20 {
				t.Errorf("ten idle Steps looked at %d rows, and at %d when four times as many wait", idle[0], idle[1])
			}
			if busy[0] > 600 || busy[1] > busy[0]+busy[0]/3 {
				t.Errorf("ten Steps with a create each looked at %d rows, and at %d when four times as many wait", busy[0], busy[1])
			}
		})
	}
}

func noRoom(c *costly, n int) {
	c.busy = "p0"
	for i := range n {
		name := fmt.Sprintf("p%d", i)
		c.pool(name, drains(nil))
		c.runners(name, "old", 1, 1, 10, 600_000)
		c.actors(name, "old", 1, 2)
		c.runners(name, "new", 1, 2, 1, 600_000)
		c.actors(name, "new", 1, 1)
	}
}

func delayed(c *costly, n int) {
	c.pool("p", drains(func(p *logv1.PoolConfig) { p.EvictionDelayS = ptr[uint32](300) }))
	c.runners("p", "old", n, 1, 10, 600_000)
	c.actors("p", "old", n, 1)
	c.runners("p", "new", 1, 2, 100_000, 600_000)
}

func paused(c *costly, n int) {
	c.pool("p", drains(nil))
	c.runners("p", "old", n, 1, 10, 600_000)
	c.actors("p", "old", n, 1)
	c.runners("p", "new", 1, 2, 100_000, 600_000)
	c.settle()
	ns := c.ns()
	c.w.seed(func(do func(*logv1.Op)) {
		do(&logv1.Op{Op: &logv1.Op_PauseRollout{PauseRollout: &logv1.PauseRollout{NamespaceId: ns.ID[:], Pool: "p", Paused: true}}})
	})
	c.w.clockMs += 5_000
}

// windowBeforeDelays has a window with free turns, and runners whose delay ends behind it.
func windowBeforeDelays(c *costly, n int) {
	c.pool("p", drains(func(p *logv1.PoolConfig) {
		p.EvictionPeriodS, p.EvictionDelayS, p.EvictionRateMicrosPerS = ptr[uint32](600), ptr[uint32](300), ptr[uint64](1_000_000)
	}))
	c.runners("p", "first", 1, 1, 100, 1_200_000)
	c.actors("p", "first", 1, 50)
	c.runners("p", "new", 1, 2, 1_000_000, 1_200_000)
	c.settle()
	c.w.clockMs += 299_000
	c.step(Input{})
	c.runners("p", "late", n, 1, 2_000, 1_200_000)
	c.actors("p", "late", n, 10)
	c.settle() // they drain from now on
	c.w.clockMs += 1_500
}

func shutdowns(c *costly, n int)      { shutDown(c, n, 20) }
func greatShutdowns(c *costly, n int) { shutDown(c, n, 500) }

func shutDown(c *costly, n, actors int) {
	c.pool("p", drains(func(p *logv1.PoolConfig) {
		p.EvictionPeriodS, p.EvictionRateMicrosPerS = ptr[uint32](1_000), ptr[uint64](1)
	}))
	c.runners("p", "old", n, 1, 2_000, 600_000)
	c.actors("p", "old", n, actors)
	c.w.seed(func(do func(*logv1.Op)) {
		for i := range n {
			r := c.runner("old", i)
			do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: r.ID[:], Cause: uint32(fsm.DrainShutdown), DeadlineMs: 1_800_000}}})
		}
	})
}

// silent has runners that nobody hears of, and that are not lost yet, beside some that take actors.
func silent(c *costly, n int) {
	c.pool("p", drains(nil))
	c.runners("p", "silent", n, 1, 100, 30_000)
	c.w.clockMs += 21_000
	c.runners("p", "heard", 10, 1, 1_000, 30_000)
	c.actors("p", "heard", 10, 1)
}

// unmovable has an outdated runner whose actors its rollout has moved already: it came back with an older version.
func unmovable(c *costly, n int, period uint32) {
	c.pool("p", drains(func(p *logv1.PoolConfig) {
		p.EvictionPeriodS, p.EvictionRateMicrosPerS = &period, ptr[uint64](100_000_000_000)
	}))
	c.runners("p", "old", 1, 1, 1_000_000, 600_000)
	c.actors("p", "old", 1, n)
	c.runners("p", "older", 1, 1, 10, 600_000) // it keeps the rollout open
	c.actors("p", "older", 1, 1)
	c.runners("p", "new", 1, 2, 1_000_000, 600_000)
	old, back := c.runner("old", 0), c.runner("new", 0)
	c.settle()
	for steps := 0; c.w.view.RunnerByNumber(old.Number).Held > 0 && steps < 5_000; steps++ {
		c.w.clockMs += 30
		var reports []*nodev1.SessionReport
		for a := range c.w.view.ActorsOf(old, 0) {
			if a.Phase == fsm.Stopping {
				reports = append(reports, &nodev1.SessionReport{
					RunnerId: old.ID[:], SessionId: old.Session[:],
					Report: &nodev1.SessionReport_Events{Events: &callboardv1.ActorEvents{Events: []*callboardv1.ActorEvent{stopped(a.Ref(), true, "")}}},
				})
			}
		}
		c.step(Input{Reports: reports})
	}
	c.runners("p", "new2", 1, 2, 1_000_000, 600_000)
	session := idOf("again")
	c.w.seed(func(do func(*logv1.Op)) {
		do(&logv1.Op{Op: &logv1.Op_ResumeRunner{ResumeRunner: &logv1.ResumeRunner{
			RunnerId: back.ID[:], SessionId: session[:], Holder: "n1", Version: 1, Slots: 1_000_000, Attempt: 2,
		}}})
	})
	c.settle()
	c.w.clockMs += 3_000
	c.step(Input{})
	if left := c.w.view.RunnerByNumber(back.Number).Left(); int(left) < n*9/10 {
		c.t.Fatalf("%d of %d are on the runner that came back", left, n)
	}
}

// drains is the config of a pool that somebody wrote.
func drains(change func(*logv1.PoolConfig)) *logv1.PoolConfig {
	c := &logv1.PoolConfig{DrainOnVersionUpgrade: ptr(true)}
	if change != nil {
		change(c)
	}
	return c
}

func ptr[T any](of T) *T { return &of }
