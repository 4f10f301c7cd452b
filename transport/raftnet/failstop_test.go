package raftnet

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/raft"
)

// brokenDisk fails at every write with its error.
type brokenDisk struct {
	raft.LogStore
	raft.StableStore
	err error
}

func (b brokenDisk) StoreLog(*raft.Log) error         { return b.err }
func (b brokenDisk) StoreLogs([]*raft.Log) error      { return b.err }
func (b brokenDisk) DeleteRange(uint64, uint64) error { return b.err }
func (b brokenDisk) Set([]byte, []byte) error         { return b.err }
func (b brokenDisk) SetUint64([]byte, uint64) error   { return b.err }

// The first write that fails is told, whatever is written, and Raft gets its error all the same.
func TestAFailedWriteIsTold(t *testing.T) {
	full := fmt.Errorf("write raft.db: %w", syscall.ENOSPC)
	for name, write := range map[string]func(log raft.LogStore, stable raft.StableStore) error{
		"entry":   func(log raft.LogStore, _ raft.StableStore) error { return log.StoreLog(&raft.Log{}) },
		"entries": func(log raft.LogStore, _ raft.StableStore) error { return log.StoreLogs([]*raft.Log{{}}) },
		"cut":     func(log raft.LogStore, _ raft.StableStore) error { return log.DeleteRange(1, 2) },
		"vote":    func(_ raft.LogStore, stable raft.StableStore) error { return stable.Set([]byte("k"), nil) },
		"term":    func(_ raft.LogStore, stable raft.StableStore) error { return stable.SetUint64([]byte("k"), 1) },
	} {
		failure := newFailure(quiet)
		disk := brokenDisk{err: full}
		log, stable := newLogCache(logCacheBytes, watchedLog{sealed{disk, logFile}, failure}), watchedStable{disk, failure}
		for range 2 {
			if err := write(log, stable); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%s: Raft is told %v", name, err)
			}
		}
		select {
		case err := <-failure.told:
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "the log cannot be written") {
				t.Errorf("%s: %v", name, err)
			}
		default:
			t.Errorf("%s: nothing is told", name)
		}
	}
}

func TestWritesThatSucceedTellNothing(t *testing.T) {
	stores, err := Open(t.TempDir(), Options{Log: quiet})
	must(t, err)
	defer stores.Close()
	must(t, stores.Log.StoreLog(&raft.Log{Index: 1, Term: 1}))
	must(t, stores.Stable.SetUint64([]byte("term"), 1))
	select {
	case err := <-stores.Failed():
		t.Fatal(err)
	default:
	}
}
