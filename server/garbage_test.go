package server

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestALargeHeapIsCollectedAsEver: only what is small gets more room, and never more than it is there for.
func TestALargeHeapIsCollectedAsEver(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 800}, {1 << 20, 800}, {16 << 20, 800}, {32 << 20, 800}, {64 << 20, 400}, {128 << 20, 200}, {256 << 20, 100}, {4 << 30, 100}} {
		if got := garbagePercent(tt.live); got != tt.want {
			t.Errorf("%d MiB alive: %d %%, want %d %%", tt.live>>20, got, tt.want)
		}
	}
}

func TestTheRuleOfTheProcessComesBack(t *testing.T) {
	t.Setenv("GOGC", "") // an empty one is none
	before := debug.SetGCPercent(137)
	defer debug.SetGCPercent(before)
	runtime.GC()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := tendGarbage(ctx); err != nil {
		t.Fatal(err)
	}
	if got := debug.SetGCPercent(137); got != 137 {
		t.Errorf("the rule is %d %% when the node has ended", got)
	}
}
