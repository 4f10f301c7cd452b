package raftnet

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/hashicorp/raft"
)

// image is what a Disk holds at one moment. Its methods do not lock.
type image struct {
	entries   []raft.Log // by index; there may be a gap after an installed snapshot
	values    map[string][]byte
	snapshots []snapshot // oldest first
	mark      Mark

	acknowledged []byte // of other nodes
}

type snapshot struct {
	meta    raft.SnapshotMeta
	content []byte
}

func newImage() *image { return &image{values: map[string][]byte{}} }

func (i *image) clone() *image {
	return &image{
		entries: slices.Clone(i.entries), values: maps.Clone(i.values), snapshots: slices.Clone(i.snapshots), mark: i.mark, acknowledged: i.acknowledged,
	}
}

func (i *image) find(index uint64) (position int, found bool) {
	return slices.BinarySearchFunc(i.entries, index, func(entry raft.Log, index uint64) int {
		return cmp.Compare(entry.Index, index)
	})
}

func (i *image) first() uint64 {
	if len(i.entries) == 0 {
		return 0
	}
	return i.entries[0].Index
}

func (i *image) last() uint64 {
	if len(i.entries) == 0 {
		return 0
	}
	return i.entries[len(i.entries)-1].Index
}

func (i *image) get(index uint64, entry *raft.Log) error {
	position, found := i.find(index)
	if !found {
		return raft.ErrLogNotFound
	}
	*entry = i.entries[position]
	return nil
}

func (i *image) put(entries []*raft.Log) {
	for _, entry := range entries {
		position, found := i.find(entry.Index)
		if found {
			i.entries[position] = *entry
		} else {
			i.entries = slices.Insert(i.entries, position, *entry)
		}
	}
}

func (i *image) delete(low, high uint64) {
	from, _ := i.find(low)
	to, found := i.find(high)
	if found {
		to++
	}
	if from < to {
		i.entries = slices.Delete(i.entries, from, to)
	}
}

// errNotFound reads as the library wants it: it compares the text.
var errNotFound = errors.New("not found")

func (i *image) value(key []byte) ([]byte, error) {
	value, ok := i.values[string(key)]
	if !ok {
		return nil, errNotFound
	}
	return slices.Clone(value), nil
}

func (i *image) number(key []byte) (uint64, error) {
	value, err := i.value(key)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(value), nil
}

func (i *image) keep(taken snapshot) {
	i.snapshots = append(i.snapshots, taken)
	i.snapshots = i.snapshots[max(0, len(i.snapshots)-snapshotsRetained):]
}
