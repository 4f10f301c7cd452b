package snapshot_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/fsm/snapshot"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

var actors = flag.Int("actors", 100_000, "size of the state of the benchmarks")

// BenchmarkSnapshot writes, hashes and reads a state of -actors actors, half of them running, half asleep, all with a key, on runners
// with a thousand slots each. Run it with -benchtime=1x -actors=1000000 for the figures that the project promises: at most 600 MB of
// heap for a million actors, and at most 5 s to read them.
func BenchmarkSnapshot(b *testing.B) {
	before := heap()
	v := many(b, *actors)
	b.Logf("%d actors built: %.0f MB of heap, %.0f bytes an actor", *actors, mb(heap()-before), float64(heap()-before)/float64(*actors))

	file, want := bytes.NewBuffer(written(b, v)), snapshot.Hash(v)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			file.Reset()
			if err := snapshot.Write(file, v); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(file.Len())/float64(*actors), "file-bytes/actor")
	})
	b.Run("hash", func(b *testing.B) {
		for b.Loop() {
			snapshot.Hash(v)
		}
	})
	v = nil
	b.Run("read", func(b *testing.B) {
		before := heap()
		var got *fsm.View
		for b.Loop() {
			got = nil // so that two never stand side by side
			runtime.KeepAlive(got)
			var err error
			if got, err = snapshot.Read(bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		b.ReportMetric(float64(heap()-before)/float64(*actors), "heap-bytes/actor")
		if snapshot.Hash(got) != want {
			b.Error("the hash changed")
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

// many builds a state of n actors, in entries of 256 ops.
func many(tb testing.TB, n int) *fsm.View {
	start := time.Now()
	const slots = 1000
	v := told(tb, story()[:4])
	var batch []*logv1.Op
	flush := func() {
		tx := v.Begin(v.ClockMs()+10, v.WallMs()+10)
		for _, op := range batch {
			if res := tx.Do(op); res.Code != fsm.CodeOK {
				tb.Fatalf("%v: %s", op, res.Code)
			}
		}
		v, batch = tx.Seal(v.Index()+1), batch[:0]
	}
	for i := range n {
		runner := uint64(10 + i/(2*slots))
		if i%(2*slots) == 0 {
			r := register(runner, fmt.Sprint("key-", runner), 1)
			r.GetRegisterRunner().Slots = slots
			batch = append(batch, r)
		}
		actor := uint64(i) + 1
		c := create(actor, "room", pointer(fmt.Sprintf("customer-%d", i)))
		// Ids begin with the time, as minted ones do, and go on by chance.
		c.GetCreateActor().ActorId = mint(actor)
		c.GetCreateActor().Input = nil
		batch = append(batch, c)
		if i%2 == 0 {
			a := assign(actor, runner)
			a.GetAssignActor().Ref.ActorId = mint(actor)
			a.GetAssignActor().StartDeadlineMs = 1 << 40
			batch = append(batch, a, &logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: a.GetAssignActor().GetRef()}}})
		} else {
			batch = append(batch, &logv1.Op{Op: &logv1.Op_SleepActor{SleepActor: &logv1.SleepActor{ActorId: mint(actor)}}})
		}
		if len(batch) >= 256 {
			flush()
		}
	}
	flush()
	tb.Logf("built in %s", time.Since(start).Round(time.Millisecond))
	return v
}

func mint(number uint64) []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, (1_790_000_000_000+number/10)<<16)
	binary.BigEndian.PutUint64(b[8:], number*0x9e3779b97f4a7c15)
	return b
}

// What a snapshot leaves to the garbage collector is little for each actor. It was 500 bytes each, and with a million of them the collector ran
// all the time that a snapshot took.
func TestASnapshotLeavesLittleGarbage(t *testing.T) {
	const size = 10_000
	v := many(t, size)
	allocated := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.TotalAlloc
	}
	before := allocated()
	snapshot.Hash(v) // the same records, without the buffers of compression
	if each := (allocated() - before) / size; each > 100 {
		t.Errorf("%d bytes an actor", each)
	}
}
