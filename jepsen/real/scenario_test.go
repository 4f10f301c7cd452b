//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The scenarios run real processes in real time. They share worlds, because a thousand actors take a while to create: a world's test
// is a list of scenarios, each in a file that is named after it, and ends with every check of the whole history.
//
//	CALLBOARD_BINARY=…          tries that binary instead of building one (with -count=1: go test does not look at it)
//	CALLBOARD_JEPSEN_STRICT=1   times are held to what is promised on a quiet machine
//	CALLBOARD_JEPSEN_KEEP=DIR   keeps logs and histories there, of passed runs too

// binaries are built once, into a directory that goes when the tests have ended.
var (
	binariesDir string
	binaries    = sync.OnceValues(func() (real.Binaries, error) { return real.Build(context.Background(), binariesDir) })
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "callboard-jepsen-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binariesDir = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

const (
	// patience is for what nobody promised a time for.
	patience = 60 * time.Second
	// pool is where the thousand actors live, and room is their name.
	pool, room = "main", "room"
	actors     = 1000
	creators   = 16 // at once
)

// scenario is a world under test.
type scenario struct {
	*testing.T
	*real.World
	cluster *real.Cluster
	caller  *real.Caller // of all nodes
	runners []*real.Runner
}

// begin makes a world with a cluster.
func begin(t *testing.T, nodes ...string) *scenario {
	t.Helper()
	s := emptyWorld(t)
	s.found(nodes...)
	return s
}

// emptyWorld makes a world without a cluster. When the test ends everything is killed, and looked at for crashes.
func emptyWorld(t *testing.T) *scenario {
	t.Helper()
	began := time.Now()
	b, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("binaries built after %v", round(time.Since(began)))
	w, err := real.NewWorld(t.TempDir(), b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the last lines of every process:\n%s", w.Logs(40))
		}
		if err := w.Keep(t.Name()); err != nil {
			t.Error(err)
		}
	})
	return &scenario{T: t, World: w}
}

// found starts the world's cluster.
func (s *scenario) found(nodes ...string) {
	s.Helper()
	began := time.Now()
	var err error
	s.cluster, err = s.StartCluster(s.Context(), nodes...)
	s.must(err)
	s.Logf("%d nodes up after %v", len(nodes), round(time.Since(began)))
	s.caller = s.callerOf("all", s.cluster.GRPCAddrs())
}

// tell runs one scenario of a world; after one that failed the others mean nothing.
func (s *scenario) tell(name string, scene func(s *scenario)) {
	s.Helper()
	whole := s.T
	ok := whole.Run(name, func(t *testing.T) {
		in := *s
		in.T = t
		scene(&in)
		s.runners = in.runners
	})
	if !ok {
		whole.FailNow()
	}
}

func (s *scenario) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *scenario) callerOf(name string, addrs []string, options ...client.Option) *real.Caller {
	s.Helper()
	c, err := s.NewCaller(name, addrs, options...)
	s.must(err)
	s.Cleanup(func() { _ = c.Close() })
	return c
}

// until waits for something that has no promised time.
func (s *scenario) until(what string, ready func(ctx context.Context) error) time.Duration {
	s.Helper()
	took, err := real.Until(s.Context(), patience, what, ready)
	s.must(err)
	return took
}

// promised logs how long something took, and fails when that is more than promised. On a machine that is busy with other tests a
// promise of seconds is held wide.
func (s *scenario) promised(what string, took, promise time.Duration) {
	s.Helper()
	s.Logf("%s: %v (promised: %v)", what, round(took), promise)
	if limit := wide(promise); took > limit {
		s.Errorf("%s took %v, promised are %v (limit here %v)", what, round(took), promise, limit)
	}
}

func wide(promise time.Duration) time.Duration {
	if os.Getenv("CALLBOARD_JEPSEN_STRICT") != "" {
		return promise
	}
	return 2*promise + 5*time.Second
}

// thawGrace is how long a process that stood still may take to notice: 100 ms where the processor is free.
func thawGrace() time.Duration {
	if os.Getenv("CALLBOARD_JEPSEN_STRICT") != "" {
		return 100 * time.Millisecond
	}
	return time.Second
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// run starts a runner process; connected waits for it.
func (s *scenario) run(cfg real.RunnerConfig) *real.Runner {
	s.Helper()
	if len(cfg.Endpoints) == 0 {
		cfg.Endpoints = s.cluster.GRPCAddrs()
	}
	r, err := s.StartRunner(cfg)
	s.must(err)
	s.runners = append(s.runners, r)
	return r
}

// connected waits until exactly these runners of a pool are connected, and returns them by key.
func (s *scenario) connected(pool string, runners ...*real.Runner) map[string]*callboardv1.Runner {
	s.Helper()
	var byKey map[string]*callboardv1.Runner
	s.until(fmt.Sprintf("%d runners of %s are connected", len(runners), pool), func(ctx context.Context) (err error) {
		byKey, err = s.connectedNow(ctx, pool, runners)
		return err
	})
	return byKey
}

func (s *scenario) connectedNow(ctx context.Context, pool string, runners []*real.Runner) (map[string]*callboardv1.Runner, error) {
	shown, err := s.caller.Runners(ctx, pool)
	if err != nil {
		return nil, err
	}
	byKey := map[string]*callboardv1.Runner{}
	for _, r := range shown {
		if r.GetState() == callboardv1.RunnerState_RUNNER_STATE_CONNECTED {
			byKey[r.GetKey()] = r
		}
	}
	for _, r := range runners {
		if byKey[r.Config.Key] == nil {
			return nil, fmt.Errorf("%s is not connected", r.Name)
		}
	}
	if len(byKey) != len(runners) {
		return nil, fmt.Errorf("%d runners are connected, want %d", len(byKey), len(runners))
	}
	return byKey, nil
}

// fill starts the four runners of the thousand actors, spread over the nodes, creates the actors and waits until all run.
func (s *scenario) fill() {
	s.Helper()
	addrs := s.cluster.GRPCAddrs()
	for i := range 4 {
		at := i % len(addrs)
		s.run(real.RunnerConfig{
			Key: "r" + strconv.Itoa(i+1), Pool: pool, Version: 1, Slots: 600,
			Endpoints: append(append([]string(nil), addrs[at:]...), addrs[:at]...),
		})
	}
	s.connected(pool, s.runners...)
	began := time.Now()
	s.create(room, "", actors)
	s.Logf("%d actors created after %v", actors, round(time.Since(began)))
	s.allRunning(room, actors)
	s.Logf("%d actors running after %v", actors, round(time.Since(began)))
}

// create creates n actors with the keys prefix1 to prefixN.
func (s *scenario) create(name, prefix string, n int) {
	s.Helper()
	keys := make(chan string, n)
	for i := range n {
		keys <- prefix + strconv.Itoa(i+1)
	}
	close(keys)
	var all sync.WaitGroup
	errs := make([]error, creators)
	for i := range creators {
		all.Go(func() {
			for key := range keys {
				if _, err := s.caller.Create(s.Context(), pool, name, key); err != nil {
					errs[i] = err
					return
				}
			}
		})
	}
	all.Wait()
	s.must(errors.Join(errs...))
}

// allRunning waits until all n actors of a name run, and returns them.
func (s *scenario) allRunning(name string, n int) []history.Actor {
	s.Helper()
	var shown []history.Actor
	s.until(fmt.Sprintf("%d actors %s run", n, name), func(ctx context.Context) (err error) {
		shown, err = s.runningNow(ctx, name, n)
		return err
	})
	return shown
}

// runningNow returns all actors of a name; an error unless there are n and all run.
func (s *scenario) runningNow(ctx context.Context, name string, n int) ([]history.Actor, error) {
	shown, err := s.caller.List(ctx, name)
	if err != nil {
		return nil, err
	}
	not := map[string]int{}
	for _, a := range shown {
		if a.State != history.StateRunning {
			not[a.State]++
		}
	}
	if len(shown) != n || len(not) > 0 {
		return nil, fmt.Errorf("%d actors are listed, want %d; not running: %v", len(shown), n, not)
	}
	return shown, nil
}

// events returns the history so far.
func (s *scenario) events() []history.Event {
	s.Helper()
	events, err := s.History()
	s.must(err)
	return events
}

// counts counts events by kind.
func (s *scenario) counts() (map[history.Kind]int, error) {
	events, err := s.History()
	counts := map[history.Kind]int{}
	for _, e := range events {
		counts[e.Kind]++
	}
	return counts, err
}

// verdict reports what a check found. A check that judged nothing is a failure too.
func (s *scenario) verdict(what string, v check.Verdict) {
	s.Helper()
	const shown = 10
	for i, wrong := range v.Wrong {
		if i == shown {
			s.Errorf("%s: and %d more", what, len(v.Wrong)-shown)
			break
		}
		s.Errorf("%s: %s", what, wrong)
	}
	if v.Looked == 0 {
		s.Errorf("%s: nothing was judged", what)
	}
}

// judge ends a world: it reads the named actors once more, and holds the whole history to every promise.
func (s *scenario) judge(names ...string) {
	s.Helper()
	var final []history.Actor
	for _, name := range names {
		s.until("the last reading of "+name, func(ctx context.Context) error {
			of, err := s.caller.List(ctx, name)
			if err == nil {
				final = append(final, of...)
			}
			return err
		})
	}
	events := s.events()
	s.verdict("acknowledged writes are there", check.Durable(events, final))
	s.verdict("keys are unique", check.UniqueKeys(final))
	s.verdict("a key has one holder", check.OneHolder(events))
	s.verdict("reads are recent", check.Recent(events))
	s.verdict("generations rise", check.GenerationsRise(events))
	s.verdict("no actor has two bodies", check.OneBody(events, thawGrace()))
	s.verdict("saves are kept", check.SavesKept(events))
	counts, err := s.counts()
	s.must(err)
	s.Logf("%d events: %v", len(events), counts)
}
