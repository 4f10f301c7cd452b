package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// drainBody is how a runner gives up its actors.
type drainBody struct {
	Cause           string        `json:"cause" enum:"newer_version,operator,shutdown,replaced,lost,url_changed,request_end"`
	Reason          *string       `json:"reason" nullable:"true"`
	StartTs         int64         `json:"start_ts"`
	DeadlineTs      *int64        `json:"deadline_ts" nullable:"true" doc:"When whatever is left moves at once."`
	Force           bool          `json:"force" doc:"Its actors move whether or not there is room elsewhere."`
	Total           uint32        `json:"total" doc:"Actors that it had when the drain began, and those that it was given since."`
	Moved           uint32        `json:"moved" doc:"Of those, how many have left it."`
	Moving          uint32        `json:"moving" doc:"Asked to stop, and not confirmed yet."`
	Left            uint32        `json:"left" doc:"Not asked yet."`
	FinishTs        *int64        `json:"finish_ts" nullable:"true" doc:"When the last one had left."`
	SafeToTerminate bool          `json:"safe_to_terminate" doc:"It has nothing and gets nothing any more."`
	Standby         bool          `json:"standby" doc:"It was outdated when it connected, and has had no actor since."`
	Held            bool          `json:"held" doc:"A rollback holds its version back."`
	BlockedBy       []blockerBody `json:"blocked_by" nullable:"false"`
}

// blockerBody is one reason why evictions that are due do not happen now.
type blockerBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	UntilTs *int64 `json:"until_ts" nullable:"true" doc:"About when it ends by itself; null: unknown."`
}

func drainOf(d *callboardv1.Drain) *drainBody {
	if d == nil {
		return nil
	}
	return &drainBody{
		Cause: word(d.GetCause().String(), "DRAIN_CAUSE_"), Reason: text(d.GetReason()), StartTs: d.GetStartTs(), DeadlineTs: stamp(d.GetDeadlineTs()),
		Force: d.GetForce(), Total: d.GetTotal(), Moved: d.GetMoved(), Moving: d.GetMoving(), Left: d.GetLeft(), FinishTs: stamp(d.GetFinishTs()),
		SafeToTerminate: d.GetSafeToTerminate(), Standby: d.GetStandby(), Held: d.GetHeld(), BlockedBy: blockersOf(d.GetBlockedBy()),
	}
}

func blockersOf(list []*callboardv1.Blocker) []blockerBody {
	blockers := []blockerBody{}
	for _, b := range list {
		blockers = append(blockers, blockerBody{Code: b.GetCode(), Message: b.GetMessage(), UntilTs: stamp(b.GetUntilTs())})
	}
	return blockers
}

// RunnerPath names the runner that an operation is about.
type RunnerPath struct {
	RunnerID string `path:"runner_id"`
}

type drainInput struct {
	NamespaceParam
	WriteParams
	RunnerPath
	Body *struct {
		DeadlineMs uint32 `json:"deadline_ms,omitempty" maximum:"4294967295" doc:"From now; then whatever is left moves at once. 0: none."`
		Reason     string `json:"reason,omitempty" doc:"At most 256 bytes."`
		Force      bool   `json:"force,omitempty" doc:"Move its actors whether or not there is room elsewhere."`
		Keep       bool   `json:"keep,omitempty" doc:"A new process with its key and version inherits the drain also when it has finished."`
	}
}

type undrainInput struct {
	NamespaceParam
	WriteParams
	RunnerPath
	Body *emptyBody
}

type oneRunnerBody struct {
	Runner runnerBody `json:"runner"`
}

func (a *api) registerDrains() {
	register(a, huma.Operation{OperationID: "runners_drain", Method: http.MethodPost, Path: "/runners/{runner_id}/drain", Summary: "Take a runner out of placement and move its actors away at the pool's pace"}, a.drainRunner)
	register(a, huma.Operation{OperationID: "runners_undrain", Method: http.MethodPost, Path: "/runners/{runner_id}/undrain", Summary: "Call an operator's drain off"}, a.undrainRunner)
	register(a, huma.Operation{OperationID: "drains_list", Method: http.MethodGet, Path: "/pools/{pool}/drains", Summary: "List the drains of a pool that outlive their runners, by key"}, a.listDrains)
	register(a, huma.Operation{OperationID: "drains_delete", Method: http.MethodDelete, Path: "/pools/{pool}/drains", Summary: "Call off a drain by the key of its runner, which need not be there"}, a.deleteDrain)
}

func (a *api) drainRunner(ctx context.Context, in *drainInput) (*answer[oneRunnerBody], error) {
	req := &callboardv1.DrainRequest{Namespace: in.Namespace, RunnerId: in.RunnerID, IdempotencyKey: in.IdempotencyKey}
	if b := in.Body; b != nil {
		req.DeadlineMs, req.Reason, req.Force, req.Keep = b.DeadlineMs, b.Reason, b.Force, b.Keep
	}
	got, err := a.Runners.Drain(ctx, req)
	if err != nil {
		return nil, err
	}
	return &answer[oneRunnerBody]{Index: indexText(got.GetIndex()), Body: oneRunnerBody{a.runner(got.GetRunner())}}, nil
}

func (a *api) undrainRunner(ctx context.Context, in *undrainInput) (*answer[oneRunnerBody], error) {
	got, err := a.Runners.Undrain(ctx, &callboardv1.UndrainRequest{Namespace: in.Namespace, RunnerId: in.RunnerID, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[oneRunnerBody]{Index: indexText(got.GetIndex()), Body: oneRunnerBody{a.runner(got.GetRunner())}}, nil
}

// keptDrainBody is an operator's drain as it outlives its runner.
type keptDrainBody struct {
	Key        string  `json:"key" doc:"Of the runner."`
	Version    uint32  `json:"version" doc:"Of the runner."`
	RunnerID   *string `json:"runner_id" nullable:"true" doc:"The runner that has it now; null: none is there."`
	Reason     *string `json:"reason" nullable:"true"`
	DeadlineTs *int64  `json:"deadline_ts" nullable:"true"`
	Force      bool    `json:"force"`
	Keep       bool    `json:"keep" doc:"A new process with the key and version inherits it also when it has finished."`
	Finished   bool    `json:"finished" doc:"The runner had given up its last actor."`
	KeptTs     int64   `json:"kept_ts"`
	ForgetTs   int64   `json:"forget_ts" doc:"About when it is forgotten."`
}

type listDrainsInput struct {
	NamespaceParam
	ReadParams
	PageParams
	RolloutPath
}

type deleteDrainInput struct {
	NamespaceParam
	WriteParams
	RolloutPath
	Key string `query:"key" required:"true" doc:"Of the runner."`
}

type drainsBody struct {
	Drains     []keptDrainBody `json:"drains" nullable:"false"`
	Pagination pagination      `json:"pagination"`
}

func (a *api) listDrains(ctx context.Context, in *listDrainsInput) (*answer[drainsBody], error) {
	page, err := a.Runners.ListDrains(ctx, &callboardv1.ListDrainsRequest{
		Namespace: in.Namespace, Pool: in.Pool, Limit: in.limit(), Cursor: in.Cursor, Consistency: in.consistency(),
	})
	if err != nil {
		return nil, err
	}
	out := &answer[drainsBody]{Index: indexText(page.GetIndex()), Body: drainsBody{Drains: []keptDrainBody{}, Pagination: paginate(page.GetNextCursor())}}
	for _, d := range page.GetDrains() {
		out.Body.Drains = append(out.Body.Drains, keptDrainBody{
			Key: d.GetKey(), Version: d.GetVersion(), RunnerID: text(d.GetRunnerId()), Reason: text(d.GetReason()), DeadlineTs: stamp(d.GetDeadlineTs()),
			Force: d.GetForce(), Keep: d.GetKeep(), Finished: d.GetFinished(), KeptTs: d.GetKeptTs(), ForgetTs: d.GetForgetTs(),
		})
	}
	return out, nil
}

func (a *api) deleteDrain(ctx context.Context, in *deleteDrainInput) (*answer[emptyBody], error) {
	got, err := a.Runners.Undrain(ctx, &callboardv1.UndrainRequest{Namespace: in.Namespace, Pool: in.Pool, Key: in.Key, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}
