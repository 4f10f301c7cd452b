package fsm

import (
	"reflect"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What is packed is unpacked: every field of an actor, each of them alone, and texts of every length around the one from which they lie
// beside the row.
func TestARowHoldsTheWholeActor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		full := &Actor{}
		fill(t, full, "keyHash")
		lengths := rapid.SampledFrom([]int{1, longestPacked, longestPacked + 1, MaxSaved})
		full.Input, full.Saved = strings.Repeat("i", lengths.Draw(t, "input")), strings.Repeat("s", lengths.Draw(t, "saved"))
		expectPacked(t, full)

		fields := reflect.ValueOf(full).Elem()
		field := rapid.IntRange(0, fields.NumField()-1).Draw(t, "field")
		name := fields.Type().Field(field).Name
		sparse := &Actor{}
		fill(t, sparse, namesBut(name)...)
		expectPacked(t, sparse)
	})
}

// namesBut lists the fields of an actor but one; of those that a row does not hold, the ordinal is not among them.
func namesBut(name string) (names []string) {
	of := reflect.TypeFor[Actor]()
	for i := range of.NumField() {
		if n := of.Field(i).Name; n != name && n != "ordinal" || n == "keyHash" {
			names = append(names, n)
		}
	}
	return names
}

func expectPacked(t *rapid.T, want *Actor) {
	want.ordinal = 7
	tx := NewView().Begin(0, 0)
	tx.setActor(&Actor{ordinal: 7, Input: strings.Repeat("x", MaxSaved), Saved: strings.Repeat("y", MaxSaved)}) // nothing is left of it
	tx.setActor(want)
	if got := tx.actorAt(7); !reflect.DeepEqual(got, want) {
		t.Fatalf("packed: %+v\nunpacked: %+v", want, got)
	}
	tx.clearActor(7)
	if tx.actorAt(7) != nil || tx.longParts.Get(7) != (longParts{}) {
		t.Fatal("something is left")
	}
}

// A long input is not copied when its actor changes.
func TestALongInputStaysWhereItIs(t *testing.T) {
	tx := NewView().Begin(0, 0)
	tx.setActor(&Actor{ordinal: 1, Input: strings.Repeat("x", MaxInput)})
	const changes = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range changes {
		a := tx.actorAt(1)
		a.Seq++
		tx.setActor(a)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / changes; each > 1000 {
		t.Errorf("a change takes %d bytes", each)
	}
}

func BenchmarkActorRow(b *testing.B) {
	tx := NewView().Begin(0, 0)
	tx.setActor(&Actor{
		ID: ActorID{1}, Seq: 900_000, Name: "counter", Key: "customer-900000", HasKey: true, Policy: PolicyRestart, Phase: Running, CreateMs: 1_795_000_000_000,
		StartMs: 1_795_000_000_000, ConnectableMs: 1_795_000_000_000, Input: strings.Repeat("x", 64), Generation: 1, Runner: 900, RunnerRev: 1000, FloorVersion: 1,
		Decision: Decision{Index: 90_000, WallMs: 1_795_000_000_000, InPool: 3, Eligible: 3, Newest: 3, Version: 1, Rule: 2}, ordinal: 1, pool: 1,
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tx.actorAt(1)
		}
	})
	a := tx.actorAt(1)
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tx.setActor(a)
		}
	})
}
