package raftnet

import (
	"sync"

	"github.com/hashicorp/raft"
)

// entryOverhead is what a cached entry costs besides its data.
const entryOverhead = 128

// logCache keeps the newest entries in memory, so that replication and apply read none of them back from disk. Unlike raft.LogCache
// it is bounded by bytes: entries are packed, one may hold a single op or a mebibyte of them.
type logCache struct {
	raft.LogStore
	limit int

	// A mutex and not a loop: raft calls a LogStore from its main loop and from one goroutine per follower.
	mu      sync.RWMutex
	entries []*raft.Log // consecutive indexes, oldest first
	bytes   int
}

func newLogCache(limit int, store raft.LogStore) *logCache {
	return &logCache{LogStore: store, limit: limit}
}

func (c *logCache) GetLog(index uint64, entry *raft.Log) error {
	if cached := c.get(index); cached != nil {
		*entry = *cached
		return nil
	}
	return c.LogStore.GetLog(index, entry)
}

func (c *logCache) get(index uint64) *raft.Log {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.entries) == 0 || index < c.entries[0].Index {
		return nil
	}
	if i := index - c.entries[0].Index; i < uint64(len(c.entries)) {
		return c.entries[i]
	}
	return nil
}

func (c *logCache) StoreLog(entry *raft.Log) error { return c.StoreLogs([]*raft.Log{entry}) }

func (c *logCache) StoreLogs(entries []*raft.Log) error {
	if err := c.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, entry := range entries {
		if n := len(c.entries); n > 0 && entry.Index != c.entries[n-1].Index+1 {
			c.drop(n) // a gap after a snapshot, or an overwritten tail
		}
		c.entries = append(c.entries, entry)
		c.bytes += cost(entry)
	}
	over := 0
	for bytes := c.bytes; bytes > c.limit; over++ {
		bytes -= cost(c.entries[over])
	}
	c.drop(over)
	return nil
}

func (c *logCache) DeleteRange(low, high uint64) error {
	c.forget(low, high) // first: a deleted entry must not be read from here, even if the store then fails
	return c.LogStore.DeleteRange(low, high)
}

func (c *logCache) forget(low, high uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.entries) == 0 {
		return
	}
	first, last := c.entries[0].Index, c.entries[len(c.entries)-1].Index
	switch {
	case high < first || low > last:
	case low <= first && high < last:
		c.drop(int(high - first + 1)) // compaction
	default:
		c.drop(len(c.entries)) // a conflicting tail: rare, start again
	}
}

// drop forgets the n oldest entries.
func (c *logCache) drop(n int) {
	for i, entry := range c.entries[:n] {
		c.bytes -= cost(entry)
		c.entries[i] = nil
	}
	c.entries = c.entries[n:]
}

func cost(entry *raft.Log) int { return entryOverhead + len(entry.Data) + len(entry.Extensions) }
