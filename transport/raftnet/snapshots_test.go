package raftnet

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/hashicorp/raft"
)

// disk counts how often it was synced.
type disk struct {
	io.Writer
	syncs int
	err   error
}

func (d *disk) Sync() error { d.syncs++; return d.err }
func (*disk) Close() error  { return nil }

// A snapshot is on the disk by and by, and can be read as it was written. Raft closes it after whoever wrote it has.
func TestASnapshotIsSyncedWhileItIsWritten(t *testing.T) {
	stores, err := Open(t.TempDir(), Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stores.Close() }()
	_, transport := raft.NewInmemTransport("a")
	sink, err := stores.Snapshots.Create(1, 7, 2, raft.Configuration{}, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	steady := sink.(*snapshotSink)
	real := steady.file
	counted := &disk{Writer: real}
	steady.file = counted
	piece := bytes.Repeat([]byte("snapshot"), 8<<10)
	for range 5 * syncEvery / len(piece) {
		if _, err := sink.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if counted.syncs != 5 {
		t.Errorf("synced %d times, want 5", counted.syncs)
	}
	counted.err = errors.New("the disk is broken")
	if _, err := sink.Write(make([]byte, syncEvery)); !errors.Is(err, counted.err) {
		t.Errorf("what the disk does not have is written: %v", err)
	}
	steady.file = real
	for range 2 {
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, from, err := stores.Snapshots.Open(sink.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = from.Close() }()
	if n, err := io.Copy(io.Discard, from); err != nil || n != 6*syncEvery {
		t.Errorf("%d bytes are back, want %d: %v", n, 6*syncEvery, err)
	}
}
