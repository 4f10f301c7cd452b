package grpcapi

import (
	"context"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Drain takes a runner out of placement and has it give up its actors. It answers when that is decided: the actors leave later, and
// the runner's drain shows how far that is.
func (s *runnerService) Drain(ctx context.Context, req *callboardv1.DrainRequest) (*callboardv1.DrainResponse, error) {
	if err := problem(checkReason(req.GetReason())); err != nil {
		return nil, err
	}
	r, index, err := s.change(ctx, req.GetNamespace(), req.GetRunnerId(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_DrainRunner{
		DrainRunner: &callboardv1.DrainRequest{
			Namespace: req.GetNamespace(), RunnerId: req.GetRunnerId(), DeadlineMs: req.GetDeadlineMs(), Reason: req.GetReason(), Force: req.GetForce(), Keep: req.GetKeep(),
		},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.DrainResponse{Runner: r, Index: index}, nil
}

// Undrain calls an operator's drain off: that of a runner, or one that outlived it.
func (s *runnerService) Undrain(ctx context.Context, req *callboardv1.UndrainRequest) (*callboardv1.UndrainResponse, error) {
	if req.GetRunnerId() == "" && (req.GetPool() != "" || req.GetKey() != "") {
		return s.undrainKey(ctx, req)
	}
	r, index, err := s.change(ctx, req.GetNamespace(), req.GetRunnerId(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_UndrainRunner{
		UndrainRunner: &callboardv1.UndrainRequest{Namespace: req.GetNamespace(), RunnerId: req.GetRunnerId()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.UndrainResponse{Runner: r, Index: index}, nil
}

// change submits a command about one runner and answers with the runner as the command left it, or later. One that is forgotten by
// then is told by its id alone.
func (s *runnerService) change(ctx context.Context, namespace, runnerID, idempotencyKey string, command *nodev1.Command) (*callboardv1.Runner, uint64, error) {
	if err := problem(checkNamespace(namespace)); err != nil {
		return nil, 0, err
	}
	id, err := parseRunnerID("runner_id", runnerID)
	if err != nil {
		return nil, 0, err
	}
	_, view, index, err := s.submit(ctx, idempotencyKey, command)
	if err != nil {
		return nil, 0, err
	}
	return s.runnerNow(view, id), index, nil
}

func (a *API) runnerNow(v *fsm.View, id fsm.RunnerID) *callboardv1.Runner {
	if r := v.Runner(id); r != nil {
		return a.runnerMessage(v, r)
	}
	return &callboardv1.Runner{RunnerId: id.String(), State: callboardv1.RunnerState_RUNNER_STATE_STOPPED}
}

// undrainKey calls off the drain that is kept under a key.
func (s *runnerService) undrainKey(ctx context.Context, req *callboardv1.UndrainRequest) (*callboardv1.UndrainResponse, error) {
	if err := problem(checkNamespace(req.GetNamespace()), checkPoolOf(req.GetPool())); err != nil {
		return nil, err
	}
	success, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_UndrainRunner{
		UndrainRunner: &callboardv1.UndrainRequest{Namespace: req.GetNamespace(), Pool: req.GetPool(), Key: req.GetKey()},
	}})
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.UndrainResponse{Index: index}
	if id := success.GetId(); len(id) == len(fsm.RunnerID{}) {
		answer.Runner = s.runnerNow(view, fsm.RunnerID(id))
	}
	return answer, nil
}

// ListDrains answers with the drains of a pool that outlive their runners, by key.
func (s *runnerService) ListDrains(ctx context.Context, req *callboardv1.ListDrainsRequest) (*callboardv1.ListDrainsResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	q := ask(listDrains, req.GetNamespace(), req.GetPool())
	after, err := q.name(req.GetCursor())
	if err != nil {
		return nil, err
	}
	view, p, err := s.poolView(ctx, req.GetNamespace(), req.GetPool(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.ListDrainsResponse{Index: view.Index()}
	for d := range view.KeptDrains(p, after) {
		if n := len(answer.Drains); n == limit {
			answer.NextCursor = q.cursorAtName(answer.Drains[n-1].GetKey())
			break
		}
		answer.Drains = append(answer.Drains, keptDrainMessage(view, p, d))
	}
	return answer, nil
}

func keptDrainMessage(v *fsm.View, p *fsm.Pool, d *fsm.KeptDrain) *callboardv1.KeptDrain {
	m := &callboardv1.KeptDrain{
		Namespace: v.PoolNamespace(p).Name, Pool: p.ID.Name, Key: d.Key, Version: d.Version, Reason: d.Reason, Force: d.Force, Keep: d.Keep, Finished: d.Finished,
		KeptTs: d.Wall, ForgetTs: v.WallAt(d.ForgetMs()),
	}
	if d.DeadlineMs != 0 {
		m.DeadlineTs = v.WallAt(d.DeadlineMs)
	}
	for r := range v.RunnersByKey(p, d.Key) {
		if r.Instance == d.Instance && r.End == fsm.NotEnded {
			m.RunnerId = r.ID.String()
		}
		break
	}
	return m
}

// heldVersions lists the versions that a pool holds back.
func heldVersions(v *fsm.View, p *fsm.Pool) (held []*callboardv1.HeldVersion) {
	for h := range v.HeldVersions(p) {
		held = append(held, &callboardv1.HeldVersion{Version: h.Version, Reason: h.Reason, StartTs: h.StartWall})
	}
	return held
}
