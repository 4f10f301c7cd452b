package scheduler

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Ten thousand actors crash at once, and their back-offs end at once. They come back a thousand in a second, in order; whoever creates an
// actor meanwhile, in their pool or in another, has it placed in the very Step that takes the call. No Step grows with them. How much
// slower creation becomes with real processes: `bin/bench -run crash-loop`.
func TestCrashersHoldNobodyUp(t *testing.T) {
	const crashers, perReport = 10_000, 1_000
	w := newWorld(t)
	runner, session := idOf("crash runner"), idOf("crash session")
	crasher := func(i int) fsm.ActorID { return fsm.ActorID(idOf(fmt.Sprintf("crasher %d", i))) }
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		for _, pool := range []string{"crash", "others"} {
			do(putPool(ns, pool))
			id, session := idOf(pool+" runner"), idOf(pool+" session")
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: pool, Key: pool, InstanceId: id[:], SessionId: session[:], Holder: "n1",
				Slots: 20_000, ThresholdMs: 600_000,
			}}})
		}
	})
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		for i := range crashers {
			id := crasher(i)
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "crasher", Pool: "crash", CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
			ref := &logv1.Ref{ActorId: id[:], Generation: 1}
			do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{Ref: ref, RunnerId: runner[:], SessionId: session[:], StartDeadlineMs: 30_000}}})
			do(&logv1.Op{Op: &logv1.Op_ActorStopped{ActorStopped: &logv1.ActorStopped{
				Ref: ref, Cause: logv1.StopCause_STOP_CAUSE_CONFIRMED, Next: logv1.NextState_NEXT_STATE_BACKING_OFF, RescheduleMs: 10_000, Penalty: true,
			}}})
		}
	})

	turns := 0
	turn := func(reports []*nodev1.SessionReport) Output {
		turns++
		in := Input{Reports: reports}
		binary.LittleEndian.PutUint64(in.Seed[:], uint64(turns))
		for _, pool := range []string{"others", "crash"} {
			in.Commands = append(in.Commands, Command{Command: create("", fmt.Sprintf("key %d", turns), pool, 0)})
			in.Commands[len(in.Commands)-1].Command.GetCreateActor().Name = pool
		}
		tx := w.view.Begin(w.clockMs, w.wallMs())
		out := Step(tx, in)
		w.view = tx.Seal(w.view.Index() + 1)
		for i, answer := range out.Commands {
			if phase := w.view.Actor(fsm.ActorID(answer.Success.GetId())).Phase; phase != fsm.Starting {
				t.Fatalf("turn %d: actor %d is %v", turns, i, phase)
			}
		}
		return out
	}

	const everyMs = 20
	w.clockMs = 9_999
	turn(nil)
	w.clockMs++ // every back-off is over
	for came := 0; came < crashers; {
		out := turn(nil)
		n := 0
		for _, op := range out.Ops {
			if e := op.GetEnqueueActor(); e != nil {
				if want := crasher(came + n); string(e.GetActorId()) != string(want[:]) {
					t.Fatalf("turn %d: actor %d of the crashers is out of turn", turns, came+n)
				}
				n++
			}
		}
		if came == 0 && n != 1 || came > 0 && n != min(everyMs, crashers-came) {
			t.Fatalf("turn %d: %d crashers came back in %d ms", turns, n, everyMs)
		}
		came += n
		if came < crashers && out.WakeMs != w.clockMs+retryEveryMs {
			t.Fatalf("turn %d: it wants to be called again at %d ms, and it is %d", turns, out.WakeMs, w.clockMs)
		}
		w.clockMs += everyMs
	}
	var reports []*nodev1.SessionReport // they all crash again
	for from := 0; from < crashers; from += perReport {
		batch := &callboardv1.ActorEvents{}
		for i := from; i < from+perReport; i++ {
			batch.Events = append(batch.Events, stopped(fsm.Ref{Actor: crasher(i), Generation: 2}, false, "boom"))
		}
		reports = append(reports, &nodev1.SessionReport{RunnerId: runner[:], SessionId: session[:], Report: &nodev1.SessionReport_Events{Events: batch}})
	}
	if out := turn(reports); len(out.Ops) > crashers+10 {
		t.Errorf("%d ops", len(out.Ops))
	}
	if backing := w.view.Count(fsm.BackingOff); backing != crashers {
		t.Errorf("%d of %d are backing off", backing, crashers)
	}
}

// Ten thousand actors that run crash for the first time, all at once. Nothing has to be waited for but the others: a hundred are placed again
// at once, the others in line, a thousand in a second. One that crashes when the crowd has gone is placed at once.
func TestFirstCrashesOfACrowdStandInLine(t *testing.T) {
	const crashers, perReport = 10_000, 1_000
	w := newWorld(t)
	w.clockMs = 1_000
	runner, session := idOf("crash runner"), idOf("crash session")
	crasher := func(i int) fsm.ActorID { return fsm.ActorID(idOf(fmt.Sprintf("crasher %d", i))) }
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		do(putPool(ns, "crash"))
		do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
			RunnerId: runner[:], NamespaceId: ns.ID[:], Pool: "crash", Key: "crash", InstanceId: runner[:], SessionId: session[:], Holder: "n1",
			Slots: 20_000, ThresholdMs: 600_000,
		}}})
		for i := range crashers {
			id := crasher(i)
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "crasher", Pool: "crash", CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
			ref := &logv1.Ref{ActorId: id[:], Generation: 1}
			do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{Ref: ref, RunnerId: runner[:], SessionId: session[:], StartDeadlineMs: 30_000}}})
			do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
		}
	})
	crash := func(from, to int, generation uint64) *nodev1.SessionReport {
		batch := &callboardv1.ActorEvents{}
		for i := from; i < to; i++ {
			batch.Events = append(batch.Events, stopped(fsm.Ref{Actor: crasher(i), Generation: generation}, false, "boom"))
		}
		return &nodev1.SessionReport{RunnerId: runner[:], SessionId: session[:], Report: &nodev1.SessionReport_Events{Events: batch}}
	}
	turns := uint64(0)
	step := func(afterMs int64, reports ...*nodev1.SessionReport) Output {
		turns++
		w.clockMs += afterMs
		in := Input{Reports: reports}
		binary.LittleEndian.PutUint64(in.Seed[:], turns)
		tx := w.view.Begin(w.clockMs, w.wallMs())
		out := Step(tx, in)
		w.view = tx.Seal(w.view.Index() + 1)
		return out
	}
	placed := func(out Output) (n int) {
		for _, op := range out.Ops {
			if op.GetAssignActor() != nil {
				n++
			}
		}
		return n
	}
	came := 0
	for from := 0; from < crashers; from += 2 * perReport { // their reports come in five entries
		n := placed(step(5, crash(from, from+perReport, 1), crash(from+perReport, from+2*perReport, 1)))
		want := 5 // and those whose reports came before are in line
		if from == 0 {
			want = freeRetriesPerStep
		}
		if n != want {
			t.Fatalf("%d actors were placed again when %d had crashed, want %d", n, from+2*perReport, want)
		}
		came += n
	}
	for came < crashers {
		n := placed(step(20))
		if n != min(20, crashers-came) {
			t.Fatalf("%d came back in 20 ms", n)
		}
		came += n
	}
	if n := placed(step(5, crash(0, 1, 2))); n != 0 {
		t.Errorf("the second crash of an actor was not waited for")
	}
	late := w.bare(Command{Command: create("late", "", "crash", 0)}).Commands[0].Success.GetId()
	alone := crash(0, 0, 0)
	alone.GetEvents().Events = []*callboardv1.ActorEvent{stopped(fsm.Ref{Actor: fsm.ActorID(late), Generation: 1}, false, "boom")}
	if n := placed(step(5, alone)); n != 1 {
		t.Errorf("one that crashed alone was placed %d times", n)
	}
}
