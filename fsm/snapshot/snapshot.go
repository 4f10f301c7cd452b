// Package snapshot writes a View to a stream and reads it back. It owns framing, compression and checksum; what a record says is
// package fsm's. Raft's snapshots, backups and the comparison of nodes go through here.
//
// A file is a header (magic and format version) and one zstd stream of length-framed records. The last record says how many came
// before it, and the hash of all of them follows it: the same hash that names the state (Hash). Both directions stream: beside the
// state they need one record's memory.
package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Version is the format that this build writes, and the newest that it reads. In format 1 every remembered outcome had a record of its own.
const Version = 2

const (
	magic      = "CALLBRD\n"
	headerSize = len(magic) + 4
	// maxRecord bounds one record: an actor with its input and saved state, and room for its other fields.
	maxRecord = fsm.MaxInput + fsm.MaxSaved + 1<<20
	maxWindow = 32 << 20
	// pieceSize is how much is compressed at once.
	pieceSize = 32 << 10
)

// Errors of Read. They are wrapped: compare with errors.Is.
var (
	ErrNotSnapshot = errors.New("not a Callboard snapshot")
	ErrNewer       = errors.New("the snapshot was written by a newer build")
	ErrTorn        = errors.New("the snapshot is torn: its end is missing")
	ErrCorrupt     = errors.New("the snapshot is corrupt")
)

// Hash names the state of a View: equal states have equal hashes on every node.
func Hash(v *fsm.View) [sha256.Size]byte { return v.Hash() }

// Write writes a View. The View may be in use meanwhile.
func Write(w io.Writer, v *fsm.View) error {
	header := binary.LittleEndian.AppendUint32([]byte(magic), Version)
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write the snapshot's header: %w", err)
	}
	// One goroutine at a time: a snapshot has time, the node's other work has not. And small pieces, for between two of them w lets others
	// have the processor: each is made in a few tenths of a millisecond, and in a few of them while garbage is collected.
	compressed, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(pieceSize))
	if err != nil {
		return fmt.Errorf("compress the snapshot: %w", err)
	}
	if err := writeRecords(compressed, v); err != nil {
		return errors.Join(fmt.Errorf("write the snapshot: %w", err), compressed.Close())
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("write the snapshot's end: %w", err)
	}
	return nil
}

func writeRecords(w io.Writer, v *fsm.View) error {
	sum := sha256.New()
	var buf []byte
	var records uint64
	for record := range v.Records() {
		buf = fsm.AppendRecord(buf[:0], record)
		sum.Write(buf)
		if _, err := w.Write(buf); err != nil {
			return err
		}
		records++
	}
	end := &logv1.Record{Record: &logv1.Record_End{End: &logv1.EndRecord{Records: records}}}
	_, err := w.Write(sum.Sum(fsm.AppendRecord(buf[:0], end)))
	return err
}

// Read reads what Write wrote, and nothing less: a file that is torn, changed, of a newer format, or that does not make sense is an
// error.
func Read(r io.Reader) (*fsm.View, error) {
	if err := readHeader(r); err != nil {
		return nil, err
	}
	file := &source{r: r}
	plain, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("decompress the snapshot: %w", file.because(err))
	}
	defer plain.Close()
	records := &reader{file: file, plain: bufio.NewReaderSize(plain, 64<<10)}
	return records.view()
}

// source remembers why the file could not be read, to tell that from a file that makes no sense.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// because says what an error in the middle of the file means: reading failed, its end came too early, or its bytes are damaged.
func (s *source) because(err error) error {
	switch {
	case s.err != nil:
		return s.err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTorn
	default:
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
}

func readHeader(r io.Reader) error {
	header := make([]byte, headerSize)
	switch n, err := io.ReadFull(r, header); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: it has %d bytes", ErrTorn, n)
	case err != nil:
		return fmt.Errorf("read the snapshot's header: %w", err)
	}
	if string(header[:len(magic)]) != magic {
		return fmt.Errorf("%w: it begins with %q", ErrNotSnapshot, header[:len(magic)])
	}
	switch version := binary.LittleEndian.Uint32(header[len(magic):]); {
	case version > Version:
		return fmt.Errorf("%w: it has format %d, this build reads up to %d", ErrNewer, version, Version)
	case version == 0:
		return fmt.Errorf("%w: it has format 0", ErrCorrupt)
	}
	return nil
}

// reader reads what is inside the compression.
type reader struct {
	file    *source
	plain   *bufio.Reader
	buf     []byte
	record  logv1.Record // the last one
	records uint64
}

func (r *reader) view() (*fsm.View, error) {
	sum := sha256.New()
	restorer := fsm.NewRestorer()
	for ; ; r.records++ {
		record, err := r.next()
		if err != nil {
			return nil, fmt.Errorf("read record %d of the snapshot: %w", r.records+1, err)
		}
		if end := record.GetEnd(); end != nil {
			if err := r.end(end, sum.Sum(nil)); err != nil {
				return nil, fmt.Errorf("read the end of the snapshot: %w", err)
			}
			break
		}
		sum.Write(r.buf)
		if err := restorer.Add(record); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
	}
	view, err := restorer.View()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return view, nil
}

// next reads a record, which holds until the one after it is read. r.buf holds it with the varint before it.
func (r *reader) next() (*logv1.Record, error) {
	r.buf = r.buf[:0]
	for {
		b, err := r.plain.ReadByte()
		if err != nil {
			return nil, r.file.because(err)
		}
		r.buf = append(r.buf, b)
		if b < 0x80 {
			break
		}
		if len(r.buf) == binary.MaxVarintLen64 {
			return nil, fmt.Errorf("%w: its length makes no sense", ErrCorrupt)
		}
	}
	length, size := binary.Uvarint(r.buf)
	if size <= 0 || length > maxRecord {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrCorrupt, length, maxRecord)
	}
	r.buf = slices.Grow(r.buf, int(length))[:size+int(length)]
	if _, err := io.ReadFull(r.plain, r.buf[size:]); err != nil {
		return nil, r.file.because(err)
	}
	if actor := r.record.GetActor(); actor != nil {
		actor.Reset() // actors are many, and follow each other: they share a record
	} else {
		r.record.Reset()
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(r.buf[size:], &r.record); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return &r.record, nil
}

// end compares the count and the checksum, and makes sure that nothing follows.
func (r *reader) end(end *logv1.EndRecord, sum []byte) error {
	if end.GetRecords() != r.records {
		return fmt.Errorf("%w: %d records, the file says %d", ErrCorrupt, r.records, end.GetRecords())
	}
	stored := make([]byte, sha256.Size)
	if _, err := io.ReadFull(r.plain, stored); err != nil {
		return r.file.because(err)
	}
	if !bytes.Equal(stored, sum) {
		return fmt.Errorf("%w: the records have the checksum %x, the file says %x", ErrCorrupt, sum, stored)
	}
	switch _, err := r.plain.ReadByte(); {
	case err == nil:
		return fmt.Errorf("%w: something follows it", ErrCorrupt)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return r.file.because(err)
	}
}
