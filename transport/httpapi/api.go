package httpapi

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Pages are the lists that HTTP has and gRPC has not, or has in one piece. A cursor is opaque; an empty one: the first or last page.
type Pages interface {
	// ActorNames lists the names that actors bear.
	ActorNames(ctx context.Context, namespace, cursor string, limit uint32) (names []string, next string, index uint64, err error)
	// RunnerNames lists the pools that have runners or had some of late.
	RunnerNames(ctx context.Context, namespace, cursor string, limit uint32) (names []string, next string, index uint64, err error)
	// PoolConfigs lists the pools that have a config.
	PoolConfigs(ctx context.Context, namespace, cursor string, limit uint32) (pools []*callboardv1.Pool, next string, index uint64, err error)
}

// Config is what the API is made of.
type Config struct {
	Actors     callboardv1.ActorServiceServer
	Pools      callboardv1.PoolServiceServer
	Runners    callboardv1.RunnerServiceServer
	Rollouts   callboardv1.RolloutServiceServer
	Namespaces callboardv1.NamespaceServiceServer
	Cluster    callboardv1.ClusterServiceServer
	Pages      Pages

	Version    string
	Revision   string          // commit that the binary was built from; empty: unknown
	GRPCAddrs  func() []string // where runners and clients find the nodes
	Datacenter string          // the one that this cluster is; empty: default
	Log        *slog.Logger    // nil: slog.Default()

	AllowOrigins []string // of web pages that may call, besides the node's own; *: all
	Loopback     bool     // only this machine reaches the node: it answers for no foreign name
}

// api is the translation of one node.
type api struct {
	Config
	huma huma.API
}

// New returns the handler of the public HTTP API.
func New(config Config) http.Handler {
	if config.Datacenter == "" {
		config.Datacenter = "default"
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	mux := http.NewServeMux()
	h := huma.DefaultConfig("Callboard", config.Version)
	h.CreateHooks = nil // no links to schemas in answers
	h.DocsPath, h.SchemasPath = "", ""
	h.Formats = map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat} // JSON only
	h.RejectUnknownQueryParameters = true
	a := &api{Config: config, huma: humago.New(mux, h)}
	a.registerActors()
	a.registerActorChanges()
	a.registerRunners()
	a.registerDrains()
	a.registerRollouts()
	a.registerNamespaces()
	a.registerRunnerConfigs()
	a.registerCluster()
	a.registerNode()
	return a.withBrowserRules(withWholeBody(withAuthNote(a.withRecovery(withJSONErrors(mux)))))
}

// answer is what an operation gives back.
type answer[T any] struct {
	Status int
	Index  string `header:"X-Callboard-Index" doc:"Log index that the answer was read at."`
	Body   T
}

// register adds an operation. Its errors are refusals or come from the engine; either way they leave as JSON.
func register[I, O any](a *api, op huma.Operation, do func(context.Context, *I) (*answer[O], error)) {
	op.BodyReadTimeout = -1 // the server has one; huma's would go on while an operation waits
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxBodyBytes
	}
	op.MaxBodyBytes++ // huma refuses what is as large
	if !op.SkipValidateParams {
		op.Middlewares = append(op.Middlewares, onceEach)
	}
	op.Middlewares = append(op.Middlewares, forPublishedClients, readBody)
	if op.DefaultStatus == 0 {
		op.DefaultStatus = http.StatusOK
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*answer[O], error) {
		out, err := do(ctx, in)
		if err != nil {
			return nil, failure(err)
		}
		if out.Status == 0 {
			out.Status = op.DefaultStatus
		}
		return out, nil
	})
}

// The parts of requests that several operations share. They are exported because huma reads only exported fields.

// NamespaceParam is in nearly every request.
type NamespaceParam struct {
	Namespace string `query:"namespace" required:"true" doc:"Name of the namespace."`
}

// ReadParams are in every read.
type ReadParams struct {
	Consistency string `query:"consistency" enum:"linearizable,stale" doc:"stale reads the node's own view, which may be behind."`
}

func (p ReadParams) consistency() callboardv1.Consistency {
	if p.Consistency == "stale" {
		return callboardv1.Consistency_CONSISTENCY_STALE
	}
	return callboardv1.Consistency_CONSISTENCY_LINEARIZABLE
}

// PageParams are in every list.
type PageParams struct {
	Limit  uint64 `query:"limit" doc:"How many items a page has: 1 to 1000; 0 is the default; more is cut to 1000, with X-Callboard-Warning."`
	Cursor string `query:"cursor" doc:"pagination.cursor of the page before."`
}

func (p PageParams) limit() uint32 { return uint32(min(p.Limit, maxPage)) }

// WriteParams are in every write.
type WriteParams struct {
	IdempotencyKey string `header:"Idempotency-Key" doc:"A retry with the same key takes effect once. At most 128 printable characters."`
}

// pagination ends every list.
type pagination struct {
	Cursor *string `json:"cursor" nullable:"true" doc:"Null on the last page."`
}

func paginate(cursor string) pagination {
	if cursor == "" {
		return pagination{}
	}
	return pagination{Cursor: &cursor}
}
