package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Handler is an actor's code. It is called once for each life (generation) of an actor and runs as long as the actor does.
//
// Returning nil of its own accord ends the actor for good: the engine destroys it. Returning an error, or panicking, is a crash,
// and the actor's crash policy decides. When ctx ends the actor is asked to stop: whatever it returns then within the time-outs
// is a clean stop if it is nil or the context's error.
type Handler func(ctx context.Context, a *Actor) error

// Option changes how the actors of one handler are run.
type Option func(*options)

// Defaults of the per-actor options.
const (
	DefaultSleepGrace     = 15 * time.Second
	DefaultRunStopTimeout = 15 * time.Second
)

type options struct {
	sleepGrace     time.Duration
	runStopTimeout time.Duration
	sleepTimeout   time.Duration
	onWake         func(ctx context.Context, a *Actor) error
}

// SleepGrace is the time that OnSleep hooks, WaitUntil functions and PreventSleep together have when the actor stops. Default
// 15 s. What the engine's own deadline leaves may be less.
func SleepGrace(d time.Duration) Option {
	return func(o *options) { o.sleepGrace = positive("SleepGrace", d) }
}

// RunStopTimeout is how long the handler may take to return once its context has ended. Default 15 s. What the engine's own
// deadline leaves may be less.
func RunStopTimeout(d time.Duration) Option {
	return func(o *options) { o.runStopTimeout = positive("RunStopTimeout", d) }
}

// SleepTimeout puts the actor to sleep by itself after d without a Touch, a running WaitUntil function or a held PreventSleep.
// Off by default.
func SleepTimeout(d time.Duration) Option {
	return func(o *options) { o.sleepTimeout = positive("SleepTimeout", d) }
}

// OnWake runs at the beginning of each life of the actor, before the engine is told that it runs: after its creation, a sleep, a
// move or a crash. An error is a crash.
func OnWake(hook func(ctx context.Context, a *Actor) error) Option {
	return func(o *options) { o.onWake = hook }
}

func positive(name string, d time.Duration) time.Duration {
	if d <= 0 {
		panic(fmt.Sprintf("runner: %s(%v): must be positive", name, d))
	}
	return d
}

type registration struct {
	handler Handler
	options
}

// registry maps actor names to handlers. A mutex and no loop: it is written while a program starts and read by its runners.
type registry struct {
	mu     sync.RWMutex
	byName map[string]*registration
	any    *registration
	listed bool // a runner has told the engine the names
}

var defaultRegistry = &registry{}

// printable tells whether the engine takes a text as a name: UTF-8 without control characters.
func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

func (r *registry) handle(name string, fn Handler, opts []Option) {
	if name == "" || len(name) > maxActorName || !printable(name) {
		panic(fmt.Sprintf("runner: Handle: an actor name has 1 to %d bytes of UTF-8 without control characters", maxActorName))
	}
	reg := newRegistration(fn, opts)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listed {
		panic(fmt.Sprintf("runner: Handle(%q) after a runner has told the engine which names it handles; call it before Run", name))
	}
	if _, ok := r.byName[name]; ok {
		panic(fmt.Sprintf("runner: Handle: actor name %q is registered twice", name))
	}
	if r.byName == nil {
		r.byName = make(map[string]*registration)
	}
	r.byName[name] = reg
}

func (r *registry) handleAny(fn Handler, opts []Option) {
	reg := newRegistration(fn, opts)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.any != nil {
		panic("runner: HandleAny is called twice")
	}
	if r.listed {
		panic("runner: HandleAny after a runner has told the engine which names it handles; call it before Run")
	}
	r.any = reg
}

func newRegistration(fn Handler, opts []Option) *registration {
	if fn == nil {
		panic("runner: the handler is nil")
	}
	reg := &registration{handler: fn, options: options{sleepGrace: DefaultSleepGrace, runStopTimeout: DefaultRunStopTimeout}}
	for _, o := range opts {
		o(&reg.options)
	}
	return reg
}

// find returns nil when no handler takes this name.
func (r *registry) find(name string) *registration {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if reg, ok := r.byName[name]; ok {
		return reg
	}
	return r.any
}

// handled returns the names that have handlers, in order; nil: a handler takes any name. There are no others from here on.
func (r *registry) handled() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.any != nil {
		return nil
	}
	r.listed = true
	return slices.Sorted(maps.Keys(r.byName))
}

// check returns what is wrong with the handlers; nil: a runner can run with them.
func (r *registry) check() error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case r.any != nil:
		return nil
	case len(r.byName) == 0:
		return errors.New("no handler is registered; call Handle or HandleAny first")
	case len(r.byName) > maxHandledNames:
		return fmt.Errorf("handlers for %d actor names are registered, and a runner may list %d; register one HandleAny that tells them apart by Actor.Name",
			len(r.byName), maxHandledNames)
	}
	return nil
}

// names returns the actor names that have a handler of their own, in order.
func (r *registry) names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.byName))
}
