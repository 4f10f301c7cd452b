package grpcapi

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// runnerMessage returns a runner as callers see it.
func (a *API) runnerMessage(v *fsm.View, r *fsm.Runner) *callboardv1.Runner {
	ns := v.RunnerNamespace(r)
	return &callboardv1.Runner{
		RunnerId:         r.ID.String(),
		Namespace:        ns.Name,
		NamespaceId:      ns.ID.String(),
		Pool:             r.Pool.Name,
		Key:              r.Key,
		Version:          r.Version,
		TotalSlots:       r.Slots,
		RemainingSlots:   r.FreeSlots(),
		State:            runnerState(r),
		MetadataJson:     r.Metadata,
		Holder:           r.Holder,
		DrainCause:       callboardv1.DrainCause(r.Drain.Cause),
		CreateTs:         r.CreateMs,
		DrainTs:          r.Drain.StartWall,
		StopTs:           r.StopMs,
		LastPingTs:       v.WallAt(v.LastSeenMs(r)),
		LastConnectedTs:  r.ConnectedMs,
		LostThresholdMs:  uint32(r.ThresholdMs),
		LeaseAgeMs:       v.SilentMs(r),
		AdvertisedAddr:   r.AdvertisedAddr,
		IneligibleReason: v.Ineligible(r),
		Drain:            a.engine.DrainStatus(v, r),
		KeepOnLeaseLost:  r.KeepOnLeaseLost,
		ActorNames:       r.Names.Names(),
	}
}

// runnerState derives the state: what is final comes first.
func runnerState(r *fsm.Runner) callboardv1.RunnerState {
	switch {
	case r.End == fsm.EndStopped:
		return callboardv1.RunnerState_RUNNER_STATE_STOPPED
	case r.End == fsm.EndLost:
		return callboardv1.RunnerState_RUNNER_STATE_LOST
	case r.Draining():
		return callboardv1.RunnerState_RUNNER_STATE_DRAINING
	case !r.Connected:
		return callboardv1.RunnerState_RUNNER_STATE_DISCONNECTED
	default:
		return callboardv1.RunnerState_RUNNER_STATE_CONNECTED
	}
}

// List answers with the runners of a namespace, newest first. Ids ask for certain ones, ended or not.
func (s *runnerService) List(ctx context.Context, req *callboardv1.RunnerServiceListRequest) (*callboardv1.RunnerServiceListResponse, error) {
	if req.GetPool() != "" {
		if err := problem(checkPool(req.GetPool())); err != nil {
			return nil, err
		}
	}
	if n := len(req.GetRunnerIds()); n > maxRunnerIDs {
		return nil, badField("runner_ids", "%d runner ids are given, and at most %d are allowed: ask in several calls", n, maxRunnerIDs)
	}
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	q := ask(listRunners, req.GetNamespace(), req.GetPool(), fmt.Sprint(req.GetRunnerIds()), fmt.Sprint(req.GetIncludeStopped()))
	before, err := q.seq(req.GetCursor())
	if err != nil {
		return nil, err
	}
	var ids []fsm.RunnerID
	for _, text := range req.GetRunnerIds() {
		id, err := parseRunnerID("runner_ids", text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.RunnerServiceListResponse{Index: view.Index()}
	var last uint64
	for _, r := range selectRunners(view, ns, req, ids, before, limit+1) {
		if len(answer.Runners) == limit {
			answer.NextCursor = q.cursorAtSeq(last)
			break
		}
		answer.Runners = append(answer.Runners, s.runnerMessage(view, r))
		last = r.Seq
	}
	return answer, nil
}

// selectRunners returns the first runners that a request asks for, at most the given number, newest first.
func selectRunners(v *fsm.View, ns *fsm.Namespace, req *callboardv1.RunnerServiceListRequest, ids []fsm.RunnerID, before uint64, most int) []*fsm.Runner {
	var selected []*fsm.Runner
	wanted := func(r *fsm.Runner) bool { return req.GetPool() == "" || r.Pool.Name == req.GetPool() }
	if len(ids) > 0 {
		for _, id := range ids {
			r := v.Runner(id)
			if r != nil && v.RunnerNamespace(r) == ns && wanted(r) && (before == 0 || r.Seq < before) {
				selected = append(selected, r)
			}
		}
		slices.SortFunc(selected, func(a, b *fsm.Runner) int { return cmp.Compare(b.Seq, a.Seq) })
		selected = slices.Compact(selected)
		return selected[:min(len(selected), most)]
	}
	for r := range v.Runners(ns, before) {
		if len(selected) == most {
			break
		}
		if wanted(r) && (r.End == fsm.NotEnded || req.GetIncludeStopped()) {
			selected = append(selected, r)
		}
	}
	return selected
}

// Get answers with one runner.
func (s *runnerService) Get(ctx context.Context, req *callboardv1.RunnerServiceGetRequest) (*callboardv1.RunnerServiceGetResponse, error) {
	id, err := parseRunnerID("runner_id", req.GetRunnerId())
	if err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	r, err := findRunner(view, ns, id)
	if err != nil {
		return nil, err
	}
	return &callboardv1.RunnerServiceGetResponse{Runner: s.runnerMessage(view, r), Index: view.Index()}, nil
}

func findRunner(v *fsm.View, ns *fsm.Namespace, id fsm.RunnerID) (*fsm.Runner, error) {
	r := v.Runner(id)
	if r == nil || v.RunnerNamespace(r) != ns {
		return nil, callboardv1.Refuse("runner", "not_found",
			"there is no runner %s in namespace %s: it never existed, or it ended more than an hour ago", id, ns.Name).With("runner_id", id.String())
	}
	return r, nil
}

// RunnerNames answers with the names of the pools that have runners or had some of late, in order, a page at a time.
func (a *API) RunnerNames(ctx context.Context, namespace, cursor string, limit uint32) (names []string, next string, index uint64, err error) {
	view, ns, q, after, size, err := a.namesPage(ctx, listRunnerNames, namespace, cursor, limit)
	if err != nil {
		return nil, "", 0, err
	}
	runners := takeCensus(view, ns)
	for p := range view.Pools(ns, after) {
		if runners[p.ID.Name] == nil && !p.AutoCreated {
			continue
		}
		if len(names) == size {
			return names, q.cursorAtName(names[size-1]), view.Index(), nil
		}
		names = append(names, p.ID.Name)
	}
	return names, "", view.Index(), nil
}
