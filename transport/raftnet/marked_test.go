package raftnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

func markOf(t *testing.T, dir string) Mark {
	t.Helper()
	mark, err := ReadMark(dir)
	must(t, err)
	return mark
}

// The mark says what the log holds, for whoever reads it without the log, after every kind of write.
func TestTheMarkFollowsTheLog(t *testing.T) {
	dir := t.TempDir()
	stores, err := Open(dir, Options{NodeID: damagedNode, Log: quiet})
	must(t, err)
	if mark := markOf(t, dir); mark.NodeID != damagedNode || mark.Last != 0 {
		t.Errorf("before anything is written: %+v", mark)
	}
	must(t, stores.Stable.SetUint64(keyTerm, 2))
	conf := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(threeVoters)}
	must(t, stores.Log.StoreLogs(append([]*raft.Log{conf}, entries(2, 50)...)))
	mark := markOf(t, dir)
	if mark.First != 1 || mark.Last != 50 || mark.LastTerm != 1 || mark.Term != 2 || mark.ConfigurationIndex != 1 || mark.Voters != 3 {
		t.Errorf("after 50 entries: %+v", mark)
	}
	must(t, stores.Log.DeleteRange(41, 50))
	if mark := markOf(t, dir); mark.Last != 40 || mark.LastTerm != 1 {
		t.Errorf("a tail of 10 is gone: %+v", mark)
	}
	must(t, stores.Stable.SetUint64(keyVoteTerm, 2))
	if mark := markOf(t, dir); mark.VoteTerm != 0 {
		t.Errorf("a vote for nobody yet: %+v", mark)
	}
	must(t, stores.Stable.Set(keyVoteCandidate, []byte("n2")))
	takeSnapshot(t, stores, 30, 1)
	must(t, stores.Log.DeleteRange(1, 20))
	mark = markOf(t, dir)
	if mark.VoteTerm != 2 || mark.Vote != voteFor([]byte("n2")) || mark.SnapshotIndex != 30 || mark.SnapshotTerm != 1 || mark.First != 21 || mark.Last != 40 {
		t.Errorf("after a vote and a snapshot: %+v", mark)
	}
	takeSnapshot(t, stores, 100, 2) // the leader's, installed
	if term, index := markOf(t, dir).Position(); term != 2 || index != 100 {
		t.Errorf("its position is term %d, entry %d", term, index)
	}
	must(t, stores.Log.StoreLogs([]*raft.Log{{Index: 101, Term: 2}}))
	if mark := markOf(t, dir); mark.First != 101 || mark.Last != 101 {
		t.Errorf("behind an installed snapshot: %+v", mark)
	}
	if first, _ := stores.Log.FirstIndex(); first != 101 {
		t.Errorf("the log begins at %d: a gap", first)
	}
	must(t, stores.Close())
	stores, err = Open(dir, Options{NodeID: damagedNode, Marked: true, Log: quiet})
	must(t, err)
	must(t, stores.Close())
}

// Each field of a mark comes back from the disk as it was, and in the place that earlier builds gave it: each has a value of its own, and the
// sum of the sector stays.
func TestAMarkComesBackWhole(t *testing.T) {
	mark := Mark{
		NodeID: "n1-7", First: 1, Last: 2, LastTerm: 3, Term: 4, VoteTerm: 5, Vote: 6, ConfigurationIndex: 7, ConfigurationSum: 8, Voters: 9,
		SnapshotID: "3-30-1", SnapshotIndex: 10, SnapshotTerm: 11, SnapshotSum: 12, FloorTerm: 13, FloorIndex: 14,
		birthInode: 15, birthSec: 16, birthNsec: 17, sequence: 18,
	}
	for i := range reflect.ValueOf(mark).NumField() {
		if reflect.ValueOf(mark).Field(i).IsZero() {
			t.Errorf("%s has no value here", reflect.TypeFor[Mark]().Field(i).Name)
		}
	}
	var sector [markBytes]byte
	must(t, mark.encode(&sector))
	if again, err := decodeMark(sector[:]); err != nil || again != mark {
		t.Errorf("%+v came back as %+v, %v", mark, again, err)
	}
	if sum := binary.BigEndian.Uint32(sector[markBytes-sealBytes:]); sum != 0x69468c80 {
		t.Errorf("the sum is %#x: an older build would read another mark", sum)
	}
	mark.NodeID = strings.Repeat("n", 256)
	if err := mark.encode(&sector); err == nil {
		t.Error("a node id of 256 bytes was taken")
	}
}

func TestTheVoteFloorIsKept(t *testing.T) {
	dir := t.TempDir()
	onDisk, err := Open(dir, Options{Log: quiet})
	must(t, err)
	memory := NewDisk()
	for name, reopen := range map[string]func(*Stores) *Stores{
		"disk": func(s *Stores) *Stores {
			must(t, s.Close())
			s, err := Open(dir, Options{Marked: true, Log: quiet})
			must(t, err)
			return s
		},
		"memory": func(*Stores) *Stores { return memory.Open() },
	} {
		stores := onDisk
		if name == "memory" {
			stores = memory.Open()
		}
		must(t, stores.RaiseFloor(3, 70))
		must(t, stores.RaiseFloor(3, 60))
		must(t, stores.RaiseFloor(2, 90))
		stores = reopen(stores)
		if term, index := stores.Mark().Floor(); term != 3 || index != 70 {
			t.Errorf("%s: the floor is entry %d of term %d, want 70 of 3", name, index, term)
		}
		must(t, stores.RaiseFloor(4, 10))
		must(t, stores.LowerFloor())
		stores = reopen(stores)
		if term, index := stores.Mark().Floor(); term != 0 || index != 0 {
			t.Errorf("%s: the floor is still there", name)
		}
		must(t, stores.Close())
	}
}

// The mark is synced while the node runs: once for all that was written within markSyncEvery. A vote waits for a sync of its own.
func TestTheMarkIsSyncedWhileTheNodeRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stores, err := Open(t.TempDir(), Options{Log: quiet})
		must(t, err)
		var syncs atomic.Int64
		stores.marks.(*markFile).syncFile = func(*os.File) error { syncs.Add(1); return nil }
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- stores.Run(ctx) }()
		want := func(n int64, after string) {
			t.Helper()
			time.Sleep(2 * markSyncEvery)
			synctest.Wait()
			if got := syncs.Swap(0); got != n {
				t.Errorf("after %s it was synced %d times, want %d", after, got, n)
			}
		}
		want(1, "the start")
		want(0, "nothing")
		must(t, stores.Log.StoreLogs(entries(1, 3)))
		want(1, "an append")
		for i := uint64(4); i < 40; i++ {
			must(t, stores.Log.StoreLogs(entries(i, i)))
		}
		want(2, "many at once: at their first, and for all the others")
		must(t, stores.Stable.SetUint64(keyTerm, 2))
		if syncs.Load() != 1 {
			t.Error("a term is saved before its mark is synced")
		}
		cancel()
		must(t, <-ended)
		must(t, stores.Close())
	})
}

// A tail that was applied is not deleted: Raft would only report that, and be asked again, so the node is told to end.
func TestWhatIsAppliedIsNeverTakenBack(t *testing.T) {
	stores, err := Open(t.TempDir(), Options{Log: quiet})
	must(t, err)
	defer stores.Close()
	must(t, stores.Log.StoreLogs(entries(1, 20)))
	stores.SetApplied(func() uint64 { return 10 })
	must(t, stores.Log.DeleteRange(15, 20))
	if err := stores.Log.DeleteRange(10, 14); !errors.Is(err, ErrDiverged) {
		t.Errorf("entry 10 is applied, and deleted: %v", err)
	}
	select {
	case err := <-stores.Failed():
		if !errors.Is(err, ErrDiverged) || !strings.Contains(err.Error(), "entries 10 to 14") {
			t.Errorf("the node is told %v", err)
		}
	default:
		t.Error("the node is not told")
	}
	if last, _ := stores.Log.LastIndex(); last != 14 || stores.Mark().Last != 14 {
		t.Errorf("the log ends at %d, the mark at %d", last, stores.Mark().Last)
	}
	if err := stores.Log.StoreLogs(entries(16, 17)); err == nil {
		t.Error("a gap is stored")
	}
}

// An entry that cannot be read back is told before Raft makes a panic of it, and whoever asked for it waits for the end of the process.
func TestAnUnreadableEntryIsToldFirst(t *testing.T) {
	dir := t.TempDir()
	stores, err := Open(dir, Options{Log: quiet})
	must(t, err)
	must(t, stores.Log.StoreLogs(entries(1, 40)))
	must(t, stores.Close())
	if _, err := Open(dir, Options{Log: quiet}); err == nil {
		t.Fatal("entries of term 1 and no term")
	}
	putStable(t, dir, keyTerm, binary.BigEndian.AppendUint64(nil, 1))
	stores, err = Open(dir, Options{Log: quiet}) // with an empty cache
	must(t, err)
	waited := make(chan struct{}, 1)
	stores.failure.wait = func() { waited <- struct{}{} }
	bolt := stores.Log.(*logCache).LogStore.(watchedLog).LogStore.(*markedLog).LogStore.(sealed)
	must(t, bolt.LogStore.StoreLogs([]*raft.Log{{Index: 7, Term: 1, Data: []byte("not sealed")}}))
	must(t, bolt.DeleteRange(9, 9))

	if err := stores.Log.GetLog(7, &raft.Log{}); !errors.Is(err, ErrDamaged) || len(waited) > 0 {
		t.Errorf("before the node runs: %v, %d wait", err, len(waited))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- stores.Run(ctx) }()
	for !stores.failure.armed.Load() {
		time.Sleep(time.Millisecond)
	}
	for index, says := range map[uint64]string{7: "raft.db: log entry 7", 9: "log entry 9"} {
		if err := stores.Log.GetLog(index, &raft.Log{}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), says) {
			t.Errorf("entry %d: %v", index, err)
		}
		<-waited
	}
	if err := stores.Log.GetLog(41, &raft.Log{}); !errors.Is(err, raft.ErrLogNotFound) {
		t.Errorf("an entry that never was: %v", err)
	}
	if err := <-stores.Failed(); !strings.Contains(err.Error(), "log entry 7") {
		t.Errorf("the node is told %v", err)
	}
	if !stores.Held() {
		t.Error("nobody says that Raft stands still")
	}
	cancel()
	must(t, errors.Join(<-ended, stores.Close()))
}

// A first start that ended at any point is a first start again: the log gets its name when it is whole, and the node its record when the
// mark is there.
func TestAFirstStartThatWasCutOff(t *testing.T) {
	for name, leave := range map[string]func(dir string) error{
		"nothing":        func(string) error { return nil },
		"half a new log": func(dir string) error { return os.WriteFile(filepath.Join(dir, newLogFile), []byte("half"), 0o600) },
		"no mark":        func(dir string) error { return createLog(filepath.Join(dir, logFile)) },
		"half a mark": func(dir string) error {
			return errors.Join(createLog(filepath.Join(dir, logFile)), os.WriteFile(filepath.Join(dir, markFileName), make([]byte, 4096), 0o600))
		},
		"half a snapshot": func(dir string) error { return os.MkdirAll(filepath.Join(dir, snapshotsDir, "1-2-3.tmp"), 0o700) },
	} {
		dir := t.TempDir()
		must(t, leave(dir))
		stores, err := Open(dir, Options{NodeID: damagedNode, Log: quiet})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		must(t, stores.Close())
		if _, err := os.Stat(filepath.Join(dir, snapshotsDir, "1-2-3.tmp")); err == nil {
			t.Errorf("%s: the half snapshot is still there", name)
		}
	}
}

// What a kill left of snapshots that were under way goes at the next start of a node that has run, and nothing else does.
func TestHalfSnapshotsOfANodeThatHasRunAreRemoved(t *testing.T) {
	dir := t.TempDir()
	stores, err := Open(dir, Options{NodeID: damagedNode, Log: quiet})
	must(t, err)
	must(t, stores.Stable.SetUint64(keyTerm, 1))
	must(t, stores.Log.StoreLogs(entries(1, 50)))
	takeSnapshot(t, stores, 30, 1)
	must(t, stores.Close())
	whole, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	must(t, err)
	for _, half := range []string{"1-40-5.tmp", "1-45-6.tmp"} {
		must(t, os.MkdirAll(filepath.Join(dir, snapshotsDir, half), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, snapshotsDir, half, "state.bin"), []byte("half"), 0o600))
	}
	stores, err = Open(dir, Options{NodeID: damagedNode, Marked: true, Log: quiet})
	must(t, err)
	defer func() { must(t, stores.Close()) }()
	left, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	must(t, err)
	if len(whole) != 1 || len(left) != 1 || left[0].Name() != whole[0].Name() {
		t.Errorf("%v became %v", whole, left)
	}
}

// What an older build left is read: a log of format 1 with a gap behind an installed snapshot, and snapshots without seals.
func TestADirectoryOfAnOlderBuildIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: filepath.Join(dir, logFile), BoltOptions: boltOptions(), MsgpackUseNewTimeFormat: true})
	must(t, err)
	old := sealed{bolt, logFile}
	must(t, errors.Join(bolt.Set(formatKey, []byte("1")), bolt.SetUint64(keyTerm, 3), bolt.SetUint64(keyVoteTerm, 2), bolt.Set(keyVoteCandidate, []byte("n2"))))
	must(t, errors.Join(old.StoreLogs(entries(1, 20)), old.StoreLogs(entries(61, 70)), bolt.Close()))
	theirs, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, Hclog(quiet, "raft"))
	must(t, err)
	_, transport := raft.NewInmemTransport("a")
	sink, err := theirs.Create(1, 60, 1, threeVoters, 1, transport)
	must(t, err)
	_, err = sink.Write(bytes.Repeat([]byte("state"), 1000))
	must(t, errors.Join(err, sink.Close()))

	stores, err := Open(dir, Options{NodeID: damagedNode, Member: true, Log: quiet})
	must(t, err)
	first, _ := stores.Log.FirstIndex()
	last, _ := stores.Log.LastIndex()
	term, err := stores.Stable.GetUint64(keyTerm)
	vote, voteErr := stores.Stable.Get(keyVoteCandidate)
	must(t, errors.Join(err, voteErr))
	if first != 61 || last != 70 || term != 3 || string(vote) != "n2" || stores.Mark().SnapshotIndex != 60 {
		t.Errorf("entries %d to %d, term %d, vote %q, %+v", first, last, term, vote, stores.Mark())
	}
	takeSnapshot(t, stores, 65, 1)
	must(t, stores.Close())
	stores, err = Open(dir, options())
	must(t, err)
	must(t, stores.Close())

	// The older build reads our snapshots as its own.
	if list, err := theirs.List(); err != nil || len(list) != 2 || list[0].Index != 65 || len(list[0].Configuration.Servers) != 3 {
		t.Errorf("it finds %v, %v", list, err)
	}
	if _, state, err := theirs.Open(filepath.Base(snapshotDir(t, dir, 0))); err != nil {
		t.Error(err)
	} else {
		must(t, state.Close())
	}
}

// The name of a snapshot says its term and index, so that even one without a seal cannot lie about them.
func TestAnOldSnapshotCannotLieAboutItsIndex(t *testing.T) {
	dir := t.TempDir()
	stores, err := Open(dir, Options{NodeID: damagedNode, Log: quiet})
	must(t, err)
	must(t, stores.Stable.SetUint64(keyTerm, 1))
	must(t, stores.Log.StoreLogs(entries(1, 20)))
	takeSnapshot(t, stores, 10, 1)
	must(t, errors.Join(stores.Log.DeleteRange(1, 5), stores.Close()))
	must(t, errors.Join(os.Remove(filepath.Join(dir, markFileName)), os.Remove(filepath.Join(snapshotDir(t, dir, 0), sealFile))))
	path := filepath.Join(snapshotDir(t, dir, 0), metaFile)
	content, err := os.ReadFile(path)
	must(t, err)
	var meta snapshotMeta
	must(t, json.Unmarshal(content, &meta))
	meta.Index = 18
	content, err = json.Marshal(meta)
	must(t, errors.Join(err, os.WriteFile(path, content, 0o600)))
	if _, err := Open(dir, Options{NodeID: damagedNode, Log: quiet}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "index 18") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesADirectoryWhoseLockIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		held, err := lockDirectory(dir)
		must(t, err)
		defer held.Close()
		if _, err := Open(dir, Options{Log: quiet}); !errors.Is(err, ErrInUse) {
			t.Errorf("got %v", err)
		}
		if _, err := AcceptLoss(dir, Options{Log: quiet}); !errors.Is(err, ErrInUse) {
			t.Errorf("accept-loss: %v", err)
		}
		if _, err := OpenDirectory(dir, Options{Log: quiet}); !errors.Is(err, ErrInUse) {
			t.Errorf("recover: %v", err)
		}
	})
}
