package httpapi

import (
	"context"
	"net/http"
	"runtime"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type healthBody struct {
	Status  string `json:"status"`
	Runtime string `json:"runtime"`
	Version string `json:"version"`
}

// metadataBody has the fields that published clients know. What it says of Rust and of protocols that are not spoken here is empty.
type metadataBody struct {
	Runtime              string   `json:"runtime"`
	Version              string   `json:"version"`
	GitSha               string   `json:"git_sha"`
	BuildTimestamp       string   `json:"build_timestamp"`
	RustcVersion         string   `json:"rustc_version"`
	RustcHost            string   `json:"rustc_host"`
	CargoTarget          string   `json:"cargo_target"`
	CargoProfile         string   `json:"cargo_profile"`
	EpoxyProtocolVersion uint32   `json:"epoxy_protocol_version"`
	EnvoyProtocolVersion uint32   `json:"envoy_protocol_version"`
	GoVersion            string   `json:"go_version"`
	GRPCAddrs            []string `json:"grpc_addrs" doc:"Where runners and clients find the nodes (host:port)."`

	Runner *metadataRunner `json:"runner,omitempty" doc:"Of the pool that namespace and runner_name name, if there is one."`
}

// metadataRunner is what a runner of a pool is to know of the others.
type metadataRunner struct {
	Name                  string `json:"name"`
	NewestVersion         uint32 `json:"newest_version" doc:"Highest version among the connected runners that do not drain and are not held back; 0: there is none."`
	DrainOnVersionUpgrade bool   `json:"drain_on_version_upgrade" doc:"Runners of older versions drain."`
	MetadataPollInterval  uint64 `json:"metadata_poll_interval,omitempty" doc:"Milliseconds: how often to ask. Serverless pools have one."`
}

// metadataInput takes whatever a client puts into the query, and looks at two of it.
type metadataInput struct{ namespace, pool string }

// Resolve keeps the names of a pool.
func (in *metadataInput) Resolve(ctx huma.Context) []error {
	in.namespace, in.pool = ctx.Query("namespace"), ctx.Query("runner_name")
	return nil
}

type datacenterBody struct {
	Label uint32 `json:"label"`
	Name  string `json:"name"`
	URL   string `json:"url"`
}

type datacentersBody struct {
	Datacenters []datacenterBody `json:"datacenters"`
	Pagination  pagination       `json:"pagination"`
}

// datacentersInput remembers under which address the caller reached the node: that is the datacenter's for this caller.
type datacentersInput struct{ url string }

// Resolve keeps the address, with https if that is how the caller came.
func (in *datacentersInput) Resolve(ctx huma.Context) []error {
	in.url = "http://" + ctx.Host()
	if ctx.TLS() != nil {
		in.url = "https://" + ctx.Host()
	}
	return nil
}

// metadataRunner reads what this node knows of a pool; nil: nobody asked, or there is no such pool.
func (a *api) metadataRunner(ctx context.Context, namespace, pool string) *metadataRunner {
	if namespace == "" || pool == "" {
		return nil
	}
	got, err := a.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Namespace: namespace, Name: pool, Consistency: callboardv1.Consistency_CONSISTENCY_STALE})
	if err != nil {
		return nil
	}
	p := got.GetPool()
	r := &metadataRunner{
		Name: p.GetName(), NewestVersion: p.GetNewestVersion(), DrainOnVersionUpgrade: p.GetConfig().GetDrainOnVersionUpgrade(),
		MetadataPollInterval: p.GetConfig().GetServerless().GetMetadataPollInterval(),
	}
	for _, held := range p.GetHeldVersions() {
		if held.GetVersion() == r.NewestVersion {
			r.NewestVersion = 0
		}
	}
	return r
}

// registerNode adds what clients ask first. They put into the query what they like, and some ask again for ever when they are refused:
// nothing of it is refused.
func (a *api) registerNode() {
	register(a, huma.Operation{OperationID: "health", Method: http.MethodGet, Path: "/health", Summary: "The node is there; GET /cluster tells whether it has a leader", SkipValidateParams: true},
		func(context.Context, *struct{}) (*answer[healthBody], error) {
			return &answer[healthBody]{Body: healthBody{Status: "ok", Runtime: "engine", Version: a.Version}}, nil
		})
	register(a, huma.Operation{OperationID: "metadata_get", Method: http.MethodGet, Path: "/metadata", Summary: "What runs here, and where its gRPC is", SkipValidateParams: true},
		func(ctx context.Context, in *metadataInput) (*answer[metadataBody], error) {
			body := metadataBody{
				Runtime: "engine", Version: a.Version, GitSha: a.Revision, CargoTarget: runtime.GOOS + "/" + runtime.GOARCH, CargoProfile: "release",
				GoVersion: runtime.Version(), GRPCAddrs: []string{},
			}
			if a.GRPCAddrs != nil {
				body.GRPCAddrs = append(body.GRPCAddrs, a.GRPCAddrs()...)
			}
			body.Runner = a.metadataRunner(ctx, in.namespace, in.pool)
			return &answer[metadataBody]{Body: body}, nil
		})
	register(a, huma.Operation{OperationID: "datacenters_list", Method: http.MethodGet, Path: "/datacenters", Summary: "The one datacenter that this cluster is", SkipValidateParams: true},
		func(_ context.Context, in *datacentersInput) (*answer[datacentersBody], error) {
			return &answer[datacentersBody]{Body: datacentersBody{Datacenters: []datacenterBody{{Label: 1, Name: a.Datacenter, URL: in.url}}}}, nil
		})
}
