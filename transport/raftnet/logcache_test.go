package raftnet

import (
	"errors"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// counting counts what reaches the store.
type counting struct {
	raft.LogStore
	reads int
	fail  bool
}

func (c *counting) GetLog(index uint64, entry *raft.Log) error {
	c.reads++
	return c.LogStore.GetLog(index, entry)
}

func (c *counting) StoreLogs(entries []*raft.Log) error {
	if c.fail {
		return errors.New("disk full")
	}
	return c.LogStore.StoreLogs(entries)
}

// The cache answers like the store behind it, whatever is appended, compacted and overwritten, and stays within its bytes.
func TestLogCacheAgainstItsStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 4096
		store := NewDisk().Open().Log
		cache := newLogCache(limit, store)
		last := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0: // compaction
				low, _ := store.FirstIndex()
				if low != 0 {
					_ = cache.DeleteRange(low, rapid.Uint64Range(low, last).Draw(t, "upTo"))
				}
			case 1: // a conflict: the tail goes and other entries take its place
				if last > 0 {
					from := rapid.Uint64Range(1, last).Draw(t, "from")
					_ = cache.DeleteRange(from, last)
					last = from - 1
				}
			case 2: // a snapshot was installed
				last += rapid.Uint64Range(0, 5).Draw(t, "gap")
			default:
				var batch []*raft.Log
				for range rapid.IntRange(1, 8).Draw(t, "batch") {
					last++
					data := make([]byte, rapid.SampledFrom([]int{0, 10, 500, 5000}).Draw(t, "bytes"))
					batch = append(batch, &raft.Log{Index: last, Term: rapid.Uint64().Draw(t, "term"), Data: data})
				}
				if err := cache.StoreLogs(batch); err != nil {
					t.Fatal(err)
				}
			}
			bytes := 0
			for _, entry := range cache.entries {
				bytes += cost(entry)
			}
			if bytes != cache.bytes || bytes > limit {
				t.Fatalf("counts %d bytes, holds %d, limit %d", cache.bytes, bytes, limit)
			}
			for index := uint64(0); index <= last+1; index++ {
				var got, want raft.Log
				errGot, errWant := cache.GetLog(index, &got), store.GetLog(index, &want)
				if !errors.Is(errGot, errWant) || got.Term != want.Term || got.Index != want.Index {
					t.Fatalf("entry %d: %+v %v, want %+v %v", index, got, errGot, want, errWant)
				}
			}
		}
	})
}

func TestLogCacheSavesReads(t *testing.T) {
	store := &counting{LogStore: NewDisk().Open().Log}
	cache := newLogCache(1<<20, store)
	must(t, cache.StoreLogs(entries(1, 100)))
	for i := uint64(1); i <= 100; i++ {
		must(t, cache.GetLog(i, &raft.Log{}))
	}
	if store.reads != 0 {
		t.Fatalf("%d reads reached the store", store.reads)
	}
}

func TestLogCacheKeepsNothingThatWasNotStored(t *testing.T) {
	store := &counting{LogStore: NewDisk().Open().Log, fail: true}
	cache := newLogCache(1<<20, store)
	if err := cache.StoreLogs(entries(1, 1)); err == nil {
		t.Fatal("a failing store went unnoticed")
	}
	if err := cache.GetLog(1, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("got %v", err)
	}
}
