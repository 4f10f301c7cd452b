package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// testClock follows the bubble's time, and can be set against it.
type testClock struct {
	start time.Time

	mu    sync.Mutex
	ahead time.Duration // of both: the process was suspended
	wall  time.Duration // of the wall clock alone: somebody set it
}

func newTestClock() *testClock { return &testClock{start: time.Now()} }

func (c *testClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.start) + c.ahead
}

func (c *testClock) Wall() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead + c.wall)
}

func (c *testClock) suspend(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func (c *testClock) setWall(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall += d
}

func noWelcome(*callboardv1.Hello) *callboardv1.ConnectResponse { return nil }

// goSilent makes a node acknowledge nothing and welcome nobody, as one without a leader.
func (e *fakeEngine) goSilent() {
	e.set(func(e *fakeEngine) { e.muteBeats, e.muteEvents, e.welcome = true, true, noWelcome })
}

func (e *fakeEngine) speakAgain() {
	e.set(func(e *fakeEngine) { e.muteBeats, e.muteEvents, e.welcome = false, false, nil })
}

func sleepUntil(t time.Time) {
	time.Sleep(time.Until(t))
	synctest.Wait()
}

func TestFenceAtSeventyPercent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		var fencedAfter time.Duration
		var cause, saveErr error
		var reason StopReason
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) { t.Error("a hook ran") })
			<-ctx.Done()
			fencedAfter, cause, reason = time.Since(began), context.Cause(ctx), a.StopReason()
			saveErr = a.Save(context.WithoutCancel(ctx), []byte("late"))
			return nil
		})
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		e.goSilent()
		sleepUntil(began.Add(10*second + 499*time.Millisecond))
		if s.gone() || r.Status().Actors != 1 {
			t.Fatal("fenced too early")
		}
		sleepUntil(began.Add(10*second + 500*time.Millisecond))
		if fencedAfter != 10*second+500*time.Millisecond || !errors.Is(cause, ErrLeaseLost) || reason != StopLeaseLost {
			t.Fatalf("fenced after %v by %v, %q", fencedAfter, cause, reason)
		}
		if !errors.Is(saveErr, ErrLeaseLost) {
			t.Errorf("Save after the fence: %v", saveErr)
		}
		if !s.gone() {
			t.Error("the stream goes on")
		}
		if got := r.Status(); got.LeaseValid || got.Actors != 0 || got.Address != "" {
			t.Errorf("status %+v", got)
		}
		e.speakAgain()
		time.Sleep(10 * second)
		synctest.Wait()
		last := e.session(e.sessionCount() - 1)
		if got := inHello(last.hello); !slices.Equal(got, []string{"ended x/1 crashed fenced"}) {
			t.Errorf("full set %q", got)
		}
		last.startAt(2, "x")
		e.expect("running x/2")
	})
}

// A fence also ends what a stop has begun: hooks that run lose their context, and further ones do not begin.
func TestFenceDuringAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) { t.Error("a hook began after the fence") })
			a.OnSleep(func(ctx context.Context) {
				<-ctx.Done()
				if got := time.Since(began); got != 10*second+500*time.Millisecond || !errors.Is(context.Cause(ctx), ErrLeaseLost) {
					t.Errorf("the hook's context ended after %v: %v", got, context.Cause(ctx))
				}
			})
			return untilStopped(ctx, a)
		})
		s := e.session(0)
		s.start("x")
		s.stop("x", 1, evict)
		e.expect("running x/1")
		e.goSilent()
		sleepUntil(began.Add(11 * second))
		e.speakAgain()
		e.session(e.sessionCount() - 1).end <- errors.New("again")
		time.Sleep(2 * second)
		last := e.session(e.sessionCount() - 1)
		if got := inHello(last.hello); !slices.Equal(got, []string{"ended x/1 crashed fenced"}) {
			t.Errorf("full set %q", got)
		}
	})
}

// What a heartbeat renews is counted from when it was sent, not from when its acknowledgement came.
func TestLateAcknowledgementRenewsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		var fencedAfter time.Duration
		startRunner(t, n, Config{}, func(ctx context.Context, _ *Actor) error {
			<-ctx.Done()
			fencedAfter = time.Since(began)
			return nil
		})
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		e.goSilent()
		var sent time.Duration
		for sent == 0 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if len(s.heartbeats()) == 1 {
				sent = time.Since(began)
			}
		}
		sleepUntil(began.Add(10 * second))
		s.send(&callboardv1.ConnectResponse{Message: &callboardv1.ConnectResponse_HeartbeatAck{
			HeartbeatAck: &callboardv1.HeartbeatAck{Seq: 1, LostThresholdMs: 15_000},
		}})
		sleepUntil(began.Add(20 * second))
		if want := sent + 10*second + 500*time.Millisecond; fencedAfter < want-time.Millisecond || fencedAfter > want {
			t.Errorf("fenced after %v, want %v", fencedAfter, want)
		}
	})
}

func TestStuckCodeIsAbandonedAtEightyFivePercent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		release := make(chan struct{})
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			if a.ID() == "stuck" {
				<-release
				return nil
			}
			return untilStopped(ctx, a)
		})
		e.session(0).start("stuck", "x")
		synctest.Wait()
		e.goSilent()
		sleepUntil(began.Add(11 * second))
		e.session(e.sessionCount() - 1).end <- errors.New("again") // so that a new Hello tells what is
		sleepUntil(began.Add(12*second + 749*time.Millisecond))
		last := e.session(e.sessionCount() - 1)
		if got := inHello(last.hello); !slices.Equal(got, []string{"ended x/1 crashed fenced", "runs stuck/1 stopping"}) {
			t.Errorf("full set before: %q", got)
		}
		if got := r.Status().Actors; got != 1 {
			t.Errorf("%d actors before", got)
		}
		sleepUntil(began.Add(12*second + 750*time.Millisecond))
		if got := r.Status().Actors; got != 0 {
			t.Errorf("%d actors after", got)
		}
		sleepUntil(began.Add(20 * second))
		last = e.session(e.sessionCount() - 1)
		if got := inHello(last.hello); !slices.Equal(got, []string{"ended stuck/1 crashed fenced abandoned", "ended x/1 crashed fenced"}) {
			t.Errorf("full set after: %q", got)
		}
		close(release)
		synctest.Wait()
	})
}

func TestStuckCodeEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		began := time.Now()
		release := make(chan struct{})
		var code int
		var exitAfter time.Duration
		startRunner(t, n, Config{OnStuck: ExitProcess, exit: func(c int) { code, exitAfter = c, time.Since(began) }},
			func(context.Context, *Actor) error { <-release; return nil })
		e.session(0).start("stuck")
		synctest.Wait()
		e.goSilent()
		sleepUntil(began.Add(20 * second))
		if code != CodeLeftActors || exitAfter != 12*second+750*time.Millisecond {
			t.Errorf("exit code %d after %v", code, exitAfter)
		}
		close(release)
		synctest.Wait()
	})
}

// The process was suspended. When it goes on, a Start that has waited in its buffers meanwhile must not be obeyed: the lease is
// looked at before the message. (Taking the check out of both take and start makes this fail.)
func TestBufferedStartAfterASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		clock := newTestClock()
		startRunner(t, n, Config{Clock: clock}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		clock.suspend(20 * second)
		s.start("y")
		e.expect()
		if !s.gone() {
			t.Error("the stream goes on")
		}
		s = e.session(1)
		if got := inHello(s.hello); !slices.Equal(got, []string{"ended x/1 crashed fenced"}) {
			t.Errorf("full set %q", got)
		}
		s.start("y") // was never heard of here: the engine sends it again
		e.expect("running y/1")
	})
}

// After a suspension the timers are late but the lease clock is not: the fence comes within a tenth of a second.
func TestSuspensionIsNoticedWithinATenthOfASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		clock := newTestClock()
		r := startRunner(t, n, Config{Clock: clock}, untilStopped)
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		clock.suspend(20 * second)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if got := r.Status(); !s.gone() || got.Actors != 0 {
			t.Errorf("stream gone: %v, status %+v", s.gone(), got)
		}
	})
}

// A wall clock that jumps says that the lease clock may have stood still: the lease ends until a heartbeat sent later is
// acknowledged.
func TestWallClockJumpEndsTheLease(t *testing.T) {
	for _, c := range []struct {
		name  string
		jump  time.Duration
		fence bool
	}{
		{"forward", 1100 * time.Millisecond, true},
		{"back", -1100 * time.Millisecond, true},
		{"within a second", 900 * time.Millisecond, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				clock := newTestClock()
				startRunner(t, n, Config{Clock: clock}, untilStopped)
				s := e.session(0)
				s.start("x")
				synctest.Wait()
				clock.setWall(c.jump)
				time.Sleep(100 * time.Millisecond)
				synctest.Wait()
				if s.gone() != c.fence {
					t.Fatalf("fenced: %v", s.gone())
				}
				if !c.fence {
					return
				}
				s = e.session(1)
				if got := inHello(s.hello); !slices.Equal(got, []string{"ended x/1 crashed fenced"}) {
					t.Errorf("full set %q", got)
				}
				time.Sleep(time.Minute)
				if s.gone() {
					t.Error("the new lease does not hold")
				}
			})
		})
	}
}

// Keep gives up one body per actor; a Start is refused all the same while there is no lease.
func TestKeepGoesOnWithoutALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{OnLeaseLost: Keep}, untilStopped)
		s := e.session(0)
		if !s.hello.GetKeepOnLeaseLost() {
			t.Error("the Hello does not say so")
		}
		s.start("x")
		e.expect("running x/1")
		e.goSilent()
		time.Sleep(30 * second)
		synctest.Wait()
		if got := r.Status(); got.LeaseValid || got.Actors != 1 {
			t.Fatalf("status %+v", got)
		}
		for e.sessionCount() > 1 { // no Hello is out at this moment
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
			if last := e.session(e.sessionCount() - 1); last.gone() {
				break
			}
		}
		s.start("y")
		e.expect("stopped y/1 refused")
	})
}

func TestThresholdLoweredWhileCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		e.threshold = 60 * second
		var fencedAt time.Time
		startRunner(t, n, Config{}, func(ctx context.Context, _ *Actor) error {
			<-ctx.Done()
			fencedAt = time.Now()
			return nil
		})
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		e.set(func(e *fakeEngine) { e.threshold = 10 * second })
		var announcedAt time.Time
		for len(s.heartbeats()) == 0 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			announcedAt = time.Now()
		}
		e.goSilent() // after the acknowledgement that announces 10 s; the heartbeat that carries it is never acknowledged
		if got := s.heartbeats(); len(got) != 2 || got[0].GetThresholdMs() != 60_000 || got[1].GetThresholdMs() != 10_000 {
			t.Fatalf("heartbeats %v", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		// That second heartbeat was answered by the fake at once, so the lease runs from it: 70 % of 10 s.
		if got := fencedAt.Sub(announcedAt); got < 6900*time.Millisecond || got > 7*second {
			t.Errorf("fenced %v after the announcement", got)
		}
	})
}

// A raised threshold is counted on only once a heartbeat that carries it is acknowledged.
func TestThresholdRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		synctest.Wait()
		e.set(func(e *fakeEngine) { e.threshold = 60 * second })
		time.Sleep(testInterval)
		synctest.Wait()
		if got := r.Status().LostThreshold; got != 60*second {
			t.Errorf("counts on %v", got)
		}
		before := len(s.heartbeats())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := len(s.heartbeats()) - before; got < 4 || got > 6 {
			t.Errorf("%d heartbeats a minute at 60 s", got)
		}
		for i, b := range s.heartbeats() {
			if want := uint32(60_000); i > 0 && b.GetThresholdMs() != want {
				t.Errorf("heartbeat %d carries %d", i, b.GetThresholdMs())
			}
		}
	})
}
