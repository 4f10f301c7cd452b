package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// stall makes a leader's loop stand still until what it returns is called; its Raft goes on, so that nobody else is elected.
func (c *testCluster) stall(name string) (goOn func()) {
	still := make(chan struct{})
	c.mu.Lock()
	c.stalls[name] = still
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		delete(c.stalls, name)
		c.mu.Unlock()
		close(still)
	}
}

func (c *testCluster) standStill(name string) {
	c.mu.Lock()
	still := c.stalls[name]
	c.mu.Unlock()
	if still != nil {
		<-still
	}
}

// laggard is a state machine that applies what is committed a while later.
type laggard struct {
	raft.FSM
	lag func() time.Duration
}

func (l laggard) Apply(entry *raft.Log) any {
	if lag := l.lag(); lag > 0 {
		time.Sleep(time.Until(entry.AppendedAt.Add(lag)))
	}
	return l.FSM.Apply(entry)
}

func (c *testCluster) lagOf(name string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lags[name]
}

func (c *testCluster) setLag(name string, lag time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lags[name] = lag
}

// fleet starts six runners, two at each of three nodes, with five actors each.
func (c *testCluster) fleet() (all []*testRunner) {
	c.t.Helper()
	leader := c.leader()
	for i := range 6 {
		all = append(all, c.run(runner.Config{Key: fmt.Sprint("r", i), Slots: 30, Endpoint: c.GRPCAddr(c.names[i%3])}))
	}
	c.connected(len(all))
	for i := range 30 {
		if _, err := c.create(leader, fmt.Sprint(i)); err != nil {
			c.t.Fatal(err)
		}
	}
	c.eventually(5*time.Second, "all running", func() bool { return running(all) == 30 })
	time.Sleep(5 * time.Second)
	return all
}

func running(all []*testRunner) (n int) {
	for _, r := range all {
		n += r.running()
	}
	return n
}

func endAll(all []*testRunner) {
	for _, r := range all {
		r.end()
	}
}

// nobodyLost fails if a runner was ended, and returns how often actors had to be started again.
func (c *testCluster) nobodyLost() (restarts int) {
	c.t.Helper()
	for _, r := range c.rows() {
		if r.End != fsm.NotEnded {
			c.t.Errorf("runner %s was ended (%d)", r.Key, r.End)
		}
	}
	v := c.leader().core.replica.Current()
	for a := range v.Actors(v.Namespace("default"), "counter", 0) {
		restarts += int(a.Generation) - 1
		if a.Trouble != nil && a.Trouble.Retries != 0 {
			c.t.Errorf("actor %s was penalised", a.Key)
		}
	}
	return restarts
}

// The leader stands still for 20 s and stays the leader. Nothing can be committed, so the runners fence themselves; but of the stall the
// cluster clock counts 2 s, and nobody is lost. When it goes on every actor runs again.
func TestLeaderStalled(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		all := c.fleet()
		defer endAll(all)
		leader := c.leader()
		clock := leader.core.replica.Current().ClockMs()
		goOn := c.stall(leader.name)
		time.Sleep(5 * time.Second)
		if got := running(all); got != 30 {
			t.Errorf("%d actors run 5 s into the stall", got)
		}
		time.Sleep(7 * time.Second)
		if got := running(all); got != 0 {
			t.Errorf("%d actors run 12 s into the stall, when every lease is over", got)
		}
		time.Sleep(8 * time.Second)
		goOn()
		c.eventually(20*time.Second, "all running again", func() bool { return running(all) == 30 })
		if c.leader() != leader {
			t.Error("another node leads: the test tests an election")
		}
		if passed := leader.core.replica.Current().ClockMs() - clock; passed > 10_000 {
			t.Errorf("the cluster clock has moved %d ms although the leader stood still for 20 s of at most 40", passed)
		}
		time.Sleep(20 * time.Second)
		if restarts := c.nobodyLost(); restarts != 30 {
			t.Errorf("%d restarts, want one of each of 30 actors", restarts)
		}
		neverTwice(t, all...)
		c.sameEverywhere()
	})
}

// The leader's whole process stands still for 20 s: its connections stand, and nothing comes from it. Another node leads after a second, the
// runners that it held dial the others, and not one actor is stopped.
func TestLeaderProcessStalled(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		all := c.fleet()
		defer endAll(all)
		leader := c.leader()
		goOn := c.stall(leader.name)
		c.isolate(leader.name)
		for i := range all {
			c.part(leader.name, fmt.Sprint("r", i))
		}
		time.Sleep(20 * time.Second)
		goOn()
		c.heal()
		time.Sleep(20 * time.Second)
		if c.leader() == leader {
			t.Error("the node that stood still leads: the test tests no failover")
		}
		if restarts := c.nobodyLost(); restarts != 0 || running(all) != 30 {
			t.Errorf("%d restarts, want none; %d actors run", restarts, running(all))
		}
		c.sameEverywhere()
	})
}

// A holder applies what is committed 8 s late. What it acknowledges, it acknowledges behind the commands of its View, so late that its
// runners look for another node; they find one in time, and no actor is stopped.
func TestHolderLags(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		holder := c.follower()
		r := c.run(runner.Config{Key: "r", Endpoint: c.GRPCAddr(holder.name), Slots: 30})
		defer r.end()
		c.populate(20, r)
		time.Sleep(5 * time.Second)
		c.setLag(holder.name, 8*time.Second)
		c.eventually(12*time.Second, "the runner on another node", func() bool {
			row := c.onlyRunner()
			return row.Connected && row.Holder != holder.name
		})
		time.Sleep(30 * time.Second)
		if at := c.onlyRunner().Holder; at == holder.name {
			t.Error("it went back to the node that lags")
		}
		if restarts := c.nobodyLost(); restarts != 0 {
			t.Errorf("%d restarts, want none", restarts)
		}
		r.livedOnce(t)
		c.setLag(holder.name, 0)
		c.sameEverywhere()
	})
}

// A runner that reaches only a node that lags is not let in: what that node would tell it is 8 s old. It takes nobody's session away
// with a Hello, and starts nothing.
func TestANodeThatLagsLetsNobodyIn(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		holder := c.follower()
		c.setLag(holder.name, 8*time.Second)
		for _, name := range c.names {
			if name != holder.name {
				c.part("r", name)
			}
		}
		before := c.leader().core.replica.Current().Index()
		r := c.run(runner.Config{Key: "r", Endpoint: c.GRPCAddr(holder.name), Slots: 30})
		defer r.end()
		time.Sleep(time.Minute)
		if rows := c.rows(); len(rows) != 0 {
			t.Errorf("%d runners were registered through a node that lags, up to entry %d from %d", len(rows), c.leader().core.replica.Current().Index(), before)
		}
		c.setLag(holder.name, 0)
		c.connected(1)
		c.populate(5, r)
		r.livedOnce(t)
	})
}
