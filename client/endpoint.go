package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
)

const (
	// connectTimeout bounds one attempt to connect: a node that does not answer by then is passed over.
	connectTimeout = 3 * time.Second
	maxAnswerBytes = 64 << 20
)

// endpoint is one node. Whether it is connected is known before a call is sent, so that "never sent" can be told from "unknown".
type endpoint struct {
	addr    string
	conn    *grpc.ClientConn
	dialErr atomic.Pointer[error] // why the last dial failed; nil after one that worked
}

func newEndpoint(addr string, o options) (*endpoint, error) {
	if err := checkAddress(addr); err != nil {
		return nil, err
	}
	e := &endpoint{addr: addr}
	all := append([]grpc.DialOption{
		grpc.WithTransportCredentials(e.credentials(o.tls)),
		grpc.WithContextDialer(e.dial),
		grpc.WithDisableServiceConfig(),
		grpc.WithStaticStreamWindowSize(1 << 20), // fitted to the line, they would cost pings
		grpc.WithStaticConnWindowSize(4 << 20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswerBytes)),
	}, o.grpc...)
	conn, err := grpc.NewClient("passthrough:///"+addr, all...)
	if err != nil {
		return nil, fmt.Errorf("address %s: %w", addr, err)
	}
	e.conn = conn
	return e, nil
}

func (e *endpoint) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		e.dialErr.Store(&err)
		return nil, err
	}
	if err := e.dialErr.Load(); err != nil && !isRefusedConn(*err) { // that one ends when the other side says something
		e.dialErr.Store(nil)
	}
	return conn, nil
}

// ready connects if need be. An error means that nothing can have been sent.
func (e *endpoint) ready(ctx context.Context) error {
	state := e.conn.GetState()
	if state == connectivity.Ready {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if state == connectivity.TransientFailure {
		e.conn.ResetConnectBackoff()
		if !e.conn.WaitForStateChange(ctx, state) {
			return e.unreachable(ctx)
		}
		state = e.conn.GetState()
	}
	for {
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.Idle:
			e.conn.Connect()
		case connectivity.TransientFailure, connectivity.Shutdown:
			return e.unreachable(ctx)
		case connectivity.Connecting:
		}
		if !e.conn.WaitForStateChange(ctx, state) {
			return e.unreachable(ctx)
		}
		state = e.conn.GetState()
	}
}

func (e *endpoint) unreachable(ctx context.Context) error {
	switch err := e.dialErr.Load(); {
	case e.conn.GetState() == connectivity.Shutdown:
		return errors.New("the client is closed")
	case err != nil:
		return *err
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer within %s", e.addr, connectTimeout)
	default:
		return fmt.Errorf("%s: something listens there, but does not speak gRPC (the HTTP port?)", e.addr)
	}
}
