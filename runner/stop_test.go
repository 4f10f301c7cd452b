package runner

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const evict = callboardv1.StopReason_STOP_REASON_EVICT

// How a life ends, for each way in which a handler can.
func TestEnds(t *testing.T) {
	broken := errors.New("broken")
	after := func(err error) Handler {
		return func(ctx context.Context, _ *Actor) error {
			<-ctx.Done()
			return err
		}
	}
	for _, c := range []struct {
		name    string
		handler Handler
		stop    bool
		want    string
	}{
		{"of its own accord", func(context.Context, *Actor) error { return nil }, false, "stopped x/1 finished"},
		{"with an error", func(context.Context, *Actor) error { return broken }, false, "stopped x/1 crashed"},
		{"with the context's error although nobody asked", func(context.Context, *Actor) error { return context.Canceled }, false, "stopped x/1 crashed"},
		{"by a panic", func(context.Context, *Actor) error { panic("oh") }, false, "stopped x/1 crashed"},
		{"by a nil panic", func(context.Context, *Actor) error { panic(nil) }, false, "stopped x/1 crashed"},
		{"by Goexit", func(context.Context, *Actor) error { runtime.Goexit(); return nil }, false, "stopped x/1 crashed"},
		{"asked, nil", after(nil), true, "stopped x/1 clean"},
		{"asked, the context's error", untilStopped, true, "stopped x/1 clean"},
		{"asked, the cause", func(ctx context.Context, _ *Actor) error { <-ctx.Done(); return context.Cause(ctx) }, true, "stopped x/1 clean"},
		{"asked, a call's error", func(ctx context.Context, a *Actor) error { <-ctx.Done(); return a.Save(ctx, nil) }, true, "stopped x/1 clean"},
		{"asked, another error", after(broken), true, "stopped x/1 crashed"},
		{"asked, a hook panics", func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) { panic("oh") })
			return untilStopped(ctx, a)
		}, true, "stopped x/1 crashed"},
		{"by a panic beside the handler", func(ctx context.Context, a *Actor) error {
			_ = a.WaitUntil(func(context.Context) error { panic("oh") })
			return untilStopped(ctx, a)
		}, false, "stopped x/1 crashed"},
		{"an error beside the handler is only logged", func(ctx context.Context, a *Actor) error {
			_ = a.WaitUntil(func(context.Context) error { return broken })
			return untilStopped(ctx, a)
		}, true, "stopped x/1 clean"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				startRunner(t, n, Config{}, c.handler)
				s := e.session(0)
				s.start("x")
				synctest.Wait()
				if c.stop {
					s.stop("x", 1, evict)
				}
				e.expect("running x/1", c.want)
			})
		})
	}
}

// The sentence of an end is fit for the wire whatever the error says.
func TestEndMessageIsCutAndValid(t *testing.T) {
	for _, in := range []string{"short", strings.Repeat("ä", 5000), "bad \xff\xfe bytes", strings.Repeat("a", 1023) + "ä"} {
		out := cut(in, maxReasonBytes)
		if len(out) > maxReasonBytes || strings.ToValidUTF8(out, "") != out {
			t.Errorf("%d bytes, valid %v", len(out), strings.ToValidUTF8(out, "") == out)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, func(context.Context, *Actor) error { return errors.New(strings.Repeat("\xff", 9000)) })
		e.session(0).start("x")
		e.expect("running x/1", "stopped x/1 crashed")
	})
}

func TestStopRunsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		var mu sync.Mutex
		var steps []string
		step := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, s)
		}
		startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			release := a.PreventSleep()
			a.OnSleep(func(context.Context) { step("first hook") })
			a.OnSleep(func(ctx context.Context) {
				step("last hook")
				if err := a.Save(ctx, []byte("saved")); err != nil {
					t.Errorf("Save in a hook: %v", err)
				}
			})
			_ = a.WaitUntil(func(ctx context.Context) error {
				time.Sleep(5 * time.Second)
				if ctx.Err() != nil {
					t.Error("the context of WaitUntil ended before its function")
				}
				step("background")
				time.AfterFunc(2*time.Second, func() { step("release"); release() })
				return nil
			})
			<-ctx.Done()
			var stop *StopError
			if !errors.As(context.Cause(ctx), &stop) || stop.Reason != StopSleep || a.StopReason() != StopSleep {
				t.Errorf("cause %v, reason %q", context.Cause(ctx), a.StopReason())
			}
			time.Sleep(time.Second)
			step("handler")
			return nil
		})
		s := e.session(0)
		s.start("x")
		s.stop("x", 1, callboardv1.StopReason_STOP_REASON_SLEEP)
		time.Sleep(6 * time.Second)
		e.expect("running x/1", "save x/1 5 bytes")
		time.Sleep(time.Second)
		e.expect("stopped x/1 clean")
		want := "handler, last hook, first hook, background, release"
		if got := strings.Join(steps, ", "); got != want {
			t.Errorf("order\n  got  %s\n  want %s", got, want)
		}
	})
}

// A stop leaves the context of a WaitUntil function alone while it has its grace, and ends it then.
func TestStopWaitsForBackground(t *testing.T) {
	for took, want := range map[time.Duration]string{14 * time.Second: "stopped x/1 clean", time.Hour: "stopped x/1 crashed"} {
		t.Run(took.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
					_ = a.WaitUntil(func(ctx context.Context) error {
						select {
						case <-time.After(took):
							return nil
						case <-ctx.Done():
							panic(ctx.Err())
						}
					})
					return untilStopped(ctx, a)
				})
				s := e.session(0)
				s.start("x")
				s.stop("x", 1, evict)
				time.Sleep(min(took, DefaultSleepGrace) - time.Millisecond)
				e.expect("running x/1")
				time.Sleep(time.Millisecond)
				e.expect(want)
			})
		})
	}
}

// Whatever hangs, the stop ends one second before the engine's deadline: reported, and cut off from the library's calls. Others
// do not suffer.
func TestHangingCodeIsAbandonedASecondBeforeTheDeadline(t *testing.T) {
	for _, c := range []struct {
		name string
		hang func(ctx context.Context, a *Actor, release <-chan struct{}) error
	}{
		{"handler", func(_ context.Context, _ *Actor, release <-chan struct{}) error { <-release; return nil }},
		{"hook", func(ctx context.Context, a *Actor, release <-chan struct{}) error {
			a.OnSleep(func(context.Context) { <-release })
			<-ctx.Done()
			time.Sleep(14 * time.Second) // so that the hook's own grace would last longer than the deadline
			return nil
		}},
		{"background function", func(ctx context.Context, a *Actor, release <-chan struct{}) error {
			_ = a.WaitUntil(func(context.Context) error { <-release; return nil })
			<-ctx.Done()
			time.Sleep(14 * time.Second)
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				release := make(chan struct{})
				var hung *Actor
				startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
					if a.ID() == "hung" {
						hung = a
						return c.hang(ctx, a, release)
					}
					return untilStopped(ctx, a)
				})
				s := e.session(0)
				s.start("hung", "x")
				e.expectSet("running hung/1", "running x/1")
				s.stop("hung", 1, evict)
				s.stop("x", 1, evict)
				e.expect("stopped x/1 clean")
				time.Sleep(28*time.Second + 999*time.Millisecond)
				e.expect()
				time.Sleep(time.Millisecond)
				e.expect("stopped hung/1 crashed abandoned")
				if err := hung.Save(context.Background(), nil); !errors.Is(err, ErrAbandoned) {
					t.Errorf("Save: %v", err)
				}
				if err := hung.WaitUntil(func(context.Context) error { return nil }); !errors.Is(err, ErrAbandoned) {
					t.Errorf("WaitUntil: %v", err)
				}
				if got := hung.StopReason(); got != StopAbandoned {
					t.Errorf("reason %q", got)
				}
				close(release)
				synctest.Wait()
				e.expect()
			})
		})
	}
}

// A handler that hangs does not take the hooks' time, nor does a long deadline of the engine let it hang for ever.
func TestTimeOutsOfAHangingHandler(t *testing.T) {
	for _, c := range []struct {
		name            string
		timeout         time.Duration
		opts            []Option
		hookAt, endedAt time.Duration
	}{
		{"the defaults share 29 s", 30 * time.Second, nil, 14500 * time.Millisecond, 29 * time.Second},
		{"a long deadline", 30 * time.Minute, nil, 15 * time.Second, 31 * time.Second},
		{"own time-outs", 30 * time.Second, []Option{RunStopTimeout(2 * time.Second), SleepGrace(3 * time.Second)}, 2 * time.Second, 6 * time.Second},
		{"a very short deadline", time.Second, nil, 250 * time.Millisecond, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				release := make(chan struct{})
				var asked time.Time
				var hookAt time.Duration
				startRunner(t, n, Config{}, func(_ context.Context, a *Actor) error {
					a.OnSleep(func(context.Context) { hookAt = time.Since(asked) })
					<-release
					return nil
				}, c.opts...)
				s := e.session(0)
				s.start("x")
				e.expect("running x/1")
				asked = time.Now()
				s.desire(&callboardv1.Desired{Stop: []*callboardv1.StopActor{{
					Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 1}, Reason: evict, TimeoutMs: milliseconds(c.timeout),
				}}})
				sleepUntil(asked.Add(c.endedAt - time.Millisecond))
				e.expect()
				sleepUntil(asked.Add(c.endedAt))
				e.expect("stopped x/1 crashed abandoned")
				if hookAt != c.hookAt {
					t.Errorf("the hook ran after %v, want %v", hookAt, c.hookAt)
				}
				close(release)
				synctest.Wait()
			})
		})
	}
}

// A second stop of the same life counts with its reason and the earlier deadline.
func TestSecondStopTightens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		release := make(chan struct{})
		startRunner(t, n, Config{}, func(context.Context, *Actor) error { <-release; return nil })
		s := e.session(0)
		s.start("x")
		s.stop("x", 1, callboardv1.StopReason_STOP_REASON_SLEEP)
		e.expect("running x/1")
		s.desire(&callboardv1.Desired{Stop: []*callboardv1.StopActor{{
			Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 1}, Reason: callboardv1.StopReason_STOP_REASON_DESTROY, TimeoutMs: 5000,
		}}})
		s.stop("x", 1, callboardv1.StopReason_STOP_REASON_DESTROY) // later again: that changes nothing
		time.Sleep(4 * time.Second)
		e.expect("stopped x/1 crashed abandoned")
		close(release)
		synctest.Wait()
	})
}

// The end of the handler waits for what it left in the background, and cuts it off after SleepGrace.
func TestOwnEndWaitsForBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, func(_ context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) { t.Error("a hook ran") })
			_ = a.WaitUntil(func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				return nil
			})
			return nil
		})
		e.session(0).start("x")
		time.Sleep(15 * time.Second)
		e.expect("running x/1")
		time.Sleep(time.Second)
		e.expect("stopped x/1 finished")
	})
}

// A handler that has returned by itself has ended its actor for good, whatever reaches it afterwards while its background function
// runs on: a stop, or the end of the runner.
func TestOwnEndIsFinal(t *testing.T) {
	for name, meanwhile := range map[string]func(s *fakeSession, r *testRunner){
		"a stop":                                func(s *fakeSession, _ *testRunner) { s.stop("x", 1, evict) },
		"a shutdown, and the runner's own stop": func(_ *fakeSession, r *testRunner) { r.Shutdown() },
		"a lost stream":                         func(s *fakeSession, _ *testRunner) { s.end <- nil },
		"a refusal for good":                    func(s *fakeSession, _ *testRunner) { s.send(disconnectMessage("replaced", false)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				release := make(chan struct{})
				r := startRunner(t, n, Config{ShutdownGrace: 3500 * time.Millisecond}, func(_ context.Context, a *Actor) error {
					return a.WaitUntil(func(context.Context) error { <-release; return nil })
				})
				s := e.session(0)
				s.start("x")
				e.expect("running x/1")
				meanwhile(s, r)
				time.Sleep(2 * time.Second)
				close(release)
				if name == "a refusal for good" { // nobody is left who could be told
					e.expect()
					return
				}
				e.expect("stopped x/1 finished")
			})
		})
	}
}

// The time of a Stop is the engine's: it counts from when the Stop came, also when the loop was busy then.
func TestTheTimeOfAStopCountsFromItsReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		release := make(chan struct{})
		begun := make(chan *Actor, 1)
		startRunner(t, n, Config{}, func(_ context.Context, a *Actor) error {
			begun <- a
			<-release
			return nil
		})
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		goOn := holdLoop(<-begun)
		synctest.Wait()
		s.stop("x", 1, evict)
		received := time.Now()
		sleepUntil(received.Add(7 * second))
		goOn()
		sleepUntil(received.Add(testStop - stopMargin - time.Millisecond))
		e.expect()
		sleepUntil(received.Add(testStop - stopMargin))
		e.expect("stopped x/1 crashed abandoned")
		close(release)
	})
}
