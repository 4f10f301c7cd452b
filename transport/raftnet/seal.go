package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

const sealBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed adds a checksum to every entry on its way to disk and checks it on the way back. raft-boltdb itself returns a flipped bit
// without a word; with the seal such an entry is an error (ErrDamaged) that names the file, and is neither applied nor sent to anyone.
type sealed struct {
	raft.LogStore
	path string
}

func (s sealed) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

func (s sealed) StoreLogs(entries []*raft.Log) error {
	out := make([]*raft.Log, len(entries))
	for i, entry := range entries {
		copied := *entry
		copied.Data = make([]byte, 0, len(entry.Data)+sealBytes)
		copied.Data = append(copied.Data, entry.Data...)
		copied.Data = binary.BigEndian.AppendUint32(copied.Data, checksum(entry))
		out[i] = &copied
	}
	return s.LogStore.StoreLogs(out)
}

func (s sealed) GetLog(index uint64, entry *raft.Log) error {
	if err := s.get(index, entry); errors.Is(err, raft.ErrLogNotFound) {
		return err
	} else if err != nil {
		return fmt.Errorf("%s: log entry %d: %w: %w", s.path, index, ErrDamaged, err)
	}
	end := len(entry.Data) - sealBytes
	if end < 0 || entry.Index != index {
		return fmt.Errorf("%s: log entry %d: %w: what is stored there is another one", s.path, index, ErrDamaged)
	}
	want := binary.BigEndian.Uint32(entry.Data[end:])
	entry.Data = entry.Data[:end:end]
	if checksum(entry) != want {
		return fmt.Errorf("%s: log entry %d: %w: its checksum does not match", s.path, index, ErrDamaged)
	}
	return nil
}

// get reads an entry. Bytes that are no entry may make the decoder or bolt panic.
func (s sealed) get(index uint64, entry *raft.Log) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be decoded: %v", p)
		}
	}()
	return s.LogStore.GetLog(index, entry)
}

// checksum covers what decides: not AppendedAt, which is for people.
func checksum(entry *raft.Log) uint32 {
	head := make([]byte, 0, 25)
	head = binary.BigEndian.AppendUint64(head, entry.Index)
	head = binary.BigEndian.AppendUint64(head, entry.Term)
	head = append(head, byte(entry.Type))
	head = binary.BigEndian.AppendUint64(head, uint64(len(entry.Data)))
	sum := crc32.Update(0, castagnoli, head)
	sum = crc32.Update(sum, castagnoli, entry.Data)
	return crc32.Update(sum, castagnoli, entry.Extensions)
}

// sealedStable does the same for the term, the vote and whatever else Raft keeps.
type sealedStable struct {
	raft.StableStore
	path string
}

func sealValue(key, value []byte) []byte {
	out := append(make([]byte, 0, len(value)+sealBytes), value...)
	return binary.BigEndian.AppendUint32(out, crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value))
}

func (s sealedStable) Set(key, value []byte) error {
	return s.StableStore.Set(key, sealValue(key, value))
}

func (s sealedStable) SetUint64(key []byte, number uint64) error {
	return s.Set(key, binary.BigEndian.AppendUint64(nil, number))
}

func (s sealedStable) Get(key []byte) ([]byte, error) {
	stored, err := s.StableStore.Get(key)
	if err != nil {
		return nil, err // Raft compares the text of "not found"
	}
	end := len(stored) - sealBytes
	if end < 0 || string(sealValue(key, stored[:end])) != string(stored) {
		return nil, fmt.Errorf("%s: %s: %w: its checksum does not match", s.path, key, ErrDamaged)
	}
	return stored[:end:end], nil
}

func (s sealedStable) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("%s: %s: %w: it has %d bytes, want 8", s.path, key, ErrDamaged, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
