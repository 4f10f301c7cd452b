package runner

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// testRunner is a runner under test.
type testRunner struct {
	*Runner
	t      *testing.T
	done   chan struct{}
	err    error
	cancel context.CancelFunc
}

// startRunner runs a runner with one handler until the test ends. Without a handler it has the plainest, for "test" alone.
func startRunner(t *testing.T, n *fakeNet, cfg Config, handler Handler, opts ...Option) *testRunner {
	t.Helper()
	setDefault(&cfg.Endpoint, "a:1")
	cfg.Dial, cfg.IgnoreSignals = n.dial, true
	cfg.Logger = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if cfg.Clock == nil {
		cfg.Clock = ProcessClock()
	}
	r := &testRunner{Runner: New(cfg), t: t, done: make(chan struct{})}
	if handler == nil {
		r.Handle("test", untilStopped)
	} else {
		r.HandleAny(handler, opts...)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() {
		r.err = r.Run(ctx)
		close(r.done)
	}()
	t.Cleanup(func() {
		r.Kill()
		<-r.done
		cancel()
	})
	return r
}

// ended tells whether Run has returned.
func (r *testRunner) ended() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *testRunner) result() error {
	r.t.Helper()
	if !r.ended() {
		r.t.Fatal("Run has not returned")
	}
	return r.err
}

type testLog struct{ t *testing.T }

func (w testLog) Write(p []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("15:04:05.000"), p)
	return len(p), nil
}

// untilStopped is the plainest handler.
func untilStopped(ctx context.Context, _ *Actor) error {
	<-ctx.Done()
	return ctx.Err()
}
