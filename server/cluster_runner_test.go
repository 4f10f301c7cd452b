package server

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/callboard/callboard/runner"
)

// testRunner is a real runner process's worth of library, with a record of what it ran.
type testRunner struct {
	runner *runner.Runner
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan error

	mu     sync.Mutex
	runs   map[string][]uint64 // generations by actor
	live   map[string]body
	bodies []body
}

// body is one interval in which an actor's code really ran.
type body struct {
	actor      string
	generation uint64
	from, to   time.Time
}

// run starts a runner that accepts any actor and holds it until it is stopped.
func (c *testCluster) run(cfg runner.Config) *testRunner {
	return c.runWith(runner.ProcessClock(), cfg)
}

// runWith is run with a clock of the runner's own.
func (c *testCluster) runWith(clock runner.Clock, cfg runner.Config) *testRunner {
	if cfg.Key == "" {
		cfg.Key = "runner"
	}
	return c.runAs(cfg.Key, clock, cfg)
}

// runAs is runWith with another name in the network than the key.
func (c *testCluster) runAs(name string, clock runner.Clock, cfg runner.Config) *testRunner {
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return c.dialFrom(ctx, name, addr) }
	cfg.Clock, cfg.IgnoreSignals, cfg.Logger = clock, true, c.log.With("runner", cfg.Key)
	if cfg.Endpoint == "" {
		cfg.Endpoint = strings.Join(c.addrs(), ",")
	}
	return runIt(cfg, nil)
}

// runCode starts a runner whose actors are the given code.
func (c *testCluster) runCode(cfg runner.Config, code runner.Handler) *testRunner {
	cfg.Dial = func(ctx context.Context, addr string) (net.Conn, error) { return c.dialFrom(ctx, cfg.Key, addr) }
	cfg.Clock, cfg.IgnoreSignals, cfg.Logger = runner.ProcessClock(), true, c.log.With("runner", cfg.Key)
	cfg.Endpoint = strings.Join(c.addrs(), ",")
	return runIt(cfg, code)
}

// runIt starts a runner. Without code its actors write down when they run, and hold until they are stopped.
func runIt(cfg runner.Config, code runner.Handler) *testRunner {
	r := &testRunner{log: cfg.Logger, done: make(chan error, 1), runs: map[string][]uint64{}, live: map[string]body{}}
	r.runner = runner.New(cfg)
	r.runner.HandleAny(func(ctx context.Context, a *runner.Actor) error {
		if code != nil {
			return code(ctx, a)
		}
		began := time.Now()
		r.mu.Lock()
		r.runs[a.ID()] = append(r.runs[a.ID()], a.Generation())
		r.live[a.ID()] = body{actor: a.ID(), generation: a.Generation(), from: began}
		r.mu.Unlock()
		<-ctx.Done()
		r.mu.Lock()
		delete(r.live, a.ID())
		r.bodies = append(r.bodies, body{a.ID(), a.Generation(), began, time.Now()})
		r.mu.Unlock()
		return ctx.Err()
	})
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.done <- r.runner.Run(ctx) }()
	return r
}

// end stops the runner and waits for it.
func (r *testRunner) end() {
	r.stop()
	if err := <-r.done; err != nil {
		r.log.Debug("a runner ended", "error", err)
	}
}

func (r *testRunner) running() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.live)
}
