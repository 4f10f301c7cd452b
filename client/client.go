package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// DefaultTimeout bounds a call whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// Client speaks to a cluster. It is safe for any number of callers.
type Client struct {
	Actors     callboardv1.ActorServiceClient
	Pools      callboardv1.PoolServiceClient
	Runners    callboardv1.RunnerServiceClient
	Rollouts   callboardv1.RolloutServiceClient
	Namespaces callboardv1.NamespaceServiceClient
	Cluster    callboardv1.ClusterServiceClient

	endpoints []*endpoint
	preferred atomic.Uint32 // index of the endpoint that answered last
	options   options
}

type options struct {
	namespace string
	noRetry   bool
	grpc      []grpc.DialOption
	tls       *tls.Config // nil: none
}

// Option changes how a Client works.
type Option func(*options)

// WithNamespace names the namespace of requests that name none. Default: default.
func WithNamespace(name string) Option { return func(o *options) { o.namespace = name } }

// WithoutRetry sends every call once.
func WithoutRetry() Option { return func(o *options) { o.noRetry = true } }

// WithTLS makes the client speak TLS, as certs.Client of this module or any other configuration says. Without it the client speaks none.
func WithTLS(config *tls.Config) Option { return func(o *options) { o.tls = config } }

// WithGRPC adds dial options. They come after the Client's own and so win over them.
func WithGRPC(opts ...grpc.DialOption) Option {
	return func(o *options) { o.grpc = append(o.grpc, opts...) }
}

// Dial returns a Client for the nodes at the given addresses (host:port of their gRPC API). It does not connect yet.
func Dial(addrs ...string) (*Client, error) { return New(addrs) }

// New is Dial with options.
func New(addrs []string, opts ...Option) (*Client, error) {
	c := &Client{options: options{namespace: "default"}}
	for _, opt := range opts {
		opt(&c.options)
	}
	if len(addrs) == 0 {
		return nil, errors.New("no address is given: want host:port of a node's gRPC API, such as 127.0.0.1:6421")
	}
	for _, addr := range addrs {
		e, err := newEndpoint(strings.TrimSpace(addr), c.options)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.endpoints = append(c.endpoints, e)
	}
	c.Actors = callboardv1.NewActorServiceClient(c)
	c.Pools = callboardv1.NewPoolServiceClient(c)
	c.Runners = callboardv1.NewRunnerServiceClient(c)
	c.Rollouts = callboardv1.NewRolloutServiceClient(c)
	c.Namespaces = callboardv1.NewNamespaceServiceClient(c)
	c.Cluster = callboardv1.NewClusterServiceClient(c)
	return c, nil
}

// Close ends all connections. Calls under way fail.
func (c *Client) Close() error {
	var errs []error
	for _, e := range c.endpoints {
		errs = append(errs, e.conn.Close())
	}
	return errors.Join(errs...)
}

func checkAddress(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port) // ftp://x has a port as well, "//x"
	}
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("address %q is not host:port: want the gRPC address of a node, such as 127.0.0.1:6421", addr)
	}
	return nil
}
