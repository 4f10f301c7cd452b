package session

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// engine is a node and its leader without a network: reports become ops by the real scheduler, ops become Views by the real state.
// It can lose its leader, and its View can lag behind.
type engine struct {
	t     *testing.T
	start time.Time

	mu         sync.Mutex
	head       *fsm.View   // the leader's
	behind     []*fsm.View // committed, not on this node yet
	view       *fsm.View   // this node's
	moved      chan struct{}
	subs       map[uint32][]chan struct{}
	queue      []waiting
	steps      uint64
	unfinished bool                    // the last step left work
	reports    []*nodev1.SessionReport // that the leader has taken, in order

	lagging    bool          // the node's View stands still
	early      bool          // replies do not wait for the View
	leaderless bool          // reports come back as unknown
	overloaded bool          // reports are not taken
	delay      time.Duration // of every commit

	work chan struct{}
	done sync.WaitGroup
}

type waiting struct {
	report *nodev1.SessionReport
	reply  func(*nodev1.SessionAnswer, error)
}

func newEngine(t *testing.T) *engine {
	e := &engine{
		t: t, start: time.Now(), head: fsm.NewView(), moved: make(chan struct{}),
		subs: map[uint32][]chan struct{}{}, work: make(chan struct{}, 1),
	}
	e.view = e.head
	id := testID(1)
	e.do(&logv1.Op{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: id[:], Node: "n1"}}})
	ctx, cancel := context.WithCancel(t.Context())
	e.done.Go(func() { e.lead(ctx) })
	t.Cleanup(func() {
		cancel()
		e.done.Wait()
	})
	return e
}

func testID(n uint64) fsm.ID {
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], n)
	return fsm.MintID(1_700_000_000_000, entropy)
}

// lead is the leader's loop.
func (e *engine) lead(ctx context.Context) {
	timer := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.work:
			if e.delay > 0 {
				time.Sleep(e.delay)
			}
		case <-timer.C:
		}
		if wakeMs := e.step(nil); wakeMs > 0 { //nolint:contextcheck // replies outlive a step
			timer.Reset(time.Duration(max(wakeMs-e.clockMs(), 1)) * time.Millisecond)
		}
	}
}

func (e *engine) clockMs() int64 { return time.Since(e.start).Milliseconds() + 1 }

// step runs the scheduler on what is queued and on one command.
func (e *engine) step(command *nodev1.Command) (wakeMs int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	taken := e.queue
	e.queue = nil
	if e.leaderless {
		for _, w := range taken {
			e.done.Go(func() { w.reply(nil, callboardv1.ErrNoLeader) })
		}
		return 0
	}
	var in scheduler.Input
	var reports, beats []waiting
	for _, w := range taken {
		if w.report.GetHeartbeat() != nil {
			beats, in.Heartbeats = append(beats, w), append(in.Heartbeats, w.report)
		} else {
			reports, in.Reports = append(reports, w), append(in.Reports, w.report)
		}
	}
	if command != nil {
		in.Commands = []scheduler.Command{{Command: command}}
	}
	in.Sweep = e.unfinished
	e.steps++
	binary.BigEndian.PutUint64(in.Seed[:], e.steps)
	out := scheduler.Step(e.head.Begin(e.clockMs(), time.Now().UnixMilli()), in)
	if command != nil && out.Commands[0].Refusal != nil {
		e.t.Errorf("command refused: %v", out.Commands[0].Refusal)
	}
	if len(out.Ops) > 0 {
		e.applyLocked(out.Ops)
	}
	if e.unfinished = out.Unfinished; e.unfinished {
		e.nudge()
	}
	for i, w := range reports {
		e.answerLocked(w, out.Reports[i])
	}
	for i, w := range beats {
		if out.Heartbeats == nil {
			e.queue = append(e.queue, w)
			continue
		}
		e.answerLocked(w, out.Heartbeats[i])
	}
	return out.WakeMs
}

func (e *engine) answerLocked(w waiting, answer *nodev1.SessionAnswer) {
	e.reports = append(e.reports, w.report)
	index, early := e.head.Index(), e.early
	e.done.Go(func() {
		if !early {
			if err := e.WaitIndex(e.t.Context(), index); err != nil {
				return // the test is over
			}
		}
		w.reply(answer, nil)
	})
}

// do commits ops that no report and no command makes.
func (e *engine) do(ops ...*logv1.Op) {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.applyLocked(ops)
}

func (e *engine) applyLocked(ops []*logv1.Op) {
	const term = 1
	entry := &logv1.Entry{Epoch: e.head.Epoch(), Base: e.head.Base(), ClockMs: e.clockMs(), WallMs: time.Now().UnixMilli(), Ops: ops}
	next, results, accepted := e.head.Apply(e.head.Index()+1, term, proto.CloneOf(entry))
	if !accepted {
		e.t.Errorf("entry refused: %v", entry)
	}
	for i, r := range results {
		if r.Code != fsm.CodeOK {
			e.t.Errorf("op %v: %v", ops[i], r.Code)
		}
	}
	e.head = next
	e.behind = append(e.behind, next)
	if !e.lagging {
		e.publishLocked()
	}
}

func (e *engine) publishLocked() {
	for _, v := range e.behind {
		e.view = v
		for _, number := range v.Touched() {
			for _, wake := range e.subs[number] {
				select {
				case wake <- struct{}{}:
				default:
				}
			}
		}
	}
	e.behind = nil
	close(e.moved)
	e.moved = make(chan struct{})
}

func (e *engine) set(change func(e *engine)) {
	e.mu.Lock()
	change(e)
	if !e.lagging {
		e.publishLocked()
	}
	e.mu.Unlock()
	e.nudge()
}

func (e *engine) nudge() {
	select {
	case e.work <- struct{}{}:
	default:
	}
}

// Views

func (e *engine) Current() *fsm.View {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.view
}

func (e *engine) Wait(ctx context.Context, holds func(*fsm.View) bool) (*fsm.View, error) {
	for {
		e.mu.Lock()
		view, moved := e.view, e.moved
		e.mu.Unlock()
		if holds(view) {
			return view, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (e *engine) WaitIndex(ctx context.Context, index uint64) error {
	_, err := e.Wait(ctx, func(v *fsm.View) bool { return v.Index() >= index })
	return err
}

func (e *engine) Subscribe(number uint32) (<-chan struct{}, func()) {
	wake := make(chan struct{}, 1)
	e.mu.Lock()
	e.subs[number] = append(e.subs[number], wake)
	e.mu.Unlock()
	return wake, func() {
		e.mu.Lock()
		e.subs[number] = slices.DeleteFunc(e.subs[number], func(c chan struct{}) bool { return c == wake })
		e.mu.Unlock()
	}
}

// Reporter

func (e *engine) ReadIndex(context.Context) (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leaderless {
		return 0, callboardv1.ErrNoLeader
	}
	return e.head.Index(), nil
}

func (e *engine) Report(report *nodev1.SessionReport, reply func(*nodev1.SessionAnswer, error)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.overloaded {
		return callboardv1.ErrOverloaded
	}
	e.queue = append(e.queue, waiting{proto.CloneOf(report), reply})
	e.nudge()
	return nil
}

// What the leader was told, by kind.

func (e *engine) reported(is func(*nodev1.SessionReport) bool) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, r := range e.reports {
		if is(r) {
			n++
		}
	}
	return n
}

func isHello(r *nodev1.SessionReport) bool    { return r.GetHello() != nil }
func isBroken(r *nodev1.SessionReport) bool   { return r.GetBroken() != nil }
func isGoodbye(r *nodev1.SessionReport) bool  { return r.GetGoodbye() != nil }
func isEvents(r *nodev1.SessionReport) bool   { return r.GetEvents() != nil }
func isDraining(r *nodev1.SessionReport) bool { return r.GetDraining() != nil }

// Commands

func (e *engine) create(input []byte) {
	e.step(&nodev1.Command{Command: &nodev1.Command_CreateActor{CreateActor: &callboardv1.CreateRequest{
		Namespace: "default", Name: "counter", Pool: "default", Input: input,
	}}})
}

func (e *engine) destroy(actor string) {
	e.step(&nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default", ActorId: actor}}})
}

func (e *engine) sleep(actor string) {
	e.step(&nodev1.Command{Command: &nodev1.Command_SleepActor{SleepActor: &callboardv1.SleepRequest{Namespace: "default", ActorId: actor}}})
}

func (e *engine) headRunner(id string) *fsm.Runner {
	e.t.Helper()
	parsed, err := fsm.ParseID(id)
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.head.Runner(fsm.RunnerID(parsed))
}
