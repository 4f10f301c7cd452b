package server

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/callboard/callboard/certs"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/httpapi"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
)

// validateTLS refuses files that would not be used, and a cluster's name that nothing would check.
func (c *Config) validateTLS() error {
	given := c.TLS != certs.Files{}
	switch {
	case given && (c.TLS.CA == "" || c.TLS.Cert == "" || c.TLS.Key == ""):
		return errors.New("--tls-ca, --tls-cert and --tls-key belong together: `callboard tls ca create` and `callboard tls cert create --node NAME` make them")
	case !given && c.TLSVerifyClients:
		return errors.New("--tls-verify-clients needs --tls-ca, --tls-cert and --tls-key")
	case !given && c.ClusterName != "" && c.ClusterName != certs.DefaultCluster:
		return errors.New("--cluster-name is what certificates are checked for: it needs --tls-ca, --tls-cert and --tls-key")
	case given:
		if err := certs.CheckCluster(cmp.Or(c.ClusterName, certs.DefaultCluster)); err != nil {
			return fmt.Errorf("--cluster-name: %w", err)
		}
	}
	return nil
}

// openTLS reads the TLS files of a node. It returns nil for a node without TLS.
func openTLS(cfg Config) (*certs.Source, error) {
	if cfg.TLS == (certs.Files{}) {
		return nil, nil
	}
	source, err := certs.Open(cfg.TLS, cfg.ClusterName, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return source, nil
}

// dialNode connects to the gRPC of other nodes; nil: plain TCP.
func dialNode(secure *certs.Source) peer.Dial {
	if secure == nil {
		return nil
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		return secure.Outbound(ctx, conn, certs.HandshakeTimeout, "h2")
	}
}

// raftWrap is what Raft puts around its connections; nil: nothing.
func raftWrap(secure *certs.Source) *raftnet.Wrap {
	if secure == nil {
		return nil
	}
	return &raftnet.Wrap{
		Out: func(conn net.Conn, within time.Duration) (net.Conn, error) {
			return secure.Outbound(context.Background(), conn, within)
		},
		In: secure.Inbound,
	}
}

// watchTLS looks for new files until ctx ends: every few seconds, and on a signal.
func watchTLS(ctx context.Context, secure *certs.Source) error {
	if len(reloadSignals) > 0 {
		hangUp := make(chan os.Signal, 1)
		signal.Notify(hangUp, reloadSignals...)
		defer signal.Stop(hangUp)
		go func() {
			for {
				select {
				case <-hangUp:
					secure.Reload()
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	return secure.Run(ctx)
}

// tlsMetrics tell how long the certificate is good, and whether the files on the disk are.
func tlsMetrics(secure *certs.Source) []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "callboard_tls_certificate_days_left", Help: "Days until the certificate that this node uses ends.",
		}, func() float64 { return time.Until(secure.Expires()).Hours() / 24 }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "callboard_tls_files_broken", Help: "1 while the TLS files on the disk cannot be used, so that those before them are.",
		}, func() float64 {
			if secure.Broken() {
				return 1
			}
			return 0
		}),
	}
}

// grpcTLS makes a gRPC server speak TLS, check the roles of its callers, and end connections that later files do not let in.
func (n *node) grpcTLS() []grpc.ServerOption {
	if n.tls == nil {
		return nil
	}
	return []grpc.ServerOption{
		grpc.Creds(doorCredentials{credentials.NewTLS(n.tls.Server(n.cfg.TLSVerifyClients, "h2")), n.tls, n.cfg.TLSVerifyClients}),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := n.mayCall(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := n.mayCall(stream.Context(), info.FullMethod); err != nil {
				return err
			}
			return handler(srv, stream)
		}),
	}
}

// mayCall checks the role of a caller: nodes alone call the node service; if callers have to have a certificate, runners connect and nothing
// else, and operators do the rest.
func (n *node) mayCall(ctx context.Context, method string) error {
	var state tls.ConnectionState
	if p, ok := grpcpeer.FromContext(ctx); ok {
		if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			state = info.State
		}
	}
	switch service := strings.TrimPrefix(method[:strings.LastIndexByte(method, '/')], "/"); {
	case service == nodev1.NodeService_ServiceDesc.ServiceName:
		if !n.tls.May(state, certs.Node) {
			return callboardv1.Refuse("api", "forbidden", "only nodes of the cluster may call this: the certificate shown has no name %s", certs.Name(certs.Node, n.cfg.ClusterName))
		}
	case !n.cfg.TLSVerifyClients:
	case service == callboardv1.SessionService_ServiceDesc.ServiceName:
		if !n.tls.May(state, certs.Runner, certs.Operator) {
			return callboardv1.Refuse("api", "forbidden", "only runners may connect: the certificate shown has no name %s", certs.Name(certs.Runner, n.cfg.ClusterName))
		}
	case !n.tls.May(state, certs.Operator):
		return notAnOperator(n.cfg.ClusterName)
	}
	return nil
}

func notAnOperator(cluster string) *callboardv1.Error {
	return callboardv1.Refuse("api", "forbidden", "only operators may call this: the certificate shown has no name %s; `callboard tls cert create --client NAME` makes one",
		certs.Name(certs.Operator, cluster))
}

// secureHTTP makes an HTTP server check the roles of its callers, and end connections that later files do not let in. It returns the
// listener to serve.
func (n *node) secureHTTP(server *http.Server, listener net.Listener) net.Listener {
	if n.tls == nil {
		return listener
	}
	if n.cfg.TLSVerifyClients {
		next := server.Handler
		server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// What a runner asks for before it connects says nothing of anybody's actors.
			open := r.URL.Path == "/health" || r.URL.Path == "/metadata"
			if r.TLS == nil || !open && !n.tls.May(*r.TLS, certs.Operator) {
				httpapi.WriteRefusal(w, notAnOperator(n.cfg.ClusterName))
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	var open sync.Map // by connection: what releases it
	server.ConnState = func(conn net.Conn, state http.ConnState) {
		secure, ok := conn.(*tls.Conn)
		if !ok {
			return
		}
		switch state {
		case http.StateActive:
			if _, known := open.Load(conn); known {
				return
			}
			release, err := n.tls.Keep(conn, func() error { return n.tls.Caller(secure.ConnectionState(), n.cfg.TLSVerifyClients) })
			if err != nil {
				_ = conn.Close()
				return
			}
			open.Store(conn, release)
		case http.StateClosed, http.StateHijacked:
			if release, known := open.LoadAndDelete(conn); known {
				release.(func())()
			}
		case http.StateNew, http.StateIdle:
		}
	}
	return tls.NewListener(listener, n.tls.Server(n.cfg.TLSVerifyClients, "http/1.1"))
}

// doorCredentials are those of the gRPC port, whose connections are checked again when the files change.
type doorCredentials struct {
	credentials.TransportCredentials
	source *certs.Source
	wanted bool
}

func (c doorCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	state := info.(credentials.TLSInfo).State //nolint:forcetypeassert // what TLS credentials return
	release, err := c.source.Keep(conn, func() error { return c.source.Caller(state, c.wanted) })
	if err != nil {
		_ = conn.Close()
		return nil, nil, err
	}
	return &released{conn, release}, info, nil
}

func (c doorCredentials) Clone() credentials.TransportCredentials {
	return doorCredentials{c.TransportCredentials.Clone(), c.source, c.wanted}
}

type released struct {
	net.Conn
	release func()
}

func (c *released) Close() error {
	c.release()
	return c.Conn.Close()
}
