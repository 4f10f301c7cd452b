package raftnet

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc64"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot is a directory of its own under snapshots/, named term-index-milliseconds: state.bin, what the state machine wrote; meta.json,
// what Raft must know about it and the checksum of state.bin, in the form of Raft's own store; meta.seal, the checksum of meta.json and a
// copy of it. It is made under a name that ends in .tmp, and is renamed when all of it is on the disk.
const (
	snapshotsDir   = "snapshots"
	metaFile       = "meta.json"
	sealFile       = "meta.seal"
	stateFile      = "state.bin"
	temporaryTail  = ".tmp"
	syncEvery      = 2 << 20 // bytes of a snapshot that are written before the disk must have them
	maxMetaBytes   = 1 << 20
	snapshotBuffer = 64 << 10
)

var crc64Table = crc64.MakeTable(crc64.ECMA)

// snapshotMeta is the content of meta.json.
type snapshotMeta struct {
	raft.SnapshotMeta
	CRC []byte
}

// snapshotStore keeps the snapshots of one node on disk. What it lists was found whole when the node started, or was made since.
type snapshotStore struct {
	dir  string
	log  *slog.Logger
	mark *markFile // told of each new snapshot; nil: nobody

	mu   sync.Mutex // not a loop: a read sends one to a follower while the next is being made; nothing waits while holding it
	kept []*snapshotMeta
}

// openSnapshots makes the directory and removes what a start before has left half done.
func openSnapshots(dir string, log *slog.Logger) (*snapshotStore, error) {
	s := &snapshotStore{dir: filepath.Join(dir, snapshotsDir), log: log}
	if err := os.MkdirAll(s.dir, 0o750); err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	found, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	for _, entry := range found {
		if strings.HasSuffix(entry.Name(), temporaryTail) {
			log.Info("removing a snapshot that was never finished", "path", filepath.Join(s.dir, entry.Name()))
			if err := os.RemoveAll(filepath.Join(s.dir, entry.Name())); err != nil {
				return nil, fmt.Errorf("snapshots: %w", err)
			}
		}
	}
	return s, nil
}

func (s *snapshotStore) keep(metas []*snapshotMeta) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = metas
}

// List returns the newest snapshot alone: Raft would take an older one when it cannot restore that, and go on with a log that does not
// begin there.
func (s *snapshotStore) List() (list []*raft.SnapshotMeta, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) > 0 {
		list = append(list, &s.kept[0].SnapshotMeta)
	}
	return list, nil
}

// Open returns a snapshot once its state has matched its checksum.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	meta, err := readSnapshot(filepath.Join(s.dir, id))
	if err != nil {
		return nil, nil, err
	}
	file, err := os.Open(filepath.Join(s.dir, id, stateFile))
	if err != nil {
		return nil, nil, fmt.Errorf("snapshot: %w", err)
	}
	return &meta.SnapshotMeta, bufferedFile{bufio.NewReaderSize(file, snapshotBuffer), file}, nil
}

type bufferedFile struct {
	io.Reader
	io.Closer
}

// Create begins a snapshot. Raft lists it once it is closed.
func (s *snapshotStore) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if version != raft.SnapshotVersionMax {
		return nil, fmt.Errorf("a snapshot of version %d; this build makes version %d", version, raft.SnapshotVersionMax)
	}
	id := fmt.Sprintf("%d-%d-%d", term, index, time.Now().UnixMilli())
	sink := &snapshotSink{store: s, sum: crc64.New(crc64Table), meta: &snapshotMeta{SnapshotMeta: raft.SnapshotMeta{
		Version: version, ID: id, Index: index, Term: term, Configuration: configuration, ConfigurationIndex: configurationIndex,
	}}}
	if err := os.MkdirAll(sink.temporary(), 0o750); err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	file, err := os.Create(filepath.Join(sink.temporary(), stateFile))
	if err != nil {
		return nil, fmt.Errorf("make a snapshot: %w", err)
	}
	sink.file, sink.out = file, bufio.NewWriterSize(file, snapshotBuffer)
	return sink, nil
}

// snapshotSink is a snapshot that is being written. Its state goes to the disk while it is written: at the end the disk would have a
// hundred megabytes at once to write, and the log, whose every entry waits for the disk, would stand behind them.
type snapshotSink struct {
	store    *snapshotStore
	meta     *snapshotMeta
	file     syncer
	out      *bufio.Writer
	sum      hash.Hash64
	unsynced int
	closed   bool
}

type syncer interface {
	io.Writer
	Sync() error
	Close() error
}

func (s *snapshotSink) temporary() string {
	return filepath.Join(s.store.dir, s.meta.ID+temporaryTail)
}

func (s *snapshotSink) ID() string { return s.meta.ID }

func (s *snapshotSink) Write(b []byte) (int, error) {
	n, err := s.out.Write(b)
	_, _ = s.sum.Write(b[:n])
	s.meta.Size += int64(n)
	if s.unsynced += n; err == nil && s.unsynced >= syncEvery {
		s.unsynced = 0
		err = errors.Join(s.out.Flush(), s.file.Sync())
	}
	return n, err
}

// Cancel gives the snapshot up.
func (s *snapshotSink) Cancel() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.file.Close(), os.RemoveAll(s.temporary()))
}

// Close has the whole snapshot on the disk, then lists it and deletes those that are too many. It may come twice: from whoever wrote the
// snapshot, and from Raft.
func (s *snapshotSink) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.finish(); err != nil {
		return errors.Join(fmt.Errorf("finish a snapshot: %w", err), os.RemoveAll(s.temporary()))
	}
	return s.store.add(s.meta)
}

func (s *snapshotSink) finish() error {
	err := errors.Join(s.out.Flush(), s.file.Sync(), s.file.Close())
	s.meta.CRC = s.sum.Sum(nil)
	if err != nil {
		return err
	}
	content, err := json.Marshal(s.meta)
	if err != nil {
		return err
	}
	content = append(content, '\n')
	if err := errors.Join(writeSynced(filepath.Join(s.temporary(), metaFile), content), sealSnapshot(s.temporary(), content)); err != nil {
		return err
	}
	if err := os.Rename(s.temporary(), filepath.Join(s.store.dir, s.meta.ID)); err != nil {
		return err
	}
	return syncDirectory(s.store.dir)
}

// add lists a snapshot that is on the disk, and removes those that are too many.
func (s *snapshotStore) add(meta *snapshotMeta) error {
	s.mu.Lock()
	s.kept = append(s.kept, meta)
	slices.SortStableFunc(s.kept, newestFirst)
	s.kept = s.kept[:min(len(s.kept), snapshotsRetained)]
	newest, oldest, full := s.kept[0], s.kept[len(s.kept)-1], len(s.kept) == snapshotsRetained
	s.mu.Unlock()
	if s.mark != nil {
		sum, err := sumOf(filepath.Join(s.dir, newest.ID))
		if err != nil {
			return fmt.Errorf("finish a snapshot: %w", err)
		}
		if err := s.mark.put(func(m *Mark) { m.remember(newest, sum) }); err != nil {
			return err
		}
	}
	if !full {
		return nil
	}
	found, err := findSnapshots(filepath.Dir(s.dir))
	for _, old := range found {
		if newestFirst(oldest, old) < 0 { // damaged ones among them
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, old.ID)))
		}
	}
	return err
}

// remember notes the newest snapshot.
func (m *Mark) remember(meta *snapshotMeta, sum uint32) {
	m.SnapshotID, m.SnapshotIndex, m.SnapshotTerm, m.SnapshotSum = meta.ID, meta.Index, meta.Term, sum
}

// newestFirst orders snapshots as Raft does.
func newestFirst(a, b *snapshotMeta) int {
	return cmp.Or(cmp.Compare(b.Term, a.Term), cmp.Compare(b.Index, a.Index), cmp.Compare(b.ID, a.ID))
}
