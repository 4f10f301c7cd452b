package raftnet

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/bits"
	"os"
)

// What is read of a bolt file before bolt opens it. bolt takes the newer of the two meta pages that is valid, without a word about the
// other; the one that is not valid may have been the newer. And of pages that contradict each other it makes a panic, in a goroutine of
// its own. So both are looked at first: the meta pages here, all other pages in boltpages.go.
//
// A power cut leaves both meta pages valid and one transaction apart, since each lies in one sector. Anything else is damage.

const (
	boltMagic       = 0xED0CDAED
	boltVersion     = 2
	boltMetaPage    = 0x04
	boltMetaBytes   = 80 // header and meta
	minBoltPageSize = 512
	maxBoltPageSize = 1 << 20
)

// boltMeta is a meta page.
type boltMeta struct {
	pageSize int64
	root     uint64 // page of the bucket of buckets
	pages    uint64 // how many the file must have
	txid     uint64
}

// readBoltMeta reads the meta page at an offset. Reading what the machine wrote: bolt keeps numbers in its own order, and every machine
// that we build for begins with the low byte.
func readBoltMeta(file io.ReaderAt, at int64) (boltMeta, error) {
	b := make([]byte, boltMetaBytes)
	if _, err := file.ReadAt(b, at); err != nil {
		return boltMeta{}, fmt.Errorf("meta page at offset %d: %w", at, err)
	}
	le := binary.LittleEndian
	meta := boltMeta{pageSize: int64(le.Uint32(b[24:])), root: le.Uint64(b[32:]), pages: le.Uint64(b[56:]), txid: le.Uint64(b[64:])}
	sum := fnv.New64a()
	_, _ = sum.Write(b[16:72])
	fault := ""
	switch {
	case le.Uint32(b[16:]) != boltMagic:
		fault = "its magic number is wrong"
	case le.Uint32(b[20:]) != boltVersion:
		fault = fmt.Sprintf("it is of version %d", le.Uint32(b[20:]))
	case le.Uint64(b[72:]) != sum.Sum64():
		fault = "its checksum does not match"
	case le.Uint16(b[8:]) != boltMetaPage, le.Uint64(b) != meta.txid%2: // the header is not under the checksum
		fault = "its header is wrong"
	case meta.pageSize < minBoltPageSize || meta.pageSize > maxBoltPageSize || bits.OnesCount64(uint64(meta.pageSize)) != 1:
		fault = fmt.Sprintf("a page of %d bytes cannot be meant", meta.pageSize)
	default:
		return meta, nil
	}
	return meta, fmt.Errorf("meta page at offset %d: %s", at, fault)
}

// readBoltMetas returns the newer of the two meta pages of a file, and an error unless both are as any power cut would leave them.
// With the error comes the newest page that can be read at all; its page size is 0 where none can.
func readBoltMetas(file *os.File) (boltMeta, error) {
	first, firstErr := readBoltMeta(file, 0)
	size := first.pageSize
	if firstErr != nil {
		size = int64(os.Getpagesize())
	}
	second, secondErr := readBoltMeta(file, size)
	switch {
	case firstErr != nil && secondErr != nil:
		return boltMeta{}, fmt.Errorf("%w; %w", firstErr, secondErr)
	case firstErr != nil:
		return second, firstErr
	case secondErr != nil:
		return first, secondErr
	}
	newest := first
	if second.txid > first.txid {
		newest = second
	}
	if first.pageSize != second.pageSize || first.txid%2 != 0 || first.txid+1 != second.txid && second.txid+1 != first.txid {
		return newest, fmt.Errorf("the meta pages disagree: transactions %d and %d, pages of %d and %d bytes", first.txid, second.txid, first.pageSize, second.pageSize)
	}
	info, err := file.Stat()
	if err != nil {
		return newest, err
	}
	if want := int64(max(first.pages, second.pages)) * newest.pageSize; info.Size() < want {
		return newest, fmt.Errorf("%d bytes of %d are left", info.Size(), want)
	}
	return newest, nil
}
