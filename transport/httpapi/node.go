package httpapi

import (
	"context"
	"net/http"
	"runtime"

	"github.com/danielgtaylor/huma/v2"
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
type datacentersInput struct{ host string }

// Resolve keeps the host.
func (in *datacentersInput) Resolve(ctx huma.Context) []error {
	in.host = ctx.Host()
	return nil
}

// registerNode adds what clients ask first. They put into the query what they like, and some ask again for ever when they are refused:
// none of it is looked at.
func (a *api) registerNode() {
	register(a, huma.Operation{OperationID: "health", Method: http.MethodGet, Path: "/health", Summary: "The node is there; GET /cluster tells whether it has a leader", SkipValidateParams: true},
		func(context.Context, *struct{}) (*answer[healthBody], error) {
			return &answer[healthBody]{Body: healthBody{Status: "ok", Runtime: "engine", Version: a.Version}}, nil
		})
	register(a, huma.Operation{OperationID: "metadata_get", Method: http.MethodGet, Path: "/metadata", Summary: "What runs here, and where its gRPC is", SkipValidateParams: true},
		func(context.Context, *struct{}) (*answer[metadataBody], error) {
			body := metadataBody{
				Runtime: "engine", Version: a.Version, GitSha: a.Revision, CargoTarget: runtime.GOOS + "/" + runtime.GOARCH, CargoProfile: "release",
				GoVersion: runtime.Version(), GRPCAddrs: []string{},
			}
			if a.GRPCAddrs != nil {
				body.GRPCAddrs = append(body.GRPCAddrs, a.GRPCAddrs()...)
			}
			return &answer[metadataBody]{Body: body}, nil
		})
	register(a, huma.Operation{OperationID: "datacenters_list", Method: http.MethodGet, Path: "/datacenters", Summary: "The one datacenter that this cluster is", SkipValidateParams: true},
		func(_ context.Context, in *datacentersInput) (*answer[datacentersBody], error) {
			return &answer[datacentersBody]{Body: datacentersBody{Datacenters: []datacenterBody{{Label: 1, Name: a.Datacenter, URL: "http://" + in.host}}}}, nil
		})
}
