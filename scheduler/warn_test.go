package scheduler

import (
	"math"
	"slices"
	"testing"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A version that is the time at which its process started is warned of. A process that does not say when it started is not: then its
// first versions, from 1, would be taken for that time.
func TestAVersionThatIsTheStartOfItsProcessIsWarnedOf(t *testing.T) {
	const startMs = wallStartMs + 400
	for _, test := range []struct {
		name    string
		version uint32
		startMs int64
		warned  bool
	}{
		{"the very second", startMs / 1000, startMs, true},
		{"shortly before", startMs/1000 - versionIsStartWithin, startMs, true},
		{"a build of yesterday", startMs/1000 - 86_400, startMs, false},
		{"a build number", 42, startMs, false},
		{"not configured", 0, startMs, false},
		{"version 1 of a process that does not say when it started", 1, 0, false},
		{"version 1 of a process that says nonsense", 1, -1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			p := w.start(&process{name: "r1", manual: true, version: test.version})
			hello := p.hello(w)
			hello.GetHello().GetHello().ProcessStartUnixMs = test.startMs
			out := w.turn(Input{Reports: []*nodev1.SessionReport{hello}})
			warned := slices.ContainsFunc(out.Warnings, func(w Warning) bool { return w.Code == WarnVersionIsStart })
			if warned != test.warned {
				t.Errorf("version %d, started at %d: warned %v, want %v", test.version, test.startMs, warned, test.warned)
			}
		})
	}
}

// Only versions that rise are warned of: not the rollouts of one version, which begin again and again when runners of the version before
// are a last resort.
func TestRisingVersionsAreWarnedOf(t *testing.T) {
	w := newWorld(t)
	drains := true
	put := &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{DrainOnVersionUpgrade: &drains}}
	w.command(&nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: put}}, "")
	warned := func(in Input) (n int) {
		for more := true; more; more = w.unsettled || w.somebodySpeaks() {
			for _, warning := range w.exchange(in).Warnings {
				if warning.Code == WarnVersionsRising {
					n++
				}
			}
			in = Input{}
		}
		return n
	}
	start := func(name string, version, slots uint32) int {
		w.start(&process{name: name, version: version, slots: slots, dials: true})
		return warned(Input{})
	}
	total := start("new", 2, 1)
	total += warned(Input{Commands: []Command{{Command: create("full", "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART)}}})
	for _, name := range []string{"a1", "a2", "a3", "a4"} {
		total += start("old for "+name, 1, 1) // it has drained when the actor has ended, and leaves
		total += warned(Input{Commands: []Command{{Command: create(name, "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART)}}})
		end := &callboardv1.DestroyRequest{Namespace: "default", ActorId: w.actor(name).ID.String()}
		total += warned(Input{Commands: []Command{{Command: &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: end}}}}})
	}
	rollouts := 0
	for range w.view.Rollouts(w.view.Pool(fsm.PoolID{Namespace: w.defaultNamespace().ID, Name: "default"}), 0) {
		rollouts++
	}
	if total != 0 || rollouts != 4 {
		t.Errorf("%d warnings in %d rollouts to one version, want none in 4", total, rollouts)
	}
	if two, three := start("v3", 3, 1), start("v4", 4, 1); two != 0 || three != 1 {
		t.Errorf("%d and %d warnings at the second and third version, want 0 and 1", two, three)
	}
}

// TestNonsenseIsWarnedOfOnce: a generation that no actor can have has one line in the log, however many a runner names together and however
// often it says them again.
func TestNonsenseIsWarnedOfOnce(t *testing.T) {
	w := newWorld(t)
	p := w.start(&process{name: "r1", manual: true, slots: 9})
	w.turn(Input{Commands: []Command{{Command: create("a1", "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART)}}})
	warned := func(running, ended []uint64) (n int) {
		report := p.hello(w)
		h := report.GetHello().GetHello()
		for _, generation := range running {
			h.Running = append(h.Running, &callboardv1.RunningActor{Ref: refOf(fsm.Ref{Actor: fsm.ActorID(idOf("unknown")), Generation: generation})})
		}
		for _, generation := range ended {
			h.Ended = append(h.Ended, &callboardv1.EndedActor{Ref: refOf(fsm.Ref{Actor: fsm.ActorID(idOf("unknown")), Generation: generation})})
		}
		for _, warning := range w.turn(Input{Reports: []*nodev1.SessionReport{report}}).Warnings {
			if warning.Code == WarnNotBelieved {
				n++
			}
		}
		return n
	}
	if n := warned([]uint64{fsm.MaxRaised}, nil); n != 0 {
		t.Errorf("the highest that is believed: %d warnings", n)
	}
	nonsense := []uint64{fsm.MaxRaised, math.MaxUint64, math.MaxUint64 - 1}
	for i, want := range []int{1, 0} {
		if n := warned(nonsense, nil); n != want {
			t.Errorf("hello %d that names nonsense: %d warnings, want %d", i+1, n, want)
		}
	}
	if n := warned(nonsense, []uint64{math.MaxUint64 - 2, math.MaxUint64 - 3}); n != 1 {
		t.Errorf("ends of nonsense: %d warnings, want 1", n)
	}
}
