package raftnet

import (
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// What is checked at every start, before Raft sees anything: that each entry from the first to the last is there and as it was written,
// that a snapshot reaches it, that term and vote are what they were, and that all of it reaches what the mark says. Nothing here knows bolt.

// contents is what was found.
type contents struct {
	mark      Mark // as it follows from the files; the parts that only a mark knows are the former mark's
	snapshots []*snapshotMeta
}

// verify refuses files that do not hold what they held, and makes the mark where there is none yet.
func (f *files) verify(o Options) error {
	if f.mark != nil {
		if err := f.checkIdentity(o); err != nil {
			return err
		}
	}
	found, err := f.examine(o)
	if err != nil {
		return err
	}
	if f.mark != nil {
		if err := f.compare(f.mark.mark, found.mark); err != nil {
			return err
		}
	}
	if o.look {
		return nil
	}
	return f.adopt(found)
}

// checkIdentity refuses the mark of another node, or of another copy of this directory.
func (f *files) checkIdentity(o Options) error {
	mark := f.mark.mark
	if o.NodeID != "" && mark.NodeID != "" && mark.NodeID != o.NodeID {
		return fmt.Errorf("%s: %w: it is node %s's, and node.json says node %s: the files of two nodes were mixed up", f.mark.path, ErrDamaged, mark.NodeID, o.NodeID)
	}
	inode, sec, nsec := birthOf(f.mark.file)
	if inode == 0 || mark.birthInode == 0 || inode == mark.birthInode && sec == mark.birthSec && nsec == mark.birthNsec {
		if o.AdoptCopy {
			o.Log.Warn("--adopt-copy is not needed: this is no copy; leave it out, or the next copy is not noticed", "data_dir", f.dir)
		}
		return nil
	}
	if o.AdoptCopy {
		o.Log.Warn("this directory is a copy, and is adopted", "data_dir", f.dir, "node_id", mark.NodeID)
		f.mark.mark.birthInode, f.mark.mark.birthSec, f.mark.mark.birthNsec = inode, sec, nsec
		return nil
	}
	return fmt.Errorf("%s: this is %w: that of node %s (%s was made as another file)", f.dir, ErrCopy, mark.NodeID, markFileName)
}

// examine reads everything.
func (f *files) examine(o Options) (*contents, error) {
	found := &contents{}
	if f.mark != nil {
		found.mark = f.mark.mark
	}
	damaged, err := f.examineSnapshots(found)
	if err != nil {
		return nil, err
	}
	if err := f.examineLog(found, damaged); err != nil {
		return nil, err
	}
	if damaged != nil {
		o.Log.Warn("a snapshot is damaged; an older one and the log hold all of it", "error", damaged)
	}
	if err := f.examineStable(found); err != nil {
		return nil, err
	}
	found.mark.NodeID = o.NodeID
	return found, nil
}

// examineSnapshots finds those that are whole. It returns what is wrong with the newest of the others.
func (f *files) examineSnapshots(found *contents) (damaged, err error) {
	names, err := findSnapshots(f.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		dir := filepath.Join(f.dir, snapshotsDir, name.ID)
		meta, err := readSnapshot(dir)
		if f.mark == nil && errors.Is(err, errNoSeal) {
			meta, err = sealOld(dir)
		}
		switch {
		case err == nil:
			found.snapshots = append(found.snapshots, meta)
		case !errors.Is(err, ErrDamaged):
			return nil, err
		case damaged == nil:
			damaged = err
		}
	}
	m := &found.mark
	m.SnapshotID, m.SnapshotIndex, m.SnapshotTerm, m.SnapshotSum = "", 0, 0, 0
	if len(found.snapshots) > 0 {
		sum, err := sumOf(filepath.Join(f.dir, snapshotsDir, found.snapshots[0].ID))
		if err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
		m.remember(found.snapshots[0], sum)
	}
	return damaged, nil
}

// sealOld checks a snapshot of a build that made no seals as well as can be, and seals it.
func sealOld(dir string) (*snapshotMeta, error) {
	path := filepath.Join(dir, metaFile)
	content, err := readSmall(path)
	if err != nil {
		return nil, asDamage(path, err)
	}
	meta, err := checkSnapshot(dir, content)
	if err != nil {
		return nil, err
	}
	return meta, errors.Join(sealSnapshot(dir, content), syncDirectory(dir))
}

// examineLog walks the log from its first entry to its last.
func (f *files) examineLog(found *contents, damagedSnapshot error) error {
	m := &found.mark
	first, err := f.log.FirstIndex()
	if err != nil {
		return fmt.Errorf("%s: %w", f.log.path, err)
	}
	last, err := f.log.LastIndex()
	if err != nil {
		return fmt.Errorf("%s: %w", f.log.path, err)
	}
	m.First, m.Last, m.LastTerm = first, last, 0
	m.ConfigurationIndex, m.ConfigurationSum = 0, 0
	if len(found.snapshots) > 0 {
		m.Voters = voters(found.snapshots[0].Configuration)
	}
	if first > m.SnapshotIndex+1 {
		return f.unreached(m, damagedSnapshot)
	}
	for index := first; index <= last && last > 0; index++ {
		entry := &raft.Log{}
		err := f.log.GetLog(index, entry)
		switch {
		case errors.Is(err, raft.ErrLogNotFound):
			if f.mark == nil && index <= m.SnapshotIndex {
				next, err := f.skipGap(index, m.SnapshotIndex, last)
				if err != nil {
					return err
				}
				m.First, index = next, next-1
				continue
			}
			return fmt.Errorf("%s: log entry %d: %w: it is missing, and the log goes from %d to %d", f.log.path, index, ErrDamaged, first, last)
		case err != nil:
			return err
		case entry.Term < m.LastTerm:
			return fmt.Errorf("%s: log entry %d: %w: it is of term %d, and the one before it of term %d", f.log.path, index, ErrDamaged, entry.Term, m.LastTerm)
		}
		m.LastTerm = entry.Term
		m.configure(entry)
	}
	return nil
}

// unreached is a log that begins behind the newest snapshot that can be read.
func (f *files) unreached(m *Mark, damagedSnapshot error) error {
	what := fmt.Sprintf("the log begins at entry %d, and there is no snapshot", m.First)
	if m.SnapshotID != "" {
		what = fmt.Sprintf("the log begins at entry %d, and the newest snapshot that is whole, %s, ends at %d", m.First, m.SnapshotID, m.SnapshotIndex)
	}
	switch {
	case damagedSnapshot != nil:
		return fmt.Errorf("%w; %s", damagedSnapshot, what)
	case f.mark != nil && f.mark.mark.SnapshotID != "" && f.mark.mark.SnapshotID != m.SnapshotID:
		return fmt.Errorf("%s: %w: it is missing; %s", filepath.Join(f.dir, snapshotsDir, f.mark.mark.SnapshotID), ErrDamaged, what)
	}
	return fmt.Errorf("%s: %w: %s", f.log.path, ErrDamaged, what)
}

// skipGap returns the entry behind a gap that an older build left when it installed a snapshot, and deletes what lies in front of it.
func (f *files) skipGap(from, snapshot, last uint64) (uint64, error) {
	for index := from; index <= min(snapshot+1, last); index++ {
		switch err := f.log.GetLog(index, &raft.Log{}); {
		case err == nil:
			return index, f.log.DeleteRange(1, from-1)
		case !errors.Is(err, raft.ErrLogNotFound):
			return 0, err
		}
	}
	return 0, fmt.Errorf("%s: log entry %d: %w: it is missing, and the newest snapshot ends at %d", f.log.path, from, ErrDamaged, snapshot)
}

// examineStable reads term and vote. A vote is of the current term or an earlier one, and so is every entry.
func (f *files) examineStable(found *contents) error {
	term, err := f.number(keyTerm)
	if err != nil {
		return err
	}
	m := &found.mark
	if _, index := m.Position(); term == 0 && index > 0 || term < m.LastTerm || term < m.SnapshotTerm {
		return fmt.Errorf("%s: %w: the current term is %d, and the log has reached term %d", f.log.path, ErrDamaged, term, max(m.LastTerm, m.SnapshotTerm))
	}
	voteTerm, err := f.number(keyVoteTerm)
	if err != nil {
		return err
	}
	candidate, err := f.stable.Get(keyVoteCandidate)
	if err != nil && !isNotFound(err) {
		return err
	}
	if voteTerm > term {
		return fmt.Errorf("%s: %w: the current term is %d, and the last vote was given in term %d", f.log.path, ErrDamaged, term, voteTerm)
	}
	m.Term, m.VoteTerm, m.Vote = term, voteTerm, voteFor(candidate)
	return nil
}

func (f *files) number(key []byte) (uint64, error) {
	number, err := f.stable.GetUint64(key)
	if err != nil && !isNotFound(err) {
		return 0, err
	}
	return number, nil
}

// isNotFound reports whether a store has no such key. Raft asks the same question with the same text.
func isNotFound(err error) bool { return err != nil && err.Error() == errNotFound.Error() }

// compare refuses files that do not reach what the mark says.
func (f *files) compare(was, is Mark) error {
	wasTerm, wasIndex := was.Position()
	_, index := is.Position()
	switch {
	case index < wasIndex:
		return fmt.Errorf("%s: %w: it ends at entry %d, and %s says that it has held entry %d of term %d: %d entries are lost, and more if the "+
			"mark was behind", f.log.path, ErrDamaged, index, markFileName, wasIndex, wasTerm, wasIndex-index)
	case is.Term < was.Term:
		return fmt.Errorf("%s: %w: the current term is %d, and %s says that it was %d", f.log.path, ErrDamaged, is.Term, markFileName, was.Term)
	case is.VoteTerm < was.VoteTerm, is.VoteTerm == was.VoteTerm && is.Vote != was.Vote && was.Vote != 0:
		return fmt.Errorf("%s: %w: the last vote was given in term %d, and it is not the one that %s knows, of term %d", f.log.path, ErrDamaged, is.VoteTerm, markFileName, was.VoteTerm)
	case is.SnapshotID == was.SnapshotID && is.SnapshotSum != was.SnapshotSum:
		return fmt.Errorf("%s: %w: it is not what %s says that it was", filepath.Join(f.dir, snapshotsDir, is.SnapshotID, metaFile), ErrDamaged, markFileName)
	}
	return f.compareEntries(was, is)
}

// compareEntries looks at the two entries that the mark knows more of.
func (f *files) compareEntries(was, is Mark) error {
	entry := &raft.Log{}
	if was.Last >= is.First && was.Last > 0 && was.Last <= is.Last {
		if err := f.log.GetLog(was.Last, entry); err != nil {
			return err
		}
		if entry.Term != was.LastTerm {
			return fmt.Errorf("%s: log entry %d: %w: it is of term %d, and %s says term %d", f.log.path, was.Last, ErrDamaged, entry.Term, markFileName, was.LastTerm)
		}
	}
	if was.ConfigurationIndex >= is.First && was.ConfigurationIndex > 0 && was.ConfigurationIndex <= is.Last {
		if err := f.log.GetLog(was.ConfigurationIndex, entry); err != nil {
			return err
		}
		if entry.Type != raft.LogConfiguration || crc32.Checksum(entry.Data, castagnoli) != was.ConfigurationSum {
			return fmt.Errorf("%s: log entry %d: %w: it is not the configuration that %s knows", f.log.path, was.ConfigurationIndex, ErrDamaged, markFileName)
		}
	}
	return nil
}

// adopt goes on from what was found: the mark says that, on the disk, before anything else is written.
func (f *files) adopt(found *contents) (err error) {
	f.snapshots.keep(found.snapshots[:min(len(found.snapshots), snapshotsRetained)])
	if f.mark == nil {
		if f.mark, err = createMark(f.dir, found.mark); err != nil {
			return err
		}
	}
	f.snapshots.mark = f.mark
	found.mark.birthInode, found.mark.birthSec, found.mark.birthNsec, found.mark.sequence = f.mark.mark.birthInode, f.mark.mark.birthSec, f.mark.mark.birthNsec, f.mark.mark.sequence
	return f.mark.putNow(func(m *Mark) { *m = found.mark })
}

func voters(configuration raft.Configuration) (n uint16) {
	for _, server := range configuration.Servers {
		if server.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}
