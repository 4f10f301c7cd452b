package scheduler

import (
	"fmt"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Those that crashed together do not come back together: each back-off but the first has up to half a second of its own.
func TestBackOffsAreSpread(t *testing.T) {
	const n = 100 // no crowd: those that crash first are placed at once
	w := newWorld(t)
	w.quiet = true
	r := w.start(&process{name: "r1", slots: n})
	w.turn(Input{})
	for i := range n {
		w.command(create(fmt.Sprintf("a%d", i), "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART), "")
	}
	for range 2 { // the first crash costs no wait
		for _, b := range r.bodiesInOrder() {
			r.finish(w, b.ref, false)
		}
		w.turn(Input{})
	}
	seen, sum := map[int64]bool{}, int64(0)
	for i := range n {
		a := w.actor(fmt.Sprintf("a%d", i))
		jitter := a.DueMs - w.clockMs - 2_000
		if jitter < 0 || jitter > 500 {
			t.Fatalf("actor %d waits %d ms: want 2 s and up to half a second", i, a.DueMs-w.clockMs)
		}
		seen[jitter] = true
		sum += jitter
	}
	if mean := sum / n; len(seen) < n/2 || mean < 200 || mean > 300 {
		t.Errorf("%d actors that crashed together wait %d different times, %d ms more on average", n, len(seen), mean)
	}
}
