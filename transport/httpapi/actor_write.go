package httpapi

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// NewActorBody describes an actor to be made.
type NewActorBody struct {
	Datacenter         *string `json:"datacenter,omitempty" nullable:"true"`
	Name               string  `json:"name"`
	Input              *string `json:"input,omitempty" nullable:"true" doc:"Base64: at most 4 MiB decoded."`
	RunnerNameSelector string  `json:"runner_name_selector" doc:"The pool."`
	CrashPolicy        string  `json:"crash_policy" enum:"restart,sleep,destroy"`
}

type createBody struct {
	NewActorBody
	Key *string `json:"key,omitempty" nullable:"true"`
}

type getOrCreateBody struct {
	NewActorBody
	Key string `json:"key"`
}

type createInput struct {
	NamespaceParam
	WriteParams
	Body createBody
}

type getOrCreateInput struct {
	NamespaceParam
	WriteParams
	Timeout string `query:"timeout" doc:"How long to wait while the key is busy: such as 30s, or milliseconds."`
	Body    getOrCreateBody
}

type gotOrCreatedBody struct {
	Actor   actorBody `json:"actor"`
	Created bool      `json:"created"`
}

type destroyInput struct {
	NamespaceParam
	WriteParams
	ActorPath
	Timeout string `query:"timeout" doc:"How long to wait for its end: such as 30s, or milliseconds; 202 when it takes longer."`
}

type changeInput struct {
	NamespaceParam
	WriteParams
	ActorPath
	Body *emptyBody
}

type resolveInput struct {
	NamespaceParam
	ActorPath
	Timeout string `query:"timeout" doc:"How long to wait until it runs: such as 30s, or milliseconds."`
	Body    *emptyBody
}

type emptyBody struct{}

type resolvedBody struct {
	ActorID    string  `json:"actor_id"`
	RunnerID   string  `json:"runner_id"`
	RunnerAddr *string `json:"runner_addr" nullable:"true" doc:"What the runner advertises."`
	Generation uint64  `json:"generation"`
}

func (a *api) registerActorChanges() {
	register(a, huma.Operation{OperationID: "actors_create", Method: http.MethodPost, Path: "/actors", Summary: "Create an actor", MaxBodyBytes: maxCreateBodyBytes}, a.createActor)
	register(a, huma.Operation{OperationID: "actors_get_or_create", Method: http.MethodPut, Path: "/actors", Summary: "Get the actor of a key, or create it", MaxBodyBytes: maxCreateBodyBytes}, a.getOrCreateActor)
	register(a, huma.Operation{OperationID: "actors_delete", Method: http.MethodDelete, Path: "/actors/{actor_id}", Summary: "Destroy an actor and wait for its end"}, a.destroyActor)
	register(a, huma.Operation{OperationID: "actors_sleep", Method: http.MethodPost, Path: "/actors/{actor_id}/sleep", Summary: "Put an actor to sleep"}, a.sleepActor)
	register(a, huma.Operation{OperationID: "actors_reschedule", Method: http.MethodPost, Path: "/actors/{actor_id}/reschedule", Summary: "Move an actor now, outside its pool's eviction rate"}, a.rescheduleActor)
	register(a, huma.Operation{OperationID: "actors_wake", Method: http.MethodPost, Path: "/actors/{actor_id}/wake", Summary: "Wake a sleeping actor"}, a.wakeActor)
	register(a, huma.Operation{OperationID: "actors_resolve", Method: http.MethodPost, Path: "/actors/{actor_id}/resolve", Summary: "Wake it if need be, wait until it runs, and say where"}, a.resolveActor)
}

// read checks what only HTTP has: the datacenter, and the input in base64.
func (a *api) read(b NewActorBody) (input []byte, policy callboardv1.CrashPolicy, err error) {
	if b.Datacenter != nil && *b.Datacenter != a.Datacenter {
		return nil, 0, a.unknownDatacenter("datacenter", *b.Datacenter)
	}
	if b.Input != nil {
		if input, err = base64.StdEncoding.DecodeString(*b.Input); err != nil {
			return nil, 0, badRequest("input", "it is not base64: "+err.Error())
		}
	}
	return input, callboardv1.CrashPolicy(callboardv1.CrashPolicy_value["CRASH_POLICY_"+strings.ToUpper(b.CrashPolicy)]), nil
}

func (a *api) unknownDatacenter(field, name string) error {
	return callboardv1.Refuse("datacenter", "not_found", "there is no datacenter %q: this cluster is %q", clip(name), a.Datacenter).With("field", field)
}

func (a *api) createActor(ctx context.Context, in *createInput) (*answer[oneActorBody], error) {
	input, policy, err := a.read(in.Body.NewActorBody)
	if err != nil {
		return nil, err
	}
	made, err := a.Actors.Create(ctx, &callboardv1.CreateRequest{
		Namespace: in.Namespace, Name: in.Body.Name, Key: in.Body.Key, Pool: in.Body.RunnerNameSelector, Input: input, CrashPolicy: policy,
		IdempotencyKey: in.IdempotencyKey,
	})
	if err != nil {
		return nil, err
	}
	return &answer[oneActorBody]{Index: indexText(made.GetIndex()), Body: oneActorBody{a.actor(made.GetActor())}}, nil
}

func (a *api) getOrCreateActor(ctx context.Context, in *getOrCreateInput) (*answer[gotOrCreatedBody], error) {
	input, policy, err := a.read(in.Body.NewActorBody)
	if err != nil {
		return nil, err
	}
	timeoutMs, err := parseTimeout(in.Timeout)
	if err != nil {
		return nil, err
	}
	got, err := a.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{
		Namespace: in.Namespace, Name: in.Body.Name, Key: in.Body.Key, Pool: in.Body.RunnerNameSelector, Input: input, CrashPolicy: policy,
		IdempotencyKey: in.IdempotencyKey, TimeoutMs: timeoutMs,
	})
	if err != nil {
		return nil, err
	}
	return &answer[gotOrCreatedBody]{Index: indexText(got.GetIndex()), Body: gotOrCreatedBody{a.actor(got.GetActor()), got.GetCreated()}}, nil
}

// destroyActor answers 200 when the actor has ended, and 202 when that takes longer than the caller would wait.
func (a *api) destroyActor(ctx context.Context, in *destroyInput) (*answer[emptyBody], error) {
	timeoutMs, err := parseTimeout(in.Timeout)
	if err != nil {
		return nil, err
	}
	got, err := a.Actors.Destroy(ctx, &callboardv1.DestroyRequest{
		Namespace: in.Namespace, ActorId: in.ActorID, IdempotencyKey: in.IdempotencyKey, TimeoutMs: timeoutMs,
	})
	if err != nil {
		return nil, err
	}
	out := &answer[emptyBody]{Index: indexText(got.GetIndex())}
	if !got.GetEnded() {
		out.Status = http.StatusAccepted
	}
	return out, nil
}

func (a *api) sleepActor(ctx context.Context, in *changeInput) (*answer[emptyBody], error) {
	got, err := a.Actors.Sleep(ctx, &callboardv1.SleepRequest{Namespace: in.Namespace, ActorId: in.ActorID, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}

func (a *api) wakeActor(ctx context.Context, in *changeInput) (*answer[emptyBody], error) {
	got, err := a.Actors.Wake(ctx, &callboardv1.WakeRequest{Namespace: in.Namespace, ActorId: in.ActorID, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}

func (a *api) rescheduleActor(ctx context.Context, in *changeInput) (*answer[emptyBody], error) {
	got, err := a.Actors.Reschedule(ctx, &callboardv1.RescheduleRequest{Namespace: in.Namespace, ActorId: in.ActorID, IdempotencyKey: in.IdempotencyKey})
	if err != nil {
		return nil, err
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}

func (a *api) resolveActor(ctx context.Context, in *resolveInput) (*answer[resolvedBody], error) {
	timeoutMs, err := parseTimeout(in.Timeout)
	if err != nil {
		return nil, err
	}
	got, err := a.Actors.Resolve(ctx, &callboardv1.ResolveRequest{Namespace: in.Namespace, ActorId: in.ActorID, TimeoutMs: timeoutMs})
	if err != nil {
		return nil, err
	}
	m := got.GetActor()
	return &answer[resolvedBody]{
		Index: indexText(got.GetIndex()),
		Body:  resolvedBody{ActorID: m.GetActorId(), RunnerID: m.GetRunnerId(), RunnerAddr: text(got.GetRunnerAddr()), Generation: m.GetGeneration()},
	}, nil
}

// clip shortens what a caller sent for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
