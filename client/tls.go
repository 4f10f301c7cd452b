package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// credentials are those of the connection; what goes wrong with TLS is remembered, for gRPC does not tell it.
func (e *endpoint) credentials(config *tls.Config) credentials.TransportCredentials {
	if config == nil {
		return watched{insecure.NewCredentials(), e, false}
	}
	return watched{credentials.NewTLS(config), e, true}
}

type watched struct {
	credentials.TransportCredentials
	endpoint *endpoint
	tls      bool
}

func (w watched) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		w.endpoint.failed("TLS: %w", notTLS(err))
		return conn, info, err
	}
	return &firstWords{Conn: conn, endpoint: w.endpoint, tls: w.tls}, info, nil
}

func (w watched) Clone() credentials.TransportCredentials {
	return watched{w.TransportCredentials.Clone(), w.endpoint, w.tls}
}

func notTLS(err error) error {
	var plain tls.RecordHeaderError
	if errors.As(err, &plain) {
		return errors.New("something answers, and speaks none (a node without TLS?)")
	}
	return err
}

// firstWords is a connection until the other side has said something. With TLS 1.3 a server refuses a certificate only then; without it a
// node that wants TLS says nothing, and ends.
type firstWords struct {
	net.Conn
	endpoint *endpoint
	tls      bool
	said     atomic.Bool
}

func (c *firstWords) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.said.Load() {
		return n, err
	}
	if n > 0 {
		c.said.Store(true)
		c.endpoint.dialErr.Store(nil)
		return n, err
	}
	var alert *net.OpError
	switch {
	case c.tls && errors.As(err, &alert) && alert.Op == "remote error":
		c.endpoint.failed("the node wants a certificate of its cluster, or refuses the one shown (--tls-cert, --tls-key): %w", err)
	case !c.tls && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		c.endpoint.failed("something listens there, and ends the connection without a word (a node with TLS? then give --tls-ca)")
	}
	return n, err
}

// refusedConn is why a connection that stands is of no use.
type refusedConn struct{ error }

func (e refusedConn) Unwrap() error { return e.error }

func isRefusedConn(err error) bool {
	var r refusedConn
	return errors.As(err, &r)
}

// failed remembers why a connection is of no use.
func (e *endpoint) failed(format string, args ...any) {
	var err error = refusedConn{fmt.Errorf(e.addr+": "+format, args...)}
	e.dialErr.Store(&err)
}
