package server

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/transport/gossip"
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
