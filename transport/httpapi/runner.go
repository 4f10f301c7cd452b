package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// runnerBody is a runner as published clients know it, and after that what only this engine tells; they pass over what they do not know.
type runnerBody struct {
	RunnerID        string         `json:"runner_id"`
	NamespaceID     string         `json:"namespace_id"`
	Datacenter      string         `json:"datacenter"`
	Name            string         `json:"name" doc:"The pool."`
	Key             string         `json:"key"`
	Version         uint32         `json:"version"`
	TotalSlots      uint32         `json:"total_slots"`
	RemainingSlots  uint32         `json:"remaining_slots"`
	CreateTs        int64          `json:"create_ts"`
	DrainTs         *int64         `json:"drain_ts" nullable:"true"`
	StopTs          *int64         `json:"stop_ts" nullable:"true"`
	LastPingTs      int64          `json:"last_ping_ts"`
	LastConnectedTs *int64         `json:"last_connected_ts" nullable:"true"`
	LastRtt         uint32         `json:"last_rtt" doc:"Not measured: 0."`
	Metadata        map[string]any `json:"metadata" nullable:"true"`

	State            string `json:"state" doc:"connected, disconnected, draining, lost or stopped."`
	Holder           string `json:"holder" doc:"Name of the node that holds its stream."`
	LeaseAgeMs       int64  `json:"lease_age_ms" doc:"Cluster time since its last committed heartbeat."`
	LostThresholdMs  uint32 `json:"lost_threshold_ms" doc:"The silence after which it is lost."`
	IneligibleReason string `json:"ineligible_reason" doc:"Why it gets no new actors; empty: it does."`
	OnLeaseLost      string `json:"on_lease_lost" enum:"fence,keep" doc:"What happens to its actors when its lease ends. With keep nothing promises that one of them runs only once."`

	ActorNames []string `json:"actor_names" nullable:"false" doc:"The names that it has handlers for: it gets no other actors. Empty: it gets all."`

	Drain *drainBody `json:"drain" doc:"Null: it does not drain."`
}

func (a *api) runner(m *callboardv1.Runner) runnerBody {
	body := runnerBody{
		RunnerID: m.GetRunnerId(), NamespaceID: m.GetNamespaceId(), Datacenter: a.Datacenter, Name: m.GetPool(), Key: m.GetKey(), Version: m.GetVersion(),
		TotalSlots: m.GetTotalSlots(), RemainingSlots: m.GetRemainingSlots(), CreateTs: m.GetCreateTs(), DrainTs: stamp(m.GetDrainTs()),
		StopTs: stamp(m.GetStopTs()), LastPingTs: m.GetLastPingTs(), LastConnectedTs: stamp(m.GetLastConnectedTs()),
		State:  strings.ToLower(strings.TrimPrefix(m.GetState().String(), "RUNNER_STATE_")),
		Holder: m.GetHolder(), LeaseAgeMs: m.GetLeaseAgeMs(), LostThresholdMs: m.GetLostThresholdMs(), IneligibleReason: m.GetIneligibleReason(),
		Drain: drainOf(m.GetDrain()), OnLeaseLost: "fence", ActorNames: append([]string{}, m.GetActorNames()...),
	}
	if m.GetKeepOnLeaseLost() {
		body.OnLeaseLost = "keep"
	}
	var metadata any
	if json.Unmarshal([]byte(m.GetMetadataJson()), &metadata) == nil {
		switch value := metadata.(type) {
		case nil:
		case map[string]any:
			body.Metadata = value
		default: // the field holds objects only
			body.Metadata = map[string]any{"value": value}
		}
	}
	return body
}

type listRunnersInput struct {
	NamespaceParam
	ReadParams
	PageParams
	Name           string   `query:"name" doc:"The pool."`
	RunnerIDs      string   `query:"runner_ids" doc:"Ids, separated by commas."`
	RunnerID       []string `query:"runner_id,explode" doc:"An id; may be repeated."`
	IncludeStopped bool     `query:"include_stopped"`
}

type runnersBody struct {
	Runners    []runnerBody `json:"runners"`
	Pagination pagination   `json:"pagination"`
}

type listEnvoysInput struct {
	NamesInput
	Name     string   `query:"name" doc:"The pool."`
	EnvoyKey []string `query:"envoy_key,explode" doc:"A key; may be repeated."`
}

type envoysBody struct {
	Envoys     []struct{} `json:"envoys"`
	Pagination pagination `json:"pagination"`
}

type runnerNamesBody struct {
	Names      []string   `json:"names"`
	Pagination pagination `json:"pagination"`
}

func (a *api) registerRunners() {
	register(a, huma.Operation{OperationID: "runners_list", Method: http.MethodGet, Path: "/runners", Summary: "List runners"}, a.listRunners)
	register(a, huma.Operation{OperationID: "runners_list_names", Method: http.MethodGet, Path: "/runners/names", Summary: "List the pools that have runners"}, a.listRunnerNames)
	register(a, huma.Operation{OperationID: "envoys_list", Method: http.MethodGet, Path: "/envoys", Summary: "List envoys: there are none"}, a.listEnvoys)
}

func (a *api) listRunners(ctx context.Context, in *listRunnersInput) (*answer[runnersBody], error) {
	page, err := a.Runners.List(ctx, &callboardv1.RunnerServiceListRequest{
		Namespace: in.Namespace, Pool: in.Name, RunnerIds: append(commaList(in.RunnerIDs), in.RunnerID...), IncludeStopped: in.IncludeStopped,
		Limit: in.limit(), Cursor: in.Cursor, Consistency: in.consistency(),
	})
	if err != nil {
		return nil, err
	}
	out := &answer[runnersBody]{Index: indexText(page.GetIndex()), Body: runnersBody{Runners: []runnerBody{}, Pagination: paginate(page.GetNextCursor())}}
	for _, m := range page.GetRunners() {
		out.Body.Runners = append(out.Body.Runners, a.runner(m))
	}
	return out, nil
}

func (a *api) listRunnerNames(ctx context.Context, in *NamesInput) (*answer[runnerNamesBody], error) {
	names, next, index, err := a.Pages.RunnerNames(ctx, in.Namespace, in.Cursor, in.limit())
	if err != nil {
		return nil, err
	}
	return &answer[runnerNamesBody]{Index: indexText(index), Body: runnerNamesBody{Names: append([]string{}, names...), Pagination: paginate(next)}}, nil
}

// listEnvoys finds none: envoys are what published clients of a later generation run in place of runners, and they do not connect here.
func (a *api) listEnvoys(ctx context.Context, in *listEnvoysInput) (*answer[envoysBody], error) {
	_, _, index, err := a.Pages.RunnerNames(ctx, in.Namespace, in.Cursor, 1) // is there such a namespace?
	if err != nil {
		return nil, err
	}
	return &answer[envoysBody]{Index: indexText(index), Body: envoysBody{Envoys: []struct{}{}}}, nil
}
