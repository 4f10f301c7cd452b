package grpcapi

import (
	"context"
	"errors"
	"fmt"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Get answers with one rollout of a pool: the open one or else the last, unless an id is given.
func (s *rolloutService) Get(ctx context.Context, req *callboardv1.RolloutServiceGetRequest) (*callboardv1.RolloutServiceGetResponse, error) {
	view, p, err := s.poolView(ctx, req.GetNamespace(), req.GetPool(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	r := findRollout(view, p, req.GetId())
	if r == nil {
		return nil, rolloutNotFound(p.ID.Name, req.GetId())
	}
	var rollout *callboardv1.Rollout
	if err := s.runAhead(ctx, func() { rollout = s.rolloutStatus(view, p, r, nil) }); err != nil {
		return nil, err
	}
	return &callboardv1.RolloutServiceGetResponse{Rollout: rollout, Index: view.Index()}, nil
}

// rolloutStatus is the status of a rollout; of a superseded one it says by which. Newer is the pool's next one, nil: not known.
func (s *rolloutService) rolloutStatus(v *fsm.View, p *fsm.Pool, r, newer *fsm.Rollout) *callboardv1.Rollout {
	status := s.engine.RolloutStatus(v, r)
	status.HeldVersions = heldVersions(v, p)
	if r.State != fsm.RolloutSuperseded {
		return status
	}
	if newer == nil {
		newer = rolloutAfter(v, p, r)
	}
	if newer != nil {
		status.EndReason += fmt.Sprintf(": rollout %d to version %d", newer.ID, newer.Version)
	}
	return status
}

func rolloutAfter(v *fsm.View, p *fsm.Pool, r *fsm.Rollout) (newer *fsm.Rollout) {
	for other := range v.Rollouts(p, 0) {
		if other.ID <= r.ID {
			break
		}
		newer = other
	}
	return newer
}

// runAhead does what runs the scheduler ahead, to foretell an end: that may take seconds of a core. One at a time does on a node, so
// that many who look at rollouts leave the others to the cluster; the rest wait their turn.
func (a *API) runAhead(ctx context.Context, do func()) error {
	select {
	case a.ahead <- struct{}{}:
		defer func() { <-a.ahead }()
		do()
		return nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return callboardv1.Refuse("api", "timeout", "this node foretells other rollouts, one at a time, and the time given was too short to wait for a turn: retry, or ask another node")
		}
		return readError(ctx.Err())
	}
}

// findRollout finds a rollout of a pool by id; 0: the last, which is the open one if one is open. Nil: there is none.
func findRollout(v *fsm.View, p *fsm.Pool, id uint64) *fsm.Rollout {
	before := uint64(0)
	if id != 0 {
		before = id + 1 // of the greatest id: from the newest, which is not it
	}
	for r := range v.Rollouts(p, before) {
		if id == 0 || r.ID == id {
			return r
		}
		break
	}
	return nil
}

func rolloutNotFound(pool string, id uint64) error {
	if id != 0 {
		return callboardv1.Refuse("pool", "no_rollout",
			"pool %s has no rollout %d: it never had, or it ended more than an hour ago; see `callboard rollout history %s`", pool, id, pool).With("pool", pool)
	}
	return callboardv1.Refuse("pool", "no_rollout",
		"pool %s has no rollout, and had none within the last hour: one begins when a runner with a newer version connects while drain_on_version_upgrade is on; see `callboard pool show %s`",
		pool, pool).With("pool", pool)
}

// List answers with the rollouts of a pool, newest first.
func (s *rolloutService) List(ctx context.Context, req *callboardv1.RolloutServiceListRequest) (*callboardv1.RolloutServiceListResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	q := ask(listRollouts, req.GetNamespace(), req.GetPool())
	before, err := q.seq(req.GetCursor())
	if err != nil {
		return nil, err
	}
	view, p, err := s.poolView(ctx, req.GetNamespace(), req.GetPool(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.RolloutServiceListResponse{Index: view.Index()}
	err = s.runAhead(ctx, func() {
		var newer *fsm.Rollout
		for r := range view.Rollouts(p, before) {
			if n := len(answer.Rollouts); n == limit {
				answer.NextCursor = q.cursorAtSeq(answer.Rollouts[n-1].GetId())
				break
			}
			answer.Rollouts = append(answer.Rollouts, s.rolloutStatus(view, p, r, newer))
			newer = r
		}
	})
	return answer, err
}

// Pause stops the planned evictions of a pool until Resume.
func (s *rolloutService) Pause(ctx context.Context, req *callboardv1.PauseRequest) (*callboardv1.PauseResponse, error) {
	if err := problem(checkReason(req.GetReason())); err != nil {
		return nil, err
	}
	r, index, err := s.change(ctx, req.GetNamespace(), req.GetPool(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_PauseRollout{
		PauseRollout: &callboardv1.PauseRequest{Namespace: req.GetNamespace(), Pool: req.GetPool(), Reason: req.GetReason()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.PauseResponse{Rollout: r, Index: index}, nil
}

// Resume lets the planned evictions of a pool go on. What was missed meanwhile is not made up for.
func (s *rolloutService) Resume(ctx context.Context, req *callboardv1.ResumeRequest) (*callboardv1.ResumeResponse, error) {
	r, index, err := s.change(ctx, req.GetNamespace(), req.GetPool(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_ResumeRollout{
		ResumeRollout: &callboardv1.ResumeRequest{Namespace: req.GetNamespace(), Pool: req.GetPool()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.ResumeResponse{Rollout: r, Index: index}, nil
}

// Hold rolls a version of a pool back.
func (s *rolloutService) Hold(ctx context.Context, req *callboardv1.HoldRequest) (*callboardv1.HoldResponse, error) {
	if err := problem(checkReason(req.GetReason())); err != nil {
		return nil, err
	}
	p, index, err := s.changePool(ctx, req.GetNamespace(), req.GetPool(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_HoldVersion{
		HoldVersion: &callboardv1.HoldRequest{Namespace: req.GetNamespace(), Pool: req.GetPool(), Version: req.GetVersion(), Reason: req.GetReason()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.HoldResponse{Pool: p, Index: index}, nil
}

// Release lets a version that is held back get actors again.
func (s *rolloutService) Release(ctx context.Context, req *callboardv1.ReleaseRequest) (*callboardv1.ReleaseResponse, error) {
	p, index, err := s.changePool(ctx, req.GetNamespace(), req.GetPool(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_ReleaseVersion{
		ReleaseVersion: &callboardv1.ReleaseRequest{Namespace: req.GetNamespace(), Pool: req.GetPool(), Version: req.GetVersion()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.ReleaseResponse{Pool: p, Index: index}, nil
}

// changePool submits a command about a pool and answers with the pool as the command left it, or later; nil: it is gone by then.
func (s *rolloutService) changePool(ctx context.Context, namespace, pool, idempotencyKey string, command *nodev1.Command) (*callboardv1.Pool, uint64, error) {
	if err := problem(checkNamespace(namespace), checkPoolOf(pool)); err != nil {
		return nil, 0, err
	}
	_, view, index, err := s.submit(ctx, idempotencyKey, command)
	if err != nil {
		return nil, 0, err
	}
	ns := view.Namespace(namespace)
	if ns == nil {
		return nil, index, nil
	}
	p := view.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})
	if p == nil {
		return nil, index, nil
	}
	return poolMessage(view, ns, p, takeCensus(view, ns).pool(pool)), index, nil
}

// change submits a command about the rollout of a pool and answers with the rollout as the command left it, or later; nil: it is
// forgotten by then.
func (s *rolloutService) change(ctx context.Context, namespace, pool, idempotencyKey string, command *nodev1.Command) (*callboardv1.Rollout, uint64, error) {
	if err := problem(checkNamespace(namespace), checkPoolOf(pool)); err != nil {
		return nil, 0, err
	}
	_, view, index, err := s.submit(ctx, idempotencyKey, command)
	if err != nil {
		return nil, 0, err
	}
	ns := view.Namespace(namespace)
	if ns == nil {
		return nil, index, nil
	}
	p := view.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})
	if p == nil {
		return nil, index, nil
	}
	r := findRollout(view, p, 0)
	if r == nil {
		return nil, index, nil
	}
	return s.engine.RolloutStatus(view, r), index, nil
}

// maxPlanSlots bounds the slots that a plan assumes: more than all runners of a cluster can have.
const maxPlanSlots = fsm.MaxRunners * fsm.MaxSlots

// Plan tells what a version would do to a pool; one that is not newer than what is there does nothing, which is an answer too: who deploys
// the same again is not refused. Nothing changes.
func (s *rolloutService) Plan(ctx context.Context, req *callboardv1.PlanRequest) (*callboardv1.PlanResponse, error) {
	if req.GetSlots() > maxPlanSlots {
		return nil, badField("slots", "slots is %d, more than a cluster can have: give what the runners of the new version will have together, or 0 for as many as are needed", req.GetSlots())
	}
	view, p, err := s.poolView(ctx, req.GetNamespace(), req.GetPool(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	var plan *callboardv1.RolloutPlan
	if err := s.runAhead(ctx, func() { plan = s.engine.Plan(view, p, req.GetVersion(), req.GetSlots()) }); err != nil {
		return nil, err
	}
	return &callboardv1.PlanResponse{Plan: plan, Index: view.Index()}, nil
}

// poolView returns the View that a read about a pool is answered from, and the pool.
func (a *API) poolView(ctx context.Context, namespace, pool string, consistency callboardv1.Consistency) (*fsm.View, *fsm.Pool, error) {
	if err := problem(checkPoolOf(pool)); err != nil {
		return nil, nil, err
	}
	view, ns, err := a.namespaceView(ctx, namespace, consistency)
	if err != nil {
		return nil, nil, err
	}
	p, err := findPool(view, ns, pool)
	return view, p, err
}

// checkPoolOf checks the name of the pool that a request about something else names.
func checkPoolOf(name string) *callboardv1.Error {
	if name == "" {
		return badField("pool", "the pool's name is missing")
	}
	return checkPool(name)
}
