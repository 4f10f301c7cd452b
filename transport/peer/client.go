package peer

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

const (
	// MaxMessageBytes bounds a message between nodes. The largest is the Hello of a runner with a million actors.
	MaxMessageBytes = 64 << 20
	// maxConnections bounds the nodes that one node talks to; a further one is ErrUnreachable until Keep makes room.
	maxConnections = 64

	pingEvery      = 10 * time.Second // gRPC allows no less
	pingTimeout    = 3 * time.Second
	connectTimeout = 2 * time.Second
)

// Dial opens a connection to a node's gRPC address.
type Dial func(ctx context.Context, address string) (net.Conn, error)

// Client calls other nodes, over one connection for each address, made when it is first needed. A broken connection is dialled
// again at most a second apart; calls meanwhile fail at once.
type Client struct {
	dial    Dial
	cluster Cluster
	caller  string

	// A mutex and not a loop: it guards the map for a few instructions, and whoever calls a node passes here.
	mu          sync.Mutex
	connections map[string]*grpc.ClientConn
	submitters  map[string]*submitter
	closed      bool
}

// NewClient makes a client of a node of a cluster, which calls itself caller. Without a dial it uses TCP.
func NewClient(cluster Cluster, caller string, dial Dial) *Client {
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	return &Client{dial: dial, cluster: cluster, caller: caller, connections: map[string]*grpc.ClientConn{}, submitters: map[string]*submitter{}}
}

// ReadIndex asks the leader for an index that a linearizable read waits for. Errors are those of Submit.
func (c *Client) ReadIndex(ctx context.Context, address string) (*nodev1.ReadIndexResponse, error) {
	return call(ctx, c, address, &nodev1.ReadIndexRequest{}, nodev1.NodeServiceClient.ReadIndex)
}

// ReportCarrier tells the leader of a process that can carry requests.
func (c *Client) ReportCarrier(ctx context.Context, address string, request *nodev1.ReportCarrierRequest) (*nodev1.ReportCarrierResponse, error) {
	return call(ctx, c, address, request, nodev1.NodeServiceClient.ReportCarrier)
}

// Describe asks any node about itself.
func (c *Client) Describe(ctx context.Context, address string) (*nodev1.DescribeResponse, error) {
	return call(ctx, c, address, &nodev1.DescribeRequest{}, nodev1.NodeServiceClient.Describe)
}

// StateHashes asks any node for the hashes of its recent states.
func (c *Client) StateHashes(ctx context.Context, address string) (*nodev1.StateHashesResponse, error) {
	return call(ctx, c, address, &nodev1.StateHashesRequest{}, nodev1.NodeServiceClient.StateHashes)
}

// ChangeMembership asks the leader to change the Raft configuration. Errors are those of Submit.
func (c *Client) ChangeMembership(ctx context.Context, address string, request *nodev1.ChangeMembershipRequest) (*nodev1.ChangeMembershipResponse, error) {
	return call(ctx, c, address, request, nodev1.NodeServiceClient.ChangeMembership)
}

// Membership asks the leader whether a node is a member. Errors are those of Submit.
func (c *Client) Membership(ctx context.Context, address string, request *nodev1.MembershipRequest) (*nodev1.MembershipResponse, error) {
	return call(ctx, c, address, request, nodev1.NodeServiceClient.Membership)
}

// named adds who calls to what a call carries.
func (c *Client) named(ctx context.Context) context.Context {
	if c.caller != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, callerKey, c.caller)
	}
	return c.cluster.named(ctx)
}

func call[Request, Response any](ctx context.Context, c *Client, address string, request Request,
	method func(nodev1.NodeServiceClient, context.Context, Request, ...grpc.CallOption) (Response, error),
) (Response, error) {
	var none Response
	node, err := c.node(address)
	if err != nil {
		return none, err
	}
	ctx, departure := watchDeparture(ctx)
	response, err := method(node, c.named(ctx), request)
	if err != nil {
		return none, fromStatus(err, departure.gone.Load())
	}
	return response, nil
}

// relay opens the stream of a Relay. It waits for a connection as long as ctx lives.
func (c *Client) relay(ctx context.Context, address string) (grpc.BidiStreamingClient[nodev1.RelayRequest, nodev1.RelayResponse], error) {
	node, err := c.node(address)
	if err != nil {
		return nil, err
	}
	return node.Relay(c.named(ctx), grpc.WaitForReady(true))
}

func (c *Client) node(address string) (nodev1.NodeServiceClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if connection, ok := c.connections[address]; ok {
		return nodev1.NewNodeServiceClient(connection), nil
	}
	if c.closed || len(c.connections) >= maxConnections {
		return nil, fmt.Errorf("%w: %s: the client is closed or has %d connections", ErrUnreachable, address, maxConnections)
	}
	connection, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithContextDialer(c.dial),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(departures{}),
		grpc.WithStaticStreamWindowSize(streamWindow),
		grpc.WithStaticConnWindowSize(connectionWindow),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: connectTimeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessageBytes), grpc.MaxCallSendMsgSize(MaxMessageBytes)),
	)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, address, err)
	}
	c.connections[address] = connection
	return nodev1.NewNodeServiceClient(connection), nil
}

// Keep closes the connections to all other addresses. Calls under way there end as if the connection had broken.
func (c *Client) Keep(addresses ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for address, connection := range c.connections {
		if !slices.Contains(addresses, address) {
			_ = connection.Close()
			delete(c.connections, address)
		}
	}
	for address := range c.submitters {
		if !slices.Contains(addresses, address) {
			delete(c.submitters, address) // who waits there is answered all the same
		}
	}
}

// Close closes every connection; later calls are ErrUnreachable.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.Keep()
}
