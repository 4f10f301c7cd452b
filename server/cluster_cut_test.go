package server

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// A holder is cut off from the leader and from nobody else: it has no leader, and the third node sees to it that it elects none. Its runner
// moves to another node, and none of its actors is stopped.
func TestHolderCutOffFromTheLeaderOnly(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		leader, holder := c.leader(), c.follower()
		r := c.run(runner.Config{Key: "r", Endpoint: c.GRPCAddr(holder.name), Slots: 100})
		defer r.end()
		c.populate(20, r)
		time.Sleep(5 * time.Second)
		c.part(leader.name, holder.name)
		c.eventually(12*time.Second, "the runner on another node", func() bool {
			row := c.onlyRunner()
			return row.Connected && row.Holder != holder.name
		})
		time.Sleep(30 * time.Second)
		if c.leader() != leader {
			t.Error("another node leads: one that cannot hear the leader has brought it down")
		}
		c.heal()
		time.Sleep(15 * time.Second)
		c.nobodyLost()
		r.livedOnce(t)
		c.sameEverywhere()
	})
}

// A runner that reaches one node only has no other to turn to. While that node is cut off it holds out as long as its lease, and not
// longer: at least 4.4 s at a threshold of 15 s, as for any outage (docs/guarantees.md, G2).
func TestRunnerThatReachesOneNode(t *testing.T) {
	for name, test := range map[string]struct {
		away time.Duration
		lost bool
	}{
		"away for 4 s":  {4 * time.Second, false},
		"away for 40 s": {40 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				holder := c.follower()
				only := func() {
					for _, other := range c.names {
						if other != holder.name {
							c.mu.Lock()
							c.cuts[min("r", other)+"|"+max("r", other)] = make(chan struct{})
							c.mu.Unlock()
						}
					}
				}
				only()
				r := c.run(runner.Config{Key: "r", Endpoint: c.GRPCAddr(holder.name), Slots: 10})
				defer r.end()
				c.populate(10, r)
				was := c.onlyRunner().ID
				second := c.run(runner.Config{Key: "second", Endpoint: c.GRPCAddr(c.leader().name), Slots: 10})
				defer second.end()
				time.Sleep(5 * time.Second)

				c.isolate(holder.name)
				time.Sleep(test.away)
				if got := second.running(); test.lost != (got == 10) {
					t.Errorf("%d actors run at the other runner after %v", got, test.away)
				}
				c.heal()
				only()
				time.Sleep(30 * time.Second)
				for _, row := range c.rows() {
					if row.ID == was && (row.End == fsm.EndLost) != test.lost {
						t.Errorf("the runner was lost: %v", row.End == fsm.EndLost)
					}
					if row.End == fsm.NotEnded && (!row.Connected || row.Key == "r" && row.Holder != holder.name) {
						t.Errorf("runner %s at %s, connected %v", row.Key, row.Holder, row.Connected)
					}
				}
				if r.running()+second.running() != 10 {
					t.Errorf("%d and %d actors run", r.running(), second.running())
				}
				if !test.lost {
					r.livedOnce(t)
				}
				neverTwice(t, r, second)
				c.heal()
			})
		})
	}
}

// A Start is on its way to a runner that is cut off, and arrives when the cut ends: behind the fence, which has closed its stream. It is
// not obeyed, for the actor lives elsewhere by then.
func TestStartThatArrivesBehindTheFence(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		r := c.run(runner.Config{Key: "r", Slots: 100})
		defer r.end()
		c.populate(1, r)
		c.silence("r")
		time.Sleep(2 * time.Second) // it counts as heard, and gets actors still
		for i := range 10 {
			if _, err := c.create(c.leader(), fmt.Sprint("late", i)); err != nil {
				t.Fatal(err)
			}
		}
		if row := c.onlyRunner(); row.Held != 11 {
			t.Fatalf("the runner has %d actors, want 11: nothing is on its way to it", row.Held)
		}
		second := c.run(runner.Config{Key: "second", Slots: 100})
		defer second.end()
		c.eventually(40*time.Second, "all at the second", func() bool { return second.running() == 11 })
		c.heal()
		time.Sleep(20 * time.Second)
		if got := r.running(); got != 0 {
			t.Errorf("%d actors run at the runner that was lost", got)
		}
		r.mu.Lock()
		if len(r.runs) != 1 {
			t.Errorf("it ran %d actors, want the one of before", len(r.runs))
		}
		r.mu.Unlock()
		neverTwice(t, r, second)
	})
}

// Two processes with one key: the later one takes the place of the earlier, whose actors start again only when it has confirmed their
// stops. The earlier one ends, with an exit code of its own, and does not come back.
func TestTwoProcessesWithOneKey(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		first := c.run(runner.Config{Key: "same", Slots: 20})
		c.populate(20, first)
		time.Sleep(5 * time.Second)
		second := c.run(runner.Config{Key: "same", Slots: 20})
		defer second.end()
		var err error
		c.eventually(30*time.Second, "the first to end", func() bool {
			select {
			case err = <-first.done:
				return true
			default:
				return false
			}
		})
		first.stop()
		if exit := (*runner.ExitError)(nil); !errors.As(err, &exit) || exit.Code != runner.CodeReplaced {
			t.Errorf("the first ended with %v, want exit code %d", err, runner.CodeReplaced)
		}
		c.eventually(30*time.Second, "all at the second", func() bool { return second.running() == 20 })
		time.Sleep(time.Minute)
		neverTwice(t, first, second)
		for id, generations := range second.runs {
			if len(generations) != 1 || generations[0] != 2 {
				t.Errorf("actor %s lived %v at the second, want its generation 2 once", id, generations)
			}
		}
	})
}

// The earlier of two processes with one key is cut off when the later one comes: its actors wait for the end of its lease. When it comes
// back it is told that it was replaced.
func TestTwoProcessesWithOneKeyOneCutOff(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		first := c.run(runner.Config{Key: "same", Slots: 20})
		c.populate(20, first)
		time.Sleep(5 * time.Second)
		c.silence("same")
		cut := time.Now()
		second := c.runAs("other", runner.ProcessClock(), runner.Config{Key: "same", Slots: 20})
		defer second.end()
		c.eventually(40*time.Second, "all at the second", func() bool { return second.running() == 20 })
		if waited := time.Since(cut); waited < lostThreshold-4*time.Second {
			t.Errorf("the actors started elsewhere %v after the cut, within the lease", waited)
		}
		c.heal()
		var err error
		c.eventually(30*time.Second, "the first to end", func() bool {
			select {
			case err = <-first.done:
				return true
			default:
				return false
			}
		})
		first.stop()
		if exit := (*runner.ExitError)(nil); !errors.As(err, &exit) || exit.Code != runner.CodeReplaced {
			t.Errorf("the first ended with %v, want exit code %d", err, runner.CodeReplaced)
		}
		neverTwice(t, first, second)
	})
}

// A runner names a new threshold, and before that is committed its pool gets another one, twice: the engine keeps to the first, and so must
// the lease. Cut off at that moment, the runner runs nothing any more when it is declared lost.
func TestThresholdRaisedTwice(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		c.putThreshold(10)
		r := c.run(runner.Config{Key: "slow", Slots: 10})
		defer r.end()
		c.populate(3, r)
		for _, seconds := range []uint32{60, 70} {
			c.putThreshold(seconds)
			c.eventually(10*time.Second, "a heartbeat that names the new threshold at the leader", func() bool {
				return slices.ContainsFunc(c.leader().core.engine.inbox.beats.all(), func(waits *request) bool {
					return waits.report.GetHeartbeat().GetThresholdMs() == seconds*1000
				})
			})
		}
		c.putThreshold(80)
		c.silence("slow")
		c.untilLost(c.onlyRunner().ID, &sight{}, nil)
		if got := c.onlyRunner().ThresholdMs; got != 10_000 {
			t.Errorf("it was declared lost after %d ms: what it named was committed", got)
		}
		if r.running() != 0 {
			t.Errorf("%d actors still run when it is declared lost", r.running())
		}
		c.heal()
		neverTwice(t, r)
	})
}
