package raftnet

import "github.com/hashicorp/raft"

// compactionStep is how many entries are deleted at once.
const compactionStep = 128

// gradual deletes what a snapshot has made superfluous a little at a time. The log has one writer: while thousands of entries are deleted
// in one go, which takes a hundred milliseconds, no new one can be stored, and every caller waits.
type gradual struct{ raft.LogStore }

// DeleteRange deletes entries. The oldest go step by step, from the oldest on, so that a crash in between leaves a log that begins later.
// A tail goes in one go: a part of it would leave a gap.
func (g gradual) DeleteRange(low, high uint64) error {
	first, err := g.FirstIndex()
	if err != nil {
		return err
	}
	if low > first {
		return g.LogStore.DeleteRange(low, high)
	}
	for low = max(low, first); high-low >= compactionStep && low <= high; low += compactionStep {
		if err := g.LogStore.DeleteRange(low, low+compactionStep-1); err != nil {
			return err
		}
	}
	return g.LogStore.DeleteRange(low, high)
}
