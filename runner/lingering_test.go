package runner

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// deafness is a handler that ignores its context in the first life of "x", and counts bodies.
type deafness struct {
	release       chan struct{}
	bodies, twice atomic.Int32
}

func (d *deafness) handle(ctx context.Context, a *Actor) error {
	if d.bodies.Add(1) > 1 {
		d.twice.Store(1)
	}
	defer d.bodies.Add(-1)
	if a.Generation() == 1 {
		<-d.release
		return errors.New("too late")
	}
	return untilStopped(ctx, a)
}

// loseLease lets the lease of the runner's actors end, and its deaf code be abandoned, and returns the stream after that.
func loseLease(e *fakeEngine) *fakeSession {
	e.session(0).start("x")
	synctest.Wait()
	e.goSilent()
	time.Sleep(14 * second)
	e.speakAgain()
	time.Sleep(5 * second)
	e.reported()
	e.set(func(e *fakeEngine) { e.events = nil })
	return e.session(e.sessionCount() - 1)
}

// One process runs one body of an actor, also after a lost lease: a Start waits for the code that was given up.
func TestAStartWaitsForAbandonedCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		d := &deafness{release: make(chan struct{})}
		startRunner(t, n, Config{}, d.handle)
		s := loseLease(e)
		s.startAt(2, "x")
		time.Sleep(startHold - second)
		e.expect()
		close(d.release)
		e.expect("running x/2")
		if d.twice.Load() != 0 {
			t.Error("two bodies ran at once")
		}
	})
}

// Code that does not return does not hold its actor for ever.
func TestAStartIsRefusedWhenAbandonedCodeStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		d := &deafness{release: make(chan struct{})}
		startRunner(t, n, Config{}, d.handle)
		s := loseLease(e)
		s.startAt(2, "x")
		time.Sleep(startHold)
		e.expect("stopped x/2 refused")
		close(d.release)
		e.expect()
		s.startAt(3, "x")
		e.expect("running x/3")
		if d.twice.Load() != 0 {
			t.Error("two bodies ran at once")
		}
	})
}

// A Start that waits is stopped like one that runs, and begins no more.
func TestAHeldStartIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		d := &deafness{release: make(chan struct{})}
		startRunner(t, n, Config{}, d.handle)
		s := loseLease(e)
		s.startAt(2, "x")
		s.stop("x", 2, evict)
		e.expect("stopped x/2 clean")
		close(d.release)
		time.Sleep(2 * startHold)
		e.expect()
	})
}

// Code that a stop gave up is waited for as well.
func TestAStartWaitsForCodeThatAStopGaveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		d := &deafness{release: make(chan struct{})}
		startRunner(t, n, Config{}, d.handle)
		s := e.session(0)
		s.start("x")
		s.stop("x", 1, evict)
		time.Sleep(testStop)
		e.expect("running x/1", "stopped x/1 crashed abandoned")
		s.startAt(2, "x")
		e.expect()
		close(d.release)
		e.expect("running x/2")
		if d.twice.Load() != 0 {
			t.Error("two bodies ran at once")
		}
	})
}
