package runner

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestActorStartsRunsAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		s.stop("x", 1, callboardv1.StopReason_STOP_REASON_EVICT)
		e.expect("stopped x/1 clean")
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Equal(s.receipts, []uint64{1, 2}) {
			t.Errorf("receipts %v", s.receipts)
		}
	})
}

func TestBrokenStreamKeepsActors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		r := startRunner(t, n, Config{}, untilStopped)
		first := e.session(0)
		first.start("x", "y")
		e.expectSet("running x/1", "running y/1")
		first.end <- nil
		began := time.Now()
		second := e.session(1)
		if d := time.Since(began); d > 2*time.Second {
			t.Errorf("it took %v to come back", d)
		}
		if got := inHello(second.hello); !slices.Equal(got, []string{"runs x/1", "runs y/1"}) {
			t.Errorf("full set %q", got)
		}
		if a, b := first.hello, second.hello; a.GetInstanceId() != b.GetInstanceId() || b.GetAttempt() <= a.GetAttempt() || a.GetClusterId() != "" || b.GetClusterId() != testCluster {
			t.Errorf("not the same instance on a later attempt: %v %v", a, b)
		}
		time.Sleep(time.Minute)
		e.expect()
		if r.Status().Actors != 2 {
			t.Errorf("status %+v", r.Status())
		}
	})
}

// The full set names what runs, what is starting and stopping, and every end without an acknowledgement.
func TestFullSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		wake := make(chan struct{})
		startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			switch a.ID() {
			case "crasher":
				return fmt.Errorf("broken")
			case "stopper":
				<-wake
				return nil
			}
			return untilStopped(ctx, a)
		}, OnWake(func(_ context.Context, a *Actor) error {
			if a.ID() == "starter" {
				<-wake
			}
			return nil
		}))
		s := e.session(0)
		if s.hello.GetKeepOnLeaseLost() {
			t.Error("it says that it keeps its actors without a lease")
		}
		e.set(func(e *fakeEngine) { e.muteEvents = true })
		s.start("crasher", "stopper", "starter", "plain")
		s.stop("stopper", 1, callboardv1.StopReason_STOP_REASON_EVICT)
		synctest.Wait()
		s.end <- nil
		s = e.session(1)
		want := []string{"ended crasher/1 crashed", "runs plain/1", "runs starter/1 starting", "runs stopper/1 stopping"}
		if got := inHello(s.hello); !slices.Equal(got, want) {
			t.Errorf("full set\n  got  %q\n  want %q", got, want)
		}
		// The Welcome has acknowledged the end that the Hello named; it is not told again.
		e.set(func(e *fakeEngine) { e.muteEvents, e.events = false, nil })
		s.end <- nil
		s = e.session(2)
		if got := inHello(s.hello); !slices.Equal(got, want[1:]) {
			t.Errorf("second full set\n  got  %q\n  want %q", got, want[1:])
		}
		close(wake)
		synctest.Wait()
	})
}

func TestFullSetComesInChunks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{Slots: 3000}, untilStopped)
		s := e.session(0)
		var ids []string
		for i := range 2500 {
			ids = append(ids, fmt.Sprint(i))
		}
		s.start(ids...)
		if got := len(e.reported()); got != 2500 {
			t.Fatalf("%d actors run", got)
		}
		s.end <- nil
		s = e.session(1)
		if s.parts != 3 || len(s.hello.GetRunning()) != 2500 {
			t.Errorf("%d parts with %d actors", s.parts, len(s.hello.GetRunning()))
		}
	})
}

func TestGapEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{}, untilStopped)
		s := e.session(0)
		s.start("x")
		e.expect("running x/1")
		s.seq++ // one is lost
		s.start("y")
		e.expect()
		if !s.gone() {
			t.Error("the stream goes on")
		}
		if got := inHello(e.session(1).hello); !slices.Equal(got, []string{"runs x/1"}) {
			t.Errorf("full set %q", got)
		}
	})
}

// A message that makes no sense ends the stream, and nothing else.
func TestNonsenseEndsTheStream(t *testing.T) {
	for name, m := range map[string]*callboardv1.ConnectResponse{
		"a second Welcome": welcomeMessage(testThreshold, true),
		"a Start without an actor": {Message: &callboardv1.ConnectResponse_Desired{Desired: &callboardv1.Desired{
			Seq: 1, Start: []*callboardv1.StartActor{{Name: "test"}},
		}}},
		"a Stop without an actor": {Message: &callboardv1.ConnectResponse_Desired{Desired: &callboardv1.Desired{
			Seq: 1, Stop: []*callboardv1.StopActor{{}},
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				r := startRunner(t, n, Config{}, untilStopped)
				s := e.session(0)
				s.send(m)
				synctest.Wait()
				if !s.gone() {
					t.Error("the stream goes on")
				}
				e.session(1).start("x")
				e.expect("running x/1")
				if r.Status().Actors != 1 {
					t.Errorf("status %+v", r.Status())
				}
			})
		})
	}
	t.Run("Welcomes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := &fakeNet{}
			e := newFakeEngine(t, n, "a:1")
			e.welcome = func(h *callboardv1.Hello) *callboardv1.ConnectResponse {
				m := welcomeMessage(testThreshold, false)
				switch h.GetAttempt() {
				case 1:
					m.GetWelcome().LostThresholdMs = 0
				case 2:
					m.GetWelcome().HeartbeatIntervalMs = 0
				case 3:
					m.GetWelcome().RunnerId = ""
				case 4:
					return &callboardv1.ConnectResponse{}
				}
				return m
			}
			startRunner(t, n, Config{}, untilStopped)
			e.session(4).start("x")
			e.expect("running x/1")
		})
	})
}

// A Welcome that takes longer than the lease would last is none: the next dial gets one.
func TestLateWelcomeIsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		e.welcome = func(h *callboardv1.Hello) *callboardv1.ConnectResponse {
			if h.GetAttempt() == 1 {
				time.Sleep(3 * time.Second)
				return welcomeMessage(4*time.Second, false) // 70 % of it are 2.8 s
			}
			return welcomeMessage(testThreshold, false)
		}
		startRunner(t, n, Config{}, untilStopped)
		first := e.session(0)
		e.session(1).start("x")
		e.expect("running x/1")
		if !first.gone() {
			t.Error("the first stream goes on")
		}
	})
}
