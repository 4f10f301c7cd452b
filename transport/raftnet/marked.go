package raftnet

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// The keys under which Raft keeps its term and its vote.
var (
	keyTerm          = []byte("CurrentTerm")
	keyVoteTerm      = []byte("LastVoteTerm")
	keyVoteCandidate = []byte("LastVoteCand")
)

// markedLog writes the mark behind each commit, and lets nothing be deleted that this node stands by.
type markedLog struct {
	raft.LogStore
	mark    *markFile
	applied atomic.Pointer[func() uint64] // the newest entry that was handed to the state; nil: none yet
}

func (l *markedLog) GetLog(index uint64, entry *raft.Log) error {
	for range 2 { // the second time: it may have been deleted and stored again in between
		err := l.LogStore.GetLog(index, entry)
		if mark := l.mark.read(); !errors.Is(err, raft.ErrLogNotFound) || index < mark.First || index > mark.Last {
			return err
		}
	}
	mark := l.mark.read()
	return fmt.Errorf("log entry %d: %w: it is missing, and the log goes from %d to %d", index, ErrDamaged, mark.First, mark.Last)
}

func (l *markedLog) StoreLog(entry *raft.Log) error { return l.StoreLogs([]*raft.Log{entry}) }

func (l *markedLog) StoreLogs(entries []*raft.Log) error {
	if len(entries) == 0 {
		return nil
	}
	if err := l.closeGap(entries[0].Index); err != nil {
		return err
	}
	if err := l.LogStore.StoreLogs(entries); err != nil {
		return err
	}
	return l.mark.put(func(m *Mark) {
		last := entries[len(entries)-1]
		m.Last, m.LastTerm = last.Index, last.Term
		if m.First == 0 {
			m.First = entries[0].Index
		}
		for _, entry := range entries {
			m.configure(entry)
		}
	})
}

// configure remembers a configuration entry.
func (m *Mark) configure(entry *raft.Log) {
	if entry.Type != raft.LogConfiguration {
		return
	}
	m.ConfigurationIndex, m.ConfigurationSum = entry.Index, crc32.Checksum(entry.Data, castagnoli)
	m.Voters = voters(raft.DecodeConfiguration(entry.Data))
}

// closeGap prepares for an entry that does not follow the newest one. After a snapshot of the leader's was installed, Raft goes on behind
// it and leaves the old entries where they were: they go, so that the log is whole from its first entry to its last.
func (l *markedLog) closeGap(next uint64) error {
	mark := l.mark.read()
	if next <= mark.Last+1 && mark.Last > 0 {
		return nil
	}
	if next > mark.SnapshotIndex+1 {
		return fmt.Errorf("entry %d does not follow the log, which ends at %d, or the newest snapshot, at %d", next, mark.Last, mark.SnapshotIndex)
	}
	if mark.Last == 0 {
		return nil
	}
	return l.DeleteRange(mark.First, mark.Last)
}

// DeleteRange deletes what a snapshot holds, or a tail that was not applied here. An entry that was applied is committed: a leader that
// wants to replace it has lost it, and this node must not follow.
func (l *markedLog) DeleteRange(low, high uint64) error {
	mark := l.mark.read()
	if high <= mark.SnapshotIndex {
		// The mark first, so that whoever reads meanwhile does not take a deleted entry for a missing one.
		if err := l.mark.put(func(m *Mark) { m.beheaded(high) }); err != nil {
			return err
		}
		return l.LogStore.DeleteRange(low, high)
	}
	applied := mark.SnapshotIndex
	if ask := l.applied.Load(); ask != nil {
		applied = max(applied, (*ask)())
	}
	if low <= applied {
		return fmt.Errorf("%w: the leader wants entries %d to %d replaced, and they are applied here up to %d: it, or this node, has lost "+
			"what the cluster had committed", ErrDiverged, low, high, applied)
	}
	var before raft.Log
	if low > max(mark.First, 1) {
		if err := l.LogStore.GetLog(low-1, &before); err != nil {
			return err
		}
	}
	if err := l.mark.putNow(func(m *Mark) { m.curtailed(low, &before) }); err != nil {
		return err
	}
	return l.LogStore.DeleteRange(low, high)
}

// beheaded is the mark after everything up to an index was deleted.
func (m *Mark) beheaded(high uint64) {
	m.First = max(m.First, high+1)
	if high >= m.Last {
		m.First, m.Last, m.LastTerm = 0, 0, 0
	}
}

// curtailed is the mark after everything from an index on was deleted; before is the entry in front of it, if the log has one.
func (m *Mark) curtailed(low uint64, before *raft.Log) {
	m.Last, m.LastTerm = before.Index, before.Term
	if before.Index == 0 {
		m.First = 0
	}
	if low <= m.ConfigurationIndex {
		m.ConfigurationIndex, m.ConfigurationSum = 0, 0
	}
}

// markedStable writes term and vote into the mark once the store has them, and has them on the disk before anybody hears of them.
type markedStable struct {
	raft.StableStore
	mark     *markFile
	voteTerm atomic.Uint64 // Raft saves the term of a vote first, then for whom
}

func (s *markedStable) Set(key, value []byte) error {
	if err := s.StableStore.Set(key, value); err != nil {
		return err
	}
	if string(key) != string(keyVoteCandidate) {
		return nil
	}
	return s.mark.putNow(func(m *Mark) { m.VoteTerm, m.Vote = s.voteTerm.Load(), voteFor(value) })
}

func (s *markedStable) SetUint64(key []byte, number uint64) error {
	if err := s.StableStore.SetUint64(key, number); err != nil {
		return err
	}
	switch string(key) {
	case string(keyVoteTerm):
		s.voteTerm.Store(number)
	case string(keyTerm):
		return s.mark.putNow(func(m *Mark) { m.Term = number })
	}
	return nil
}
