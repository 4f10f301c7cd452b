// Package apitest is an engine for tests of the public API: the real scheduler and the real state, without Raft, disk or network.
// One call is one entry. Tests play the runners.
package apitest

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// WallMs is the wall clock that the engine begins with.
const WallMs = 1_750_000_000_000

// Engine implements grpcapi.Engine and grpcapi.Cluster.
type Engine struct {
	mu      sync.Mutex // tests are callers of many goroutines, and there is no loop to ask
	view    *fsm.View
	moved   chan struct{}
	clockMs int64
	draws   uint64
	minted  uint64
	failing []error
	// OnEntry hears of every entry, if it is set.
	OnEntry func(before, after *fsm.View, ops []*logv1.Op)
	// Submitted holds every command that came, in order.
	submitted []*nodev1.SubmitRequest
}

// New returns an engine with the namespace default and an established leader.
func New() *Engine {
	e := &Engine{view: fsm.NewView(), moved: make(chan struct{}), clockMs: 1000}
	id := e.mint()
	next, _, ok := e.view.Apply(1, 1, &logv1.Entry{Format: fsm.EntryFormat, ClockMs: e.clockMs, WallMs: WallMs, Ops: []*logv1.Op{
		{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{ClusterId: id[:], Node: "n1"}}},
	}})
	if !ok {
		panic("apitest: the first entry was refused")
	}
	e.view = next
	return e
}

// FailNext makes the next calls of Submit fail before they do anything, each with one of the errors.
func (e *Engine) FailNext(errs ...error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failing = append(e.failing, errs...)
}

// Submitted returns every command that came, in order.
func (e *Engine) Submitted() []*nodev1.SubmitRequest {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]*nodev1.SubmitRequest(nil), e.submitted...)
}

// Submit decides a command and applies it at once.
func (e *Engine) Submit(ctx context.Context, req *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.submitted = append(e.submitted, req)
	if len(e.failing) > 0 {
		err := e.failing[0]
		e.failing = e.failing[1:]
		return nil, err
	}
	out := e.step(scheduler.Input{Commands: []scheduler.Command{{Command: req.GetCommand(), IdempotencyKey: req.GetIdempotencyKey()}}})
	answer := &nodev1.SubmitResponse{Index: e.view.Index()}
	if refusal := out.Commands[0].Refusal; refusal != nil {
		answer.Outcome = &nodev1.SubmitResponse_Refusal{Refusal: refusal}
	} else {
		answer.Outcome = &nodev1.SubmitResponse_Success{Success: out.Commands[0].Success}
	}
	return answer, nil
}

// View returns the current View.
func (e *Engine) View(ctx context.Context, _ callboardv1.Consistency) (*fsm.View, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.view, ctx.Err()
}

// WaitActor returns the first View, at an index or after it, in which an actor is as the condition says.
func (e *Engine) WaitActor(ctx context.Context, index uint64, id fsm.ActorID, is func(*fsm.Actor) bool) (*fsm.View, error) {
	for {
		e.mu.Lock()
		view, moved := e.view, e.moved
		e.mu.Unlock()
		if view.Index() >= index && is(view.Actor(id)) {
			return view, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// RolloutStatus is the scheduler's.
func (e *Engine) RolloutStatus(v *fsm.View, r *fsm.Rollout) *callboardv1.Rollout {
	return scheduler.RolloutStatus(v, r)
}

// DrainStatus is the scheduler's.
func (e *Engine) DrainStatus(v *fsm.View, r *fsm.Runner) *callboardv1.Drain {
	return scheduler.DrainStatus(v, r)
}

// Plan is the scheduler's.
func (e *Engine) Plan(v *fsm.View, p *fsm.Pool, version uint32, slots uint64) *callboardv1.RolloutPlan {
	return scheduler.Plan(v, p, version, slots)
}

// step lets the scheduler decide and applies the entry.
func (e *Engine) step(in scheduler.Input) scheduler.Output {
	e.draws++
	binary.BigEndian.PutUint64(in.Seed[:], e.draws)
	in.Sweep = true
	tx := e.view.Begin(e.clockMs, WallMs+e.clockMs)
	out := scheduler.Step(tx, in)
	e.apply(out.Ops...)
	return out
}

func (e *Engine) apply(ops ...*logv1.Op) {
	next, results, ok := e.view.Apply(e.view.Index()+1, e.view.Epoch(), &logv1.Entry{
		Format: fsm.EntryFormat, Epoch: e.view.Epoch(), Base: e.view.Base(), ClockMs: e.clockMs, WallMs: WallMs + e.clockMs, Ops: ops,
	})
	if !ok {
		panic("apitest: an entry was refused")
	}
	for i, r := range results {
		if r.Code != fsm.CodeOK {
			panic(fmt.Sprintf("apitest: %v was refused: %v", ops[i], r.Code))
		}
	}
	if e.OnEntry != nil {
		e.OnEntry(e.view, next, ops)
	}
	e.view = next
	close(e.moved)
	e.moved = make(chan struct{})
}

func (e *Engine) mint() fsm.ID {
	e.minted++
	var entropy [10]byte
	binary.BigEndian.PutUint64(entropy[2:], e.minted)
	return fsm.MintID(WallMs, entropy)
}
