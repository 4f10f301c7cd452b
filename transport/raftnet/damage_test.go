package raftnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// What a node's files are damaged with, one kind after the other, and what it says. Each is what a real node once started with in silence.

const damagedNode = "n1-0123456789ab"

func options() Options { return Options{NodeID: damagedNode, Marked: true, Member: true, Log: quiet} }

var threeVoters = raft.Configuration{Servers: []raft.Server{
	{ID: damagedNode, Address: "127.0.0.1:1"}, {ID: "n2", Address: "127.0.0.1:2"}, {ID: "n3", Address: "127.0.0.1:3"},
}}

// aNode makes the directory of a node that has run: entries 201 to 600, snapshots at 150 and 300, term 3, a vote for n2.
func aNode(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	o := options()
	o.Marked, o.Member = false, false
	stores, err := Open(dir, o)
	must(t, err)
	must(t, stores.Stable.SetUint64(keyTerm, 1))
	first := []*raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(threeVoters)}}
	must(t, stores.Log.StoreLogs(append(first, entries(2, 400)...)))
	takeSnapshot(t, stores, 150, 1)
	takeSnapshot(t, stores, 300, 1)
	must(t, stores.Log.DeleteRange(1, 200))
	must(t, stores.Stable.SetUint64(keyTerm, 3))
	must(t, stores.Stable.SetUint64(keyVoteTerm, 3))
	must(t, stores.Stable.Set(keyVoteCandidate, []byte("n2")))
	later := entries(401, 600)
	for _, entry := range later {
		entry.Term = 3
	}
	for chunk := range slices.Chunk(later, 20) {
		must(t, stores.Log.StoreLogs(chunk))
	}
	must(t, stores.Close())
	return dir
}

func takeSnapshot(t *testing.T, stores *Stores, index, term uint64) {
	t.Helper()
	sink, err := stores.Snapshots.Create(1, index, term, threeVoters, 1, nil)
	must(t, err)
	_, err = sink.Write(bytes.Repeat([]byte(fmt.Sprint("state at ", index, " ")), 100))
	must(t, errors.Join(err, sink.Close()))
}

// wholeNode fails unless the stores have all that aNode wrote.
func wholeNode(t *testing.T, stores *Stores) {
	t.Helper()
	first, _ := stores.Log.FirstIndex()
	last, _ := stores.Log.LastIndex()
	list, _ := stores.Snapshots.List()
	if last != 600 || len(list) != 1 || list[0].Index+1 < first {
		t.Errorf("served short: %d to %d, snapshots %v", first, last, list)
	}
	for i := first; i <= last; i++ {
		var entry raft.Log
		if err := stores.Log.GetLog(i, &entry); err != nil || entry.Type == raft.LogCommand && string(entry.Data) != fmt.Sprintf("entry %d", i) {
			t.Fatalf("entry %d: %v %q", i, err, entry.Data)
		}
	}
	term, err := stores.Stable.GetUint64(keyTerm)
	vote, voteErr := stores.Stable.Get(keyVoteCandidate)
	if term != 3 || string(vote) != "n2" {
		t.Errorf("term %d, vote %q: %v", term, vote, errors.Join(err, voteErr))
	}
	_, state, err := stores.Snapshots.Open(list[0].ID)
	must(t, err)
	content, err := io.ReadAll(state)
	must(t, errors.Join(err, state.Close()))
	if want := fmt.Sprint("state at ", list[0].Index, " "); !strings.HasPrefix(string(content), want) {
		t.Errorf("snapshot %d holds %.20q", list[0].Index, content)
	}
}

func TestAWholeDirectoryIsServed(t *testing.T) {
	dir := aNode(t)
	for range 2 {
		stores, err := Open(dir, options())
		must(t, err)
		wholeNode(t, stores)
		must(t, stores.Close())
	}
}

// flip changes one bit of a file.
func flip(t *testing.T, path string, at int64, bit byte) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	b := make([]byte, 1)
	_, err = file.ReadAt(b, at)
	must(t, err)
	b[0] ^= bit
	_, err = file.WriteAt(b, at)
	must(t, errors.Join(err, file.Close()))
}

// replaceText changes a text in a file for another of its length, wherever it stands: a log has old pages as well.
func replaceText(t *testing.T, path, old, with string) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	if len(old) != len(with) || !bytes.Contains(content, []byte(old)) {
		t.Fatalf("%s has no %q", path, old)
	}
	must(t, os.WriteFile(path, bytes.ReplaceAll(content, []byte(old), []byte(with)), 0o600))
}

// edit changes a log behind the back of its mark.
func edit(t *testing.T, dir string, change func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, boltOptions())
	must(t, err)
	must(t, errors.Join(db.Update(change), db.Close()))
}

func dropEntries(t *testing.T, dir string, from, to uint64) {
	t.Helper()
	edit(t, dir, func(tx *bbolt.Tx) error {
		for i := from; i <= to; i++ {
			if err := tx.Bucket([]byte("logs")).Delete(binary.BigEndian.AppendUint64(nil, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func putStable(t *testing.T, dir string, key, value []byte) {
	t.Helper()
	edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Put(key, sealValue(key, value)) })
}

// newestMeta is the offset of the meta page that bolt would use.
func newestMeta(t *testing.T, path string) (newest, older int64) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	meta, err := readBoltMetas(file)
	must(t, err)
	if meta.txid%2 == 0 {
		return 0, meta.pageSize
	}
	return meta.pageSize, 0
}

func snapshotDir(t *testing.T, dir string, position int) string {
	t.Helper()
	found, err := findSnapshots(dir)
	must(t, err)
	return filepath.Join(dir, snapshotsDir, found[position].ID)
}

// olderLog is the log as it was some transactions ago.
func olderLog(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, logFile)
	content, err := os.ReadFile(path)
	must(t, err)
	stores, err := Open(dir, options())
	must(t, err)
	more := entries(601, 620)
	for _, entry := range more {
		entry.Term = 3
	}
	must(t, errors.Join(stores.Log.StoreLogs(more), stores.Close(), os.WriteFile(path, content, 0o600)))
}

// damages are the kinds. What is lost is what accepting the loss says; what is left of the log then ends at an entry.
var damages = []struct {
	name  string
	spoil func(t *testing.T, dir string)
	says  []string // of the refusal
	lost  string   // of the report; empty: nothing can be kept
	end   uint64
}{
	{"one bit in the newest meta page", func(t *testing.T, dir string) {
		path := filepath.Join(dir, logFile)
		newest, _ := newestMeta(t, path)
		flip(t, path, newest+70, 1)
	}, []string{"raft.db", "meta page at offset", "checksum"}, "LOST: entries 581 to 600", 580},
	{"one bit in the older meta page", func(t *testing.T, dir string) {
		path := filepath.Join(dir, logFile)
		_, older := newestMeta(t, path)
		flip(t, path, older+70, 1)
	}, []string{"raft.db", "meta page at offset", "checksum"}, "no entry that this node knows of is lost", 600},
	{"the header of a meta page", func(t *testing.T, dir string) { flip(t, filepath.Join(dir, logFile), 8, 1) }, []string{"meta page at offset 0", "header"}, "entr", 0},
	{
		"raft.db missing", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, logFile))) },
		[]string{"raft.db", "missing"},
		"LOST: entries 301 to 600", 0,
	},
	{
		"raft.db empty", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, logFile), 0)) },
		[]string{"raft.db", "empty"},
		"LOST: entries 301 to 600", 0,
	},
	{"raft.db of an older day", olderLog, []string{"raft.db", "ends at entry 600", "entry 620", "20 entries are lost"}, "LOST: entries 601 to 620", 600},
	{"raft.db cut short", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, logFile), 5*4096)) }, []string{"bytes of"}, "LOST", 0},
	{
		"entries at the end gone", func(t *testing.T, dir string) { dropEntries(t, dir, 585, 600) },
		[]string{"ends at entry 584", "entry 600", "16 entries are lost"},
		"LOST: entries 585 to 600", 584,
	},
	{
		"entries in the middle gone", func(t *testing.T, dir string) { dropEntries(t, dir, 460, 475) },
		[]string{"log entry 460", "missing", "201 to 600"},
		"LOST: entries 460 to 600", 459,
	},
	{"a lower page count in a branch or leaf page", lowerPageCount, []string{"raft.db"}, "entr", 0},
	{
		"a flipped bit in an entry", func(t *testing.T, dir string) { replaceText(t, filepath.Join(dir, logFile), "entry 555", "entry 545") },
		[]string{"log entry 5", "checksum"},
		"LOST", 0,
	},
	{
		"a lower CurrentTerm", func(t *testing.T, dir string) { putStable(t, dir, keyTerm, binary.BigEndian.AppendUint64(nil, 2)) },
		[]string{"raft.db", "the current term is 2"},
		"no entry that this node knows of is lost", 600,
	},
	{"no CurrentTerm", func(t *testing.T, dir string) {
		edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Delete(keyTerm) })
	}, []string{"raft.db", "the current term is 0"}, "no entry that this node knows of is lost", 600},
	{
		"another vote", func(t *testing.T, dir string) { putStable(t, dir, keyVoteCandidate, []byte("n3")) },
		[]string{"the last vote was given in term 3"},
		"no entry that this node knows of is lost", 600,
	},
	{
		"an older vote", func(t *testing.T, dir string) { putStable(t, dir, keyVoteTerm, binary.BigEndian.AppendUint64(nil, 1)) },
		[]string{"the last vote was given in term 1"},
		"no entry that this node knows of is lost", 600,
	},
	{"a flipped bit in the vote", func(t *testing.T, dir string) {
		edit(t, dir, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Put(keyVoteCandidate, []byte("n2....")) })
	}, []string{"LastVoteCand", "checksum"}, "no entry that this node knows of is lost", 600},
	{
		"no mark", func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, markFileName))) },
		[]string{"raft.mark", "missing"},
		"there is no mark that says how much", 600,
	},
	{"an unreadable mark", func(t *testing.T, dir string) {
		flip(t, filepath.Join(dir, markFileName), 100, 4)
		flip(t, filepath.Join(dir, markFileName), markStride+100, 4)
	}, []string{"raft.mark", "neither"}, "there is no mark that says how much", 600},
	{"a mark of another node", func(t *testing.T, dir string) {
		mark, err := openMark(dir)
		must(t, err)
		must(t, errors.Join(mark.put(func(m *Mark) { m.NodeID = "n9" }), mark.close()))
	}, []string{"raft.mark", "node n9", "mixed up"}, "no entry that this node knows of is lost", 600},
	{
		"all snapshots gone", func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, snapshotsDir))) },
		[]string{"snapshots/1-300-", "missing", "begins at entry 201"},
		"", 0,
	},
	{"both snapshots damaged", func(t *testing.T, dir string) {
		for i := range 2 {
			flip(t, filepath.Join(snapshotDir(t, dir, i), stateFile), 50, 1)
		}
	}, []string{"snapshots/1-300-", "state.bin", "checksum", "begins at entry 201"}, "", 0},
	{"one digit of the newest snapshot's index, and the older one does not reach the log", func(t *testing.T, dir string) {
		replaceText(t, filepath.Join(snapshotDir(t, dir, 0), metaFile), `"Index":300`, `"Index":310`)
	}, []string{"snapshots/1-300-", "meta.json", "ends at 150"}, "no entry that this node knows of is lost", 600},
	{"a snapshot's term", func(t *testing.T, dir string) {
		replaceText(t, filepath.Join(snapshotDir(t, dir, 0), metaFile), `"Term":1`, `"Term":9`)
	}, []string{"snapshots/1-300-", "meta.json"}, "no entry that this node knows of is lost", 600},
	{"a server's id in a snapshot", func(t *testing.T, dir string) {
		replaceText(t, filepath.Join(snapshotDir(t, dir, 0), metaFile), `"ID":"n2"`, `"ID":"n7"`)
	}, []string{"snapshots/1-300-", "meta.json"}, "no entry that this node knows of is lost", 600},
	{"a server's vote in a snapshot", func(t *testing.T, dir string) {
		replaceText(t, filepath.Join(snapshotDir(t, dir, 0), metaFile), `"Suffrage":0`, `"Suffrage":1`)
	}, []string{"snapshots/1-300-", "meta.json"}, "no entry that this node knows of is lost", 600},
	{"the index of a snapshot's configuration", func(t *testing.T, dir string) {
		replaceText(t, filepath.Join(snapshotDir(t, dir, 0), metaFile), `"ConfigurationIndex":1`, `"ConfigurationIndex":2`)
	}, []string{"snapshots/1-300-", "meta.json"}, "no entry that this node knows of is lost", 600},
	{
		"a seal", func(t *testing.T, dir string) { flip(t, filepath.Join(snapshotDir(t, dir, 0), sealFile), 3, 1) },
		[]string{"snapshots/1-300-", "meta.seal"},
		"no entry that this node knows of is lost", 600,
	},
}

// lowerPageCount takes the last keys of a page of entries away, as one bit in the page's header does.
func lowerPageCount(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, logFile)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	meta, err := readBoltMetas(file)
	must(t, err)
	page := make([]byte, meta.pageSize)
	reached := map[uint64]bool{}
	pages := &boltPages{file: file, meta: meta, found: func(string, []byte, []byte) error { return nil }}
	must(t, pages.walk())
	for id := range meta.pages {
		if !pages.seen[id] {
			continue
		}
		_, err := file.ReadAt(page, int64(id)*meta.pageSize)
		must(t, err)
		if count := binary.LittleEndian.Uint16(page[10:]); binary.LittleEndian.Uint16(page[8:]) == boltLeafPage && count > 8 && !reached[id] {
			binary.LittleEndian.PutUint16(page[10:], count&^8|1)
			if count&8 == 0 {
				binary.LittleEndian.PutUint16(page[10:], count/2)
			}
			_, err := file.WriteAt(page[:16], int64(id)*meta.pageSize)
			must(t, err)
			return
		}
	}
	t.Fatal("no page of entries found")
}

// Every kind is refused by name, again at the next try, and what an operator accepts is what is served then.
func TestDamageIsRefusedByName(t *testing.T) {
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := aNode(t)
			test.spoil(t, dir)
			for range 2 {
				stores, err := Open(dir, options())
				if err == nil {
					_ = stores.Close()
					t.Fatal("it is served")
				}
				if !errors.Is(err, ErrDamaged) {
					t.Errorf("not called damage: %v", err)
				}
				for _, want := range test.says {
					if !strings.Contains(withoutDir(dir, err), want) { // the directory has the name of the test
						t.Errorf("%v\n does not say %q", err, want)
					}
				}
			}
			acceptAndServe(t, dir, test.lost, test.end)
		})
	}
}

// acceptAndServe accepts the loss, and wants the node to start with what is left, once.
func acceptAndServe(t *testing.T, dir, lost string, end uint64) {
	t.Helper()
	before, err := ReadMark(dir)
	if err != nil {
		before = Mark{}
	}
	a, err := AcceptLoss(dir, options())
	if lost == "" {
		if err == nil || !strings.Contains(err.Error(), "nothing can be kept") {
			t.Fatalf("accepted, or for another reason not: %v", err)
		}
		return
	}
	must(t, err)
	report := strings.Join(a.Report, "\n")
	if !strings.Contains(report, lost) {
		t.Errorf("the report does not say %q:\n%s", lost, report)
	}
	if _, err := Open(dir, options()); !errors.Is(err, ErrDamaged) {
		t.Fatalf("served before it was accepted: %v", err)
	}
	must(t, a.Write(dir))
	stores, err := Open(dir, options())
	must(t, err)
	last, _ := stores.Log.LastIndex()
	if end > 0 && last != end {
		t.Errorf("the log ends at %d, want %d", last, end)
	}
	if term, err := stores.Stable.GetUint64(keyTerm); term <= before.Term || err != nil {
		t.Errorf("it goes on in term %d, and may have voted in %d: %v", term, before.Term, err)
	}
	must(t, stores.Close())
	if left, err := ReadAcceptance(dir); left != nil || err != nil {
		t.Errorf("the acceptance is still there: %v, %v", left, err)
	}
	stores, err = Open(dir, options())
	must(t, err)
	must(t, stores.Close())
}

// A snapshot that is damaged while an older one and the log hold all of it is told, and everything is served.
func TestADamagedSnapshotIsPassedOverWhereTheLogReaches(t *testing.T) {
	dir := t.TempDir()
	o := options()
	stores, err := Open(dir, Options{NodeID: damagedNode, Log: quiet})
	must(t, err)
	must(t, stores.Stable.SetUint64(keyTerm, 1))
	must(t, stores.Log.StoreLogs(entries(1, 100)))
	takeSnapshot(t, stores, 40, 1)
	takeSnapshot(t, stores, 80, 1)
	must(t, stores.Log.DeleteRange(1, 30))
	must(t, stores.Close())
	flip(t, filepath.Join(snapshotDir(t, dir, 0), stateFile), 20, 1)

	stores, err = Open(dir, o)
	must(t, err)
	list, err := stores.Snapshots.List()
	if err != nil || len(list) != 1 || list[0].Index != 40 {
		t.Fatalf("Raft is shown %v, %v", list, err)
	}
	takeSnapshot(t, stores, 90, 1)
	takeSnapshot(t, stores, 95, 1)
	must(t, stores.Close())
	if found, err := findSnapshots(dir); err != nil || len(found) != 2 {
		t.Errorf("%d snapshots are left, the damaged one among them: %v", len(found), err)
	}
}

// A copy of a directory names itself: cp, tar and remove-and-restore make other files.
func TestACopyOfADirectoryIsRefused(t *testing.T) {
	dir := aNode(t)
	if mark, err := ReadMark(dir); err != nil || mark.birthInode == 0 {
		t.Skipf("this file system knows no birth of files: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "copied")
	must(t, exec.Command("cp", "-a", dir, copied).Run())
	_, err := Open(copied, options())
	if !errors.Is(err, ErrCopy) || !strings.Contains(err.Error(), damagedNode) {
		t.Fatalf("got %v", err)
	}
	must(t, os.Rename(dir, dir+".moved"))
	stores, err := Open(dir+".moved", options())
	must(t, err) // a name is no birth
	must(t, stores.Close())

	adopting := options()
	adopting.AdoptCopy = true
	for _, o := range []Options{adopting, options()} {
		stores, err := Open(copied, o)
		must(t, err)
		wholeNode(t, stores)
		must(t, stores.Close())
	}
}

// A copy is a refusal like any other: it can be accepted offline. An acceptance for one thing is none for another.
func TestAnAcceptanceIsForWhatWasFound(t *testing.T) {
	dir := aNode(t)
	if _, err := AcceptLoss(dir, options()); !errors.Is(err, ErrWhole) {
		t.Errorf("a whole directory: %v", err)
	}
	dropEntries(t, dir, 590, 600)
	a, err := AcceptLoss(dir, options())
	must(t, err)
	must(t, a.Write(dir))
	dropEntries(t, dir, 580, 590)
	if _, err := Open(dir, options()); !errors.Is(err, ErrDamaged) {
		t.Errorf("more is lost than was accepted, and it is served: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "copied")
	must(t, exec.Command("cp", "-a", dir, copied).Run())
	if a, err = AcceptLoss(dir, options()); err != nil {
		t.Fatal(err)
	}
	must(t, a.Write(dir))
	must(t, a.Write(copied))
	if mark, err := ReadMark(dir); err != nil || mark.birthInode != 0 {
		if _, err := Open(copied, options()); !errors.Is(err, ErrCopy) {
			t.Errorf("the acceptance travelled with a copy: %v", err)
		}
		a, err := AcceptLoss(copied, options())
		must(t, err)
		must(t, a.Write(copied))
		stores, err := Open(copied, options())
		must(t, err)
		must(t, stores.Close())
	}
	stores, err := Open(dir, options())
	must(t, err)
	if last, _ := stores.Log.LastIndex(); last != 579 {
		t.Errorf("the log ends at %d, want 579", last)
	}
	must(t, stores.Close())
}
