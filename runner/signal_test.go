//go:build unix

package runner

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"
)

// With real signals, a real clock and the real defaults: SIGTERM hands everything over.
func TestSIGTERM(t *testing.T) {
	n := &fakeNet{}
	e := newFakeEngine(t, n, "a:1")
	r := New(Config{Endpoint: "a:1", Dial: n.dial, Logger: slog.New(slog.DiscardHandler)})
	running := make(chan struct{})
	r.Handle("test", func(ctx context.Context, _ *Actor) error {
		close(running)
		<-ctx.Done()
		return nil
	})
	done := make(chan error, 1)
	go func() { done <- r.Run(context.Background()) }()
	s := <-e.arrived
	s.start("x")
	<-running
	if got := r.Status(); got.Address != "a:1" || !got.LeaseValid {
		t.Errorf("status %+v", got)
	}
	e.set(func(e *fakeEngine) {
		e.onDraining = func(s *fakeSession) { s.stop("x", 1, shutdownReason) }
	})
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Run has not returned")
	}
}
