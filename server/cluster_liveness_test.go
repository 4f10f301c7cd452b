package server

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

const (
	lostThreshold = 15 * time.Second
	lookEvery     = 5 * time.Millisecond
)

// sight is the last committed heartbeat of a runner, as seen from outside.
type sight struct {
	seenMs int64
	at     time.Time
}

// lastSeen notes when the leader's View first showed a runner's last heartbeat.
func (c *testCluster) lastSeen(id fsm.RunnerID, s *sight) {
	for _, n := range c.nodes {
		v := n.core.replica.Current()
		if r := v.Runner(id); r != nil && v.LastSeenMs(r) > s.seenMs {
			s.seenMs, s.at = v.LastSeenMs(r), time.Now()
		}
	}
}

// The promise of G8: a silent runner is lost no earlier than its threshold after its last heartbeat, and no later than that and 2 s
// and the time without a leader, whatever happens to the leader meanwhile.
func TestSilentRunnerIsLostOnTime(t *testing.T) {
	for _, killAt := range [][]time.Duration{
		nil,
		{1 * time.Second},
		{5 * time.Second},
		{10 * time.Second},
		{14 * time.Second},
		{4 * time.Second, 9 * time.Second},
	} {
		for _, holder := range []string{"leader", "follower"} {
			if holder == "follower" && len(killAt) != 1 {
				continue
			}
			t.Run(fmt.Sprintf("held by the %s, leader killed at %v", holder, killAt), func(t *testing.T) {
				inCluster(t, 3, func(t *testing.T, c *testCluster) {
					at := c.leader()
					if holder == "follower" {
						at = c.follower()
					}
					r := c.run(runner.Config{Key: "silent", Endpoint: c.GRPCAddr(at.name), Slots: 10})
					defer r.end()
					c.populate(3, r)
					id := c.onlyRunner().ID
					last := &sight{}
					for range 1400 { // 7 s of ordinary life
						c.lastSeen(id, last)
						time.Sleep(lookEvery)
					}
					c.silence("silent")
					lostAfter, leaderless := c.untilLost(id, last, killAt)
					t.Logf("lost %v after its last heartbeat; without a leader for %v of it", lostAfter, leaderless)
					if lostAfter < lostThreshold-2*lookEvery { // the last heartbeat is seen a look later than it came
						t.Errorf("lost %v after its last heartbeat, before the threshold", lostAfter)
					}
					if limit := lostThreshold + 2*time.Second + leaderless; lostAfter > limit {
						t.Errorf("lost %v after its last heartbeat, later than %v", lostAfter, limit)
					}
					if r.running() != 0 {
						t.Errorf("%d actors still run at the runner when it is declared lost: it did not fence itself", r.running())
					}
					c.heal()
				})
			})
		}
	}
}

// The same while every node is restarted, killed or in order: what the silent runner had used up of its time stays used up.
func TestSilentRunnerIsLostThoughAllRestart(t *testing.T) {
	for name, end := range map[string]func(c *testCluster, node string){"killed": (*testCluster).kill, "in order": (*testCluster).stopNode} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				r := c.run(runner.Config{Key: "silent", Slots: 10})
				defer r.end()
				c.populate(3, r)
				id := c.onlyRunner().ID
				last := &sight{}
				for range 1400 {
					c.lastSeen(id, last)
					time.Sleep(lookEvery)
				}
				c.silence("silent")
				for range 1000 {
					c.lastSeen(id, last)
					time.Sleep(lookEvery)
				}
				const away = 3 * time.Second
				began := time.Now()
				for _, node := range c.names {
					end(c, node)
				}
				ending := time.Since(began) // in order it takes a while, and is led for some of it
				time.Sleep(away)
				for _, node := range c.names {
					c.start(node)
				}
				lostAfter, leaderless := c.untilLost(id, last, nil)
				least, most := lostThreshold+away-2*lookEvery, lostThreshold+2*time.Second+away+ending+leaderless
				t.Logf("lost %v after its last heartbeat; without a leader for at least %v of it", lostAfter, away+leaderless)
				if lostAfter < least || lostAfter > most {
					t.Errorf("lost %v after its last heartbeat, want %v to %v", lostAfter, least, most)
				}
				if r.running() != 0 {
					t.Errorf("%d actors still run at the runner when it is declared lost", r.running())
				}
				c.heal()
			})
		})
	}
}

// untilLost kills leaders at the given times after the silence began, starts them again a second later, and returns how long after
// its last heartbeat the runner was lost, and for how long there was no leader.
func (c *testCluster) untilLost(id fsm.RunnerID, last *sight, killAt []time.Duration) (lostAfter, leaderless time.Duration) {
	c.t.Helper()
	silent, dead := time.Now(), map[string]time.Time{}
	for time.Since(silent) < 2*time.Minute {
		c.lastSeen(id, last)
		led := false
		for _, name := range c.names {
			if at, is := dead[name]; is && time.Since(at) > time.Second {
				delete(dead, name)
				c.start(name)
			}
			n := c.nodes[name]
			if n == nil || !n.core.engine.inbox.gate.isOpen() {
				continue
			}
			led = true
			if r := n.core.replica.Current().Runner(id); r != nil && r.End == fsm.EndLost {
				return time.Since(last.at), leaderless
			}
			if len(killAt) > 0 && time.Since(silent) >= killAt[0] {
				killAt = killAt[1:]
				dead[name] = time.Now()
				c.kill(name)
				led = false
			}
		}
		if !led {
			leaderless += lookEvery
		}
		time.Sleep(lookEvery)
	}
	c.t.Fatal("not lost within two minutes")
	return 0, 0
}

// All nodes are away for a minute while a hundred runners are healthy: nobody is lost. Every actor was fenced once, and runs again.
func TestNoQuorumForAMinute(t *testing.T) {
	const runners = 100
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		all := make([]*testRunner, runners)
		for i := range all {
			all[i] = c.run(runner.Config{Key: fmt.Sprintf("r%d", i), Slots: 2})
			defer all[i].end()
		}
		c.eventually(20*time.Second, "all connected", func() bool {
			v := c.leader().core.replica.Current()
			p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
			return p != nil && v.PoolStats(p).Connected == runners
		})
		for i := range runners {
			if _, err := c.create(c.leader(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		running := func() (n int) {
			for _, r := range all {
				n += r.running()
			}
			return n
		}
		c.eventually(5*time.Second, "all running", func() bool { return running() == runners })
		for _, name := range c.names {
			c.kill(name)
		}
		c.eventually(12*time.Second, "all fenced", func() bool { return running() == 0 })
		time.Sleep(48 * time.Second)
		for _, name := range c.names {
			c.start(name)
		}
		c.eventually(20*time.Second, "all running again", func() bool { return running() == runners })
		v := c.leader().core.replica.Current()
		for r := range v.Runners(v.Namespace("default"), 0) {
			if r.End != fsm.NotEnded {
				t.Errorf("runner %s was ended (%d)", r.Key, r.End)
			}
		}
		restarts := 0
		for a := range v.Actors(v.Namespace("default"), "counter", 0) {
			restarts += int(a.Generation) - 1
			if a.Generation != 2 {
				t.Errorf("actor %s is in its generation %d, want 2", a.Key, a.Generation)
			}
			if a.Trouble != nil && a.Trouble.Retries != 0 {
				t.Errorf("actor %s was penalised for a fence", a.Key)
			}
		}
		neverTwice(t, all...)
		t.Logf("a minute without a quorum cost %d actors %d restarts", runners, restarts)
	})
}

// A runner that is lost while it is only cut off has stopped its actors before they start elsewhere, and comes back as a new runner.
func TestReturnOfTheLost(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		first := c.run(runner.Config{Key: "first", Slots: 10})
		defer first.end()
		c.populate(10, first)
		was := c.onlyRunner().ID
		second := c.run(runner.Config{Key: "second", Slots: 20})
		defer second.end()
		time.Sleep(5 * time.Second)
		c.silence("first")
		c.eventually(25*time.Second, "all on the second", func() bool { return second.running() == 10 })
		c.heal()
		c.eventually(20*time.Second, "the first one back", func() bool {
			v := c.leader().core.replica.Current()
			for r := range v.Runners(v.Namespace("default"), 0) {
				if r.Key == "first" && r.ID != was && r.Connected {
					return true
				}
			}
			return false
		})
		if first.running() != 0 {
			t.Errorf("the returned runner still runs %d actors", first.running())
		}
		neverTwice(t, first, second)
	})
}

// neverTwice holds G2 against what really ran: the bodies of one actor never overlap, on whichever runner.
func neverTwice(t *testing.T, runners ...*testRunner) {
	t.Helper()
	for _, o := range overlaps(runners...) {
		t.Error(o)
	}
}

// overlaps lists where two bodies of one actor ran at the same time.
func overlaps(runners ...*testRunner) (found []string) {
	of := map[string][]body{}
	for _, r := range runners {
		r.mu.Lock()
		for _, b := range r.bodies {
			of[b.actor] = append(of[b.actor], b)
		}
		for _, b := range r.live {
			b.to = time.Now()
			of[b.actor] = append(of[b.actor], b)
		}
		r.mu.Unlock()
	}
	for actor, bodies := range of {
		slices.SortFunc(bodies, func(a, b body) int { return a.from.Compare(b.from) })
		for i := 1; i < len(bodies); i++ {
			if bodies[i].from.Before(bodies[i-1].to) {
				found = append(found, fmt.Sprintf("actor %s ran twice: generation %d until %v, generation %d from %v", actor,
					bodies[i-1].generation, bodies[i-1].to, bodies[i].generation, bodies[i].from))
			}
		}
	}
	return found
}

// A runner that keeps its actors without a lease gives up G2, as its option says: and the checker of the other tests sees it.
func TestWithoutFenceActorsRunTwice(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		first := c.run(runner.Config{Key: "first", Slots: 10, OnLeaseLost: runner.Keep})
		defer first.end()
		c.populate(10, first)
		second := c.run(runner.Config{Key: "second", Slots: 20})
		defer second.end()
		time.Sleep(5 * time.Second)
		c.silence("first")
		c.eventually(25*time.Second, "all on the second", func() bool { return second.running() == 10 })
		c.heal()
		c.eventually(20*time.Second, "the first told to stop", func() bool { return first.running() == 0 })
		if len(overlaps(first, second)) != 10 {
			t.Errorf("%d overlaps were seen, want one for each of 10 actors", len(overlaps(first, second)))
		}
	})
}

// A threshold that is lowered while a runner is cut off does not touch it: the one that it knows is part of its session, and it fences
// itself by that one.
func TestThresholdLoweredDuringSilence(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		c.putThreshold(60)
		r := c.run(runner.Config{Key: "slow", Slots: 10})
		defer r.end()
		c.populate(3, r)
		id := c.onlyRunner().ID
		if got := c.onlyRunner().ThresholdMs; got != 60_000 {
			t.Fatalf("threshold %d ms, want the pool's", got)
		}
		last := &sight{}
		for range 5000 { // heartbeats come every 12 s
			c.lastSeen(id, last)
			time.Sleep(lookEvery)
		}
		c.silence("slow")
		c.putThreshold(10)
		lostAfter, _ := c.untilLost(id, last, nil)
		t.Logf("lost %v after its last heartbeat", lostAfter)
		if lostAfter < 60*time.Second-2*lookEvery || lostAfter > 62*time.Second {
			t.Errorf("lost %v after its last heartbeat, want the threshold of its session, a minute", lostAfter)
		}
		if r.running() != 0 {
			t.Errorf("%d actors still run when it is declared lost", r.running())
		}
		c.heal()
		// The runner comes back as a new one, and its new session has the new threshold.
		c.eventually(30*time.Second, "the runner back with the new threshold", func() bool {
			v := c.leader().core.replica.Current()
			for row := range v.Runners(v.Namespace("default"), 0) {
				if row.Connected && row.ThresholdMs == 10_000 {
					return true
				}
			}
			return false
		})
		neverTwice(t, r)
	})
}

// A healthy runner takes over a changed threshold with its heartbeats, up or down.
func TestThresholdChangesByHeartbeat(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		c.putThreshold(15)
		r := c.run(runner.Config{Slots: 10})
		defer r.end()
		c.populate(3, r)
		for _, seconds := range []uint32{30, 10, 60, 15} {
			c.putThreshold(seconds)
			c.eventually(60*time.Second, fmt.Sprintf("a threshold of %d s", seconds), func() bool {
				return c.onlyRunner().ThresholdMs == int64(seconds)*1000
			})
		}
		time.Sleep(2 * time.Minute)
		if end := c.onlyRunner().End; end != fsm.NotEnded {
			t.Errorf("the runner was ended (%d)", end)
		}
		r.livedOnce(t)
	})
}

func (c *testCluster) putThreshold(seconds uint32) {
	c.t.Helper()
	if err := c.tryThreshold(c.leader(), seconds); err != nil {
		c.t.Fatal(err)
	}
}

func (c *testCluster) tryThreshold(n *testNode, seconds uint32) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := n.core.engine.Submit(ctx, &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_PutPool{
		PutPool: &callboardv1.PoolServicePutRequest{
			Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{RunnerLostThreshold: &seconds},
		},
	}}})
	if refusal := out.GetRefusal(); err == nil && refusal != nil {
		return refusal
	}
	return err
}
