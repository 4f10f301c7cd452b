package runner

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestOlderGenerationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.startAt(5, "x")
		s.stop("x", 5, callboardv1.StopReason_STOP_REASON_EVICT)
		e.expect("running x/5", "stopped x/5 clean")
		s.startAt(4, "x")
		s.startAt(5, "x")
		e.expect("stopped x/4 refused", "stopped x/5 refused")
		s.startAt(6, "x")
		s.startAt(3, "x") // while a newer one runs
		e.expect("running x/6")
	})
}

func TestNewerGenerationWaitsForTheOlderToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		bodies := 0
		startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			if bodies++; bodies > 1 {
				t.Error("two bodies at once")
			}
			defer func() { bodies-- }()
			<-ctx.Done()
			if a.Generation() == 1 && !errors.Is(context.Cause(ctx), ErrSuperseded) {
				t.Errorf("cause %v", context.Cause(ctx))
			}
			if a.Generation() == 1 {
				time.Sleep(time.Second)
			}
			return nil
		})
		s := e.session(0)
		s.start("x")
		s.startAt(2, "x")
		e.expect("running x/1")
		time.Sleep(2 * time.Second)
		e.expect("stopped x/1 crashed fenced", "running x/2")
	})
}

// A Start that was sent twice starts once, and is answered twice.
func TestRepeatedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		s.start("x")
		e.expect("running x/1")
	})
}

func TestUnknownNameAndNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{Slots: 1}, nil) // with a handler for "test" only
		s := e.session(0)
		stranger := startOf("x", 1)
		stranger.Name = "stranger"
		s.desire(&callboardv1.Desired{Start: []*callboardv1.StartActor{stranger}})
		e.expect("stopped x/1 refused")
		s.start("a", "b")
		e.expectSet("running a/1", "stopped b/1 refused")
	})
}

// A stop for what never ran here is confirmed, so that the engine frees the slot.
func TestStopOfAnUnknownActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.stop("x", 3, callboardv1.StopReason_STOP_REASON_ORPHAN)
		e.expect("stopped x/3 clean")
		s.startAt(3, "x")
		e.expect("stopped x/3 refused")
	})
}

// quietNode runs a runner on node a, which goes quiet, until the runner's Hello is out to node b, which does not answer it.
func quietNode(t *testing.T) (a, b *fakeEngine, onA, onB *fakeSession, r *testRunner) {
	n := &fakeNet{}
	a, b = newFakeEngine(t, n, "a:1"), newFakeEngine(t, n, "b:1")
	b.set(func(e *fakeEngine) { e.welcome = noWelcome })
	a.set(func(e *fakeEngine) {
		e.muteBeats = true
		e.welcome = func(h *callboardv1.Hello) *callboardv1.ConnectResponse {
			m := welcomeMessage(testThreshold, false)
			m.GetWelcome().EngineAddrs = []string{"a:1", "b:1"}
			return m
		}
	})
	r = startRunner(t, n, Config{}, untilStopped)
	onA = a.session(0)
	began := time.Now()
	onA.start("x")
	a.expect("running x/1")
	sleepUntil(began.Add(4900 * time.Millisecond))
	if got := b.sessionCount(); got != 0 {
		t.Fatalf("it dialled another node too early: %d sessions", got)
	}
	sleepUntil(began.Add(5 * time.Second))
	if got := b.sessionCount(); got != 1 {
		t.Fatalf("it did not dial another node: %d sessions", got)
	}
	onB = b.session(0)
	if onA.gone() {
		t.Fatal("the old stream did not last until the Welcome")
	}
	return a, b, onA, onB, r
}

// A third of the threshold without an acknowledgement: the runner dials another node. Starts on the old stream wait meanwhile, and
// the Welcome drops them.
func TestSecondDialWelcomed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, onA, onB, r := quietNode(t)
		if got := inHello(onB.hello); !slices.Equal(got, []string{"runs x/1"}) {
			t.Errorf("full set %q", got)
		}
		onA.start("y", "z")
		onA.stop("z", 1, callboardv1.StopReason_STOP_REASON_DESTROY)
		a.expect("stopped z/1 clean") // a stop is obeyed at once
		onB.send(welcomeMessage(testThreshold, true))
		synctest.Wait()
		if !onA.gone() || r.Status().Address != "b:1" {
			t.Errorf("old stream gone: %v, at %s", onA.gone(), r.Status().Address)
		}
		b.expect()
		if got := r.Status().Actors; got != 1 {
			t.Errorf("%d actors", got)
		}
	})
}

// The second dial fails: the old stream is the current one still, and what waited is obeyed.
func TestSecondDialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, onA, onB, _ := quietNode(t)
		onA.start("y", "z")
		onA.stop("z", 1, callboardv1.StopReason_STOP_REASON_DESTROY)
		a.expect("stopped z/1 clean")
		onB.end <- errors.New("not now")
		a.expect("running y/1")
	})
}

// A newer stream of this instance makes the engine end the older one. That is no refusal of the runner.
func TestSupersededStreamIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, onA, onB, r := quietNode(t)
		onA.send(disconnectMessage("superseded", false))
		synctest.Wait()
		if r.ended() {
			t.Fatalf("Run has ended: %v", r.err)
		}
		onB.send(welcomeMessage(testThreshold, true))
		onB.start("y")
		b.expect("running y/1")
	})
}

func disconnectMessage(code string, reconnect bool) *callboardv1.ConnectResponse {
	return &callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_Disconnect{Disconnect: &callboardv1.Disconnect{
		Error: &callboardv1.Error{Group: "session", Code: code, Message: "because"}, Reconnect: reconnect,
	}}}
}

func TestReconnectsAreJitteredAndRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		startRunner(t, n, Config{Endpoint: "a:1, b:1,c:1"}, untilStopped)
		time.Sleep(time.Minute)
		dials := n.dialled()
		if len(dials) < 30 || len(dials) > 120 {
			t.Errorf("%d dials in a minute", len(dials))
		}
		count := map[string]int{}
		for _, d := range dials {
			count[d]++
		}
		different := map[time.Duration]bool{}
		for i, pause := range n.pauses() {
			if different[pause] = true; pause > maxReconnectPause {
				t.Errorf("%v between dials %d and %d", pause, i, i+1)
			}
		}
		if len(different) < len(dials)/2 { // a fleet that lost its engine together does not come back in step
			t.Errorf("%d dials, %d different pauses", len(dials), len(different))
		}
		for _, addr := range []string{"a:1", "b:1", "c:1"} {
			if got := count[addr]; got < len(dials)/3-1 || got > len(dials)/3+1 {
				t.Errorf("%s: %d of %d dials", addr, got, len(dials))
			}
		}
	})
}
