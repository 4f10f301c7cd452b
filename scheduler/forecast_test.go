package scheduler

import (
	"fmt"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A plan costs what its moves cost, and not what slots and runners could be named: a node makes one at a time, and whoever looks at a
// rollout waits for it.
func TestAPlanCostsWhatItMoves(t *testing.T) {
	const actors, runners = 300, 100
	w := newWorld(t)
	on := true
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns.ID[:], Name: "default", Config: &logv1.PoolConfig{DrainOnVersionUpgrade: &on}}}})
		for i := range runners {
			id, session := idOf(fmt.Sprintf("runner %d", i)), idOf(fmt.Sprintf("session %d", i))
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: "default", Key: fmt.Sprint(i), InstanceId: id[:], SessionId: session[:],
				Slots: 1000, ThresholdMs: 15_000,
			}}})
		}
		do(&logv1.Op{Op: &logv1.Op_PutSettings{PutSettings: &logv1.PutSettings{Values: []*logv1.SettingValue{{Name: "runner_eligible_threshold", Value: 10_000}}}}})
	})
	w.seed(func(do func(*logv1.Op)) {
		for i := range actors {
			id, on := fsm.MintID(int64(i), [10]byte{byte(i), byte(i >> 8)}), i%runners
			runner, session := idOf(fmt.Sprintf("runner %d", on)), idOf(fmt.Sprintf("session %d", on))
			ns, ref := w.defaultNamespace(), &logv1.Ref{ActorId: id[:], Generation: 1}
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "counter", Pool: "default", CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
			do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{Ref: ref, RunnerId: runner[:], SessionId: session[:], StartDeadlineMs: 30_000}}})
			do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
		}
	})
	pool := w.view.Pool(fsm.PoolID{Namespace: w.defaultNamespace().ID, Name: "default"})
	enough := Plan(w.view, pool, 1, 0)
	if enough.GetMoves() != actors || enough.GetEstimate() || enough.GetDurationMs() < (actors-3)*1000 {
		t.Fatalf("the plan: %v", enough)
	}
	small := testing.AllocsPerRun(1, func() { Plan(w.view, pool, 1, 0) })
	huge := testing.AllocsPerRun(1, func() {
		plan := Plan(w.view, pool, 1, fsm.MaxRunners*fsm.MaxSlots)
		if plan.GetMoves() != enough.GetMoves() || plan.GetDurationMs() != enough.GetDurationMs() || plan.GetSlots() != fsm.MaxRunners*fsm.MaxSlots {
			t.Errorf("with more slots than could be: %v", plan)
		}
	})
	if huge > 2*small {
		t.Errorf("with more slots than could be a plan takes %.0f allocations, else %.0f", huge, small)
	}
	// 300 s of its time: runners that were heard as often as they are would be 100 times.
	end := foretell(w.view, pool.ID, planReach, func(tx *fsm.Tx) { imagine(tx, pool, 1, actors) })
	for r := range end.view.PoolRunners(end.view.Pool(pool.ID)) {
		if heard := end.view.LastSeenMs(r) - end.startMs; heard > 1000 || end.view.Ineligible(r) == "silent" {
			t.Fatalf("%s was heard %d ms after the beginning, and is %q at the end", r.Key, heard, end.view.Ineligible(r))
		}
	}
}
