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

// The cost of a Step follows its inputs and what is due, not the state: every line of one benchmark shows the same µs, whether ten
// thousand actors idle or a million. An entry here is what the leader does for it: Begin, Step, Seal. Run with
//
//	go test ./scheduler -run '^$' -bench Step -benchtime 200x
//
// Building the state of a million takes a minute and 2 GiB, so that it is left out with -short.

const benchRunners = 3_000

// idleWorld has 3 000 runners, spread over which so many actors run and do nothing.
type idleWorld struct {
	view    *fsm.View
	seed    uint64
	clockMs int64
	runners []*fsm.Runner
}

var idleWorlds = map[int]*idleWorld{}

func idle(b *testing.B, actors int) *idleWorld {
	if testing.Short() && actors > 100_000 {
		b.Skip("a large state")
	}
	if idleWorlds[actors] == nil {
		idleWorlds[actors] = buildIdle(b, actors)
	}
	w := *idleWorlds[actors]
	return &w
}

func buildIdle(b *testing.B, actors int) *idleWorld {
	w := newWorld(b)
	w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
	ns := w.defaultNamespace()
	w.seed(func(do func(*logv1.Op)) {
		for i := range benchRunners {
			id, session := idOf(fmt.Sprintf("runner %d", i)), idOf(fmt.Sprintf("session %d", i))
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: "default", Key: fmt.Sprint(i), InstanceId: id[:], SessionId: session[:],
				Holder: "n1", Slots: 1000, ThresholdMs: 600_000,
			}}})
		}
	})
	for from := 0; from < actors; from += 10_000 {
		w.seed(func(do func(*logv1.Op)) {
			for i := from; i < min(actors, from+10_000); i++ {
				seedRunning(do, ns, i)
			}
		})
	}
	idle := &idleWorld{view: w.view}
	for i := range benchRunners {
		idle.runners = append(idle.runners, w.view.Runner(fsm.RunnerID(idOf(fmt.Sprintf("runner %d", i)))))
	}
	return idle
}

func seedRunning(do func(*logv1.Op), ns *fsm.Namespace, i int) {
	id := fsm.MintID(int64(i), [10]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	runner, session := idOf(fmt.Sprintf("runner %d", i%benchRunners)), idOf(fmt.Sprintf("session %d", i%benchRunners))
	key, ref := fmt.Sprintf("key-%d", i), &logv1.Ref{ActorId: id[:], Generation: 1}
	do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
		ActorId: id[:], NamespaceId: ns.ID[:], Name: "counter", Key: &key, Pool: "default", CrashPolicy: uint32(fsm.PolicyRestart),
	}}})
	do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{Ref: ref, RunnerId: runner[:], SessionId: session[:], StartDeadlineMs: 30_000}}})
	do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
}

// entry is what the leader does for one entry.
func (w *idleWorld) entry(in Input) Output {
	w.seed++
	w.clockMs++
	binary.LittleEndian.PutUint64(in.Seed[:], w.seed)
	tx := w.view.Begin(w.clockMs, wallStartMs+w.clockMs)
	out := Step(tx, in)
	w.view = tx.Seal(w.view.Index() + 1)
	return out
}

func eachSize(b *testing.B, run func(b *testing.B, w *idleWorld)) {
	for _, actors := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprintf("idle=%d", actors), func(b *testing.B) {
			w := idle(b, actors)
			b.ReportAllocs()
			b.ResetTimer()
			run(b, w)
		})
	}
}

// events makes one batch of events of the runner that has each actor, one report for each.
func (w *idleWorld) events(actors []*fsm.Actor, event func(fsm.Ref) *callboardv1.ActorEvent) []*nodev1.SessionReport {
	reports := make([]*nodev1.SessionReport, len(actors))
	for i, a := range actors {
		r := w.view.RunnerByNumber(a.Runner)
		reports[i] = &nodev1.SessionReport{
			RunnerId: r.ID[:], SessionId: r.Session[:],
			Report: &nodev1.SessionReport_Events{Events: &callboardv1.ActorEvents{Events: []*callboardv1.ActorEvent{event(a.Ref())}}},
		}
	}
	return reports
}

// create makes so many actors in one entry, and returns them where they are: starting on a runner.
func (w *idleWorld) create(b *testing.B, n int) []*fsm.Actor {
	in := Input{Commands: make([]Command, n)}
	for i := range in.Commands {
		in.Commands[i] = Command{Command: create("", fmt.Sprintf("new %d %d", w.seed, i), "default", 0)}
	}
	actors := make([]*fsm.Actor, n)
	for i, answer := range w.entry(in).Commands {
		actors[i] = w.view.Actor(fsm.ActorID(answer.Success.GetId()))
		if actors[i].Phase != fsm.Starting {
			b.Fatalf("it is %s", actors[i].Phase)
		}
	}
	return actors
}

// perInput reports the cost of one input of an entry that has many.
func perInput(b *testing.B, inputs int) {
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*inputs), "µs/input")
}

// BenchmarkStepCreate: one create and its placement, an entry for itself.
func BenchmarkStepCreate(b *testing.B) {
	eachSize(b, func(b *testing.B, w *idleWorld) {
		for b.Loop() {
			w.create(b, 1)
		}
	})
}

// BenchmarkStepCreate256: 256 creates and their placements in one entry.
func BenchmarkStepCreate256(b *testing.B) {
	eachSize(b, func(b *testing.B, w *idleWorld) {
		for b.Loop() {
			w.create(b, 256)
		}
		perInput(b, 256)
	})
}

// BenchmarkStepRunning256: 256 Running events, each from its runner.
func BenchmarkStepRunning256(b *testing.B) {
	eachSize(b, func(b *testing.B, w *idleWorld) {
		for b.Loop() {
			b.StopTimer()
			in := Input{Reports: w.events(w.create(b, 256), running)}
			b.StartTimer()
			w.entry(in)
		}
		perInput(b, 256)
	})
}

// BenchmarkStepStopped256: 256 actors crash and are placed again.
func BenchmarkStepStopped256(b *testing.B) {
	crashed := func(ref fsm.Ref) *callboardv1.ActorEvent { return stopped(ref, false, "boom") }
	eachSize(b, func(b *testing.B, w *idleWorld) {
		for b.Loop() {
			b.StopTimer()
			in := Input{Reports: w.events(w.create(b, 256), crashed)}
			b.StartTimer()
			w.entry(in)
		}
		perInput(b, 256)
	})
}

// BenchmarkStepHeartbeats: the heartbeats of 3 000 runners, as they come in a second or so.
func BenchmarkStepHeartbeats(b *testing.B) {
	eachSize(b, func(b *testing.B, w *idleWorld) {
		in := Input{Heartbeats: make([]*nodev1.SessionReport, len(w.runners))}
		for i, r := range w.runners {
			in.Heartbeats[i] = &nodev1.SessionReport{
				RunnerId: r.ID[:], SessionId: r.Session[:], Report: &nodev1.SessionReport_Heartbeat{Heartbeat: &callboardv1.Heartbeat{ThresholdMs: 15_000}},
			}
		}
		for b.Loop() {
			w.clockMs += HeartbeatEveryMs
			if out := w.entry(in); out.Heartbeats == nil {
				b.Fatal("they were not taken")
			}
		}
		perInput(b, len(w.runners))
	})
}

// BenchmarkStepNothing: an entry that decides nothing, as the barrier of a read.
func BenchmarkStepNothing(b *testing.B) {
	eachSize(b, func(b *testing.B, w *idleWorld) {
		for b.Loop() {
			w.entry(Input{})
		}
	})
}
