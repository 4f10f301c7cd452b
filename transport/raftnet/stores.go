package raftnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

// What Open can refuse. Each comes wrapped in a sentence that names the file.
var (
	ErrInUse   = errors.New("another process uses this data directory")
	ErrForeign = errors.New("not a Raft log of Callboard")
	ErrNewer   = errors.New("written by a newer version of Callboard")
	ErrDamaged = errors.New("damaged")
	ErrCopy    = errors.New("a copy of another data directory")
)

// ErrDiverged is told by Failed: this node and the leader do not agree about entries that were committed.
var ErrDiverged = errors.New("the logs of this node and of the leader contradict each other")

const (
	lockTimeout       = 5 * time.Second
	snapshotsRetained = 2
	logCacheBytes     = 32 << 20
)

// Stores is everything that one node's Raft keeps: on disk (Open) or in the memory of a test (Disk.Open).
type Stores struct {
	Log       raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore

	marks        marks
	acknowledged ledger // what other nodes had
	close        func() error
	run          func(context.Context) error
	applied      func(func() uint64)
	failure      *failure // nil: in memory
}

// marks is where the mark of the log is.
type marks interface {
	read() Mark
	putNow(change func(*Mark)) error
}

// Options say whose stores Open opens.
type Options struct {
	NodeID string
	// Marked says that the node has seen its own mark here before: it is never missing again.
	Marked bool
	// Member says that the node has been part of a cluster: its log is never missing again.
	Member bool
	// AdoptCopy accepts a directory that was copied or moved to another file system.
	AdoptCopy bool
	Log       *slog.Logger

	look bool // only to see whether it is refused
}

// Failed tells the first write to the disk that failed, or the first entry that cannot be read: the node must end. Nil, which never
// tells, for stores in memory.
func (s *Stores) Failed() <-chan error {
	if s.failure == nil {
		return nil
	}
	return s.failure.told
}

// Held reports whether a goroutine of Raft stands still in these stores after such a failure: Raft will not shut down any more.
func (s *Stores) Held() bool { return s.failure != nil && s.failure.held.Load() }

// Mark returns what the directory says of itself beside the log. For stores in memory it has the vote floor alone.
func (s *Stores) Mark() Mark { return s.marks.read() }

// RaiseFloor raises the vote floor to an entry that this node has acknowledged, by term and index; it never lowers it. It is on the disk
// when this returns.
func (s *Stores) RaiseFloor(term, index uint64) error {
	now := s.marks.read()
	if term < now.FloorTerm || term == now.FloorTerm && index <= now.FloorIndex {
		return nil
	}
	return s.marks.putNow(func(m *Mark) { m.FloorTerm, m.FloorIndex = term, index })
}

// LowerFloor takes the vote floor away, once the log has reached it.
func (s *Stores) LowerFloor() error {
	if now := s.marks.read(); now.FloorTerm == 0 && now.FloorIndex == 0 {
		return nil
	}
	return s.marks.putNow(func(m *Mark) { m.FloorTerm, m.FloorIndex = 0, 0 })
}

// SetApplied says how the stores learn the index of the newest entry that was handed to the state. Nothing up to it is ever taken back.
func (s *Stores) SetApplied(ask func() uint64) {
	if s.applied != nil {
		s.applied(ask)
	}
}

// Run keeps the mark on the disk up to date until ctx ends. While it runs, a goroutine of Raft that meets damage is kept from ending the
// process before Failed has told why.
func (s *Stores) Run(ctx context.Context) error {
	if s.run == nil {
		<-ctx.Done()
		return nil
	}
	return s.run(ctx)
}

// Used reports whether a Raft has run on these stores before: if so, a node must neither found nor be given a new cluster.
func (s *Stores) Used() (bool, error) {
	used, err := raft.HasExistingState(s.Log, s.Stable, s.Snapshots)
	if err != nil {
		return false, fmt.Errorf("raft stores: %w", err)
	}
	return used, nil
}

// Close gives the files and their lock back. Shut Raft down first: it takes a failing store for a failing disk.
func (s *Stores) Close() error { return s.close() }

// Open opens or creates the stores under dir: raft.db, raft.mark and snapshots/. Every write is on disk when it returns. It waits 5 s for
// another process to let go of the directory (ErrInUse), and refuses one that is not ours, newer than this program, damaged, or a copy:
// what it returns has every entry that this node has acknowledged, as far as the node itself can know.
func Open(dir string, o Options) (_ *Stores, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	held, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, held.Close())
		}
	}()
	files, err := openWhole(dir, o)
	if err = acceptLoss(dir, o, err); err != nil {
		if files != nil {
			err = errors.Join(err, files.close())
		}
		return nil, err
	}
	if files == nil { // what was lost is accepted: the files are new ones
		o.Marked, o.Member, o.AdoptCopy = false, false, true
		if files, err = openWhole(dir, o); err != nil {
			return nil, err
		}
	}
	others, err := openLedger(filepath.Join(dir, acknowledgedFile))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("data directory: %w", err), files.close())
	}
	return files.stores(held, others, o.Log), nil
}

// openWhole opens the files of a directory that has all that it had.
func openWhole(dir string, o Options) (*files, error) {
	if err := prepareLog(dir, o); err != nil {
		return nil, err
	}
	files, err := openFiles(dir, o)
	if err != nil {
		return nil, err
	}
	if err := files.verify(o); err != nil {
		return nil, errors.Join(err, files.close())
	}
	return files, nil
}

// prepareLog makes the log of a first start, and looks at an existing one before anything writes to it.
func prepareLog(dir string, o Options) error {
	path := filepath.Join(dir, logFile)
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("raft log: %w", err)
	}
	if err == nil && info.Size() > 0 {
		return inspect(path)
	}
	missing := "it is missing"
	if err == nil {
		missing = "it is empty"
	}
	found, err := findSnapshots(dir)
	if err != nil {
		return err
	}
	if o.Marked || o.Member || len(found) > 0 {
		return fmt.Errorf("%s: %w: %s, and this node has had a log here", path, ErrDamaged, missing)
	}
	return createLog(path)
}

// files are the open files of a node.
type files struct {
	dir       string
	bolt      boltStore
	log       sealed
	stable    sealedStable
	snapshots *snapshotStore
	mark      *markFile // nil: there is none yet
}

// openFiles opens what is there.
func openFiles(dir string, o Options) (_ *files, err error) {
	path := filepath.Join(dir, logFile)
	f := &files{dir: dir}
	if f.snapshots, err = openSnapshots(dir, o.Log); err != nil {
		return nil, err
	}
	if f.mark, err = openMark(dir); err != nil {
		if o.Marked || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
			return nil, markDamage(dir, err)
		}
		f.mark = nil // the start before ended before it could say that it had made one
	}
	if f.bolt, err = openLog(path); err != nil {
		err = fmt.Errorf("%s: %w", path, err)
		if f.mark != nil {
			err = errors.Join(err, f.mark.file.Close())
		}
		return nil, err
	}
	f.log, f.stable = sealed{gradual{f.bolt}, path}, sealedStable{f.bolt, path}
	return f, nil
}

func markDamage(dir string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: it is missing, and this node has had one: without it nobody knows what the log held", filepath.Join(dir, markFileName), ErrDamaged)
	}
	return err
}

func (f *files) close() error {
	err := f.bolt.Close()
	if f.mark != nil {
		err = errors.Join(err, f.mark.close())
	}
	return err
}

// stores puts the pieces on top of each other: the cache of the newest entries, failures told, the mark, the checksums, bolt.
func (f *files) stores(held *os.File, others *fileLedger, log *slog.Logger) *Stores {
	failure := newFailure(log)
	entries := &markedLog{LogStore: f.log, mark: f.mark}
	votes := &markedStable{StableStore: f.stable, mark: f.mark}
	votes.voteTerm.Store(f.mark.mark.VoteTerm)
	return &Stores{
		Log:       newLogCache(logCacheBytes, watchedLog{entries, failure}),
		Stable:    watchedStable{votes, failure},
		Snapshots: f.snapshots,
		marks:     f.mark,
		applied:   func(ask func() uint64) { entries.applied.Store(&ask) },
		failure:   failure,
		run: func(ctx context.Context) error {
			failure.armed.Store(true)
			return failure.check(f.mark.run(ctx))
		},
		acknowledged: others,
		close:        func() error { return errors.Join(f.close(), others.close(), held.Close()) },
	}
}
