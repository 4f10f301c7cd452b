package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// stuckLog takes nothing once it is stuck, as a pipe that nobody reads any more.
type stuckLog struct {
	stuck   atomic.Bool
	release chan struct{}
	actor   atomic.Pointer[Actor] // of the runner that logs here
}

func (w *stuckLog) Write(p []byte) (int, error) {
	if w.stuck.Load() {
		<-w.release
	}
	return len(p), nil
}

// underStuckLog runs a runner whose actor "x" tells when its context has ended, with a log that can be made to take nothing.
func underStuckLog(t *testing.T, e *fakeEngine, cfg Config, log *stuckLog, deaf ...Handler) (r *Runner, fencedAfter *atomic.Int64) {
	cfg.Endpoint, cfg.Dial, cfg.IgnoreSignals, cfg.Clock = e.addr, e.net.dial, true, ProcessClock()
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) // as slog.Default: it writes to a pipe, and waits
	r, fencedAfter = New(cfg), new(atomic.Int64)
	began := time.Now()
	r.Handle("test", func(ctx context.Context, a *Actor) error {
		log.actor.Store(a)
		<-ctx.Done()
		fencedAfter.Store(int64(time.Since(began)))
		return nil
	})
	for _, handler := range deaf {
		r.Handle("deaf", handler)
	}
	done := make(chan struct{})
	go func() { _ = r.Run(context.Background()); close(done) }()
	t.Cleanup(func() { close(log.release); r.Kill(); <-done })
	e.session(0).start("x")
	e.expect("running x/1")
	return r, fencedAfter
}

// holdLoop holds the loop of an actor's runner until release is called.
func holdLoop(a *Actor) (release func()) {
	answers := make(chan error) // without room: the loop waits until somebody takes the answer
	ended := &Actor{ending: &ending{}, calls: make(chan struct{}, 1)}
	ended.calls <- struct{}{}
	a.loop.post(actorSays{actor: ended, reply: answers})
	return func() {
		if err := <-answers; !errors.Is(err, ErrEnded) {
			panic(err)
		}
	}
}

// Actors are fenced when the lease ends, also when the program's log takes nothing any more: they may be started elsewhere at T.
func TestALogThatIsStuckKeepsNoActorAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(t, &fakeNet{}, "a:1")
		log := &stuckLog{release: make(chan struct{})}
		_, fencedAfter := underStuckLog(t, e, Config{}, log)
		e.goSilent()
		log.stuck.Store(true)
		time.Sleep(time.Minute)
		if got := time.Duration(fencedAfter.Load()); got != 10*second+500*time.Millisecond {
			t.Errorf("fenced after %v", got)
		}
	})
}

// A log that takes nothing costs no lease: heartbeats go on, and whatever has to be logged, Starts and streams too.
func TestALogThatIsStuckCostsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(t, &fakeNet{}, "a:1")
		log := &stuckLog{release: make(chan struct{})}
		log.stuck.Store(true)
		r, fencedAfter := underStuckLog(t, e, Config{Slots: 1}, log)
		s := e.session(0)
		var ids []string
		for i := range 5000 { // each refusal is logged
			ids = append(ids, fmt.Sprint("too-many-", i))
		}
		s.start(ids...)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := r.Status(); !got.LeaseValid || got.Actors != 1 || fencedAfter.Load() != 0 {
			t.Errorf("status %+v, fenced after %v", got, time.Duration(fencedAfter.Load()))
		}
		began := time.Now()
		r.Shutdown()
		s.stop("x", 1, evict)
		time.Sleep(10 * second)
		synctest.Wait()
		if got := r.Status(); got.Actors != 0 || got.Address != "" {
			t.Errorf("%v after its shutdown began: %+v", time.Since(began), got)
		}
	})
}

// The fence needs no loop: that may be held by whatever it is.
func TestTheFenceNeedsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(t, &fakeNet{}, "a:1")
		log := &stuckLog{release: make(chan struct{})}
		exited := time.Time{}
		began := time.Now()
		hold := make(chan struct{})
		deafHandler := func(context.Context, *Actor) error { <-hold; return nil }
		_, fencedAfter := underStuckLog(t, e, Config{OnStuck: ExitProcess, exit: func(int) { exited = time.Now() }}, log, deafHandler)
		deaf := startOf("deaf", 1)
		deaf.Name = "deaf"
		s := e.session(0)
		s.desire(&callboardv1.Desired{Start: []*callboardv1.StartActor{deaf}})
		e.expect("running deaf/1")
		synctest.Wait()
		release := holdLoop(log.actor.Load())
		sleepUntil(began.Add(30 * second))
		if got := time.Duration(fencedAfter.Load()); got != 10*second+500*time.Millisecond {
			t.Errorf("fenced after %v", got)
		}
		if got := exited.Sub(began); got != 12*second+750*time.Millisecond {
			t.Errorf("the process ended after %v, its code had not returned", got)
		}
		release()
		close(hold)
		synctest.Wait()
	})
}

// Of what happens while the loop is held, nothing brings a fenced actor's lease back: not the acknowledgement that has waited meanwhile.
func TestAFenceIsNotTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newFakeEngine(t, &fakeNet{}, "a:1")
		log := &stuckLog{release: make(chan struct{})}
		_, fencedAfter := underStuckLog(t, e, Config{}, log)
		s := e.session(0)
		for len(s.heartbeats()) == 0 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		e.goSilent()
		for len(s.heartbeats()) < 3 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		release := holdLoop(log.actor.Load())
		synctest.Wait()
		s.send(acknowledgement(3, testThreshold))
		time.Sleep(30 * second)
		if fencedAfter.Load() == 0 {
			t.Error("not fenced while the loop was held")
		}
		release()
		synctest.Wait()
		if !s.gone() {
			t.Error("the stream goes on as if nothing had been")
		}
	})
}
