package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// salvageBatch is how many bytes of entries are copied in one transaction.
const salvageBatch = 16 << 20

// remains is what can be kept of a directory that was refused: a snapshot, and the entries that follow it without a gap.
type remains struct {
	log        string // the file with the entries
	mended     map[string][]byte
	setAside   []string
	first, end uint64
	kept       Position           // the newest entry that is kept, in the log or in the snapshot
	members    raft.Configuration // the snapshot's
	report     []string
}

var errNothingKept = errors.New("nothing can be kept: there is no snapshot that is whole, and the log does not begin with its first entry")

func (r *remains) say(format string, args ...any) {
	r.report = append(r.report, fmt.Sprintf(format, args...))
}

// salvage looks for what can be kept, and writes the log of it to a file of its own. It changes nothing else.
func salvage(dir, log string) (*remains, error) {
	r := &remains{log: log, mended: map[string][]byte{}}
	mark, err := ReadMark(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	snapshot, err := r.snapshots(dir)
	if err != nil {
		return nil, err
	}
	indexes, err := copyLog(filepath.Join(dir, logFile), log)
	if err != nil {
		return nil, fmt.Errorf("copy what is left of the log: %w", err)
	}
	if err := r.keepRun(indexes, snapshot, mark); err != nil {
		return nil, err
	}
	return r, nil
}

// snapshots finds the newest snapshot that is whole, or can be made so.
func (r *remains) snapshots(dir string) (newest *snapshotMeta, err error) {
	names, err := findSnapshots(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path := filepath.Join(dir, snapshotsDir, name.ID)
		meta, err := readSnapshot(path)
		if errors.Is(err, ErrDamaged) {
			meta, err = r.mend(path)
		}
		switch {
		case err == nil && newest == nil:
			newest = meta
		case errors.Is(err, ErrDamaged):
			r.setAside = append(r.setAside, path)
			r.say("snapshots/%s is given up and set aside: %v", name.ID, withoutDir(dir, err))
		case err != nil:
			return nil, err
		}
	}
	if newest != nil {
		r.say("snapshots/%s, of entry %d, is kept", newest.ID, newest.Index)
	}
	return newest, nil
}

// mend restores a meta.json from its copy, or the copy from it, when one of them is as it was.
func (r *remains) mend(path string) (*snapshotMeta, error) {
	copied, err := readSeal(path)
	if err != nil {
		if copied, err = readSmall(filepath.Join(path, metaFile)); err != nil {
			return nil, asDamage(filepath.Join(path, metaFile), err)
		}
	}
	meta, err := checkSnapshot(path, copied)
	if err != nil {
		return nil, err
	}
	r.mended[path] = copied
	r.say("snapshots/%s: %s and %s are made equal again; its state matches its checksum", meta.ID, metaFile, sealFile)
	return meta, nil
}

// copyLog copies what can be read of a log, page by page, and returns the indexes of its entries.
func copyLog(from, to string) (indexes []uint64, err error) {
	if err := os.RemoveAll(to); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(to, 0o600, boltOptions())
	if err != nil {
		return nil, err
	}
	db.NoSync = true
	defer func() { err = errors.Join(err, db.Sync(), db.Close()) }()
	out := &copier{db: db}
	if err := out.put("conf", formatKey, []byte(strconv.Itoa(diskFormat))); err != nil {
		return nil, err
	}
	if err := out.put("logs", nil, nil); err != nil {
		return nil, err
	}
	file, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, out.flush()
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	meta, err := readBoltMetas(file)
	if err != nil && meta.pageSize == 0 {
		return nil, out.flush()
	}
	pages := &boltPages{
		file: file, meta: meta,
		broken: func(error) error { return nil },
		found: func(bucket string, key, value []byte) error {
			if bucket == "logs" {
				if len(key) != binary.Size(uint64(0)) {
					return nil
				}
				indexes = append(indexes, binary.BigEndian.Uint64(key))
			}
			return out.put(bucket, key, value)
		},
	}
	if err := pages.walk(); err != nil && !errors.Is(err, ErrForeign) {
		return nil, err
	}
	slices.Sort(indexes)
	return indexes, out.flush()
}

// copier writes keys in batches.
type copier struct {
	db    *bbolt.DB
	batch []copied
	bytes int
}

type copied struct {
	bucket     string
	key, value []byte
}

func (c *copier) put(bucket string, key, value []byte) error {
	c.batch = append(c.batch, copied{bucket, slices.Clone(key), slices.Clone(value)})
	if c.bytes += len(key) + len(value); c.bytes < salvageBatch {
		return nil
	}
	return c.flush()
}

func (c *copier) flush() error {
	err := c.db.Update(func(tx *bbolt.Tx) error {
		for _, pair := range c.batch {
			bucket, err := tx.CreateBucketIfNotExists([]byte(pair.bucket))
			if err != nil {
				return err
			}
			if len(pair.key) > 0 {
				if err := bucket.Put(pair.key, pair.value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	c.batch, c.bytes = nil, 0
	return err
}

// keepRun leaves the entries that follow the snapshot, or the beginning, without a gap, and a term in which this node has not voted.
func (r *remains) keepRun(indexes []uint64, snapshot *snapshotMeta, mark Mark) (err error) {
	bolt, err := openLog(r.log)
	if err != nil {
		return fmt.Errorf("copy what is left of the log: %w", err)
	}
	defer func() { err = errors.Join(err, bolt.Close()) }()
	log, stable := sealed{bolt, r.log}, sealedStable{bolt, r.log}
	base := uint64(0)
	if snapshot != nil {
		base = snapshot.Index
	}
	run, lastTerm := longestRun(log, indexes, base)
	r.first, r.end = run.first, run.last
	r.kept = Position{lastTerm, run.last}
	if base == 0 && r.end == 0 {
		return fmt.Errorf("%w; wipe the directory, and begin anew or from a backup", errNothingKept)
	}
	if r.first > 0 {
		err = log.DeleteRange(0, r.first-1)
	}
	if err := errors.Join(err, log.DeleteRange(r.end+1, math.MaxUint64)); err != nil {
		return err
	}
	term, err := stable.GetUint64(keyTerm)
	if err != nil && !isNotFound(err) && !errors.Is(err, ErrDamaged) {
		return err
	}
	term = max(term, mark.Term, mark.VoteTerm, lastTerm)
	if snapshot != nil {
		term = max(term, snapshot.Term)
		r.kept, r.members = r.kept.later(Position{snapshot.Term, snapshot.Index}), snapshot.Configuration
	}
	r.tell(indexes, base, mark)
	return errors.Join(stable.SetUint64(keyTerm, term+1), stable.SetUint64(keyVoteTerm, 0), stable.Set(keyVoteCandidate, nil))
}

// span is a run of entries; zeros: none.
type span struct{ first, last uint64 }

// longestRun returns the entries around base+1 that are whole and follow each other, and the newest term among them.
func longestRun(log raft.LogStore, indexes []uint64, base uint64) (run span, term uint64) {
	for _, index := range indexes {
		entry := &raft.Log{}
		whole := log.GetLog(index, entry) == nil
		switch {
		case whole && run.last > 0 && index == run.last+1 && entry.Term >= term:
			run.last, term = index, entry.Term
		case run.last >= base && run.last > 0:
			return run, term // a gap behind the snapshot: what follows hangs in the air
		case whole && index <= base+1:
			run, term = span{index, index}, entry.Term
		default:
			run, term = span{}, 0
		}
	}
	if run.last < base {
		return span{}, 0 // the snapshot has all of it
	}
	return run, term
}

// tell says which entries are kept and which are not.
func (r *remains) tell(indexes []uint64, base uint64, mark Mark) {
	end := max(r.end, base)
	if r.end > 0 {
		r.say("entries %d to %d of the log are kept", r.first, r.end)
	} else {
		r.say("no entry of the log is kept")
	}
	_, held := mark.Position()
	if len(indexes) > 0 {
		held = max(held, indexes[len(indexes)-1])
	}
	switch {
	case mark.Term == 0:
		r.say("LOST: whatever was behind entry %d; there is no mark that says how much", end)
	case held > end:
		r.say("LOST: entries %d to %d (%d of them); acknowledged writes may be among them", end+1, held, held-end)
	default:
		r.say("no entry that this node knows of is lost")
	}
	r.say("the node forgets its last vote, and goes on in a later term")
}

// commit puts what is kept in the place of what was there. The old log is kept beside it.
func (r *remains) commit(dir string) error {
	log := filepath.Join(dir, logFile)
	if err := os.RemoveAll(log + lostTail); err != nil {
		return err
	}
	if err := os.Link(log, log+lostTail); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for path, content := range r.mended {
		if err := errors.Join(writeSynced(filepath.Join(path, metaFile), content), sealSnapshot(path, content)); err != nil {
			return err
		}
	}
	for _, path := range r.setAside {
		if err := errors.Join(os.RemoveAll(path+lostTail), os.Rename(path, path+lostTail)); err != nil {
			return err
		}
	}
	if err := os.Remove(filepath.Join(dir, markFileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return replaceLog(log)
}
