package fsm

import (
	"fmt"
	"runtime"
	"testing"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// bytesPerOutcome is what docs/operations.md promises of a remembered outcome of a write that answers with one id.
const bytesPerOutcome = 100

// The limit on remembered outcomes is one of memory: each takes no more than what is promised, whatever its key is.
func TestAnOutcomeIsSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("short: it measures 200 000 outcomes")
	}
	const n = 200_000
	before := heapInUse()
	v := NewView()
	for i := 0; i < n; {
		tx := v.Begin(v.clockMs+100, v.wallMs)
		for range 256 {
			remember(tx, i)
			i++
		}
		v = tx.Seal(v.index + 1)
	}
	each := float64(heapInUse()-before) / float64(v.OutcomeCount())
	t.Logf("%.0f bytes each", each)
	if each > bytesPerOutcome {
		t.Errorf("%.0f bytes each, want %d at most", each, bytesPerOutcome)
	}
	runtime.KeepAlive(v)
}

func remember(tx *Tx, i int) {
	// As the Go client names them, and as a create answers.
	outcome := fmt.Appendf([]byte{0x0a, 0x10}, "%016d", i)
	tx.Do(&logv1.Op{Op: &logv1.Op_RememberOutcome{RememberOutcome: &logv1.RememberOutcome{
		Key: fmt.Sprintf("\x00auto-%026d", uint64(i)*0x9e3779b97f4a7c15), Outcome: outcome, Fingerprint: uint64(i),
	}}})
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A snapshot of an older build has its outcomes in the order of their keys: they are forgotten in that of their time all the same.
func TestOutcomesOfAnOldSnapshot(t *testing.T) {
	r := NewRestorer()
	records := []*logv1.Record{{Record: &logv1.Record_State{State: &logv1.StateRecord{ClockMs: 50}}}}
	for _, k := range []struct {
		key  string
		atMs int64
	}{{"a", 20}, {"b", 10}, {"c", 20}} {
		records = append(records, &logv1.Record{Record: &logv1.Record_Outcome{Outcome: &logv1.OutcomeRecord{
			Key: k.key, AtMs: k.atMs, Fingerprint: uint64(k.atMs), Outcome: []byte(k.key + ", which is longer than what a row has room for"),
		}}})
	}
	for _, record := range records {
		if err := r.Add(record); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.View()
	if err != nil {
		t.Fatal(err)
	}
	if err := v.CheckAll(); err != nil {
		t.Error(err)
	}
	tx := v.Begin(v.clockMs, v.wallMs)
	tx.Do(mustOp(&tx.State, "forget-outcomes before=20"))
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		outcome, fingerprint, ok := tx.Outcome(key)
		if ok != want || ok && (fingerprint != 20 || outcome[0] != key[0]) {
			t.Errorf("%s: %q %d %v", key, outcome, fingerprint, ok)
		}
	}
}

// BenchmarkOutcomes remembers and forgets one after the other, with 180 000 of them remembered.
func BenchmarkOutcomes(b *testing.B) {
	v := NewView()
	fill := func(i int) {
		tx := v.Begin(int64(i), 0)
		for j := range 256 {
			remember(tx, i+j)
		}
		v = tx.Seal(v.index + 1)
	}
	for i := 0; i < 190_000; i += 256 {
		fill(i)
	}
	b.ReportAllocs()
	for i := 190_000; b.Loop(); i++ {
		tx := v.Begin(int64(i), 0)
		for range 256 {
			remember(tx, i)
			i++
		}
		tx.Do(&logv1.Op{Op: &logv1.Op_ForgetOutcomes{ForgetOutcomes: &logv1.ForgetOutcomes{BeforeMs: tx.clockMs - 180_000}}})
		v = tx.Seal(v.index + 1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*256), "ns/outcome")
}
