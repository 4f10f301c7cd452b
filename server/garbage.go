package server

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbageRoom is how much garbage a node may hold before it is collected, even if what lives is less: with Go's own rule a node
	// whose state is small collects many times a second under load, and spends a fifth of its processor time on it.
	garbageRoom = 256 << 20
	// garbageEvery is how often the rule is fitted to what the node has. A heap that grows in between is collected later than it
	// should, by at most the same factor.
	garbageEvery = 2 * time.Second
	// standardGarbage is Go's own rule, in per cent of what lives: that of every heap larger than garbageRoom.
	standardGarbage = 100
	// mostGarbage is the rule of the smallest heaps, below 32 MiB: they have less room, so that one that grows between two looks stays
	// within bounds.
	mostGarbage = 800
)

// tendGarbage fits the collector's rule to the heap until ctx ends, and then puts back what it was. An operator who sets GOGC has chosen.
func tendGarbage(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	before := debug.SetGCPercent(mostGarbage)
	defer debug.SetGCPercent(before)
	tick := time.NewTicker(garbageEvery)
	defer tick.Stop()
	for {
		debug.SetGCPercent(garbagePercent(liveHeap()))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// garbagePercent is how much garbage is let be, in per cent of the bytes that live.
func garbagePercent(live uint64) int {
	if live == 0 {
		return mostGarbage // nothing was ever collected
	}
	return int(min(max(100*garbageRoom/live, standardGarbage), mostGarbage))
}

// liveHeap is what the last collection found alive.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
