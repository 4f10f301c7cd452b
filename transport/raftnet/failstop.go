package raftnet

import (
	"fmt"
	"sync"

	"github.com/hashicorp/raft"
)

// A write to the disk that failed is never tried again by this process. After a failed sync nobody knows what is on the disk, and the next
// one may succeed without it; and Raft goes on with a disk that is full, as a leader that can store nothing, elected again and again.
// So the first failure is told, and the node ends.

// failure is the first error of writing.
type failure struct {
	once sync.Once
	told chan error // room for one
}

func newFailure() *failure { return &failure{told: make(chan error, 1)} }

func (f *failure) check(err error) error {
	if err != nil {
		f.once.Do(func() { f.told <- fmt.Errorf("the log cannot be written: %w", err) })
	}
	return err
}

// watchedLog and watchedStable tell failures of writing.
type watchedLog struct {
	raft.LogStore
	failure *failure
}

func (w watchedLog) StoreLog(entry *raft.Log) error {
	return w.failure.check(w.LogStore.StoreLog(entry))
}

func (w watchedLog) StoreLogs(entries []*raft.Log) error {
	return w.failure.check(w.LogStore.StoreLogs(entries))
}

func (w watchedLog) DeleteRange(low, high uint64) error {
	return w.failure.check(w.LogStore.DeleteRange(low, high))
}

type watchedStable struct {
	raft.StableStore
	failure *failure
}

func (w watchedStable) Set(key, value []byte) error {
	return w.failure.check(w.StableStore.Set(key, value))
}

func (w watchedStable) SetUint64(key []byte, value uint64) error {
	return w.failure.check(w.StableStore.SetUint64(key, value))
}
