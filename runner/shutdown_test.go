package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const shutdownReason = callboardv1.StopReason_STOP_REASON_SHUTDOWN

func (s *fakeSession) saidGoodbye() bool {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goodbye
}

func TestShutdownHandsEverythingOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		begin func(r *testRunner)
	}{
		{"Shutdown", func(r *testRunner) { r.Shutdown() }},
		{"the context ends", func(r *testRunner) { r.cancel() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				var drain Drain
				r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
					<-a.Draining()
					drain, _ = a.Drain()
					return untilStopped(ctx, a)
				})
				s := e.session(0)
				s.start("x")
				e.expect("running x/1")
				c.begin(r)
				synctest.Wait()
				if len(s.draining) != 1 || s.draining[0].GetDeadlineMs() != 120_000 {
					t.Fatalf("announced %v", s.draining)
				}
				if drain.Cause != DrainShutdown || !r.Status().Draining {
					t.Errorf("the actor sees %+v", drain)
				}
				time.Sleep(20 * time.Second)
				s.start("late") // sent before the engine knew
				e.expect("stopped late/1 refused")
				s.stop("x", 1, shutdownReason)
				e.expect("stopped x/1 clean")
				if err := r.result(); err != nil {
					t.Errorf("Run: %v", err)
				}
				if !s.saidGoodbye() {
					t.Error("no Goodbye")
				}
			})
		})
	}
}

// A shutdown goes on over a new stream: it is announced again with what is left of the grace.
func TestShutdownAcrossStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		r.Shutdown()
		time.Sleep(20 * time.Second)
		s.end <- nil
		s = e.session(1)
		synctest.Wait()
		if len(s.draining) != 1 || s.draining[0].GetDeadlineMs() > 100_000 || s.draining[0].GetDeadlineMs() < 98_000 {
			t.Fatalf("announced %v", s.draining)
		}
		s.stop("x", 1, shutdownReason)
		if err := r.result(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// What the engine does not ask to stop stops by itself when only the stop threshold is left. It is told as fenced: the engine
// must not take it for the actor's own end.
func TestShutdownStopsWhatTheEngineForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		r := startRunner(t, n, Config{}, untilStopped)
		e.session(0).start("x")
		e.expect("running x/1")
		r.Shutdown()
		sleepUntil(began.Add(89 * time.Second))
		e.expect()
		sleepUntil(began.Add(90 * time.Second))
		e.expect("stopped x/1 clean fenced")
		if err := r.result(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestSecondShutdownEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) { t.Error("a hook ran") })
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), ErrRunnerStopped) {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			return nil
		})
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		r.Shutdown()
		r.Shutdown()
		if err := r.result(); ExitCode(err) != CodeLeftActors {
			t.Errorf("Run: %v", err)
		}
		if s.saidGoodbye() {
			t.Error("Goodbye although actors were left")
		}
	})
}

// A shutdown without a stream waits a moment for the next one, to say Goodbye on it: else the engine waits for the lost threshold.
func TestGoodbyeOnTheNextStream(t *testing.T) {
	for _, back := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := &fakeNet{}
			e := newFakeEngine(t, n, "a:1")
			r := startRunner(t, n, Config{}, untilStopped)
			e.session(0)
			e.away(true)
			e.session(0).end <- nil
			synctest.Wait()
			began := time.Now()
			r.Shutdown()
			synctest.Wait()
			if r.ended() {
				t.Fatal("it has not waited")
			}
			if back {
				e.away(false)
			}
			<-r.done
			if took := time.Since(began); took > reportGrace || back == (took == reportGrace) {
				t.Errorf("a node is there: %v; took %s", back, took)
			}
			if back && !e.session(1).saidGoodbye() {
				t.Error("no Goodbye")
			}
			if err := r.result(); err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
}

func TestShutdownWithNothingToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		r := startRunner(t, n, Config{}, untilStopped) // no engine at all
		time.Sleep(10 * time.Second)
		r.Shutdown()
		if err := r.result(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// Nobody answers any more: the lease runs out, the actors are fenced, and after a last wait Run says that they were not handed
// over.
func TestShutdownWithoutAnEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		e.session(0).start("x")
		synctest.Wait()
		e.goSilent()
		r.Shutdown()
		time.Sleep(15 * time.Second)
		if r.ended() {
			t.Error("it left too early")
		}
		time.Sleep(time.Second)
		if err := r.result(); ExitCode(err) != CodeLeftActors {
			t.Errorf("Run: %v", err)
		}
	})
}

// The engine may end the runner before its Goodbye, once the last stop is confirmed. That is a clean end, not a reason to dial.
func TestEngineEndsTheRunnerFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		e.set(func(e *fakeEngine) { e.muteEvents = true })
		r.Shutdown()
		s.stop("x", 1, shutdownReason)
		e.expect("stopped x/1 clean")
		s.send(disconnectMessage("ended", true))
		if err := r.result(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if got := e.sessionCount(); got != 1 {
			t.Errorf("%d streams", got)
		}
	})
}

// A hundred actors whose hooks take 0 to 12 s, and one whose hook hangs: the hundred are handed over, the one is reported.
func TestShutdownOfManyWithOneThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		release := make(chan struct{})
		began := time.Now()
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(ctx context.Context) {
				if a.ID() == "hung" {
					<-release
					return
				}
				i, _ := strconv.Atoi(a.ID())
				time.Sleep(time.Duration(i) * 120 * time.Millisecond)
				if err := a.Save(ctx, []byte(a.ID())); err != nil {
					t.Errorf("Save: %v", err)
				}
			})
			return untilStopped(ctx, a)
		})
		s := e.session(0)
		ids := []string{"hung"}
		for i := range 100 {
			ids = append(ids, strconv.Itoa(i))
		}
		s.start(ids...)
		synctest.Wait()
		e.set(func(e *fakeEngine) { e.events = nil })
		r.Shutdown()
		d := &callboardv1.Desired{}
		for _, id := range ids {
			d.Stop = append(d.Stop, &callboardv1.StopActor{Ref: &callboardv1.ActorRef{ActorId: id, Generation: 1}, Reason: shutdownReason, TimeoutMs: 30_000})
		}
		s.desire(d)
		sleepUntil(began.Add(13 * time.Second))
		count := map[string]int{}
		for _, ev := range e.reported() {
			what, _, _ := strings.Cut(ev, " ")
			how := ev[strings.LastIndex(ev, " "):]
			count[what+how]++
		}
		if count["stopped clean"] != 100 || len(e.saves) != 100 {
			t.Errorf("%v, %d saved", count, len(e.saves))
		}
		if r.ended() {
			t.Fatal("Run did not wait for the one that hangs")
		}
		e.set(func(e *fakeEngine) { e.events = nil })
		sleepUntil(began.Add(29 * time.Second)) // a second before the deadline of its stop
		e.expect("stopped hung/1 crashed abandoned")
		if err := r.result(); ExitCode(err) != CodeLeftActors {
			t.Errorf("Run: %v", err)
		}
		close(release)
		synctest.Wait()
	})
}

// A grace that is shorter than the stop threshold: whatever hangs is given up a second before the runner has to leave, so that its end
// is told and the Goodbye said; also one that was stopping before.
func TestShutdownGraceBoundsStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		release := make(chan struct{})
		began := time.Now()
		r := startRunner(t, n, Config{ShutdownGrace: 10 * time.Second}, func(context.Context, *Actor) error { <-release; return nil })
		s := e.session(0)
		s.start("before", "asked", "forgotten")
		synctest.Wait()
		e.set(func(e *fakeEngine) { e.events = nil })
		s.stop("before", 1, evict)
		synctest.Wait()
		r.Shutdown()
		s.stop("asked", 1, shutdownReason)
		sleepUntil(began.Add(9*time.Second - time.Millisecond))
		e.expect()
		sleepUntil(began.Add(9 * time.Second))
		e.expectSet("stopped before/1 crashed abandoned", "stopped asked/1 crashed abandoned", "stopped forgotten/1 crashed abandoned")
		if err := r.result(); ExitCode(err) != CodeLeftActors || !s.saidGoodbye() {
			t.Errorf("Run: %v", err)
		}
		close(release)
		synctest.Wait()
	})
}

// Kill looks to the engine like the death of the process.
func TestKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		r.Kill()
		if err := r.result(); err == nil {
			t.Error("Run returned nil")
		}
		e.expect()
		if s.saidGoodbye() || !s.gone() {
			t.Errorf("stream gone %v", s.gone())
		}
	})
}

func TestRunTwiceAndWithoutHandlers(t *testing.T) {
	r := New(Config{})
	if err := r.Run(context.Background()); ExitCode(err) != CodeUsage {
		t.Errorf("without handlers: %v", err)
	}
	if err := r.Run(context.Background()); err == nil {
		t.Error("twice: nil")
	}
	for err, want := range map[error]int{nil: 0, errors.New("x"): 1, fmt.Errorf("wrapped: %w", &ExitError{Code: 20}): 20} {
		if got := ExitCode(err); got != want {
			t.Errorf("%v: exit code %d", err, got)
		}
	}
}

// An engine that takes events but never acknowledges them, while it acknowledges heartbeats, gets a new stream.
func TestOverdueEventsEndTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		e.set(func(e *fakeEngine) { e.muteEvents = true })
		s.start("x")
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if s.gone() {
			t.Error("too early")
		}
		time.Sleep(4 * time.Second)
		if got := inHello(e.session(1).hello); !slices.Equal(got, []string{"runs x/1"}) {
			t.Errorf("full set %q", got)
		}
	})
}
