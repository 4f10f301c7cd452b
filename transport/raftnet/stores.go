package raftnet

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// What Open can refuse. Each comes wrapped in a sentence that names the file.
var (
	ErrInUse   = errors.New("another process uses this data directory")
	ErrForeign = errors.New("not a Raft log of Callboard")
	ErrNewer   = errors.New("written by a newer version of Callboard")
	ErrDamaged = errors.New("damaged")
)

const (
	logFile           = "raft.db"
	lockTimeout       = 5 * time.Second
	snapshotsRetained = 2
	logCacheBytes     = 32 << 20
	// diskFormat is how the log file is laid out: the buckets of raft-boltdb, every entry sealed with its checksum (seal.go).
	diskFormat = 1
)

var formatKey = []byte("callboard.format")

// Stores is everything that one node's Raft keeps: on disk (Open) or in the memory of a test (Disk.Open).
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	close     func() error
	failed    chan error
}

// Failed tells the first write to the disk that failed: the node must end. Nil, which never tells, for stores in memory.
func (s *Stores) Failed() <-chan error { return s.failed }

// Used tells whether a Raft has run on these stores before: if so, a node must neither found nor be given a new cluster.
func (s *Stores) Used() (bool, error) {
	used, err := raft.HasExistingState(s.Log, s.Stable, s.Snapshots)
	if err != nil {
		return false, fmt.Errorf("raft stores: %w", err)
	}
	return used, nil
}

// Close gives the files and their lock back. Shut Raft down first: it takes a failing store for a failing disk.
func (s *Stores) Close() error { return s.close() }

// Open opens or creates the stores under dir: raft.db and snapshots/. Every write is on disk when it returns. It waits 5 s for
// another process to let go of the file (ErrInUse), and refuses one that is not ours, newer than this program, or damaged.
func Open(dir string, log *slog.Logger) (*Stores, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, logFile)
	if err := inspect(path); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	bolt, err := openLog(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := bolt.Set(formatKey, []byte(strconv.Itoa(diskFormat))); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), bolt.Close())
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsRetained, Hclog(log, "raft.snapshot"))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("snapshots in %s: %w", dir, err), bolt.Close())
	}
	failure := newFailure()
	return &Stores{
		Log:       newLogCache(logCacheBytes, watchedLog{sealed{gradual{bolt}}, failure}),
		Stable:    watchedStable{bolt, failure},
		Snapshots: steady{snapshots, filepath.Join(dir, "snapshots")},
		close:     bolt.Close,
		failed:    failure.told,
	}, nil
}

func openLog(path string) (_ *raftboltdb.BoltStore, err error) {
	defer recoverDamage(&err)
	store, err := raftboltdb.New(raftboltdb.Options{
		Path: path,
		BoltOptions: &bbolt.Options{
			Timeout:        lockTimeout,
			NoFreelistSync: true, // the free list is rebuilt at the start instead of written with every entry
			FreelistType:   bbolt.FreelistMapType,
		},
		MsgpackUseNewTimeFormat: true,
	})
	return store, explain(err)
}

// inspect looks at an existing file before anything writes to it.
func inspect(path string) (err error) {
	file, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && file.Size() == 0 {
		return nil // a first start, or one that ended before its first write
	}
	if err != nil {
		return err
	}
	defer recoverDamage(&err)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) error {
		// A page beyond the end of the file is a fault that no recover sees: look at the length before touching any.
		if file, err := os.Stat(path); err != nil {
			return err
		} else if file.Size() < tx.Size() {
			return fmt.Errorf("%w: %d bytes of %d are left", ErrDamaged, file.Size(), tx.Size())
		}
		return checkFormat(tx)
	})
}

// checkFormat accepts a log of this or an older format, and a file that a first start left without any content.
func checkFormat(tx *bbolt.Tx) error {
	var format []byte
	content := 0
	err := tx.ForEach(func(name []byte, bucket *bbolt.Bucket) error {
		switch string(name) {
		case "conf":
			format = bucket.Get(formatKey)
		case "logs":
		default:
			return fmt.Errorf("%w: it holds %q", ErrForeign, name)
		}
		if key, _ := bucket.Cursor().First(); key != nil {
			content++
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case format == nil && content == 0:
		return nil
	case format == nil:
		return fmt.Errorf("%w: no format is written in it", ErrForeign)
	}
	number, err := strconv.Atoi(string(format))
	if err != nil || number < 1 {
		return fmt.Errorf("%w: format %q", ErrDamaged, format)
	}
	if number > diskFormat {
		return fmt.Errorf("%w: format %d, this one reads %d", ErrNewer, number, diskFormat)
	}
	return nil
}

// explain turns what bbolt reports into what Open promises.
func explain(err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w, or damaged: %w", ErrForeign, err)
	case errors.Is(err, bbolterrors.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// recoverDamage makes an error of the panic with which bbolt meets a page that contradicts itself.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
}
