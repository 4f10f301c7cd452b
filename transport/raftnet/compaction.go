package raftnet

import (
	"time"

	"github.com/hashicorp/raft"
)

const (
	// compactionAim is how long a step of a deletion should hold the log up.
	compactionAim = 2 * time.Millisecond
	// firstCompactionStep and maxCompactionStep are how many entries are deleted at once: at first, and at most.
	firstCompactionStep = 8
	maxCompactionStep   = 128
)

// gradual deletes what a snapshot has made superfluous a little at a time. The log has one writer: while thousands of entries are deleted
// in one go, which takes a hundred milliseconds, no new one can be stored, and every caller waits. How much is little follows from how
// long it takes: an entry has a hundred bytes, or a megabyte.
type gradual struct{ raft.LogStore }

// DeleteRange deletes entries. The oldest go step by step, from the oldest on, so that a crash in between leaves a log that begins later.
// After each step there is a pause as long as it, for those who wait to write. A tail goes in one go: a part of it would leave a gap.
func (g gradual) DeleteRange(low, high uint64) error {
	first, err := g.FirstIndex()
	if err != nil {
		return err
	}
	if low > first {
		return g.LogStore.DeleteRange(low, high)
	}
	low = max(low, first)
	for step := uint64(firstCompactionStep); low <= high && high-low >= step; {
		began := time.Now()
		if err := g.LogStore.DeleteRange(low, low+step-1); err != nil {
			return err
		}
		low += step
		took := time.Since(began)
		switch {
		case took > compactionAim:
			step = max(step/2, 1)
		case took < compactionAim/2:
			step = min(2*step, maxCompactionStep)
		}
		time.Sleep(took)
	}
	return g.LogStore.DeleteRange(low, high)
}
