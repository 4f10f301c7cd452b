package scheduler

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A window has free turns, and the only actors without one wait for a delay that ends behind it. No Step looks through them, nor through
// those that have theirs: there may be many, for an hour.
func TestAWindowThatCannotBeFilledCostsNothing(t *testing.T) {
	const actors = 4_000
	w := newWorld(t)
	w.clockMs = 1_000
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		rate, period, delay := uint64(10_000_000), uint32(600), uint32(3_600)
		do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns.ID[:], Name: "p", Config: &logv1.PoolConfig{
			EvictionPeriodS: &period, EvictionRateMicrosPerS: &rate, EvictionDelayS: &delay,
		}}}})
		for i := range 3 {
			id := idOf(fmt.Sprintf("runner %d", i))
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: "p", Key: fmt.Sprint(i), InstanceId: id[:], SessionId: id[:], Holder: "n1",
				Slots: 2 * actors, ThresholdMs: 86_400_000,
			}}})
		}
		for i := range 2 * actors {
			id, runner := idOf(fmt.Sprintf("actor %d", i)), idOf(fmt.Sprintf("runner %d", i%2))
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "a", Pool: "p", CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
			ref := &logv1.Ref{ActorId: id[:], Generation: 1}
			do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{Ref: ref, RunnerId: runner[:], SessionId: runner[:], StartDeadlineMs: 30_000}}})
			do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
		}
	})
	drain := func(i int) {
		id := idOf(fmt.Sprintf("runner %d", i))
		w.seed(func(do func(*logv1.Op)) {
			do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id[:], Cause: uint32(fsm.DrainOperator)}}})
		})
	}
	step := func(in Input) Output {
		tx := w.view.Begin(w.clockMs, w.wallMs())
		out := Step(tx, in)
		w.view = tx.Seal(w.view.Index() + 1)
		return out
	}
	settle := func() {
		for out := step(Input{Sweep: true}); out.Unfinished; {
			out = step(Input{Sweep: true})
		}
	}
	named := func() uint32 {
		return w.view.PoolStats(w.view.Pool(fsm.PoolID{Namespace: w.defaultNamespace().ID, Name: "p"})).Named
	}
	drain(0)
	settle()
	if named() != actors {
		t.Fatalf("%d are named, want all %d of the first runner", named(), actors)
	}
	w.clockMs += 1_000_000 // the delay of the second ends behind the window, which begins after 3 600 s and lasts 600 s
	drain(1)
	settle()
	left := named()
	const steps = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range steps {
		if out := step(Input{}); len(out.Ops) > 0 {
			t.Fatalf("%d ops", len(out.Ops))
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / steps; each > 20_000 {
		t.Errorf("each Step takes %d bytes while %d wait for their turns and %d for their delay", each, left, actors)
	}
}
