package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// runnerConfigBody is a pool's config in one datacenter, every default filled in.
type runnerConfigBody struct {
	Normal     *normalBody     `json:"normal,omitempty"`
	Serverless *serverlessBody `json:"serverless,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty" doc:"Any JSON."`
	Protocol   *uint32         `json:"protocol_version" doc:"Null: the reference has the version of a protocol there that this engine does not speak."`
	PoolError  *poolErrorBody  `json:"runner_pool_error" doc:"Why the endpoint of a serverless pool gives no runners; null: nothing is wrong with it."`
}

type normalBody struct {
	DrainOnVersionUpgrade bool    `json:"drain_on_version_upgrade"`
	ActorEvictionDelay    uint32  `json:"actor_eviction_delay" doc:"Seconds."`
	ActorEvictionPeriod   uint32  `json:"actor_eviction_period" doc:"Seconds."`
	ActorEvictionRate     float64 `json:"actor_eviction_rate" doc:"Actors per second."`
	RunnerLostThreshold   uint32  `json:"runner_lost_threshold" doc:"Seconds."`
	Placement             string  `json:"placement" enum:"spread,binpack"`
}

type datacentersOfConfig struct {
	Datacenters map[string]runnerConfigBody `json:"datacenters"`
}

func (a *api) runnerConfig(p *callboardv1.Pool) datacentersOfConfig {
	c := p.GetConfig()
	normal := normalBody{
		DrainOnVersionUpgrade: c.GetDrainOnVersionUpgrade(), ActorEvictionDelay: c.GetActorEvictionDelay(), ActorEvictionPeriod: c.GetActorEvictionPeriod(),
		ActorEvictionRate: float64(c.GetActorEvictionRateMicros()) / 1e6, RunnerLostThreshold: c.GetRunnerLostThreshold(),
		Placement: word(c.GetPlacement().String(), "PLACEMENT_"),
	}
	body := runnerConfigBody{Normal: &normal}
	if c.GetServerless() != nil {
		body = runnerConfigBody{Serverless: serverlessConfig(normal, c.GetServerless()), PoolError: poolError(p.GetEndpointError())}
	}
	if c.GetMetadataJson() != "" {
		body.Metadata = json.RawMessage(c.GetMetadataJson())
	}
	return datacentersOfConfig{map[string]runnerConfigBody{a.Datacenter: body}}
}

type listConfigsInput struct {
	NamespaceParam
	PageParams
	Variant     string   `query:"variant" enum:"normal,serverless"`
	RunnerNames string   `query:"runner_names" doc:"Pools, separated by commas."`
	RunnerName  []string `query:"runner_name,explode" doc:"A pool; may be repeated."`
}

type configsBody struct {
	RunnerConfigs map[string]datacentersOfConfig `json:"runner_configs"`
	Pagination    pagination                     `json:"pagination"`
}

// PoolPath names the pool that an operation is about.
type PoolPath struct {
	RunnerName string `path:"runner_name" doc:"The pool."`
}

type getConfigInput struct {
	NamespaceParam
	ReadParams
	PoolPath
}

type putConfigInput struct {
	NamespaceParam
	WriteParams
	PoolPath
	RawBody []byte
}

type putConfigBody struct {
	EndpointConfigChanged bool     `json:"endpoint_config_changed"`
	Warnings              []string `json:"warnings,omitempty"`
}

type deleteConfigInput struct {
	NamespaceParam
	WriteParams
	PoolPath
}

func (a *api) registerRunnerConfigs() {
	a.registerServerless()
	register(a, huma.Operation{OperationID: "runner_configs_list", Method: http.MethodGet, Path: "/runner-configs", Summary: "List the configs of pools"}, a.listConfigs)
	register(a, huma.Operation{OperationID: "runner_configs_get", Method: http.MethodGet, Path: "/runner-configs/{runner_name}", Summary: "Get the config of a pool"}, a.getConfig)
	register(a, huma.Operation{
		OperationID: "runner_configs_upsert", Method: http.MethodPut, Path: "/runner-configs/{runner_name}", Summary: "Replace the config of a pool",
		RequestBody: configRequestBody(), SkipValidateBody: true,
	}, a.putConfig)
	register(a, huma.Operation{OperationID: "runner_configs_delete", Method: http.MethodDelete, Path: "/runner-configs/{runner_name}", Summary: "Delete the config of a pool"}, a.deleteConfig)
}

func (a *api) listConfigs(ctx context.Context, in *listConfigsInput) (*answer[configsBody], error) {
	names := append(commaList(in.RunnerNames), slices.DeleteFunc(in.RunnerName, func(name string) bool { return name == "" })...)
	out := &answer[configsBody]{Body: configsBody{RunnerConfigs: map[string]datacentersOfConfig{}}}
	cursor := in.Cursor
	for {
		pools, next, index, err := a.Pages.PoolConfigs(ctx, in.Namespace, cursor, in.limit())
		if err != nil {
			return nil, err
		}
		out.Index = indexText(index)
		for _, p := range pools {
			serverless := p.GetConfig().GetServerless() != nil
			if (in.Variant == "" || (in.Variant == "serverless") == serverless) && (len(names) == 0 || slices.Contains(names, p.GetName())) {
				out.Body.RunnerConfigs[p.GetName()] = a.runnerConfig(p)
			}
		}
		if len(names) == 0 {
			out.Body.Pagination = paginate(next)
			return out, nil
		}
		// Names are looked for among all: they come in one page.
		if cursor = next; cursor == "" || len(out.Body.RunnerConfigs) >= len(names) {
			return out, nil
		}
	}
}

func (a *api) getConfig(ctx context.Context, in *getConfigInput) (*answer[datacentersOfConfig], error) {
	got, err := a.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Namespace: in.Namespace, Name: in.RunnerName, Consistency: in.consistency()})
	if err != nil {
		return nil, err
	}
	if got.GetPool().GetConfig() == nil {
		return nil, callboardv1.Refuse("pool", "not_found", "pool %s has no config", in.RunnerName).With("pool", in.RunnerName)
	}
	return &answer[datacentersOfConfig]{Index: indexText(got.GetIndex()), Body: a.runnerConfig(got.GetPool())}, nil
}

func (a *api) putConfig(ctx context.Context, in *putConfigInput) (*answer[putConfigBody], error) {
	wanted, err := decodeConfig(in.RawBody, a.Datacenter)
	if err != nil {
		return nil, err
	}
	if wanted == nil {
		got, err := a.Pools.Delete(ctx, &callboardv1.PoolServiceDeleteRequest{Namespace: in.Namespace, Name: in.RunnerName, IdempotencyKey: in.IdempotencyKey})
		if refusal, ok := callboardv1.AsRefusal(err); ok && refusal.Name() == "pool.not_found" {
			return &answer[putConfigBody]{}, nil // it is as the caller wants it
		}
		if err != nil {
			return nil, err
		}
		return &answer[putConfigBody]{Index: indexText(got.GetIndex()), Body: putConfigBody{}}, nil
	}
	got, err := a.Pools.Put(ctx, &callboardv1.PoolServicePutRequest{
		Namespace: in.Namespace, Name: in.RunnerName, Config: wanted.config, IdempotencyKey: in.IdempotencyKey,
	})
	if err != nil {
		return nil, wanted.locate(err)
	}
	return &answer[putConfigBody]{Index: indexText(got.GetIndex()), Body: putConfigBody{EndpointConfigChanged: true, Warnings: append(wanted.unused, got.GetWarnings()...)}}, nil
}

func (a *api) deleteConfig(ctx context.Context, in *deleteConfigInput) (*answer[emptyBody], error) {
	got, err := a.Pools.Delete(ctx, &callboardv1.PoolServiceDeleteRequest{Namespace: in.Namespace, Name: in.RunnerName, IdempotencyKey: in.IdempotencyKey})
	if refusal, ok := callboardv1.AsRefusal(err); ok && refusal.Name() == "pool.not_found" {
		return &answer[emptyBody]{}, nil // it is as the caller wants it
	}
	if err != nil {
		return nil, err
	}
	return &answer[emptyBody]{Index: indexText(got.GetIndex())}, nil
}
