package server

import (
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/httpapi"
)

// httpServer is the public HTTP API over the same services as gRPC.
func (n *node) httpServer(api *grpcapi.API) *http.Server {
	return httpapi.NewServer(httpapi.New(httpapi.Config{
		Actors: api.Actors(), Pools: api.Pools(), Runners: api.Runners(), Rollouts: api.Rollouts(), Namespaces: api.Namespaces(), Cluster: api.ClusterInfo(), Pages: api,
		Version: n.cfg.Version, AllowOrigins: n.cfg.AllowOrigins, Loopback: loopback(n.cfg.HTTPAddr), Revision: n.cfg.Revision, GRPCAddrs: n.grpcAddrs, Log: n.cfg.Log,
	}), n.cfg.Log)
}

// metricsServer offers metrics, and profiles to those on this machine.
func (n *node) metricsServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.registry, promhttp.HandlerOpts{}))
	local := http.NewServeMux()
	local.HandleFunc("/debug/pprof/", pprof.Index)
	local.HandleFunc("/debug/pprof/profile", pprof.Profile)
	local.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	local.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/", fromThisMachine(local))
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
}

// fromThisMachine refuses everybody else.
func fromThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.RemoteAddr) {
			http.Error(w, "profiles are only for requests from this machine", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
