package snapshot_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/fsm/snapshot"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

var update = flag.Bool("update", false, "write the golden file of the current format anew")

// Each of these files holds the state of the story, as the build of its time wrote it.
const (
	golden     = "testdata/v2.snap"
	oldGolden  = "testdata/v1.snap"
	goldenHash = "76e9df00d15739dea9fc6c6f98f9ab0d4236cdd4c64a72f3e82fded9d7634d3d"
)

func written(t testing.TB, v *fsm.View) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := snapshot.Write(&file, v); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for name, v := range map[string]*fsm.View{"a story": told(t, story()), "nothing": fsm.NewView()} {
		t.Run(name, func(t *testing.T) {
			file := written(t, v)
			got, err := snapshot.Read(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			if snapshot.Hash(got) != snapshot.Hash(v) {
				t.Error("the hash changed")
			}
			if !bytes.Equal(written(t, got), file) {
				t.Error("written again, the file has other bytes")
			}
			if _, err := snapshot.Read(iotest.OneByteReader(bytes.NewReader(file))); err != nil {
				t.Errorf("byte by byte: %v", err)
			}
		})
	}
}

// A file that a released build wrote must be readable for ever. When this fails, the format changed: read the old one too, and add a
// golden file for the new one. -update is for a format that no release has.
func TestGoldenFileIsReadable(t *testing.T) {
	if *update {
		if err := os.WriteFile(golden, written(t, told(t, story())), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{oldGolden, golden} {
		t.Run(name, func(t *testing.T) { readGolden(t, name) })
	}
}

func readGolden(t *testing.T, name string) {
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := snapshot.Read(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	// The hash that a writer of the current format gives it: nothing of it was lost or read as something else.
	if got := fmt.Sprintf("%x", snapshot.Hash(v)); got != goldenHash {
		t.Errorf("the state has the hash %s, was written with %s", got, goldenHash)
	}
	if outcome, fingerprint, ok := v.Outcome("caller/retry-1"); !ok || !bytes.Equal(outcome, []byte{1, 2}) || fingerprint != 42 {
		t.Errorf("the outcome is %v, %d, %v", outcome, fingerprint, ok)
	}
	if err := v.CheckAll(); err != nil {
		t.Error(err)
	}
	if a := v.Actor(fsm.ActorID(id('a', 1))); a == nil || a.Saved != "score 7" || a.Phase != fsm.Stopping || !a.WakeKept {
		t.Errorf("the first actor is %+v", a)
	}
}

// A file may end anywhere: after a crash, after a broken copy.
func TestEveryTornFileIsRefused(t *testing.T) {
	file := written(t, told(t, story()))
	for length := range file {
		v, err := snapshot.Read(bytes.NewReader(file[:length]))
		if v != nil || !errors.Is(err, snapshot.ErrTorn) {
			t.Fatalf("%d of %d bytes: %v", length, len(file), err)
		}
	}
}

// Whichever bit a disk flips: an error that says so, no panic, and never another state.
func TestEveryChangedByteIsRefused(t *testing.T) {
	v := told(t, story())
	file := written(t, v)
	for i := range file {
		for _, bit := range []byte{1, 0x10, 0x80} {
			changed := bytes.Clone(file)
			changed[i] ^= bit
			got, err := snapshot.Read(bytes.NewReader(changed))
			if err == nil && snapshot.Hash(got) == snapshot.Hash(v) {
				continue // a bit that means nothing, like an unused one of the frame header
			}
			if got != nil || !refusedByName(err) {
				t.Fatalf("byte %d ^ %#x: %v", i, bit, err)
			}
		}
	}
}

func refusedByName(err error) bool {
	for _, known := range []error{snapshot.ErrNotSnapshot, snapshot.ErrNewer, snapshot.ErrTorn, snapshot.ErrCorrupt} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func TestForeignFilesAreRefused(t *testing.T) {
	file := written(t, told(t, story()))
	withVersion := func(version uint32) []byte {
		changed := bytes.Clone(file)
		binary.LittleEndian.PutUint32(changed[8:], version)
		return changed
	}
	end := func(records uint64) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_End{End: &logv1.EndRecord{Records: records}}}
	}
	state := fsm.AppendRecord(nil, &logv1.Record{Record: &logv1.Record_State{State: &logv1.StateRecord{}}})
	sum := sha256.Sum256(state)
	tests := []struct {
		name string
		file []byte
		want error
	}{
		{"text", []byte("#!/bin/sh\necho I am no snapshot\n"), snapshot.ErrNotSnapshot},
		{"nothing", nil, snapshot.ErrTorn},
		{"a newer format", withVersion(snapshot.Version + 1), snapshot.ErrNewer},
		{"format 0", withVersion(0), snapshot.ErrCorrupt},
		{"something behind it", append(bytes.Clone(file), "more"...), snapshot.ErrCorrupt},
		{"no records", framed(t, fsm.AppendRecord(nil, end(0)), make([]byte, 32)), snapshot.ErrCorrupt},
		{"a wrong checksum", framed(t, state, fsm.AppendRecord(nil, end(1)), make([]byte, 32)), snapshot.ErrCorrupt},
		{"nothing wrong", framed(t, state, fsm.AppendRecord(nil, end(1)), sum[:]), nil},
		{"a wrong count", framed(t, state, fsm.AppendRecord(nil, end(2)), sum[:]), snapshot.ErrCorrupt},
		{"no end", framed(t, state), snapshot.ErrTorn},
		{"a record of 2^60 bytes", framed(t, binary.AppendUvarint(nil, 1<<60)), snapshot.ErrCorrupt},
		{"a length without end", framed(t, bytes.Repeat([]byte{0xff}, 20)), snapshot.ErrCorrupt},
		{"a length past 2^64", framed(t, append(bytes.Repeat([]byte{0xff}, 9), 0x7f)), snapshot.ErrCorrupt},
		{"no protobuf", framed(t, []byte{3, 0xff, 0xff, 0xff}), snapshot.ErrCorrupt},
		{"a record of no kind", framed(t, []byte{0}), snapshot.ErrCorrupt},
		{"a record of a kind to come", framed(t, state, []byte{4, 0xfa, 0x01, 0x01, 0x61}), snapshot.ErrCorrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, err := snapshot.Read(bytes.NewReader(test.file))
			if (v == nil) != (test.want != nil) || !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// framed makes a file of the given contents, whatever they are.
func framed(t *testing.T, parts ...[]byte) []byte {
	t.Helper()
	file := bytes.NewBufferString("CALLBRD\n\x02\x00\x00\x00")
	w, err := zstd.NewWriter(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Join(parts, nil)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// A disk that fails is not a corrupt file: the caller may try again.
func TestErrorsOfTheDiskAreKept(t *testing.T) {
	broken := errors.New("the disk is on fire")
	v := told(t, story())
	file := written(t, v)
	for length := range file {
		r := io.MultiReader(bytes.NewReader(file[:length]), iotest.ErrReader(broken))
		if got, err := snapshot.Read(r); got != nil || !errors.Is(err, broken) || refusedByName(err) {
			t.Fatalf("reading fails after %d bytes: %v", length, err)
		}
		if err := snapshot.Write(&failing{left: length, err: broken}, v); !errors.Is(err, broken) {
			t.Fatalf("writing fails after %d bytes: %v", length, err)
		}
	}
}

// failing takes so many bytes and then fails.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return f.left, f.err
	}
	f.left -= len(p)
	return len(p), nil
}

func FuzzRead(f *testing.F) {
	f.Add(written(f, told(f, story())))
	f.Add([]byte("CALLBRD\n\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if v, err := snapshot.Read(bytes.NewReader(file)); (v == nil) != (err != nil) {
			t.Errorf("%v with the error %v", v, err)
		}
	})
}
