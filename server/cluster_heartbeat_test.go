package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
	"github.com/callboard/callboard/scheduler"
)

// connected waits until so many runners of the pool "default" are connected.
func (c *testCluster) connected(runners int) {
	c.t.Helper()
	c.eventually(20*time.Second, fmt.Sprintf("%d connected runners", runners), func() bool {
		v := c.leader().core.replica.Current()
		p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
		return p != nil && int(v.PoolStats(p).Connected) == runners
	})
}

// However many runners beat, and however their heartbeats are spread over the seconds: the log gets one entry a second, and one
// behind it that brings the news to followers which hold streams.
func TestHeartbeatsShareOneEntryASecond(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
			inCluster(t, nodes, func(t *testing.T, c *testCluster) {
				c.leader()
				const runners = 60
				for i := range runners {
					r := c.run(runner.Config{Key: fmt.Sprint(i), Endpoint: c.GRPCAddr(c.names[i%nodes])})
					defer r.end()
				}
				c.connected(runners)
				time.Sleep(10 * time.Second)
				began := c.leader().core.replica.Current()
				time.Sleep(time.Minute)
				ended := c.leader().core.replica.Current()
				entries, limit := ended.Index()-began.Index(), uint64(61)
				if nodes > 1 {
					limit *= 2
				}
				t.Logf("%d entries in a minute", entries)
				if entries > limit {
					t.Errorf("%d entries in a minute for the heartbeats of %d runners, want at most %d", entries, runners, limit)
				}
				if passed := ended.ClockMs() - began.ClockMs(); passed < 59_900 || passed > 60_000 {
					t.Errorf("the cluster clock moved %d ms in a minute", passed)
				}
			})
		})
	}
}

// Callers ask for far more than the leader's loop can take, for a minute: its inbox is never empty enough for them. No heartbeat waits
// behind them, so nobody is lost, fenced or even passed over for new actors.
func TestSaturatedLoopLosesNobody(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		var all []*testRunner
		for i := range 6 {
			r := c.run(runner.Config{Key: fmt.Sprint(i), Endpoint: c.GRPCAddr(c.names[i%3]), Slots: 10})
			defer r.end()
			all = append(all, r)
		}
		c.connected(len(all))
		for i := range 30 {
			if _, err := c.create(leader, fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		for _, name := range c.names { // an entry takes a tenth of a second
			if name != leader.name {
				c.network.Delay(leader.name, name, 50*time.Millisecond)
				c.network.Delay(name, leader.name, 50*time.Millisecond)
			}
		}
		asked, overloaded, silent := 0, 0, int64(0)
		nothing := &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default"}}}
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(5 * time.Millisecond) {
			for {
				r := commandRequest(&scheduler.Command{Command: nothing})
				r.reply = func(outcome) {}
				if err := leader.core.engine.inbox.put(r); err != nil {
					overloaded++
					break
				}
				asked++
			}
			v := leader.core.replica.Current()
			for r := range v.Runners(v.Namespace("default"), 0) {
				silent = max(silent, v.SilentMs(r))
			}
		}
		t.Logf("%d commands were taken, the inbox was found full %d times; a runner was silent for %d ms at most", asked, overloaded, silent)
		if overloaded < 1000 {
			t.Errorf("the inbox was full only %d times: the test does not saturate it", overloaded)
		}
		if silent > 10_000 {
			t.Errorf("a runner that beats every 3 s seemed silent for %d ms", silent)
		}
		for _, r := range all {
			r.livedOnce(t)
		}
	})
}
