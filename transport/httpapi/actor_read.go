package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type listActorsInput struct {
	NamespaceParam
	ReadParams
	PageParams
	Name             string   `query:"name"`
	Key              string   `query:"key" doc:"With name."`
	ActorIDs         string   `query:"actor_ids" doc:"Ids, separated by commas: at most 32."`
	ActorID          []string `query:"actor_id,explode" doc:"An id; may be repeated."`
	RunnerID         string   `query:"runner_id" doc:"The actors that this runner holds: they start, run or stop there. Alone: without name, ids or include_destroyed."`
	IncludeDestroyed bool     `query:"include_destroyed"`

	hasKey bool
}

// Resolve tells a key that is empty from one that is not given.
func (in *listActorsInput) Resolve(ctx huma.Context) []error {
	url := ctx.URL()
	in.hasKey = url.Query().Has("key")
	return nil
}

type actorsBody struct {
	Actors     []actorBody `json:"actors"`
	Pagination pagination  `json:"pagination"`
}

type actorNamesBody struct {
	Names      map[string]actorName `json:"names"`
	Pagination pagination           `json:"pagination"`
}

type actorName struct {
	Metadata map[string]any `json:"metadata"`
}

type NamesInput struct {
	NamespaceParam
	PageParams
}

// ActorPath names the actor that an operation is about.
type ActorPath struct {
	ActorID string `path:"actor_id"`
}

type getActorInput struct {
	NamespaceParam
	ReadParams
	ActorPath
	Wait    string `query:"wait" enum:"running" doc:"Wait until it runs."`
	Timeout string `query:"timeout" doc:"How long to wait: such as 30s, or milliseconds. At most 10m."`
}

type oneActorBody struct {
	Actor actorBody `json:"actor"`
}

type explainInput struct {
	NamespaceParam
	ReadParams
	ActorPath
	RunnerID string `query:"runner_id" doc:"Also say why not on this runner."`
}

type explainBody struct {
	Actor        actorBody     `json:"actor"`
	Summary      string        `json:"summary"`
	Steps        []string      `json:"steps"`
	Decision     *decisionBody `json:"decision"`
	NextChangeTs *int64        `json:"next_change_ts" nullable:"true"`
	NextChange   *string       `json:"next_change" nullable:"true"`
}

type decisionBody struct {
	Index    uint64  `json:"index"`
	Ts       int64   `json:"ts"`
	InPool   uint32  `json:"in_pool"`
	Eligible uint32  `json:"eligible"`
	Newest   uint32  `json:"newest"`
	Version  uint32  `json:"version"`
	Chosen   *string `json:"chosen" nullable:"true"`
	RunnerUp *string `json:"runner_up" nullable:"true"`
	Rule     string  `json:"rule"`
}

func (a *api) registerActors() {
	register(a, huma.Operation{OperationID: "actors_list", Method: http.MethodGet, Path: "/actors", Summary: "List actors of a name, of a name and key, of ids, or of a runner"}, a.listActors)
	register(a, huma.Operation{OperationID: "actors_list_names", Method: http.MethodGet, Path: "/actors/names", Summary: "List the names of actors"}, a.listActorNames)
	register(a, huma.Operation{OperationID: "actors_get", Method: http.MethodGet, Path: "/actors/{actor_id}", Summary: "Get one actor, and wait until it runs"}, a.getActor)
	register(a, huma.Operation{OperationID: "actors_explain", Method: http.MethodGet, Path: "/actors/{actor_id}/explain", Summary: "Why it is where it is, or waits"}, a.explainActor)
}

func (a *api) listActors(ctx context.Context, in *listActorsInput) (*answer[actorsBody], error) {
	ids := append(commaList(in.ActorIDs), in.ActorID...)
	for i, id := range ids {
		if isForeignID(id) {
			ids[i] = nobody
		}
	}
	req := &callboardv1.ListRequest{
		Namespace: in.Namespace, Name: in.Name, ActorIds: ids, RunnerId: in.RunnerID,
		IncludeDestroyed: in.IncludeDestroyed, Limit: in.limit(), Cursor: in.Cursor, Consistency: in.consistency(),
	}
	if in.hasKey {
		req.Key = &in.Key
	}
	page, err := a.Actors.List(ctx, req)
	if err != nil {
		return nil, err
	}
	out := &answer[actorsBody]{Index: indexText(page.GetIndex()), Body: actorsBody{Actors: []actorBody{}, Pagination: paginate(page.GetNextCursor())}}
	for _, m := range page.GetActors() {
		out.Body.Actors = append(out.Body.Actors, a.actor(m))
	}
	return out, nil
}

func (a *api) listActorNames(ctx context.Context, in *NamesInput) (*answer[actorNamesBody], error) {
	names, next, index, err := a.Pages.ActorNames(ctx, in.Namespace, in.Cursor, in.limit())
	if err != nil {
		return nil, err
	}
	out := &answer[actorNamesBody]{Index: indexText(index), Body: actorNamesBody{Names: map[string]actorName{}, Pagination: paginate(next)}}
	for _, name := range names {
		out.Body.Names[name] = actorName{Metadata: map[string]any{}}
	}
	return out, nil
}

func (a *api) getActor(ctx context.Context, in *getActorInput) (*answer[oneActorBody], error) {
	timeoutMs, err := parseTimeout(in.Timeout)
	if err != nil {
		return nil, err
	}
	got, err := a.Actors.Get(ctx, &callboardv1.GetRequest{
		Namespace: in.Namespace, ActorId: in.ActorID, Consistency: in.consistency(), WaitRunning: in.Wait == "running", TimeoutMs: timeoutMs,
	})
	if err != nil {
		return nil, err
	}
	return &answer[oneActorBody]{Index: indexText(got.GetIndex()), Body: oneActorBody{a.actor(got.GetActor())}}, nil
}

func (a *api) explainActor(ctx context.Context, in *explainInput) (*answer[explainBody], error) {
	got, err := a.Actors.Explain(ctx, &callboardv1.ExplainRequest{
		Namespace: in.Namespace, ActorId: in.ActorID, RunnerId: in.RunnerID, Consistency: in.consistency(),
	})
	if err != nil {
		return nil, err
	}
	body := explainBody{
		Actor: a.actor(got.GetActor()), Summary: got.GetSummary(), Steps: append([]string{}, got.GetSteps()...),
		NextChangeTs: stamp(got.GetNextChangeTs()), NextChange: text(got.GetNextChange()),
	}
	if d := got.GetDecision(); d != nil {
		body.Decision = &decisionBody{
			Index: d.GetIndex(), Ts: d.GetTs(), InPool: d.GetInPool(), Eligible: d.GetEligible(), Newest: d.GetNewest(), Version: d.GetVersion(),
			Chosen: text(d.GetChosen()), RunnerUp: text(d.GetRunnerUp()), Rule: d.GetRule(),
		}
	}
	return &answer[explainBody]{Index: indexText(got.GetIndex()), Body: body}, nil
}
