package session

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// books is the state of a cluster with one runner, changed by ops: no clock but the one it is told.
type books struct {
	t       fataler
	view    *fsm.View
	clockMs int64
	actors  uint64
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

var testRunner, testSession = testID(10), testID(11)

func newBooks(t fataler, slots uint32) *books {
	b := &books{t: t, view: fsm.NewView(), clockMs: 1}
	ns, instance := testID(1), testID(12)
	b.do(&logv1.Op{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: ns[:], Node: "n1"}}})
	b.do(putDefaultPool())
	b.do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
		RunnerId: testRunner[:], NamespaceId: ns[:], Pool: "default", Key: "key-1", InstanceId: instance[:], SessionId: testSession[:],
		Version: 1, Slots: slots, ThresholdMs: 15_000,
	}}})
	return b
}

func (b *books) do(op *logv1.Op) {
	b.t.Helper()
	entry := &logv1.Entry{Epoch: b.view.Epoch(), Base: b.view.Base(), ClockMs: b.clockMs, WallMs: 1_700_000_000_000 + b.clockMs, Ops: []*logv1.Op{op}}
	next, results, accepted := b.view.Apply(b.view.Index()+1, 1, entry)
	if !accepted || results[0].Code != fsm.CodeOK {
		b.t.Fatalf("op %v: %v", op, results)
	}
	b.view = next
}

func (b *books) runner() *fsm.Runner { return b.view.Runner(fsm.RunnerID(testRunner)) }

// create makes an actor that waits for a runner.
func (b *books) create(input []byte, key string) fsm.ActorID {
	b.t.Helper()
	b.actors++
	id, ns := testID(1_000+b.actors), testID(1)
	op := &logv1.CreateActor{ActorId: id[:], NamespaceId: ns[:], Name: "counter", Pool: "default", Input: input, CrashPolicy: 1}
	if key != "" {
		op.Key = &key
	}
	b.do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: op}})
	return fsm.ActorID(id)
}

// assign gives an actor that waits to the runner.
func (b *books) assign(id fsm.ActorID) fsm.Ref {
	b.t.Helper()
	ref := fsm.Ref{Actor: id, Generation: b.view.Actor(id).Generation + 1}
	b.do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
		Ref: opRef(ref), RunnerId: testRunner[:], SessionId: testSession[:], StartDeadlineMs: b.clockMs + 30_000,
	}}})
	return ref
}

func (b *books) start(input []byte) fsm.Ref { b.t.Helper(); return b.assign(b.create(input, "")) }

func (b *books) running(ref fsm.Ref) {
	b.t.Helper()
	b.do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: opRef(ref)}}})
}

func (b *books) stop(ref fsm.Ref, reason fsm.StopReason) {
	b.t.Helper()
	b.do(&logv1.Op{Op: &logv1.Op_StopActor{StopActor: &logv1.StopActor{Ref: opRef(ref), Reason: uint32(reason), DeadlineMs: b.clockMs + 30_000}}})
}

func (b *books) stopped(ref fsm.Ref, next logv1.NextState) {
	b.t.Helper()
	b.do(&logv1.Op{Op: &logv1.Op_ActorStopped{ActorStopped: &logv1.ActorStopped{
		Ref: opRef(ref), Clean: true, Cause: logv1.StopCause_STOP_CAUSE_CONFIRMED, Next: next,
	}}})
}

func (b *books) orphan(ref fsm.Ref) {
	b.t.Helper()
	b.do(&logv1.Op{Op: &logv1.Op_HoldOrphan{HoldOrphan: &logv1.HoldOrphan{RunnerId: testRunner[:], Ref: opRef(ref)}}})
}

func (b *books) next(t *told) *callboardv1.Desired {
	if m := t.next(b.view, b.runner()); m != nil {
		return m.desired
	}
	return nil
}

func opRef(ref fsm.Ref) *logv1.Ref {
	return &logv1.Ref{ActorId: ref.Actor[:], Generation: ref.Generation}
}

func claims(refs ...fsm.Ref) map[fsm.Ref]struct{} {
	all := map[fsm.Ref]struct{}{}
	for _, ref := range refs {
		all[ref] = struct{}{}
	}
	return all
}

// sketch writes what a Desired says in one line.
func sketch(d *callboardv1.Desired) string {
	if d == nil {
		return "nothing"
	}
	text := ""
	for _, s := range d.GetStart() {
		text += fmt.Sprintf("start %s/%d ", s.GetRef().GetActorId()[32:], s.GetRef().GetGeneration())
	}
	for _, s := range d.GetStop() {
		text += fmt.Sprintf("stop %s/%d %v %d ", s.GetRef().GetActorId()[32:], s.GetRef().GetGeneration(), s.GetReason(), s.GetTimeoutMs())
	}
	for _, e := range d.GetEvict() {
		text += fmt.Sprintf("evict %s/%d in %d ", e.GetRef().GetActorId()[32:], e.GetRef().GetGeneration(), e.GetInMs())
	}
	if d.GetComplete() {
		text += "complete"
	}
	return text
}

func wantSketch(t *testing.T, d *callboardv1.Desired, want string) {
	t.Helper()
	if got := sketch(d); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestTheCompleteSetOfAnEmptyRunner(t *testing.T) {
	b := newBooks(t, 10)
	var sent told
	wantSketch(t, b.next(&sent), "complete")
	wantSketch(t, b.next(&sent), "nothing")
}

func TestTheCompleteSetIsTheDifferenceToTheHello(t *testing.T) {
	b := newBooks(t, 10)
	starting, named, ended := b.start(nil), b.start(nil), b.start(nil)
	runs, stopping := b.start(nil), b.start(nil)
	b.running(runs)
	b.running(stopping)
	b.stop(stopping, fsm.StopEvict)
	b.orphan(fsm.Ref{Actor: fsm.ActorID(testID(2_000)), Generation: 7})
	b.clockMs += 10_000
	b.do(putDefaultPool()) // the clock moves with an entry
	sent := told{claimed: claims(named, ended, runs, stopping)}
	d := b.next(&sent)
	wantSketch(t, d, fmt.Sprintf("start %s/1 stop %s/1 STOP_REASON_EVICT 20000 stop %s/7 STOP_REASON_ORPHAN 30000 complete",
		starting.Actor.String()[32:], stopping.Actor.String()[32:], testID(2_000).String()[32:]))
	if sent.claimed != nil {
		t.Error("the Hello's set is kept beyond its use")
	}
	wantSketch(t, b.next(&sent), "nothing")
}

// A later generation is not the one that the Hello named.
func TestAClaimIsOfOneGeneration(t *testing.T) {
	b := newBooks(t, 10)
	first := b.start(nil)
	b.running(first)
	b.stop(first, fsm.StopEvict)
	b.stopped(first, logv1.NextState_NEXT_STATE_PENDING)
	second := b.assign(first.Actor)
	sent := told{claimed: claims(first)}
	wantSketch(t, b.next(&sent), fmt.Sprintf("start %s/2 complete", second.Actor.String()[32:]))
}

func TestIncrementsTellEachPhaseOnce(t *testing.T) {
	b := newBooks(t, 10)
	var sent told
	b.next(&sent)
	ref := b.start(nil)
	tail := ref.Actor.String()[32:]
	wantSketch(t, b.next(&sent), fmt.Sprintf("start %s/1 ", tail))
	b.running(ref)
	wantSketch(t, b.next(&sent), "nothing")
	b.stop(ref, fsm.StopSleep)
	wantSketch(t, b.next(&sent), fmt.Sprintf("stop %s/1 STOP_REASON_SLEEP 30000 ", tail))
	b.stop(ref, fsm.StopDestroy)
	wantSketch(t, b.next(&sent), "nothing")
	b.stopped(ref, logv1.NextState_NEXT_STATE_DESTROYED)
	wantSketch(t, b.next(&sent), "nothing")
}

// What passed between two looks is not told: only what holds now.
func TestAStartThatWasOvertakenIsNotTold(t *testing.T) {
	b := newBooks(t, 10)
	var sent told
	b.next(&sent)
	stopping, gone := b.start(nil), b.start(nil)
	b.stop(stopping, fsm.StopDestroy)
	b.stop(gone, fsm.StopDestroy)
	b.stopped(gone, logv1.NextState_NEXT_STATE_DESTROYED)
	wantSketch(t, b.next(&sent), fmt.Sprintf("stop %s/1 STOP_REASON_DESTROY 30000 ", stopping.Actor.String()[32:]))
}

func TestAStopPastItsDeadlineHasATimeLeftAboveZero(t *testing.T) {
	b := newBooks(t, 10)
	ref := b.start(nil)
	b.stop(ref, fsm.StopEvict)
	b.clockMs += 31_000
	b.do(putDefaultPool())
	var sent told
	wantSketch(t, b.next(&sent), fmt.Sprintf("stop %s/1 STOP_REASON_EVICT 1 complete", ref.Actor.String()[32:]))
}

func TestAStartCarriesWhatTheActorNeeds(t *testing.T) {
	b := newBooks(t, 10)
	id := b.create([]byte("in"), "k")
	first := b.assign(id)
	b.running(first)
	b.do(&logv1.Op{Op: &logv1.Op_SaveState{SaveState: &logv1.SaveState{Ref: opRef(first), State: []byte("saved")}}})
	b.stop(first, fsm.StopEvict)
	b.stopped(first, logv1.NextState_NEXT_STATE_PENDING)
	b.assign(id)
	var sent told
	got := b.next(&sent).GetStart()[0]
	key := "k"
	want := &callboardv1.StartActor{
		Ref: &callboardv1.ActorRef{ActorId: id.String(), Generation: 2}, Name: "counter", Key: &key, Input: []byte("in"),
		State: []byte("saved"), StateVersion: 1, CreateUnixMs: b.view.Actor(id).CreateMs,
	}
	if !proto.Equal(got, want) {
		t.Errorf("start %v, want %v", got, want)
	}
	if b.start(nil); b.next(&sent).GetStart()[0].Key != nil {
		t.Error("an actor without a key has one")
	}
}

func TestLargeSetsComeInChunks(t *testing.T) {
	tests := []struct {
		name   string
		inputs []int
		chunks []int // starts in each
	}{
		{"many small", repeat(2_500, 10), []int{1_000, 1_000, 500}},
		{"exactly one", repeat(1_000, 10), []int{1_000}},
		{"one more", repeat(1_001, 10), []int{1_000, 1}},
		{"half a MiB each", repeat(4, 500<<10), []int{2, 2}},
		{"larger than a chunk", []int{10, 4 << 20, 10, 10}, []int{1, 1, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBooks(t, 10_000)
			for _, size := range test.inputs {
				b.start(make([]byte, size))
			}
			var sent told
			for i, want := range test.chunks {
				m := sent.next(b.view, b.runner())
				d, bytes := m.desired, m.bytes
				if last := i == len(test.chunks)-1; len(d.GetStart()) != want || d.GetComplete() != last {
					t.Fatalf("chunk %d has %d starts, complete %v; want %d, %v", i, len(d.GetStart()), d.GetComplete(), want, last)
				}
				if size := proto.Size(d); size > bytes+bytes/4+64 || want > 1 && size > maxDesiredBytes+maxDesiredBytes/4 {
					t.Errorf("chunk %d is %d bytes, counted as %d", i, size, bytes)
				}
			}
			wantSketch(t, b.next(&sent), "nothing")
		})
	}
}

func repeat(n, size int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = size
	}
	return all
}

// Orphans are found by generation and actors by revision: chunks must not skip one for the other.
func TestOrphansAndActorsShareOneOrder(t *testing.T) {
	b := newBooks(t, 10_000)
	for i := range 1_500 {
		b.start(nil)
		b.orphan(fsm.Ref{Actor: fsm.ActorID(testID(uint64(90_000 - i))), Generation: 1})
	}
	var sent told
	heard := map[string]int{}
	for d := b.next(&sent); d != nil; d = b.next(&sent) {
		for _, s := range d.GetStart() {
			heard[s.GetRef().GetActorId()]++
		}
		for _, s := range d.GetStop() {
			heard[s.GetRef().GetActorId()]++
		}
	}
	if len(heard) != 3_000 {
		t.Errorf("%d told, want 3000", len(heard))
	}
	for id, n := range heard {
		if n != 1 {
			t.Errorf("%s was told %d times", id, n)
		}
	}
}

func TestStopsThatEndedAreForgotten(t *testing.T) {
	b := newBooks(t, 10_000)
	var sent told
	b.next(&sent)
	for range 1_000 {
		ref := b.start(nil)
		b.stop(ref, fsm.StopDestroy)
		b.next(&sent)
		b.stopped(ref, logv1.NextState_NEXT_STATE_DESTROYED)
	}
	if len(sent.stops) > 20 {
		t.Errorf("%d stops are remembered, all of them ended", len(sent.stops))
	}
}

// BenchmarkIncrement shows that a wake-up costs what has changed, not what the runner has.
func BenchmarkIncrement(b *testing.B) {
	for _, actors := range []int{10, 10_000} {
		b.Run(fmt.Sprint(actors), func(b *testing.B) {
			books := newBooks(b, 20_000)
			var ref fsm.Ref
			for range actors {
				ref = books.start(nil)
				books.running(ref)
			}
			var sent told
			for books.next(&sent) != nil {
			}
			before := sent
			books.stop(ref, fsm.StopEvict)
			for b.Loop() {
				again := before
				if books.next(&again) == nil {
					b.Fatal("nothing")
				}
			}
		})
	}
}
