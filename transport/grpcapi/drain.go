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
			Namespace: req.GetNamespace(), RunnerId: req.GetRunnerId(), DeadlineMs: req.GetDeadlineMs(), Reason: req.GetReason(), Force: req.GetForce(),
		},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.DrainResponse{Runner: r, Index: index}, nil
}

// Undrain calls an operator's drain off.
func (s *runnerService) Undrain(ctx context.Context, req *callboardv1.UndrainRequest) (*callboardv1.UndrainResponse, error) {
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
