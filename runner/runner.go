package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// Handle registers the code of actors with this name for Run and Main. The engine gives a runner only actors whose names it has handlers
// for, at most 256; with HandleAny it gives it all. So Handle comes before Run. It panics when the name is empty, longer than 256 bytes or
// registered already, and when a runner with these handlers has connected.
func Handle(name string, fn Handler, opts ...Option) { defaultRegistry.handle(name, fn, opts) }

// HandleAny registers the code of actors whose name has no handler of its own. It panics when called twice, and when a runner with these
// handlers has connected without it.
func HandleAny(fn Handler, opts ...Option) { defaultRegistry.handleAny(fn, opts) }

// Run is a runner with the handlers registered by Handle and HandleAny. See Runner.Run.
func Run(ctx context.Context, cfg Config) error {
	return newRunner(cfg, defaultRegistry).Run(ctx)
}

// Main runs a runner until it is done and exits the process: 0 drained or clean, 2 wrong configuration, 20 replaced, 21 refused,
// 22 stopped with actors left, 1 anything else.
func Main(cfg Config) {
	err := Run(context.Background(), cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(ExitCode(err))
}

// Runner is one runner with handlers of its own, for programs with several of them, and for tests.
type Runner struct {
	cfg      Config
	registry *registry
	orders   chan order // what the program asks of the loop
	started  atomic.Bool
	status   atomic.Pointer[Status]
}

// order is what the program asks of a running loop.
type order int

const (
	orderShutdown order = iota
	orderKill
)

// New makes a runner; Run starts it.
func New(cfg Config) *Runner { return newRunner(cfg, &registry{}) }

func newRunner(cfg Config, reg *registry) *Runner {
	r := &Runner{cfg: cfg, registry: reg, orders: make(chan order, 4)}
	r.status.Store(&Status{})
	return r
}

// Handle registers the code of actors with this name, as the function Handle does.
func (r *Runner) Handle(name string, fn Handler, opts ...Option) { r.registry.handle(name, fn, opts) }

// HandleAny registers the code of actors whose name has no handler of its own, as the function HandleAny does.
func (r *Runner) HandleAny(fn Handler, opts ...Option) { r.registry.handleAny(fn, opts) }

// Run connects to the engine and runs actors until the runner is done. It may be called once.
//
// The end of ctx, Shutdown, and the first SIGTERM or SIGINT (unless Config.IgnoreSignals) all begin the same shutdown: the
// engine is told, moves every actor away, and Run returns nil when the last one has gone. That takes at most ShutdownGrace. A
// second signal or Shutdown ends at once.
//
// Run also returns nil when a newer version has drained the runner (Config.WhenDrained). Otherwise it returns an error, an
// *ExitError where the process should exit with a code of its own. It never gives up dialling an engine that does not answer.
// When Run returns, no goroutine of the library is left, and of the actors only code that was abandoned.
func (r *Runner) Run(ctx context.Context) error {
	if r.started.Swap(true) {
		return errors.New("callboard runner: Run is called twice; make a new Runner")
	}
	cfg, err := r.cfg.withDefaults()
	if err != nil {
		return &ExitError{Code: CodeUsage, Reason: reasonBadConfig, Err: err}
	}
	if err := r.registry.check(); err != nil {
		return &ExitError{Code: CodeUsage, Reason: reasonBadConfig, Err: err}
	}
	return newLoop(cfg, r).run(ctx)
}

// Shutdown begins the shutdown that SIGTERM begins. A second call ends the runner at once.
func (r *Runner) Shutdown() { r.give(orderShutdown) }

// Kill ends the runner at once, as if the process had died: every actor is cancelled, without hooks, and the engine is told
// nothing. It is for tests.
func (r *Runner) Kill() { r.give(orderKill) }

func (r *Runner) give(o order) {
	select {
	case r.orders <- o:
	default: // enough have been given already to end it at once
	}
}

// Status is what a runner knows about itself.
type Status struct {
	RunnerID      string // from the engine; empty before the first Welcome
	Address       string // of the engine node that holds the session; empty while there is none
	Actors        int
	LeaseValid    bool
	LostThreshold time.Duration // the one the lease is counted on
	Draining      bool
}

// Status tells how the runner is. It may be called at any time.
func (r *Runner) Status() Status { return *r.status.Load() }
