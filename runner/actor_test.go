package runner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// withActor runs one actor "x" and hands it to the test.
func withActor(t *testing.T, opts ...Option) (*fakeEngine, *fakeSession, *Actor) {
	n := &fakeNet{}
	e := newFakeEngine(t, n, "a:1")
	got := make(chan *Actor, 1)
	startRunner(t, n, Config{Pool: "pool", Namespace: "space", Version: 7}, func(ctx context.Context, a *Actor) error {
		got <- a
		return untilStopped(ctx, a)
	}, opts...)
	s := e.session(0)
	key := "the key"
	s.desire(&callboardv1.Desired{Start: []*callboardv1.StartActor{{
		Ref: &callboardv1.ActorRef{ActorId: "x", Generation: 3}, Name: "test", Key: &key,
		Input: []byte("input"), State: []byte("state"), StateVersion: 6, CreateUnixMs: 1234,
	}}})
	e.expect("running x/3")
	return e, s, <-got
}

func TestActorKnowsWhatItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s, a := withActor(t)
		key, ok := a.Key()
		state, version := a.State()
		if a.ID() != "x" || a.Generation() != 3 || a.Name() != "test" || key != "the key" || !ok || a.Namespace() != "space" ||
			a.Pool() != "pool" || string(a.Input()) != "input" || string(state) != "state" || version != 6 || a.CreatedAt().UnixMilli() != 1234 {
			t.Errorf("%q %d %q %q %v %q %q %q %q %d %v", a.ID(), a.Generation(), a.Name(), key, ok, a.Namespace(), a.Pool(), a.Input(), state, version, a.CreatedAt())
		}
		if a.StopReason() != StopNone {
			t.Errorf("reason %q", a.StopReason())
		}
		if h := s.hello; h.GetNamespace() != "space" || h.GetPool() != "pool" || h.GetVersion() != 7 || h.GetSlots() != DefaultSlots || h.GetKey() == "" || h.GetProtocol() != 1 {
			t.Errorf("Hello %v", h)
		}
	})
}

func TestSaveWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, a := withActor(t)
		ctx := t.Context()
		if err := a.Save(ctx, []byte("one")); err != nil {
			t.Errorf("Save: %v", err)
		}
		if err := a.Save(ctx, make([]byte, MaxStateBytes)); err != nil {
			t.Errorf("the largest state: %v", err)
		}
		e.expect("save x/3 3 bytes", "save x/3 65536 bytes")

		var refusal *Refusal
		if err := a.Save(ctx, make([]byte, MaxStateBytes+1)); !errors.As(err, &refusal) || refusal.Code != "state_too_large" {
			t.Errorf("too large: %v", err)
		}
		dead, cancel := context.WithCancel(ctx)
		cancel()
		if err := a.Save(dead, nil); !errors.Is(err, context.Canceled) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("dead context: %v", err)
		}
		e.expect()

		e.set(func(e *fakeEngine) {
			e.refuse = func(ev *callboardv1.ActorEvent) *callboardv1.Error {
				if ev.GetSave() == nil {
					return nil
				}
				return &callboardv1.Error{Group: "actor", Code: "stale_generation", Message: "older", Metadata: map[string]string{"k": "v"}}
			}
		})
		if err := a.Save(ctx, nil); !errors.As(err, &refusal) || refusal.Group != "actor" || refusal.Code != "stale_generation" || refusal.Metadata["k"] != "v" {
			t.Errorf("refused: %v", err)
		}
		e.expect("save x/3 0 bytes")

		// Not acknowledged: the caller may give up, and the next call waits its turn.
		e.set(func(e *fakeEngine) { e.refuse, e.muteEvents = nil, true })
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		buffer := []byte("first")
		if err := a.Save(short, buffer); !errors.Is(err, ErrUnknownOutcome) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no acknowledgement: %v", err)
		}
		copy(buffer, "XXXXX")
		if err := a.Save(short, nil); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("behind one that waits: %v", err)
		}
		done := make(chan error, 1)
		go func() { done <- a.Save(ctx, []byte("second")) }()
		synctest.Wait()
		e.expect("save x/3 5 bytes")

		// A new stream: what was not acknowledged goes out again, in order.
		e.set(func(e *fakeEngine) { e.muteEvents, e.saves = false, nil })
		s.end <- nil
		e.session(1)
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Save across two streams: %v", err)
			}
		case <-time.After(time.Minute):
			t.Fatal("Save across two streams: no answer for a minute")
		}
		e.expect("save x/3 5 bytes", "save x/3 6 bytes")
		if got := string(e.saves[0]) + string(e.saves[1]); got != "firstsecond" {
			t.Errorf("saved %q", got)
		}
	})
}

func TestAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, a := withActor(t)
		if err := a.SetAlarm(t.Context(), time.UnixMilli(5678)); err != nil {
			t.Error(err)
		}
		if err := a.ClearAlarm(t.Context()); err != nil {
			t.Error(err)
		}
		e.expect("alarm x/3 5678", "alarm x/3 off")
	})
}

func TestSleepAsksOnceAndTheStopFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s, a := withActor(t)
		a.Sleep()
		a.Sleep()
		e.expect("sleep x/3")
		s.stop("x", 3, callboardv1.StopReason_STOP_REASON_SLEEP)
		e.expect("stopped x/3 clean")
		if a.StopReason() != StopSleep {
			t.Errorf("reason %q", a.StopReason())
		}
	})
}

// A handler that returns after Sleep has not ended the actor: the engine would destroy it. Its end is told with the stop.
func TestReturnAfterSleepIsNotTheEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse bool
		want   []string
	}{
		{"granted", false, nil},
		{"refused", true, []string{"stopped x/1 crashed"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				hooks := 0
				startRunner(t, n, Config{}, func(_ context.Context, a *Actor) error {
					a.OnSleep(func(context.Context) { hooks++ })
					a.Sleep()
					return nil
				})
				s := e.session(0)
				if c.refuse {
					e.set(func(e *fakeEngine) {
						e.refuse = func(ev *callboardv1.ActorEvent) *callboardv1.Error {
							if ev.GetSleep() == nil {
								return nil
							}
							return &callboardv1.Error{Group: "actor", Code: "no"}
						}
					})
				}
				s.start("x")
				time.Sleep(time.Minute)
				e.expect(append([]string{"running x/1", "sleep x/1"}, c.want...)...)
				if c.refuse {
					return
				}
				s.end <- nil // told again on the next stream, where it still runs
				s = e.session(1)
				if got := inHello(s.hello); !slices.Equal(got, []string{"runs x/1"}) {
					t.Errorf("full set %q", got)
				}
				s.stop("x", 1, callboardv1.StopReason_STOP_REASON_SLEEP)
				e.expect("stopped x/1 clean")
				if hooks != 1 {
					t.Errorf("%d hooks ran", hooks)
				}
			})
		})
	}
}

func TestIdleActorGoesToSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, a := withActor(t, SleepTimeout(time.Minute))
		time.Sleep(59 * time.Second)
		a.Touch()
		time.Sleep(59 * time.Second)
		e.expect()
		release := a.PreventSleep()
		time.Sleep(time.Hour)
		e.expect()
		release()
		release() // harmless
		_ = a.WaitUntil(func(context.Context) error { time.Sleep(time.Hour); return nil })
		time.Sleep(time.Hour + 59*time.Second)
		e.expect()
		time.Sleep(2 * time.Second)
		e.expect("sleep x/3")
		time.Sleep(time.Hour)
		e.expect()
	})
}

// A refused wish to sleep starts the idle time anew.
func TestIdleActorAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _, _ := withActor(t, SleepTimeout(time.Minute))
		e.set(func(e *fakeEngine) {
			e.refuse = func(*callboardv1.ActorEvent) *callboardv1.Error {
				return &callboardv1.Error{Group: "actor", Code: "no"}
			}
		})
		time.Sleep(2*time.Minute + time.Second)
		e.expect("sleep x/3", "sleep x/3")
	})
}

func TestOnWakeComesBeforeRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped, OnWake(func(_ context.Context, a *Actor) error {
			time.Sleep(time.Second)
			if a.ID() == "bad" {
				return errors.New("cannot wake")
			}
			return nil
		}))
		e.session(0).start("bad", "good")
		e.expect()
		time.Sleep(time.Second)
		e.expectSet("stopped bad/1 crashed", "running good/1")
	})
}

func TestManyEventsGoInBatches(t *testing.T) {
	var q eventQueue
	big := &callboardv1.ActorEvent{Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: make([]byte, MaxStateBytes)}}}
	for range 20 {
		q.push(&event{body: big})
	}
	if got := len(q.next(1, 0)); got < 10 || got > 16 {
		t.Errorf("%d saves of 64 KiB in a batch", got)
	}
	q = eventQueue{}
	for range 20 * maxBatchEvents {
		q.push(&event{body: &callboardv1.ActorEvent{}})
	}
	batches := 0
	for seq := uint64(1); q.next(seq, 0) != nil; seq++ {
		batches++
	}
	if batches != maxBatchesInFlight || len(q.acknowledged(3)) != 3 || len(q.next(9, 0)) != maxBatchEvents {
		t.Errorf("%d batches in flight", batches)
	}
}

func TestHandlePanicsOnMisuse(t *testing.T) {
	for name, misuse := range map[string]func(r *Runner){
		"empty name":      func(r *Runner) { r.Handle("", untilStopped) },
		"long name":       func(r *Runner) { r.Handle(strings.Repeat("a", maxActorName+1), untilStopped) },
		"a line break":    func(r *Runner) { r.Handle("a\nb", untilStopped) },
		"no UTF-8":        func(r *Runner) { r.Handle("\xff", untilStopped) },
		"too late":        func(r *Runner) { r.registry.handled(); r.Handle("a", untilStopped) },
		"any too late":    func(r *Runner) { r.registry.handled(); r.HandleAny(untilStopped) },
		"nil handler":     func(r *Runner) { r.Handle("a", nil) },
		"registered":      func(r *Runner) { r.Handle("a", untilStopped); r.Handle("a", untilStopped) },
		"any twice":       func(r *Runner) { r.HandleAny(untilStopped); r.HandleAny(untilStopped) },
		"negative option": func(r *Runner) { r.Handle("a", untilStopped, SleepGrace(-1)) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(New(Config{}))
		})
	}
}
