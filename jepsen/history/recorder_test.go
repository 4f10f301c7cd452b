package history_test

import (
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/callboard/callboard/jepsen/history"
)

func TestWhatWasRecordedIsRead(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	write(t, one, "a", history.Event{AtNs: 3, Kind: history.OK, Call: 1, Actors: []history.Actor{{ID: "x", Generation: 2}}}, history.Event{AtNs: 5, Kind: history.Invoke, Op: history.Create})
	write(t, two, "b", history.Event{AtNs: 4, Kind: history.BodyStart, Actor: "x", Number: 7, Process: "other"})
	write(t, one, "a", history.Event{AtNs: 6, Kind: history.Killed}) // a second start appends

	got, err := history.Read(one, two)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if got[i].WallMs == 0 {
			t.Errorf("event %d has no wall clock", i)
		}
		got[i].WallMs = 0
	}
	want := []history.Event{
		{AtNs: 3, Process: "a", Kind: history.OK, Call: 1, Actors: []history.Actor{{ID: "x", Generation: 2}}},
		{AtNs: 4, Process: "other", Kind: history.BodyStart, Actor: "x", Number: 7},
		{AtNs: 5, Process: "a", Kind: history.Invoke, Op: history.Create},
		{AtNs: 6, Process: "a", Kind: history.Killed},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestALineThatAKillCutOffIsLeftOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	write(t, path, "a", history.Event{Kind: history.Saved, Number: 1})
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"at_ns":1,"kind":"sav`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	events, err := history.Read(path)
	if err != nil || len(events) != 1 {
		t.Errorf("got %d events, %v; want the one that is whole", len(events), err)
	}
}

func TestAHistoryThatIsDamagedIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	if err := os.WriteFile(path, []byte("{}\nnonsense\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Read(path); err == nil {
		t.Error("a line that is no event was passed over")
	}
	if _, err := history.Read(path + "-missing"); err == nil {
		t.Error("a missing file was passed over")
	}
}

func TestLinesStayWholeUnderManyCallers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "h")
	r, err := history.Append(path, "a")
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 100 {
				r.Record(history.Event{Kind: history.Invoke, Key: "k"})
			}
		})
	}
	callers.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	events, err := history.Read(path)
	if err != nil || len(events) != 800 {
		t.Errorf("got %d events, %v; want 800", len(events), err)
	}
}

func TestARecorderThatCannotWriteSaysSo(t *testing.T) {
	r, err := history.Append("/dev/full", "a")
	if err != nil {
		t.Skip("no /dev/full here: " + err.Error())
	}
	r.Record(history.Event{Kind: history.Invoke})
	if err := r.Close(); err == nil {
		t.Error("a full disk went unnoticed")
	}
}

func write(t *testing.T, path, process string, events ...history.Event) {
	t.Helper()
	r, err := history.Append(path, process)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		r.Record(e)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
}
