package raftnet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

const sealBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sealed adds a checksum to every entry on its way to disk and checks it on the way back. raft-boltdb itself returns a flipped bit
// without a word; with the seal such an entry is an error (ErrDamaged), and is neither applied nor sent to anyone.
type sealed struct{ raft.LogStore }

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
	if err := s.LogStore.GetLog(index, entry); err != nil {
		return err
	}
	end := len(entry.Data) - sealBytes
	if end < 0 || entry.Index != index {
		return fmt.Errorf("log entry %d: %w", index, ErrDamaged)
	}
	want := binary.BigEndian.Uint32(entry.Data[end:])
	entry.Data = entry.Data[:end:end]
	if checksum(entry) != want {
		return fmt.Errorf("log entry %d: %w: its checksum does not match", index, ErrDamaged)
	}
	return nil
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
