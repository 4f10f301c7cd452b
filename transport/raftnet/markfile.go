package raftnet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// markSyncEvery is how far the mark on the disk may be behind the one that was written.
const markSyncEvery = 20 * time.Millisecond

// markFile keeps the mark of one start of the node.
type markFile struct {
	path string
	file *os.File

	// A mutex and not a loop: Raft stores entries, votes and snapshots from goroutines of its own, and none of them may wait for another's
	// turn to be scheduled. Nothing syncs while holding it.
	mu       sync.Mutex
	mark     Mark
	sector   [markBytes]byte // the copy that is written
	unsynced chan struct{}   // room for one

	syncFile func(*os.File) error // syncData, but in a test that counts
}

// createMark makes the mark anew, on the disk with its directory when it returns. An existing file is written over, so that it keeps its birth.
func createMark(dir string, mark Mark) (*markFile, error) {
	path := filepath.Join(dir, markFileName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the mark of the log: %w", err)
	}
	m := newMarkFile(path, file, mark)
	// Both copies are written in full: a block that is only allocated would cost a commit of the file system's journal later.
	if _, err = file.WriteAt(make([]byte, 2*markStride), 0); err == nil {
		err = file.Truncate(2 * markStride)
	}
	m.mark.birthInode, m.mark.birthSec, m.mark.birthNsec = birthOf(file) // so that a copy of it can be told
	if err == nil {
		err = errors.Join(m.put(func(*Mark) {}), m.put(func(*Mark) {}), file.Sync(), syncDirectory(dir))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the mark of the log: %w", err), file.Close())
	}
	return m, nil
}

func newMarkFile(path string, file *os.File, mark Mark) *markFile {
	return &markFile{path: path, file: file, mark: mark, unsynced: make(chan struct{}, 1), syncFile: syncData}
}

// openMark opens the mark of an earlier start.
func openMark(dir string) (*markFile, error) {
	path := filepath.Join(dir, markFileName)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("mark of the log: %w", err)
	}
	mark, err := readMark(file)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return newMarkFile(path, file, mark), nil
}

func (m *markFile) read() Mark {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark
}

// put changes the mark. The disk has it within markSyncEvery, if run is there to see to it.
func (m *markFile) put(change func(*Mark)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := m.mark
	change(&next)
	next.sequence++
	if err := next.encode(&m.sector); err != nil {
		return err
	}
	if _, err := m.file.WriteAt(m.sector[:], int64(next.sequence%2)*markStride); err != nil {
		return fmt.Errorf("write the mark of the log: %w", err)
	}
	m.mark = next
	select {
	case m.unsynced <- struct{}{}:
	default:
	}
	return nil
}

// putNow changes the mark, on the disk when it returns.
func (m *markFile) putNow(change func(*Mark)) error {
	if err := m.put(change); err != nil {
		return err
	}
	return m.sync()
}

func (m *markFile) sync() error {
	if err := m.syncFile(m.file); err != nil {
		return fmt.Errorf("sync the mark of the log: %w", err)
	}
	return nil
}

// run syncs what was written, until ctx ends.
func (m *markFile) run(ctx context.Context) error {
	for {
		select {
		case <-m.unsynced:
		case <-ctx.Done():
			return nil
		}
		if err := m.sync(); err != nil {
			return err
		}
		select {
		case <-time.After(markSyncEvery):
		case <-ctx.Done():
			return nil
		}
	}
}

// close syncs the mark and gives the file back.
func (m *markFile) close() error { return errors.Join(m.sync(), m.file.Close()) }

// syncDirectory has the names in a directory on the disk.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
