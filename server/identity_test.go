package server

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/raftnet"
)

// Each start has a count of its own, on the disk before it is used.
func TestStartsAreCounted(t *testing.T) {
	dir := t.TempDir()
	for want := uint64(1); want <= 3; want++ {
		id, err := loadIdentity(dir, "n1")
		if err != nil {
			t.Fatal(err)
		}
		start, err := id.nextStart(dir)
		if err != nil || start.Count != want || id.Starts != want {
			t.Fatalf("start %v, %v; want count %d", start, err, want)
		}
		kept, err := loadIdentity(dir, "n2")
		if kept.Sum, id.Sum = "", ""; err != nil || kept != id {
			t.Fatalf("kept is %+v, %v, want %+v", kept, err, id)
		}
		if name := bornAs(kept.NodeID); name != "n1" {
			t.Errorf("%s was born as %q", kept.NodeID, name)
		}
	}
	if name := bornAs("n1-notrandom"); name != "" {
		t.Errorf("it was born as %q", name)
	}
}

// A start that the disk did not take is none: the node does not go on with a count that the next start would use again.
func TestAStartThatIsNotSavedIsNone(t *testing.T) {
	dir := t.TempDir()
	id, err := loadIdentity(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := id.nextStart(dir); err != nil {
		t.Fatal(err)
	}
	before := id
	if start, err := id.nextStart(filepath.Join(dir, "gone")); err == nil || !start.IsZero() || id != before || !strings.Contains(err.Error(), "write identity") {
		t.Errorf("start %v, %v: the identity is %+v", start, err, id)
	}
	if start, err := id.nextStart(dir); err != nil || start.Count != 2 {
		t.Errorf("then start %v, %v", start, err)
	}
}

// An identity that is made anew from the mark counts on from the seconds of the clock, whoever makes it: the others would take a lower count
// for an older copy.
func TestAnIdentityOfTheMarkIsNoOlderCopy(t *testing.T) {
	dir := t.TempDir()
	stores, err := raftnet.Open(dir, raftnet.Options{NodeID: "n1-0123456789abcdef", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := stores.Close(); err != nil {
		t.Fatal(err)
	}
	before := uint64(time.Now().Unix())
	if id := identityOfMark(dir); id.NodeID != "n1-0123456789abcdef" || !id.Marked || id.Starts < before {
		t.Errorf("%+v", id)
	}
}

// A directory of which the cluster is founded anew may start, whatever was said of it before.
func TestARecoveredDirectoryIsNotBarred(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	id, err := loadIdentity(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	stores, err := raftnet.Open(dir, raftnet.Options{NodeID: id.NodeID, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	three := raft.Configuration{}
	for i, member := range []string{id.NodeID, "n2-000000000002", "n3-000000000003"} {
		three.Servers = append(three.Servers, raft.Server{ID: raft.ServerID(member), Address: raft.ServerAddress("127.0.0.1:" + strconv.Itoa(i+1))})
	}
	founding := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(three)}
	id.Barred, id.Marked, id.ClusterID = "was its data directory copied?", true, "c"
	if err := errors.Join(stores.Stable.SetUint64([]byte("CurrentTerm"), 1), stores.Log.StoreLog(founding), stores.Close(), id.save(dir)); err != nil {
		t.Fatal(err)
	}
	if r, err := Recover(t.Context(), RecoverOptions{Dirs: []string{dir}, OthersAreDead: true, Log: quiet}); err != nil {
		t.Fatalf("%+v, %v", r, err)
	}
	if kept, err := loadIdentity(dir, "n1"); err != nil || kept.Barred != "" || kept.NodeID != id.NodeID || !kept.Marked {
		t.Errorf("%+v, %v", kept, err)
	}
}

// A member is found by its id, by the name it has now, and by the name its id begins with where nobody knows it now.
func TestAMemberIsFoundByEachNameItIsListedBy(t *testing.T) {
	var servers []raft.Server
	for _, id := range []raft.ServerID{"n1-000000000001", "n2-000000000002", "n3-000000000003", "n3-000000000004", "n5-000000000005", "n6"} {
		servers = append(servers, raft.Server{ID: id})
	}
	called := map[string]string{"n1-000000000001": "n1", "n2-000000000002": "other", "n5-000000000005": "n2"}
	for name, want := range map[string]string{
		"n1-000000000001": "n1-000000000001", // each by its id
		"n3-000000000004": "n3-000000000004",
		"n6":              "n6",
		"n1":              "n1-000000000001", // by its name
		"other":           "n2-000000000002",
		"n2":              "n5-000000000005", // the name counts that a member has now, not the one it once had
		"n3":              "two",             // by the name it was born with, which two share
		"n5":              "",                // nobody is called that now
		"n7":              "",
		"":                "",
	} {
		got, err := memberNamed(servers, name, func(id string) (string, bool) { is, known := called[id]; return is, known })
		if want == "two" {
			if refusal, _ := callboardv1.AsRefusal(err); refusal.Name() != "cluster.membership_change_rejected" {
				t.Errorf("%q is %q, %v", name, got, err)
			}
			continue
		}
		if got != want || err != nil {
			t.Errorf("%q is %q, %v, want %q", name, got, err, want)
		}
	}
}

// A process that was found to be one too many never starts again on its directory.
func TestACopyIsBarred(t *testing.T) {
	dir := t.TempDir()
	id, err := loadIdentity(dir, "n1")
	if err != nil {
		t.Fatal(err)
	}
	for _, cause := range []error{&gossip.OtherStartError{NodeID: id.NodeID, There: gossip.NewStart(1)}, &refusedError{"was its data directory copied?"}} {
		n := &node{cfg: Config{DataDir: dir, Log: slog.New(slog.DiscardHandler)}, id: id}
		err = n.bar(errors.Join(cause))
		n = &node{cfg: n.cfg}
		for _, err := range []error{err, n.open(t.Context())} {
			var barred *barredError
			if !errors.As(err, &barred) || barred.ExitCode() != exitOtherStart || !strings.Contains(err.Error(), "copied?") || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v", err)
			}
		}
	}
	n := &node{}
	if other := errors.New("another"); n.bar(other) != other || n.bar(nil) != nil { //nolint:errorlint // the very same
		t.Error("another error was changed")
	}
}

func TestRemovalsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	quiet := slog.New(slog.DiscardHandler)
	r := loadRemovals(dir, quiet)
	at := time.UnixMilli(1_000)
	note := func(members ...string) {
		t.Helper()
		if err := r.note(members, at); err != nil {
			t.Fatal(err)
		}
		r = loadRemovals(dir, quiet)
		at = at.Add(time.Second)
	}
	note("a", "b", "c")
	note() // Raft does not answer: nobody was removed
	note("c", "a")
	note("a", "c")
	if got := r.when("b"); got != 3_000 || r.when("a") != 0 || r.when("x") != 0 {
		t.Errorf("b was removed at %d", got)
	}
	note("a", "b", "c")
	if got := r.when("b"); got != 0 {
		t.Errorf("b is back, and was removed at %d", got)
	}
	for i := range maxRemovals + 10 {
		note("a", strings.Repeat("x", i+1))
	}
	if len(r.known.Removed) != maxRemovals || r.when("x") != 0 || r.when("c") != 0 || r.when(strings.Repeat("x", maxRemovals)) == 0 {
		t.Errorf("%d are remembered", len(r.known.Removed))
	}
}
