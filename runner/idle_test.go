package runner

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestAnIdleActorIsOneGoroutine: a runner may have very many actors, and most of the time nothing happens to most of them.
func TestAnIdleActorIsOneGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const actors = 100
		n := &fakeNet{}
		e := newFakeEngine(t, n, "a:1")
		startRunner(t, n, Config{Pool: "pool", Slots: actors}, untilStopped)
		s := e.session(0)
		synctest.Wait()
		before := runtime.NumGoroutine()
		var start []*callboardv1.StartActor
		for i := range actors {
			start = append(start, &callboardv1.StartActor{Ref: &callboardv1.ActorRef{ActorId: fmt.Sprint(i), Generation: 1}, Name: "test"})
		}
		s.desire(&callboardv1.Desired{Start: start})
		synctest.Wait()
		// What ends or begins meanwhile beside the actors is counted too.
		if got := runtime.NumGoroutine() - before; got < actors*9/10 || got > actors*11/10 {
			t.Errorf("%d goroutines for %d actors that do nothing", got, actors)
		}
	})
}
