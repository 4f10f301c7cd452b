package raftnet

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// A write to the disk that failed is never tried again by this process. After a failed sync nobody knows what is on the disk, and the next
// one may succeed without it; and Raft goes on with a disk that is full, as a leader that can store nothing, elected again and again.
// So the first failure is told, and the node ends. The same holds for an entry that was stored and cannot be read back: of that Raft makes
// a panic in a goroutine of its own, so the store says which file it is, and keeps the goroutine until the process has ended.

// failure is the first error of the disk.
type failure struct {
	log   *slog.Logger
	once  sync.Once
	told  chan error // room for one
	armed atomic.Bool
	held  atomic.Bool
	wait  func() // for ever; a test's returns
}

func newFailure(log *slog.Logger) *failure {
	return &failure{log: log, told: make(chan error, 1), wait: func() { select {} }}
}

func (f *failure) check(err error) error {
	if err != nil {
		f.tell(fmt.Errorf("the log cannot be written: %w", err))
	}
	return err
}

func (f *failure) tell(err error) {
	f.once.Do(func() {
		f.log.Error("this node stops", "error", err)
		f.told <- err
	})
}

// stop tells an error of which Raft would make a panic. Once the node is there to end itself, it does not return.
func (f *failure) stop(err error) error {
	if err != nil {
		f.tell(err)
		if f.armed.Load() {
			f.held.Store(true)
			f.wait()
		}
	}
	return err
}

// watchedLog tells failures of the log.
type watchedLog struct {
	raft.LogStore
	failure *failure
}

func (w watchedLog) GetLog(index uint64, entry *raft.Log) error {
	err := w.LogStore.GetLog(index, entry)
	if err == nil || errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	return w.failure.stop(err)
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

// watchedStable tells failures of the term and the vote.
type watchedStable struct {
	raft.StableStore
	failure *failure
}

func (w watchedStable) Get(key []byte) ([]byte, error) {
	value, err := w.StableStore.Get(key)
	return value, w.read(err)
}

func (w watchedStable) GetUint64(key []byte) (uint64, error) {
	value, err := w.StableStore.GetUint64(key)
	return value, w.read(err)
}

func (w watchedStable) read(err error) error {
	if errors.Is(err, ErrDamaged) {
		return w.failure.stop(err)
	}
	return err
}

func (w watchedStable) Set(key, value []byte) error {
	return w.written(w.StableStore.Set(key, value))
}

func (w watchedStable) SetUint64(key []byte, value uint64) error {
	return w.written(w.StableStore.SetUint64(key, value))
}

// written stops at an error: Raft panics when it cannot save its term.
func (w watchedStable) written(err error) error {
	if err != nil {
		err = fmt.Errorf("the log cannot be written: %w", err)
	}
	return w.failure.stop(err)
}
