package raftnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Mark is what a node's data directory says of itself beside the log: what the log held, durably, when the mark was written. It is written
// after each commit and synced a moment later (markSyncEvery), so it is never ahead of the log and, after a power cut, at most that moment
// behind. At a start a log that holds less than its mark has lost something.
//
// The vote floor is part of it. Whoever decides about votes reads it with Stores.Mark and raises it with Stores.RaiseFloor; a node whose
// log does not reach its floor has lost entries that it acknowledged.
type Mark struct {
	NodeID string

	First          uint64 // oldest entry of the log; 0: none
	Last, LastTerm uint64 // newest entry of the log

	Term     uint64 // CurrentTerm
	VoteTerm uint64 // of the newest vote
	Vote     uint64 // for whom: a hash of what Raft calls the candidate

	// The newest configuration entry of the log, and how many of its members have a vote. 0: unknown.
	ConfigurationIndex uint64
	ConfigurationSum   uint32
	Voters             uint16

	SnapshotID                  string // newest complete snapshot; empty: none
	SnapshotIndex, SnapshotTerm uint64
	SnapshotSum                 uint32 // checksum of its meta.json, which has the one of its state
	FloorTerm, FloorIndex       uint64 // what this node must hold before it may stand or vote for less; 0: nothing
	birthInode, birthSec        uint64 // of the mark's own file when it was made; 0: the file system gives none
	birthNsec                   uint32
	sequence                    uint64
}

// Position returns the newest entry that the log or a snapshot is known to have held, by term and index: what a whole log must reach.
func (m Mark) Position() (term, index uint64) {
	if m.SnapshotIndex > m.Last {
		return m.SnapshotTerm, m.SnapshotIndex
	}
	return m.LastTerm, m.Last
}

// Floor returns the term and index below which this node must not stand, nor vote for a candidate; zeros: no floor.
func (m Mark) Floor() (term, index uint64) { return m.FloorTerm, m.FloorIndex }

const (
	markFileName = "raft.mark"
	markMagic    = "callmark"
	markFormat   = 1
	// markBytes is the size of one copy of the mark: one sector, which a power cut leaves old or new.
	markBytes = 512
	// markStride is the distance of the two copies, which are written in turn, so that no block of any disk holds both.
	markStride = 4096
)

// ReadMark returns the mark of a data directory, without a lock and without opening the log. fs.ErrNotExist: there is none. ErrDamaged:
// neither of its copies can be read.
func ReadMark(dir string) (Mark, error) {
	path := filepath.Join(dir, markFileName)
	file, err := os.Open(path)
	if err != nil {
		return Mark{}, fmt.Errorf("mark of the log: %w", err)
	}
	defer func() { _ = file.Close() }()
	mark, err := readMark(file)
	if err != nil {
		return Mark{}, fmt.Errorf("%s: %w", path, err)
	}
	return mark, nil
}

// readMark returns the newer of the two copies. One that cannot be read was being written when the power went.
func readMark(file io.ReaderAt) (Mark, error) {
	var newest Mark
	found := false
	for i := range int64(2) {
		sector := make([]byte, markBytes)
		if _, err := file.ReadAt(sector, i*markStride); err != nil && !errors.Is(err, io.EOF) {
			return Mark{}, err
		}
		mark, err := decodeMark(sector)
		if errors.Is(err, ErrNewer) {
			return Mark{}, err
		}
		if err == nil && (!found || mark.sequence > newest.sequence) {
			newest, found = mark, true
		}
	}
	if !found {
		return Mark{}, fmt.Errorf("%w: neither of its two copies matches its checksum", ErrDamaged)
	}
	return newest, nil
}

// numbers and texts list the fields of a mark in the order in which they are on disk.
func (m *Mark) numbers() []any {
	return []any{
		&m.sequence, &m.First, &m.Last, &m.LastTerm, &m.Term, &m.VoteTerm, &m.Vote,
		&m.ConfigurationIndex, &m.ConfigurationSum, &m.Voters, &m.SnapshotIndex, &m.SnapshotTerm, &m.SnapshotSum,
		&m.FloorTerm, &m.FloorIndex, &m.birthInode, &m.birthSec, &m.birthNsec,
	}
}

func (m *Mark) texts() []*string { return []*string{&m.NodeID, &m.SnapshotID} }

// encode writes one copy into sector: magic, format, numbers, texts with their lengths, and at its end the checksum. It is written behind
// each append, so it allocates nothing. numbers has the same order.
func (m *Mark) encode(sector *[markBytes]byte) error {
	out := append(sector[:0], markMagic...)
	out = binary.BigEndian.AppendUint16(out, markFormat)
	for _, n := range [...]uint64{m.sequence, m.First, m.Last, m.LastTerm, m.Term, m.VoteTerm, m.Vote, m.ConfigurationIndex} {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	out = binary.BigEndian.AppendUint32(out, m.ConfigurationSum)
	out = binary.BigEndian.AppendUint16(out, m.Voters)
	out = binary.BigEndian.AppendUint64(out, m.SnapshotIndex)
	out = binary.BigEndian.AppendUint64(out, m.SnapshotTerm)
	out = binary.BigEndian.AppendUint32(out, m.SnapshotSum)
	for _, n := range [...]uint64{m.FloorTerm, m.FloorIndex, m.birthInode, m.birthSec} {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	out = binary.BigEndian.AppendUint32(out, m.birthNsec)
	for _, text := range [...]string{m.NodeID, m.SnapshotID} {
		if len(text) > 255 || len(out)+1+len(text) > markBytes-sealBytes {
			return fmt.Errorf("mark of the log: %q is too long", text)
		}
		out = append(out, byte(len(text)))
		out = append(out, text...)
	}
	clear(sector[len(out):])
	binary.BigEndian.PutUint32(sector[markBytes-sealBytes:], crc32.Checksum(sector[:markBytes-sealBytes], castagnoli))
	return nil
}

func decodeMark(sector []byte) (Mark, error) {
	end := len(sector) - sealBytes
	if crc32.Checksum(sector[:end], castagnoli) != binary.BigEndian.Uint32(sector[end:]) || !bytes.HasPrefix(sector, []byte(markMagic)) {
		return Mark{}, ErrDamaged
	}
	rest := sector[len(markMagic):end]
	if format := binary.BigEndian.Uint16(rest); format != markFormat {
		return Mark{}, fmt.Errorf("%w: a mark of format %d, this one reads %d", ErrNewer, format, markFormat)
	}
	var mark Mark
	reader := bytes.NewReader(rest[2:])
	for _, number := range mark.numbers() {
		if err := binary.Read(reader, binary.BigEndian, number); err != nil {
			return Mark{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	for _, text := range mark.texts() {
		length, err := reader.ReadByte()
		if err != nil {
			return Mark{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		content := make([]byte, length)
		if _, err := io.ReadFull(reader, content); err != nil {
			return Mark{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		*text = string(content)
	}
	return mark, nil
}

// voteFor is a candidate as the mark remembers it: Raft's own form has no bound.
func voteFor(candidate []byte) uint64 {
	if len(candidate) == 0 {
		return 0
	}
	sum := sha256.Sum256(candidate)
	return binary.BigEndian.Uint64(sum[:])
}
