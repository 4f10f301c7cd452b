package raftnet

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// syncEvery is how much of a snapshot is written before the disk must have it.
const syncEvery = 2 << 20

// steady has a snapshot on the disk while it is written. Raft's store leaves that to the end: then the disk has a hundred megabytes at once
// to write, and the log, whose every entry waits for the disk, stands behind them.
type steady struct {
	raft.SnapshotStore
	dir string // of the snapshots
}

func (s steady) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, transport raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.SnapshotStore.Create(version, index, term, configuration, configurationIndex, transport)
	if err != nil {
		return nil, err
	}
	// The store keeps its file to itself, but syncing is a matter of the file, not of who has it open.
	file, err := os.Open(filepath.Join(s.dir, sink.ID()+".tmp", "state.bin"))
	if err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return &steadySink{SnapshotSink: sink, file: file}, nil
}

type steadySink struct {
	raft.SnapshotSink
	file     syncer
	unsynced int
	closed   bool
}

type syncer interface {
	Sync() error
	Close() error
}

func (s *steadySink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	if s.unsynced += n; err == nil && s.unsynced >= syncEvery {
		s.unsynced, err = 0, s.file.Sync()
	}
	return n, err
}

// Close may come twice: from whoever wrote the snapshot, and from Raft.
func (s *steadySink) Close() error { return errors.Join(s.done(), s.SnapshotSink.Close()) }

func (s *steadySink) Cancel() error { return errors.Join(s.done(), s.SnapshotSink.Cancel()) }

func (s *steadySink) done() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return s.file.Close()
}
