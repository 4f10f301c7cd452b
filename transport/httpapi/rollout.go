package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// rolloutBody is all the drains that one newer version in a pool has caused.
type rolloutBody struct {
	ID              uint64        `json:"id"`
	Pool            string        `json:"pool"`
	Version         uint32        `json:"version" doc:"That actors move to."`
	State           string        `json:"state" enum:"open,done,called_off,superseded"`
	EndReason       *string       `json:"end_reason" nullable:"true"`
	Paused          bool          `json:"paused"`
	PauseReason     *string       `json:"pause_reason" nullable:"true"`
	StartTs         int64         `json:"start_ts"`
	EndTs           *int64        `json:"end_ts" nullable:"true"`
	Moved           uint32        `json:"moved" doc:"Evicted, and their stop is confirmed."`
	Moving          uint32        `json:"moving" doc:"Evicted, and still stopping."`
	Waiting         uint32        `json:"waiting" doc:"On an older runner, and not evicted yet."`
	Asleep          uint32        `json:"asleep" doc:"Of the pool: they wake on the newest version."`
	Lost            uint32        `json:"lost" doc:"Their older runner was lost."`
	Left            uint32        `json:"left" doc:"Ended, slept or crashed of their own accord before their turn."`
	DrainingRunners uint32        `json:"draining_runners"`
	DrainedRunners  uint32        `json:"drained_runners"`
	Rate            float64       `json:"rate" doc:"Actors per second, in force now."`
	RateIsDefault   bool          `json:"rate_is_default"`
	Tokens          float64       `json:"tokens" doc:"Evictions that may be decided now; below zero: forced moves are paid off first."`
	Binds           *string       `json:"binds" nullable:"true" doc:"What limits the pace, and what would make it faster."`
	BlockedBy       []blockerBody `json:"blocked_by" nullable:"false"`
	EtaTs           *int64        `json:"eta_ts" nullable:"true" doc:"When the last actor will have left, as things stand; null: unknown."`
	EtaIsEstimate   bool          `json:"eta_is_estimate" doc:"The end was extrapolated."`
	HeldVersions    []heldBody    `json:"held_versions" nullable:"false" doc:"Versions of the pool that rollbacks hold back."`
}

// heldBody is a version that a rollback holds back.
type heldBody struct {
	Version uint32  `json:"version"`
	Reason  *string `json:"reason" nullable:"true"`
	StartTs int64   `json:"start_ts"`
}

func heldOf(list []*callboardv1.HeldVersion) []heldBody {
	held := []heldBody{}
	for _, h := range list {
		held = append(held, heldBody{Version: h.GetVersion(), Reason: text(h.GetReason()), StartTs: h.GetStartTs()})
	}
	return held
}

func rolloutOf(r *callboardv1.Rollout) rolloutBody {
	return rolloutBody{
		ID: r.GetId(), Pool: r.GetPool(), Version: r.GetVersion(), State: word(r.GetState().String(), "ROLLOUT_STATE_"), EndReason: text(r.GetEndReason()),
		Paused: r.GetPaused(), PauseReason: text(r.GetPauseReason()), StartTs: r.GetStartTs(), EndTs: stamp(r.GetEndTs()),
		Moved: r.GetMoved(), Moving: r.GetMoving(), Waiting: r.GetWaiting(), Asleep: r.GetAsleep(), Lost: r.GetLost(), Left: r.GetLeft(),
		DrainingRunners: r.GetDrainingRunners(), DrainedRunners: r.GetDrainedRunners(), Rate: float64(r.GetRateMicros()) / 1e6,
		RateIsDefault: r.GetRateIsDefault(), Tokens: float64(r.GetTokensMicros()) / 1e6, Binds: text(r.GetBinds()),
		BlockedBy: blockersOf(r.GetBlockedBy()), EtaTs: stamp(r.GetEtaTs()), EtaIsEstimate: r.GetEtaIsEstimate(),
		HeldVersions: heldOf(r.GetHeldVersions()),
	}
}

// planBody is what a newer version would do to a pool.
type planBody struct {
	Pool       string        `json:"pool"`
	Version    uint32        `json:"version"`
	Slots      uint64        `json:"slots" doc:"That the plan assumes for the new version."`
	Drain      bool          `json:"drain" doc:"False: drain_on_version_upgrade is off, and nothing moves."`
	Moves      uint32        `json:"moves" doc:"Actors that would move."`
	Stays      uint32        `json:"stays" doc:"Actors that would not, for want of room."`
	Asleep     uint32        `json:"asleep"`
	Runners    uint32        `json:"runners" doc:"That would drain."`
	FirstMs    int64         `json:"first_ms" doc:"From the start to the first eviction."`
	DurationMs int64         `json:"duration_ms" doc:"From the start until the last actor has left."`
	Estimate   bool          `json:"estimate" doc:"The end was extrapolated."`
	PeakPerS   uint32        `json:"peak_per_s" doc:"Most evictions within one second."`
	Binds      *string       `json:"binds" nullable:"true"`
	Points     []planPoint   `json:"points" nullable:"false" doc:"The course of it."`
	BlockedBy  []blockerBody `json:"blocked_by" nullable:"false"`
}

type planPoint struct {
	AtMs    int64  `json:"at_ms" doc:"From the start."`
	Evicted uint32 `json:"evicted" doc:"Until then."`
}

func planOf(p *callboardv1.RolloutPlan) planBody {
	body := planBody{
		Pool: p.GetPool(), Version: p.GetVersion(), Slots: p.GetSlots(), Drain: p.GetDrain(), Moves: p.GetMoves(), Stays: p.GetStays(), Asleep: p.GetAsleep(),
		Runners: p.GetRunners(), FirstMs: p.GetFirstMs(), DurationMs: p.GetDurationMs(), Estimate: p.GetEstimate(), PeakPerS: p.GetPeakPerS(),
		Binds: text(p.GetBinds()), Points: []planPoint{}, BlockedBy: blockersOf(p.GetBlockedBy()),
	}
	for _, point := range p.GetPoints() {
		body.Points = append(body.Points, planPoint{point.GetAtMs(), point.GetEvicted()})
	}
	return body
}

// RolloutPath names the pool whose rollout an operation is about.
type RolloutPath struct {
	Pool string `path:"pool"`
}

type getRolloutInput struct {
	NamespaceParam
	ReadParams
	RolloutPath
	ID uint64 `query:"id" doc:"Not given: the open one, or else the last."`
}

type listRolloutsInput struct {
	NamespaceParam
	ReadParams
	PageParams
	RolloutPath
}

type planInput struct {
	NamespaceParam
	ReadParams
	RolloutPath
	To    uint32 `query:"to" required:"true" maximum:"4294967295" doc:"The version."`
	Slots uint64 `query:"slots" doc:"Of its runners together; not given: as many as the pool's actors need."`
}

type pauseInput struct {
	NamespaceParam
	WriteParams
	RolloutPath
	Body *struct {
		Reason string `json:"reason,omitempty" doc:"At most 256 bytes."`
	}
}

type resumeInput struct {
	NamespaceParam
	WriteParams
	RolloutPath
	Body *emptyBody
}

type oneRolloutBody struct {
	Rollout rolloutBody `json:"rollout"`
}

type rolloutsBody struct {
	Rollouts   []rolloutBody `json:"rollouts" nullable:"false"`
	Pagination pagination    `json:"pagination"`
}

type onePlanBody struct {
	Plan planBody `json:"plan"`
}

func (a *api) registerRollouts() {
	register(a, huma.Operation{OperationID: "rollouts_get", Method: http.MethodGet, Path: "/pools/{pool}/rollout", Summary: "How far a pool's rollout is: the open one, or else the last"}, a.getRollout)
	register(a, huma.Operation{OperationID: "rollouts_list", Method: http.MethodGet, Path: "/pools/{pool}/rollouts", Summary: "List a pool's rollouts, newest first"}, a.listRollouts)
	register(a, huma.Operation{OperationID: "rollouts_plan", Method: http.MethodGet, Path: "/pools/{pool}/rollout/plan", Summary: "What a newer version would do; nothing changes"}, a.planRollout)
	register(a, huma.Operation{OperationID: "rollouts_pause", Method: http.MethodPost, Path: "/pools/{pool}/rollout/pause", Summary: "Stop the evictions of a pool's rollout"}, a.pauseRollout)
	register(a, huma.Operation{OperationID: "rollouts_resume", Method: http.MethodPost, Path: "/pools/{pool}/rollout/resume", Summary: "Let a pool's rollout go on"}, a.resumeRollout)
	register(a, huma.Operation{OperationID: "rollouts_hold", Method: http.MethodPost, Path: "/pools/{pool}/rollout/hold", Summary: "Roll a version back: its runners give up their actors, and whoever brings it gets none"}, a.holdVersion)
	register(a, huma.Operation{OperationID: "rollouts_release", Method: http.MethodPost, Path: "/pools/{pool}/rollout/release", Summary: "Let a version that is held back get actors again"}, a.releaseVersion)
}

func (a *api) getRollout(ctx context.Context, in *getRolloutInput) (*answer[oneRolloutBody], error) {
	got, err := a.Rollouts.Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: in.Namespace, Pool: in.Pool, Id: in.ID, Consistency: in.consistency()})
	if err != nil {
		return nil, err
	}
	return oneRollout(got.GetRollout(), got.GetIndex()), nil
}

func oneRollout(r *callboardv1.Rollout, index uint64) *answer[oneRolloutBody] {
	return &answer[oneRolloutBody]{Index: indexText(index), Body: oneRolloutBody{rolloutOf(r)}}
}

func (a *api) listRollouts(ctx context.Context, in *listRolloutsInput) (*answer[rolloutsBody], error) {
	page, err := a.Rollouts.List(ctx, &callboardv1.RolloutServiceListRequest{
		Namespace: in.Namespace, Pool: in.Pool, Limit: in.limit(), Cursor: in.Cursor, Consistency: in.consistency(),
	})
	if err != nil {
		return nil, err
	}
	out := &answer[rolloutsBody]{Index: indexText(page.GetIndex()), Body: rolloutsBody{Rollouts: []rolloutBody{}, Pagination: paginate(page.GetNextCursor())}}
	for _, r := range page.GetRollouts() {
		out.Body.Rollouts = append(out.Body.Rollouts, rolloutOf(r))
	}
	return out, nil
}

func (a *api) planRollout(ctx context.Context, in *planInput) (*answer[onePlanBody], error) {
	got, err := a.Rollouts.Plan(ctx, &callboardv1.PlanRequest{
		Namespace: in.Namespace, Pool: in.Pool, Version: in.To, Slots: in.Slots, Consistency: in.consistency(),
	})
	if err != nil {
		return nil, err
	}
	return &answer[onePlanBody]{Index: indexText(got.GetIndex()), Body: onePlanBody{planOf(got.GetPlan())}}, nil
}

func (a *api) pauseRollout(ctx context.Context, in *pauseInput) (*answer[oneRolloutBody], error) {
	req := &callboardv1.PauseRequest{Namespace: in.Namespace, Pool: in.Pool, IdempotencyKey: in.IdempotencyKey}
	if in.Body != nil {
		req.Reason = in.Body.Reason
	}
	got, err := a.Rollouts.Pause(ctx, req)
	if err != nil {
		return nil, err
	}
	return oneRollout(got.GetRollout(), got.GetIndex()), nil
}

func (a *api) resumeRollout(ctx context.Context, in *resumeInput) (*answer[oneRolloutBody], error) {
	got, err := a.Rollouts.Resume(ctx, &callboardv1.ResumeRequest{Namespace: in.Namespace, Pool: in.Pool, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return oneRollout(got.GetRollout(), got.GetIndex()), nil
}

type holdInput struct {
	NamespaceParam
	WriteParams
	RolloutPath
	Body struct {
		Version uint32 `json:"version"`
		Reason  string `json:"reason,omitempty" doc:"At most 256 bytes."`
	}
}

type releaseInput struct {
	NamespaceParam
	WriteParams
	RolloutPath
	Body struct {
		Version uint32 `json:"version"`
	}
}

type heldVersionsBody struct {
	HeldVersions []heldBody `json:"held_versions" nullable:"false" doc:"Those that the pool holds back now."`
}

func (a *api) holdVersion(ctx context.Context, in *holdInput) (*answer[heldVersionsBody], error) {
	got, err := a.Rollouts.Hold(ctx, &callboardv1.HoldRequest{
		Namespace: in.Namespace, Pool: in.Pool, Version: in.Body.Version, Reason: in.Body.Reason, IdempotencyKey: in.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	return &answer[heldVersionsBody]{Index: indexText(got.GetIndex()), Body: heldVersionsBody{heldOf(got.GetPool().GetHeldVersions())}}, nil
}

func (a *api) releaseVersion(ctx context.Context, in *releaseInput) (*answer[heldVersionsBody], error) {
	got, err := a.Rollouts.Release(ctx, &callboardv1.ReleaseRequest{Namespace: in.Namespace, Pool: in.Pool, Version: in.Body.Version, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[heldVersionsBody]{Index: indexText(got.GetIndex()), Body: heldVersionsBody{heldOf(got.GetPool().GetHeldVersions())}}, nil
}
