package server

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// discarded is a snapshot that nobody keeps.
type discarded struct{ io.Writer }

func (discarded) ID() string    { return "none" }
func (discarded) Cancel() error { return nil }
func (discarded) Close() error  { return nil }

// Whoever shares a processor with a snapshot has his turn several times in a millisecond, and not only when Go takes the processor away.
func TestASnapshotMakesRoom(t *testing.T) {
	v := crowd(t, 30_000)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var turns atomic.Int64
	stop := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				turns.Add(1)
				runtime.Gosched()
			}
		}
	})
	began := time.Now()
	if err := (viewSnapshot{v, func() {}}).Persist(discarded{io.Discard}); err != nil {
		t.Fatal(err)
	}
	took, got := time.Since(began), turns.Load()
	close(stop)
	other.Wait()
	t.Logf("%d turns in %v", got, took)
	// A file of 30 000 actors is made in some hundred and forty pieces; without room there is a turn each 10 ms, in 60 ms of work.
	if got < 100 {
		t.Errorf("another goroutine had %d turns in %v", got, took)
	}
}

// crowd is a state with so many actors, as different from each other as actors are.
func crowd(t *testing.T, actors int) *fsm.View {
	t.Helper()
	v := fsm.NewView()
	tx := v.Begin(1, 1)
	do := func(op *logv1.Op) {
		if res := tx.Do(op); res.Code != fsm.CodeOK {
			t.Fatalf("%v: %s", op, res.Code)
		}
	}
	id := func(kind byte, n int) []byte {
		return binary.BigEndian.AppendUint64([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, uint64(n))
	}
	do(&logv1.Op{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: id('c', 1), Node: "n1"}}})
	do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: id('c', 1), Name: "p", Config: &logv1.PoolConfig{}}}})
	for i := range actors {
		key := fmt.Sprint("customer ", i)
		do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
			ActorId: id('a', i+1), NamespaceId: id('c', 1), Name: "room", Key: &key, Pool: "p", CrashPolicy: 1,
			Input: fmt.Appendf(nil, "what it is created with: %064d", i),
		}}})
	}
	return tx.Seal(1)
}
