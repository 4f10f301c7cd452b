package raftnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	boltBranchPage    = 0x01
	boltLeafPage      = 0x02
	boltPageHeader    = 16
	boltElement       = 16 // of a branch and of a leaf
	boltBucketElement = 0x01
	boltBucketHeader  = 16
	maxBoltDepth      = 64
)

// boltPages reads all that one state of a bolt file holds, page by page, trusting none of them.
type boltPages struct {
	file io.ReaderAt
	meta boltMeta
	seen map[uint64]bool

	// found is called with each key of each bucket, in order; the slices are valid until it returns.
	found func(bucket string, key, value []byte) error
	// broken is called with what is wrong with a page; without it the first such error ends the reading.
	broken func(error) error
}

// walk reads the buckets.
func (p *boltPages) walk() error {
	p.seen = map[uint64]bool{}
	return p.page("", p.meta.root, nil, nil, 0)
}

// fault is an error of one page.
func (p *boltPages) fault(id uint64, format string, args ...any) error {
	err := fmt.Errorf("page %d at offset %d: %s", id, int64(id)*p.meta.pageSize, fmt.Sprintf(format, args...))
	if p.broken != nil {
		return p.broken(err)
	}
	return err
}

// page reads a page and what hangs below it. Its keys are at least low and less than high; nil: no bound.
func (p *boltPages) page(bucket string, id uint64, low, high []byte, depth int) error {
	content, fault := p.read(id)
	if fault != "" {
		return p.fault(id, "%s", fault)
	}
	if depth > maxBoltDepth {
		return p.fault(id, "it lies more than %d pages deep", maxBoltDepth)
	}
	return p.elements(bucket, id, content, low, high, depth)
}

// read returns a page with those that it overflows into, or what is wrong with it.
func (p *boltPages) read(id uint64) (content []byte, fault string) {
	if id < 2 || id >= p.meta.pages {
		return nil, fmt.Sprintf("there are only pages 2 to %d", p.meta.pages-1)
	}
	header := make([]byte, boltPageHeader)
	if _, err := p.file.ReadAt(header, int64(id)*p.meta.pageSize); err != nil {
		return nil, err.Error()
	}
	le := binary.LittleEndian
	flags, overflow := le.Uint16(header[8:]), uint64(le.Uint32(header[12:]))
	switch {
	case le.Uint64(header) != id:
		return nil, fmt.Sprintf("it says that it is page %d", le.Uint64(header))
	case flags != boltBranchPage && flags != boltLeafPage:
		return nil, fmt.Sprintf("it is of the kind %#x", flags)
	case overflow >= p.meta.pages-id:
		return nil, fmt.Sprintf("it goes on for %d pages, beyond the end", overflow)
	}
	for at := id; at <= id+overflow; at++ {
		if p.seen[at] {
			return nil, fmt.Sprintf("two others point to page %d", at)
		}
		p.seen[at] = true
	}
	content = make([]byte, (overflow+1)*uint64(p.meta.pageSize))
	if _, err := p.file.ReadAt(content, int64(id)*p.meta.pageSize); err != nil {
		return nil, err.Error()
	}
	return content, ""
}

// elements reads what a page holds: keys with their values, or with the pages below.
func (p *boltPages) elements(bucket string, id uint64, content, low, high []byte, depth int) error {
	le := binary.LittleEndian
	branch, count := le.Uint16(content[8:]) == boltBranchPage, int(le.Uint16(content[10:]))
	if boltPageHeader+count*boltElement > len(content) || branch && count == 0 {
		return p.fault(id, "it holds %d keys, and has %d bytes", count, len(content))
	}
	keys, values := make([][]byte, count), make([][]byte, count)
	for i := range count {
		element := content[boltPageHeader+i*boltElement:]
		at, keyBytes, valueBytes := uint64(le.Uint32(element)), uint64(le.Uint32(element[4:])), uint64(0)
		if !branch {
			at, keyBytes, valueBytes = uint64(le.Uint32(element[4:])), uint64(le.Uint32(element[8:])), uint64(le.Uint32(element[12:]))
		}
		if keyBytes == 0 || at+keyBytes+valueBytes > uint64(len(element)) {
			return p.fault(id, "key %d of %d lies beyond its end", i+1, count)
		}
		keys[i], values[i] = element[at:at+keyBytes], element[at+keyBytes:at+keyBytes+valueBytes]
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || i == 0 && low != nil && bytes.Compare(keys[i], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return p.fault(id, "key %d of %d (%x) is out of order", i+1, count, keys[i])
		}
	}
	for i := range count {
		element := content[boltPageHeader+i*boltElement:]
		var err error
		switch flags := le.Uint32(element); {
		case branch:
			next := high
			if i+1 < count {
				next = keys[i+1]
			}
			err = p.page(bucket, le.Uint64(element[8:]), keys[i], next, depth+1)
		case bucket == "" && flags == boltBucketElement:
			err = p.bucket(string(keys[i]), id, values[i])
		case bucket == "" || flags != 0:
			err = p.fault(id, "key %d of %d (%x) is of the kind %#x", i+1, count, keys[i], flags)
		default:
			err = p.found(bucket, keys[i], values[i])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket reads one of the two buckets. A small one has no page of its own and lies in the value.
func (p *boltPages) bucket(name string, id uint64, value []byte) error {
	if name != "logs" && name != "conf" {
		return fmt.Errorf("%w: it holds %q", ErrForeign, name)
	}
	if len(value) < boltBucketHeader {
		return p.fault(id, "bucket %q has %d bytes", name, len(value))
	}
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		return p.page(name, root, nil, nil, 0)
	}
	inline := value[boltBucketHeader:]
	if len(inline) < boltPageHeader || binary.LittleEndian.Uint16(inline[8:]) != boltLeafPage {
		return p.fault(id, "what bucket %q holds is no page", name)
	}
	return p.elements(name, id, inline, nil, nil, 0)
}
