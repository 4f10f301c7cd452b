package server

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
	"github.com/callboard/callboard/transport/grpcapi"
)

// lives notes when the lives of an actor began.
type lives struct {
	mu    sync.Mutex
	began []time.Time
}

func (l *lives) begin() (nth int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.began = append(l.began, time.Now())
	return len(l.began)
}

func (l *lives) at(nth int) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if nth > len(l.began) {
		return time.Time{}, false
	}
	return l.began[nth-1], true
}

// spawn waits for a connected runner and creates actors, whatever becomes of them.
func (c *testCluster) spawn(actors int) []fsm.ActorID {
	c.t.Helper()
	c.awaitRunner()
	var ids []fsm.ActorID
	for range actors {
		id, err := c.create(c.leader(), "")
		if err != nil {
			c.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// An actor that crashes again and again waits not at all, then 2 s, 4 s … 512 s, and not more; ten minutes without a retry, and it
// begins anew. With the real engine, the real library and the real defaults.
func TestBackOffAtRealTimes(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		c.leader()
		// How long each life runs, and what it has to wait for then.
		const second, minute = time.Second, time.Minute
		script := []struct{ runs, waits time.Duration }{
			{0, 0},
			{0, 2 * second},
			{0, 4 * second},
			{second, 8 * second},
			{0, 16 * second},
			{0, 32 * second},
			{0, 64 * second},
			{0, 128 * second},
			{0, 256 * second},
			{0, 512 * second},
			{0, 512 * second},
			{10*minute - 5*second, 512 * second},
			{10*minute + 5*second, 0},
			{0, 2 * second},
			{second, 4 * second},
		}
		l := &lives{}
		boom := errors.New("boom")
		r := c.runCode(runner.Config{Key: "runner"}, func(ctx context.Context, _ *runner.Actor) error {
			nth := l.begin()
			if nth > len(script) {
				<-ctx.Done()
				return nil
			}
			time.Sleep(script[nth-1].runs)
			return boom
		})
		defer r.end()
		c.spawn(1)
		life := func(nth int) (began time.Time) {
			c.eventually(25*minute, fmt.Sprintf("life %d", nth), func() (there bool) {
				began, there = l.at(nth)
				return there
			})
			return began
		}
		for i, want := range script {
			began, next := life(i+1), life(i+2)
			// The jitter is half a second, a report and a commit take a moment, and the cluster clock counts whole milliseconds.
			if waited := next.Sub(began) - want.runs; waited < want.waits-time.Millisecond || waited > want.waits+700*time.Millisecond {
				t.Errorf("after life %d it waited %v, want %v", i+1, waited, want.waits)
			}
		}
	})
}

// Two hundred actors wait, and two hundred runners with one slot each come at once: all are placed, in the order in which they came.
func TestTwoHundredAtOnce(t *testing.T) {
	const n = 200
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		first := c.run(runner.Config{Key: "first", Slots: 1}) // makes the pool
		defer first.end()
		c.spawn(1)
		ids := c.spawn(n)
		var runners []*testRunner
		for i := range n {
			runners = append(runners, c.run(runner.Config{Key: fmt.Sprintf("r%d", i), Slots: 1}))
		}
		c.eventually(10*time.Second, "all running", func() bool { return leader.core.replica.Current().Count(fsm.Running) == n+1 })
		v := leader.core.replica.Current()
		var last uint64
		for i, id := range ids {
			placed := v.Actor(id).Decision.Index
			if placed < last {
				t.Errorf("actor %d was placed at index %d, one before it at %d", i, placed, last)
			}
			last = placed
		}
		ended := make(chan struct{})
		for _, r := range runners {
			go func() { r.end(); ended <- struct{}{} }()
		}
		for range runners {
			<-ended
		}
	})
}

// An alarm that is thousands of years away is more nanoseconds than there are: the engine sleeps until then, and does not spin.
func TestFarAlarm(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		leader := c.leader()
		refused := make(chan error, 1)
		r := c.runCode(runner.Config{Key: "runner"}, func(ctx context.Context, a *runner.Actor) error {
			refused <- a.SetAlarm(ctx, time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC))
			if err := a.SetAlarm(ctx, time.Date(9999, 12, 31, 23, 59, 0, 0, time.UTC)); err != nil {
				return err
			}
			a.Sleep()
			<-ctx.Done()
			return nil
		})
		c.spawn(1)
		var refusal *runner.Refusal
		if err := <-refused; !errors.As(err, &refusal) || refusal.Code != "invalid_alarm" {
			t.Errorf("the year 10000: %v", err)
		}
		c.eventually(10*time.Second, "asleep", func() bool { return leader.core.replica.Current().Count(fsm.Sleeping) == 1 })
		r.end()
		time.Sleep(61 * time.Minute) // the runner is forgotten: nothing else is due
		before := leader.core.replica.Current().Index()
		time.Sleep(20 * time.Second)
		if entries := leader.core.replica.Current().Index() - before; entries > 25 { // a tick a second
			t.Errorf("%d entries in 20 s", entries)
		}
	})
}

// phase is an actor's as the node sees it.
func (n *testNode) phase(id fsm.ActorID) fsm.Phase {
	if a := n.core.replica.Current().Actor(id); a != nil {
		return a.Phase
	}
	return fsm.NoPhase
}

// DELETE waits for the end on its own node's View: the death of the leader meanwhile does not end the wait. When the end takes longer
// than the caller would wait, the answer is that it is accepted.
func TestDestroyWaitsThroughAFailover(t *testing.T) {
	for _, c := range []struct {
		stops, waits time.Duration
		ended        bool
	}{
		{10 * time.Second, 0, true}, // 0: the default of 30 s
		{10 * time.Second, 5 * time.Second, false},
	} {
		t.Run(fmt.Sprint(c.waits), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, cluster *testCluster) {
				cluster.leader()
				r := cluster.runCode(runner.Config{Key: "runner"}, func(ctx context.Context, _ *runner.Actor) error {
					<-ctx.Done()
					time.Sleep(c.stops)
					return nil
				})
				defer r.end()
				id := cluster.spawn(1)[0]
				leader, follower := cluster.leader(), cluster.follower()
				cluster.eventually(10*time.Second, "running", func() bool {
					return follower.phase(id) == fsm.Running
				})
				api := grpcapi.New(follower.core.engine, nil)
				type answer struct {
					got *callboardv1.DestroyResponse
					err error
				}
				answered := make(chan answer, 1)
				began := time.Now()
				go func() {
					got, err := api.Actors().Destroy(context.Background(), &callboardv1.DestroyRequest{
						Namespace: "default", ActorId: id.String(), TimeoutMs: uint32(c.waits.Milliseconds()),
					})
					answered <- answer{got, err}
				}()
				cluster.eventually(5*time.Second, "stopping", func() bool {
					return follower.phase(id) == fsm.Stopping
				})
				cluster.kill(leader.name)
				a := <-answered
				took := time.Since(began)
				if a.err != nil || a.got.GetEnded() != c.ended {
					t.Errorf("%v, %v after %v; want ended=%v", a.got, a.err, took, c.ended)
				}
				if !c.ended && took.Round(100*time.Millisecond) != c.waits {
					t.Errorf("it waited %v, want %v", took, c.waits)
				}
				cluster.eventually(30*time.Second, "destroyed in the end", func() bool {
					return follower.phase(id) == fsm.Destroyed
				})
			})
		})
	}
}

// A runner that a newer version has drained leaves, or stays on stand-by if it was told to. One that comes outdated stands by. When the
// newer one is gone those on stand-by take the actors, and the next version drains them like any other.
func TestWhenDrained(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		c.putPace(pace{rate: 1000})
		start := func(key string, version uint32, when runner.WhenDrained) *testRunner {
			r := c.run(runner.Config{Key: key, Version: version, Slots: 100, WhenDrained: when})
			t.Cleanup(r.end)
			return r
		}
		returned := func(r *testRunner) bool {
			select {
			case err := <-r.done:
				r.done <- err // end waits for it
				return err == nil
			default:
				return false
			}
		}
		const actors = 20
		leaves, stays := start("leaves", 1, runner.Exit), start("stays", 1, runner.Stay)
		c.connected(2)
		c.spawn(actors)
		c.eventually(10*time.Second, "all run on the two", func() bool { return leaves.running() > 0 && leaves.running()+stays.running() == actors })

		newer := start("newer", 2, runner.Exit)
		c.eventually(time.Minute, "all run on the newer one", func() bool { return newer.running() == actors })
		c.eventually(10*time.Second, "the first one has left", func() bool { return returned(leaves) })
		late := start("late", 1, runner.Exit)
		c.eventually(10*time.Second, "the late one knows that it is outdated", func() bool { return late.runner.Status().Draining })
		time.Sleep(time.Minute)
		for name, r := range map[string]*testRunner{"stays": stays, "late": late} {
			if returned(r) || !r.runner.Status().Draining || r.running() != 0 {
				t.Errorf("%s: returned %v, %+v", name, returned(r), r.runner.Status())
			}
		}

		newer.runner.Shutdown()
		c.eventually(time.Minute, "those on stand-by have the actors", func() bool { return stays.running() > 0 && stays.running()+late.running() == actors })
		c.eventually(10*time.Second, "they know that they are wanted", func() bool {
			return !stays.runner.Status().Draining && !late.runner.Status().Draining
		})

		newest := start("newest", 3, runner.Exit)
		c.eventually(5*time.Minute, "all run on the newest", func() bool { return newest.running() == actors })
		c.eventually(10*time.Second, "the late one has left", func() bool { return returned(late) })
		time.Sleep(time.Minute)
		if returned(stays) {
			t.Error("the one that was to stay has left")
		}
	})
}
