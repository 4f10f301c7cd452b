package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"sync"
	"time"
)

// Outbound shakes hands with another node of the cluster over a connection, within a time, and keeps the result under watch. A connection that
// is refused is closed. protocols are those of ALPN.
func (s *Source) Outbound(ctx context.Context, conn net.Conn, within time.Duration, protocols ...string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	secure := tls.Client(conn, s.NodeClient(protocols...))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, Dialled(err)
	}
	release, err := s.Keep(secure, func() error { return s.Member(secure.ConnectionState(), x509.ExtKeyUsageServerAuth) })
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &kept{Conn: secure, release: release}, nil
}

// Inbound is a connection of another node that shakes hands at its first Read: a caller that says nothing holds up nobody else.
func (s *Source) Inbound(conn net.Conn) net.Conn {
	return &greeted{Conn: tls.Server(conn, s.NodeServer()), source: s}
}

// kept leaves the watch when it is closed.
type kept struct {
	*tls.Conn
	release func()
}

func (c *kept) Close() error {
	c.release()
	return c.Conn.Close()
}

type greeted struct {
	*tls.Conn
	source *Source
	shaken bool // belongs to the one who reads

	mu      sync.Mutex // Close comes from anywhere
	release func()     // nil until it has shaken hands
	closed  bool
}

func (c *greeted) Read(b []byte) (int, error) {
	if !c.shaken {
		if err := c.shake(); err != nil {
			c.source.log.Warn("a connection of another node is refused", "from", c.RemoteAddr(), "error", Dialled(err))
			return 0, err
		}
		c.shaken = true
	}
	return c.Conn.Read(b)
}

func (c *greeted) shake() error {
	ctx, cancel := context.WithTimeout(context.Background(), HandshakeTimeout)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	release, err := c.source.Keep(c.Conn, func() error { return c.source.Member(c.ConnectionState(), x509.ExtKeyUsageClientAuth) })
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		release()
	}
	c.release = release
	return nil
}

func (c *greeted) Close() error {
	c.mu.Lock()
	c.closed = true
	if c.release != nil {
		c.release()
	}
	c.mu.Unlock()
	return c.Conn.Close()
}
