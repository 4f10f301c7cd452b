//go:build unix

package real_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

const subject = "subject" // of the random faults

// Nodes and runners are killed, frozen, ended and cut off at random, one fault after the other, while clients create, destroy, race and
// read through any node. When the faults are over every living actor runs again, and the whole history keeps every promise.
//
//	CALLBOARD_JEPSEN_TIME=10m   how long the faults last (default 25 s)
//	CALLBOARD_JEPSEN_SEED=…     repeats the choices of a run, as far as real time lets it
func TestRandomFaultsBreakNoPromise(t *testing.T) {
	t.Parallel()
	length := 25 * time.Second
	if text := os.Getenv("CALLBOARD_JEPSEN_TIME"); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	seed := rand.Uint64()
	if text := os.Getenv("CALLBOARD_JEPSEN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CALLBOARD_JEPSEN_SEED=%d", seed)

	s := begin(t, "n1", "n2", "n3")
	link, err := s.NewLink()
	s.must(err)
	for i := range 4 {
		cfg := real.RunnerConfig{Key: "r" + strconv.Itoa(i+1), Pool: pool, Version: 1, Slots: 500, SaveEvery: 2 * time.Second}
		if i == 0 {
			cfg.Through = link
		}
		s.run(cfg)
	}
	s.connected(pool, s.runners...)

	crowd := s.populate(seed)
	faults := &nemesis{scenario: s, dice: rand.New(rand.NewPCG(seed, 0)), link: link, done: map[string]int{}}
	faults.strike(time.Now().Add(length))
	crowd.end()
	s.Logf("faults: %v", faults.done)
	s.connected(pool, s.runners...)
	s.until("every living actor runs", func(ctx context.Context) error {
		shown, err := s.caller.List(ctx, subject)
		not := map[string]int{}
		for _, a := range shown {
			if a.Live() && a.State != history.StateRunning {
				not[a.State]++
			}
		}
		if err == nil && len(not) > 0 {
			err = fmt.Errorf("%v", not)
		}
		return err
	})
	s.judge(subject)
}

// populate starts clients that do all kinds of calls until they are stopped: for each node one that calls once, and two that repeat a
// call until they know its outcome.
func (s *scenario) populate(seed uint64) *writers {
	ctx, stop := context.WithCancel(s.Context())
	w := &writers{stop: stop}
	callers := []*real.Caller{s.callerOf("many", s.cluster.GRPCAddrs()), s.callerOf("many", s.cluster.GRPCAddrs())}
	for _, n := range s.cluster.Nodes {
		callers = append(callers, s.callerOf("once-"+n.ID, []string{n.Addrs.GRPC}, client.WithoutRetry()))
	}
	known := &actorsKnown{}
	for i, c := range callers {
		dice := rand.New(rand.NewPCG(seed, uint64(i)+1))
		w.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				// A call is not cut off by the end of the run: its outcome would count as unknown.
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
				s.anything(call, c, dice, known, fmt.Sprintf("%d-%d", i, n))
				cancel()
				select {
				case <-time.After(time.Duration(dice.IntN(100)) * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	return w
}

// actorsKnown are the actors that clients were told of, for other clients to destroy.
type actorsKnown struct {
	mu  sync.Mutex // clients share it
	all []history.Actor
}

func (k *actorsKnown) add(id, key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = append(k.all, history.Actor{ID: id, Name: subject, Key: key})
}

// take returns one that nobody has taken; false: there are few.
func (k *actorsKnown) take(dice *rand.Rand) (history.Actor, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.all) < 20 {
		return history.Actor{}, false
	}
	i := dice.IntN(len(k.all))
	a := k.all[i]
	k.all = slices.Delete(k.all, i, i+1)
	return a, true
}

// anything makes one call. Whatever becomes of it is in the history.
func (s *scenario) anything(ctx context.Context, c *real.Caller, dice *rand.Rand, known *actorsKnown, unique string) {
	switch n := dice.IntN(10); {
	case n < 3:
		if a, err := c.Create(ctx, pool, subject, unique); err == nil {
			known.add(a.GetActorId(), a.GetKey())
		}
	case n < 6:
		if a, err := c.GetOrCreate(ctx, pool, subject, "shared-"+strconv.Itoa(dice.IntN(20))); err == nil {
			known.add(a.GetActorId(), a.GetKey())
		}
	case n < 8:
		if a, ok := known.take(dice); ok {
			_ = c.Destroy(ctx, a)
		}
	default:
		_, _ = c.List(ctx, subject)
	}
}

// nemesis is what happens to processes, one thing after the other.
type nemesis struct {
	*scenario
	dice *rand.Rand
	link *real.Link
	done map[string]int
}

// strike goes on until a time, and leaves everything running.
func (n *nemesis) strike(until time.Time) {
	faults := []struct {
		name   string
		weight int
		fault  func()
	}{
		{"a node is killed", 4, n.killNode},
		{"a node ends", 2, n.endNode},
		{"a node stands still", 4, n.freezeNode},
		{"all nodes are killed", 1, n.killAll},
		{"a runner is killed", 1, n.killRunner},
		{"a runner stands still", 2, n.freezeRunner},
		{"a runner is cut off", 2, n.cutRunner},
	}
	var bag []int
	for i, f := range faults {
		for range f.weight {
			bag = append(bag, i)
		}
	}
	for time.Now().Before(until) {
		f := faults[bag[n.dice.IntN(len(bag))]]
		n.Logf("%v before the end: %s", round(time.Until(until)), f.name)
		n.done[f.name]++
		f.fault()
		n.last(0, 1500*time.Millisecond)
	}
}

// last lets something last, for a time between two.
func (n *nemesis) last(least, most time.Duration) {
	select {
	case <-time.After(least + time.Duration(n.dice.Int64N(int64(most-least)))):
	case <-n.Context().Done():
	}
}

func (n *nemesis) node() *real.Node { return n.cluster.Nodes[n.dice.IntN(len(n.cluster.Nodes))] }

func (n *nemesis) killNode() {
	victim := n.node()
	n.must(victim.Kill())
	n.last(0, 3*time.Second)
	n.must(n.cluster.Start(n.Context(), victim))
}

func (n *nemesis) endNode() {
	victim := n.node()
	n.must(victim.Terminate())
	code, err := victim.Wait(n.Context(), patience)
	n.must(err)
	if code != 0 {
		n.Errorf("%s ended with code %d after SIGTERM", victim.Name, code)
	}
	n.must(n.cluster.Start(n.Context(), victim))
}

func (n *nemesis) freezeNode() {
	victim := n.node()
	n.must(victim.Freeze(n.Context()))
	n.last(100*time.Millisecond, 5*time.Second)
	n.must(victim.Thaw())
}

func (n *nemesis) killAll() {
	n.must(n.cluster.Kill(n.cluster.Nodes...))
	n.must(n.cluster.Start(n.Context(), n.cluster.Nodes...))
}

// killRunner kills a runner; another process takes its key.
func (n *nemesis) killRunner() {
	i := n.dice.IntN(len(n.runners))
	n.must(n.runners[i].Kill())
	next, err := n.StartRunner(n.runners[i].Config)
	n.must(err)
	n.runners[i] = next
}

func (n *nemesis) freezeRunner() {
	victim := n.runners[n.dice.IntN(len(n.runners))]
	n.must(victim.Freeze(n.Context()))
	n.last(time.Second, 20*time.Second)
	n.must(victim.Thaw())
}

func (n *nemesis) cutRunner() {
	n.link.Cut()
	n.last(time.Second, 20*time.Second)
	n.link.Heal()
}
