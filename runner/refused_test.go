package runner

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestRefusedByTheEngine(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(e *fakeEngine)
		code  int
	}{
		{"replaced", func(e *fakeEngine) {
			e.welcome = func(*callboardv1.Hello) *callboardv1.ConnectResponse { return disconnectMessage("replaced", false) }
		}, CodeReplaced},
		{"refused", func(e *fakeEngine) {
			e.welcome = func(*callboardv1.Hello) *callboardv1.ConnectResponse { return disconnectMessage("bad_slots", false) }
		}, CodeRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				c.setUp(e)
				r := startRunner(t, n, Config{}, untilStopped)
				time.Sleep(time.Second)
				err := r.result()
				var refusal *Refusal
				if ExitCode(err) != c.code || !errors.As(err, &refusal) || refusal.Message != "because" {
					t.Errorf("Run: %v", err)
				}
			})
		})
	}
}

func TestRefusedByStatus(t *testing.T) {
	for code, ends := range map[codes.Code]bool{
		codes.Unauthenticated: true, codes.PermissionDenied: true, codes.InvalidArgument: true,
		codes.Unavailable: false, codes.Unimplemented: false, codes.Internal: false, codes.ResourceExhausted: false,
	} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				e := newFakeEngine(t, n, "a:1")
				e.welcome = noWelcome
				r := startRunner(t, n, Config{}, untilStopped)
				e.session(0).end <- status.Error(code, "no")
				if got := r.ended(); got != ends {
					t.Fatalf("ended: %v", got)
				}
				if ends && ExitCode(r.result()) != CodeRefused {
					t.Errorf("Run: %v", r.err)
				}
			})
		})
	}
}

// Another process has taken the key while actors run here: they stop in order, hooks and all, but not beyond the lease.
func TestReplacedWhileActorsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		hook := make(chan StopReason, 1)
		r := startRunner(t, n, Config{}, func(ctx context.Context, a *Actor) error {
			a.OnSleep(func(context.Context) {
				hook <- a.StopReason()
				time.Sleep(3 * time.Second)
			})
			return untilStopped(ctx, a)
		})
		s := e.session(0)
		s.start("x")
		synctest.Wait()
		s.send(disconnectMessage("replaced", false))
		if got := <-hook; got != StopReplaced {
			t.Errorf("reason %q", got)
		}
		if r.ended() {
			t.Error("Run did not wait for the hook")
		}
		time.Sleep(3 * time.Second)
		if got := ExitCode(r.result()); got != CodeReplaced {
			t.Errorf("Run: %v", r.err)
		}
		if got := e.sessionCount(); got != 1 {
			t.Errorf("it dialled again: %d streams", got)
		}
	})
}
