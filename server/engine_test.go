package server

import (
	"context"
	"log/slog"
	"testing"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// At a node where as many calls wait for actors as may, a further one is told so. What is there already is not waited for.
func TestWaitingHasABound(t *testing.T) {
	e := &engine{replica: newReplica(slog.New(slog.DiscardHandler))}
	e.waiting.Store(maxWaiters)
	never, always := func(*fsm.Actor) bool { return false }, func(*fsm.Actor) bool { return true }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.WaitActor(gone, 0, fsm.ActorID{}, never)
	if refusal, _ := callboardv1.AsRefusal(err); refusal.Name() != "cluster.overloaded" || refusal.GetMetadata()["retry_after_ms"] == "" {
		t.Errorf("one more ends with %v", err)
	}
	if v, err := e.WaitActor(gone, 0, fsm.ActorID{}, always); v == nil || err != nil {
		t.Errorf("one that need not wait: %v, %v", v, err)
	}
	e.waiting.Add(-1)
	if _, err := e.WaitActor(gone, 0, fsm.ActorID{}, never); err != context.Canceled { //nolint:errorlint // the context's own
		t.Errorf("where there is room it ends with %v", err)
	}
	if n := e.waiting.Load(); n != maxWaiters-1 {
		t.Errorf("%d wait", n)
	}
}
