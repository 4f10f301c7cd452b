package fsm

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// What docs/operations.md says of an actor with a key and 64 bytes of input: its row and its keys in the indexes, while it waits and
// while it runs.
func TestAnActorIsSmall(t *testing.T) {
	for _, c := range []struct {
		name  string
		runs  bool
		bytes float64
	}{
		{"waiting", false, 280}, {"running", true, 330},
	} {
		t.Run(c.name, func(t *testing.T) {
			const size = 40_000
			v := play(fmt.Sprintf("register-runner r1 slots=%d", size))
			before := heapInUse()
			v = manyActors(t, v, size, c.runs)
			each := float64(heapInUse()-before) / size
			t.Logf("%.0f bytes each", each)
			if each > c.bytes {
				t.Errorf("%.0f bytes each, want %.0f at most", each, c.bytes)
			}
			runtime.KeepAlive(v)
		})
	}
}

// manyActors makes actors of the default pool, 256 in an entry and 1 000 in a millisecond, as they come from batches.
func manyActors(t *testing.T, v *View, size int, running bool) *View {
	t.Helper()
	ns, r := v.Namespace("default"), v.RunnerByNumber(1)
	for from := 0; from < size; from += 256 {
		wallMs := 1_795_000_000_000 + int64(from)/1000
		tx := v.Begin(v.clockMs, wallMs)
		for i := from; i < min(size, from+256); i++ {
			var entropy [10]byte
			binary.BigEndian.PutUint64(entropy[:], uint64(i)*0x9e3779b97f4a7c15)
			id, key := MintID(wallMs, entropy), fmt.Sprint("customer-", i)
			ops := []*logv1.Op{{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "counter", Key: &key, Pool: "p", Input: make([]byte, 64), CrashPolicy: uint32(PolicyRestart),
			}}}}
			if running {
				ref := &logv1.Ref{ActorId: id[:], Generation: 1}
				ops = append(ops,
					&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
						Ref: ref, RunnerId: r.ID[:], SessionId: r.Session[:], StartDeadlineMs: 1 << 40,
						Decision: &logv1.Decision{InPool: 1, Eligible: 1, Newest: 1, Version: 1, Rule: 1},
					}}},
					&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
			}
			for _, op := range ops {
				if res := tx.Do(op); res.Code != CodeOK {
					t.Fatalf("%s: %v", res.Code, op)
				}
			}
		}
		v = tx.Seal(v.index + 1)
	}
	return v
}
