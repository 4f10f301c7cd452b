package scheduler

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// What an existing op does never changes: a node that reads its log again after an upgrade must come to the state that the older build
// came to, and an older and a newer node that apply one entry must not part. So every build leaves logs of its own behind, in
// testdata/logs, and every later one replays all of them.
//
// A file is one zstd stream of logs. A log is its name, the entries with Raft's term of each as they were in Raft's log, a mark of the state
// after each that was more than heartbeats (the beginning of its hash), and the records of the last state, as a snapshot has them. A table or a field that is new and
// empty changes none of these. When a mark differs, what the op does has changed: give the new effect a number or an optional field of its
// own. The files of earlier builds are never written again.
//
// `make record NAME=…` writes a file of what is new in this build; do so when an op, or a field of one, has been added.

var record = flag.String("record", "", "name of the file in testdata/logs that TestRecordLogs writes")

// recorder, while it is not nil, takes down what the worlds commit.
var recorder *recording

// maxRecordedActors bounds the worlds that are recorded, and randomLogs says how many of them are random ones.
const (
	maxRecordedActors = 1_000
	randomLogs        = 40
)

type recording struct {
	logs []*recordedLog
}

type recordedLog struct {
	name    string
	entries []recordedEntry
	records [][]byte // of the last state, with their lengths
	last    *fsm.View
}

type recordedEntry struct {
	term  uint64
	entry []byte
	mark  uint32
}

func (r *recording) committed(w *world, entry []byte, ops []*logv1.Op) {
	if r == nil {
		return
	}
	if w.log == nil {
		w.log = &recordedLog{name: fmt.Sprintf("log %d", len(r.logs)+1)}
		r.logs = append(r.logs, w.log)
	}
	w.log.entries = append(w.log.entries, recordedEntry{w.epoch, entry, markOf(w.view, ops)})
	w.log.last = w.view
}

// called gives the log of a world a name.
func (r *recording) called(w *world, name string) {
	if r != nil {
		w.log.name = name
	}
}

// markOf is 0 after heartbeats: they are most of a log, and the next mark knows what they did.
func markOf(v *fsm.View, ops []*logv1.Op) uint32 {
	if !slices.ContainsFunc(ops, func(op *logv1.Op) bool { return op.GetRunnersSeen() == nil }) {
		return 0
	}
	sum := v.Hash()
	return binary.LittleEndian.Uint32(sum[:4])
}

func recordsOf(v *fsm.View) [][]byte {
	var records [][]byte
	for r := range v.Records() {
		records = append(records, fsm.AppendRecord(nil, r))
	}
	return records
}

// TestRecordedLogs replays what this build and earlier ones have recorded.
func TestRecordedLogs(t *testing.T) {
	for _, file := range recordedFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			for _, log := range readLogs(t, file) {
				log.replay(t)
			}
		})
	}
}

func (l *recordedLog) replay(t *testing.T) {
	t.Helper()
	v := fsm.NewView()
	for i, recorded := range l.entries {
		var entry logv1.Entry
		if err := proto.Unmarshal(recorded.entry, &entry); err != nil {
			t.Fatalf("%s: entry %d cannot be read: %v", l.name, i+1, err)
		}
		next, results, accepted := v.Apply(v.Index()+1, recorded.term, &entry)
		if !accepted {
			t.Fatalf("%s: entry %d is refused", l.name, i+1)
		}
		for j, res := range results {
			if res.Code != fsm.CodeOK {
				t.Fatalf("%s: entry %d: op %d is %s: %v", l.name, i+1, j+1, res.Code, entry.GetOps()[j])
			}
		}
		if v = next; markOf(v, entry.GetOps()) != recorded.mark {
			t.Errorf("%s: entry %d leads to another state than when it was recorded: %v", l.name, i+1, entry.GetOps())
			break
		}
	}
	records := recordsOf(v)
	for i := range max(len(records), len(l.records)) {
		if i >= len(records) || i >= len(l.records) || !bytes.Equal(records[i], l.records[i]) {
			t.Fatalf("%s: record %d of the state is\n  %s\nand was\n  %s", l.name, i+1, recordText(records, i), recordText(l.records, i))
		}
	}
}

func recordText(records [][]byte, i int) string {
	if i >= len(records) {
		return "none"
	}
	_, size := binary.Uvarint(records[i])
	var r logv1.Record
	if err := proto.Unmarshal(records[i][size:], &r); err != nil {
		return err.Error()
	}
	return r.String()
}

// TestEveryOpIsRecorded names the ops, and the fields of ops, that no recorded log has.
func TestEveryOpIsRecorded(t *testing.T) {
	seen := recordedFields(t)
	var missing []string
	var look func(protoreflect.MessageDescriptor)
	look = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			if !seen[f.FullName()] {
				missing = append(missing, fmt.Sprintf("%s (%d)", f.FullName(), f.Number()))
			} else if f.Message() != nil {
				look(f.Message())
			}
		}
	}
	look((&logv1.Entry{}).ProtoReflect().Descriptor())
	if len(missing) > 0 {
		t.Errorf("no log in testdata/logs has %s: run `make record NAME=…` with a name that is not taken, and see CONTRIBUTING.md", strings.Join(missing, ", "))
	}
}

type fieldSet map[protoreflect.FullName]bool

// recordedFields returns the fields that the recorded logs have.
func recordedFields(t *testing.T) fieldSet {
	t.Helper()
	seen := fieldSet{}
	for _, file := range recordedFiles(t) {
		for _, log := range readLogs(t, file) {
			seen.add(t, log)
		}
	}
	return seen
}

// add adds the fields that a log has, and returns whether there were new ones.
func (seen fieldSet) add(t *testing.T, log *recordedLog) bool {
	t.Helper()
	before := len(seen)
	for _, recorded := range log.entries {
		var entry logv1.Entry
		if err := proto.Unmarshal(recorded.entry, &entry); err != nil {
			t.Fatal(err)
		}
		seeFields(entry.ProtoReflect(), seen)
	}
	return len(seen) > before
}

func seeFields(m protoreflect.Message, seen fieldSet) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		seen[f.FullName()] = true
		switch {
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				seeFields(v.List().Get(i).Message(), seen)
			}
		case f.Message() != nil:
			seeFields(v.Message(), seen)
		}
		return true
	})
}

// TestRecordLogs writes those logs of the stories and of some random worlds that have a field which no recorded log has; if the name ends in
// "all", every one, as the first file does. It does so when it is asked to.
func TestRecordLogs(t *testing.T) {
	if *record == "" {
		t.Skip("run `make record NAME=…`")
	}
	file := filepath.Join("testdata", "logs", *record+".zst")
	if _, err := os.Stat(file); err == nil {
		t.Fatalf("%s is there: a recorded log is never written again", file)
	}
	recorder = &recording{}
	defer func() { recorder = nil }()
	TestStories(t)
	recordEverythingOfARunner(t)
	worlds := rapid.Custom(func(rt *rapid.T) bool {
		randomWorld(rt)
		return true
	})
	for seed := range randomLogs {
		worlds.Example(seed + 1)
	}
	recorder.logs = slices.DeleteFunc(recorder.logs, func(log *recordedLog) bool {
		return log.last.LiveActors() > maxRecordedActors // it would take more room than all others
	})
	if seen := recordedFields(t); !strings.HasSuffix(*record, "all") {
		recorder.logs = slices.DeleteFunc(recorder.logs, func(log *recordedLog) bool { return !seen.add(t, log) })
	}
	written := recorder.encoded(t)
	if err := os.WriteFile(file, written, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d logs, %d bytes", file, len(recorder.logs), len(written))
}

// recordEverythingOfARunner has a runner say all that one can say of itself, which no story does.
func recordEverythingOfARunner(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	recorder.called(w, "everything of a runner")
	p := w.start(&process{name: "r", manual: true})
	for range 2 {
		report := p.hello(w)
		h := report.GetHello().GetHello()
		h.MetadataJson, h.AdvertisedAddr, h.KeepOnLeaseLost = fmt.Sprintf(`{"attempt":%d}`, h.GetAttempt()), "10.0.0.1:80", true
		h.ActorNames = []string{"counter", fmt.Sprint("name", h.GetAttempt())}
		if refusal := w.report(report).GetRefusal(); refusal != nil {
			t.Fatalf("the Hello is refused: %v", refusal)
		}
	}
}

func recordedFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/logs/*.zst")
	if err != nil || len(files) == 0 {
		t.Fatalf("no recorded logs: %v", err)
	}
	return files
}

func (r *recording) encoded(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, log := range r.logs {
		b = protowire.AppendString(b[:0], log.name)
		b = protowire.AppendVarint(b, uint64(len(log.entries)))
		for _, e := range log.entries {
			b = protowire.AppendVarint(b, e.term)
			b = protowire.AppendBytes(b, e.entry)
		}
		for _, e := range log.entries {
			b = protowire.AppendFixed32(b, e.mark)
		}
		records := recordsOf(log.last)
		b = protowire.AppendVarint(b, uint64(len(records)))
		for _, r := range records {
			b = append(b, r...)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func readLogs(t *testing.T, file string) []*recordedLog {
	t.Helper()
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	zr, err := zstd.NewReader(bytes.NewReader(written))
	if err != nil {
		t.Fatal(err)
	}
	defer zr.Close()
	b, err := io.ReadAll(zr)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	r := &logReader{t: t, b: b}
	var logs []*recordedLog
	for len(r.b) > 0 {
		log := &recordedLog{name: string(r.bytes())}
		log.entries = make([]recordedEntry, r.varint())
		for i := range log.entries {
			log.entries[i].term, log.entries[i].entry = r.varint(), r.bytes()
		}
		for i := range log.entries {
			log.entries[i].mark = r.fixed32()
		}
		log.records = make([][]byte, r.varint())
		for i := range log.records {
			log.records[i] = protowire.AppendBytes(nil, r.bytes())
		}
		logs = append(logs, log)
	}
	return logs
}

type logReader struct {
	t *testing.T
	b []byte
}

func (r *logReader) took(n int) {
	if n < 0 {
		r.t.Fatalf("a recorded log is damaged: %v", protowire.ParseError(n))
	}
	r.b = r.b[n:]
}

func (r *logReader) varint() uint64 {
	v, n := protowire.ConsumeVarint(r.b)
	r.took(n)
	return v
}

func (r *logReader) bytes() []byte {
	v, n := protowire.ConsumeBytes(r.b)
	r.took(n)
	return v
}

func (r *logReader) fixed32() uint32 {
	v, n := protowire.ConsumeFixed32(r.b)
	r.took(n)
	return v
}
