package raftnet

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

const (
	acknowledgedFile = "raft.acknowledged"
	// ledgerSlot is the room for one version. Two take turns, so that a crash leaves the one before.
	ledgerSlot = 16 << 10
	ledgerHead = 8 + 4 + 4 // number of the version, length, checksum
)

// fileLedger keeps it in a file.
type fileLedger struct {
	file    *os.File
	version uint64
}

func openLedger(path string) (*fileLedger, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileLedger{file: file}, nil
}

// Load returns the newest version that is whole; nothing: there is none.
func (l *fileLedger) Load() ([]byte, error) {
	var newest []byte
	for slot := range int64(2) {
		b := make([]byte, ledgerSlot)
		n, err := l.file.ReadAt(b, slot*ledgerSlot)
		if err != nil && err != io.EOF {
			return nil, err
		}
		version, content := readSlot(b[:n])
		if version > l.version {
			l.version, newest = version, content
		}
	}
	return newest, nil
}

func readSlot(b []byte) (version uint64, content []byte) {
	if len(b) < ledgerHead {
		return 0, nil
	}
	length := binary.BigEndian.Uint32(b[8:])
	if uint64(length) > uint64(len(b)-ledgerHead) {
		return 0, nil
	}
	content = b[ledgerHead : ledgerHead+length]
	if slotSum(b[:12], content) != binary.BigEndian.Uint32(b[12:]) {
		return 0, nil
	}
	return binary.BigEndian.Uint64(b), content
}

func slotSum(head, content []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, head), castagnoli, content)
}

// Save writes over the older version.
func (l *fileLedger) Save(content []byte) error {
	if len(content) > ledgerSlot-ledgerHead {
		return fmt.Errorf("%w: %d bytes", errLedgerFull, len(content))
	}
	l.version++
	b := binary.BigEndian.AppendUint64(make([]byte, 0, ledgerHead+len(content)), l.version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, slotSum(b, content))
	_, err := l.file.WriteAt(append(b, content...), int64(l.version%2)*ledgerSlot)
	return err
}

// Sync has the disk take it.
func (l *fileLedger) Sync() error { return l.file.Sync() }

func (l *fileLedger) close() error { return l.file.Close() }

// memoryLedger keeps it on a Disk.
type memoryLedger mount

func (l *memoryLedger) Load() (content []byte, _ error) {
	(*mount)(l).read(func(i *image) { content = i.acknowledged })
	return content, nil
}

// Save ignores what a node that has crashed still writes.
func (l *memoryLedger) Save(content []byte) error {
	_ = (*mount)(l).write(func(i *image) { i.acknowledged = content })
	return nil
}

func (l *memoryLedger) Sync() error { return nil }
