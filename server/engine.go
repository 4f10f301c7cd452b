package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
	"github.com/callboard/callboard/transport/peer"
)

// retryLeaderFor is how long a call looks for a leader before it gives up; every try that found none took no effect.
const retryLeaderFor = 10 * time.Second

// viewWait is how long a call waits for this node's own View to have what the leader has. A node that is further behind says so.
const viewWait = 10 * time.Second

// engine is what the doors of this node see: reads, writes and waits, wherever the leader is.
type engine struct {
	replica *replica
	inbox   *inbox
	leaders *leaders
	peers   *peer.Client

	carriers      carriers
	writes, reads *admission
	waiting       atomic.Int64 // calls
	scouts        *scouts
	ferries       ferries
}

// Submit hands a command to the leader. It returns when this node's own View has the answer's index.
func (e *engine) Submit(ctx context.Context, in *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
	leave, err := e.writes.enter(ctx, proto.Size(in.GetCommand()))
	if err != nil {
		return nil, err
	}
	defer leave()
	var out *nodev1.SubmitResponse
	err = e.scouts.untilLeader(ctx, func() (err error) {
		if e.inbox.gate.isOpen() {
			out, err = e.submitHere(ctx, in)
			return err
		}
		addr, call, done := e.leaders.follow(ctx)
		defer done()
		if addr == "" {
			return callboardv1.ErrNoLeader
		}
		out, err = e.peers.Submit(call, addr, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := e.reach(ctx, out.GetIndex()); err != nil {
		return nil, callboardv1.ErrOutcomeUnknown // it is committed, but the time is up before this node can show it
	}
	return out, nil
}

// reach waits for this node's own View to have an index.
func (e *engine) reach(ctx context.Context, index uint64) (*fsm.View, error) {
	if v := e.replica.Current(); v.Index() >= index {
		return v, nil
	}
	waiting, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	view, err := e.replica.waitIndex(waiting, index)
	if err != nil && ctx.Err() == nil {
		return nil, callboardv1.ErrNodeBehind
	}
	return view, err
}

// submitHere is Submit on the leader itself; on another node it answers ErrNoLeader.
func (e *engine) submitHere(ctx context.Context, in *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
	return submitted(e.inbox.call(ctx, submission(in)))
}

func submission(in *nodev1.SubmitRequest) *request {
	return commandRequest(&scheduler.Command{Command: in.GetCommand(), IdempotencyKey: in.GetIdempotencyKey(), Principal: in.GetPrincipal()})
}

func submitted(o outcome) (*nodev1.SubmitResponse, error) {
	if o.err != nil {
		return nil, o.err
	}
	out := &nodev1.SubmitResponse{Index: o.index}
	if o.answer.Refusal != nil {
		out.Outcome = &nodev1.SubmitResponse_Refusal{Refusal: o.answer.Refusal}
	} else {
		out.Outcome = &nodev1.SubmitResponse_Success{Success: o.answer.Success}
	}
	return out, nil
}

// tookNoEffect tells an error after which a try may be repeated, here or elsewhere.
func tookNoEffect(err error) bool {
	return errors.Is(err, callboardv1.ErrNoLeader) || errors.Is(err, peer.ErrNotLeader) || errors.Is(err, peer.ErrUnreachable)
}

// noLeader gives all the reasons why nothing took effect one name.
func noLeader(err error) error {
	if err != nil && tookNoEffect(err) {
		return callboardv1.ErrNoLeader
	}
	return err
}

// readIndex returns the index of an entry that was proposed after this call came. Calls share one where they can.
func (e *engine) readIndex(ctx context.Context) (uint64, error) { return e.ferries.index(ctx) }

// askIndex asks the leader for such an index.
func (e *engine) askIndex(ctx context.Context) (uint64, error) {
	var index uint64
	err := e.scouts.untilLeader(ctx, func() error {
		if e.inbox.gate.isOpen() {
			got, err := e.readIndexHere(ctx, false)
			index = got.GetIndex()
			return err
		}
		addr, call, done := e.leaders.follow(ctx)
		defer done()
		if addr == "" {
			return callboardv1.ErrNoLeader
		}
		got, err := e.peers.ReadIndex(call, addr)
		index = got.GetIndex()
		if err != nil && ctx.Err() == nil {
			return callboardv1.ErrNoLeader // a read that failed had no effect: ask again
		}
		return err
	})
	return index, err
}

// readIndexHere is readIndex on the leader itself.
func (e *engine) readIndexHere(ctx context.Context, remote bool) (*nodev1.ReadIndexResponse, error) {
	o := e.inbox.call(ctx, &request{barrier: true, remote: remote})
	if o.err != nil {
		if ctx.Err() == nil {
			return nil, callboardv1.ErrNoLeader // a read without an index had no effect, whatever became of the entry
		}
		return nil, o.err
	}
	return &nodev1.ReadIndexResponse{Index: o.index, Epoch: e.replica.Current().Epoch()}, nil
}

// View returns a View to read from: linearizable unless the caller asked for a stale one.
func (e *engine) View(ctx context.Context, consistency callboardv1.Consistency) (*fsm.View, error) {
	if consistency == callboardv1.Consistency_CONSISTENCY_STALE {
		return e.replica.Current(), nil
	}
	index, err := e.readIndexInTurn(ctx)
	if err != nil {
		return nil, err
	}
	return e.reach(ctx, index)
}

// readIndexInTurn is readIndex for callers. Sessions do not wait behind them.
func (e *engine) readIndexInTurn(ctx context.Context) (uint64, error) {
	leave, err := e.reads.enter(ctx, 0)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, err
	}
	defer leave()
	return e.readIndex(ctx)
}

// maxWaiters bounds the calls that wait at a node for what becomes of an actor.
const maxWaiters = 32_768

// WaitActor returns the first View of this node, at a log index or after it, in which an actor is as the condition says; nil: there is no
// such actor.
func (e *engine) WaitActor(ctx context.Context, index uint64, id fsm.ActorID, is func(*fsm.Actor) bool) (*fsm.View, error) {
	v, err := e.reach(ctx, index)
	if err != nil {
		return nil, err
	}
	if is(v.Actor(id)) {
		return v, nil
	}
	defer e.waiting.Add(-1)
	if e.waiting.Add(1) > maxWaiters {
		return nil, callboardv1.Refuse("cluster", "overloaded",
			"%d calls wait at this node for actors, as many as may: what was asked for is decided, and only the wait is refused; ask again in a while, or another node", maxWaiters).
			With("retry_after_ms", "1000")
	}
	return e.replica.waitActor(ctx, id, is)
}

// RolloutStatus describes a rollout of a View.
func (e *engine) RolloutStatus(v *fsm.View, r *fsm.Rollout) *callboardv1.Rollout {
	return scheduler.RolloutStatus(v, r)
}

// DrainStatus describes how a runner gives up its actors; nil: it does not.
func (e *engine) DrainStatus(v *fsm.View, r *fsm.Runner) *callboardv1.Drain {
	return scheduler.DrainStatus(v, r)
}

// Plan tells what a version would do to a pool.
func (e *engine) Plan(v *fsm.View, p *fsm.Pool, version uint32, slots uint64) *callboardv1.RolloutPlan {
	return scheduler.Plan(v, p, version, slots)
}
