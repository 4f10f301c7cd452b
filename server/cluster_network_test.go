package server

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
)

// dialFrom is how a node or a runner reaches a node.
func (c *testCluster) dialFrom(ctx context.Context, from, addr string) (net.Conn, error) {
	c.mu.Lock()
	door := c.doors[addr]
	c.mu.Unlock()
	if door == nil {
		return nil, fmt.Errorf("%s: connection refused", addr)
	}
	to, _, _ := strings.Cut(addr, ":")
	conn := &cuttable{cut: func() chan struct{} { return c.cutBetween(from, to) }, closed: make(chan struct{})}
	givenUp := context.AfterFunc(ctx, conn.giveUp)
	err := conn.pass()
	if !givenUp() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	conn.Conn, err = door.DialContext(ctx)
	return conn, err
}

func (c *testCluster) cutBetween(a, b string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts[min(a, b)+"|"+max(a, b)]
}

// part cuts two nodes, or a node and a runner, off from each other, silently and in both directions.
func (c *testCluster) part(a, b string) {
	c.network.CutBoth(a, b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if pair := min(a, b) + "|" + max(a, b); c.cuts[pair] == nil {
		c.cuts[pair] = make(chan struct{})
	}
}

// isolate parts a node from all others, silently and in both directions; runners still reach it.
func (c *testCluster) isolate(name string) {
	c.network.Isolate(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.names {
		if other != name {
			c.cuts[min(name, other)+"|"+max(name, other)] = make(chan struct{})
		}
	}
}

// silence parts a runner from every node: its streams stand, and nothing passes.
func (c *testCluster) silence(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.names {
		if pair := min(key, name) + "|" + max(key, name); c.cuts[pair] == nil {
			c.cuts[pair] = make(chan struct{})
		}
	}
}

// heal ends every cut.
func (c *testCluster) heal() {
	c.network.Heal()
	c.mu.Lock()
	defer c.mu.Unlock()
	for pair, cut := range c.cuts {
		close(cut)
		delete(c.cuts, pair)
	}
}

// cuttable is a connection through which nothing passes while its two ends are cut off from each other; what was on its way arrives
// after the cut, as with TCP.
type cuttable struct {
	net.Conn
	cut    func() chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (c *cuttable) pass() error {
	for {
		cut := c.cut()
		if cut == nil {
			return nil
		}
		select {
		case <-cut:
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

func (c *cuttable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if stopped := c.pass(); stopped != nil {
		return 0, stopped
	}
	return n, err
}

func (c *cuttable) Write(b []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil { // the other end is gone: who reads hears of it too, also during a cut, as of a reset. gRPC calls a connection on
		c.giveUp() // which nothing can be written alive, and tries it again without a pause, until the reader ends it.
	}
	return n, err
}

func (c *cuttable) Close() error {
	c.giveUp()
	return c.Conn.Close()
}

func (c *cuttable) giveUp() { c.once.Do(func() { close(c.closed) }) }
