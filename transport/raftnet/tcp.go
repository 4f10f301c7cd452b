package raftnet

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// rpcTimeout bounds the wait for one answer, and so how long a half-open connection can hold up replication to a peer. A
	// snapshot gets it once per snapshotBytesPerTimeout.
	rpcTimeout              = 5 * time.Second
	snapshotBytesPerTimeout = 4 << 20
	pooledConnections       = 3 // per peer: appends, heartbeats, votes
	// maxInbound bounds the connections that others hold to this node; a further one is closed at once.
	maxInbound = 256
)

// TCP is Raft's transport over the network. It embeds the library's, and with it RequestPreVote.
type TCP struct {
	*raft.NetworkTransport
	stream *stream
	where  Where // nil: nodes are where the Raft configuration says
}

var (
	_ raft.Transport   = (*TCP)(nil)
	_ raft.WithPreVote = (*TCP)(nil)
	_ raft.WithClose   = (*TCP)(nil)
)

// Where tells the present address of a node.
type Where func(id raft.ServerID) (raft.ServerAddress, error)

// ServerAddr makes a Where what Raft asks: the address, and whom it means.
func (w Where) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	at, err := w(id)
	return meant(id, at), err
}

// butHere makes a node find itself at the address that it has bound, which the others may know under another.
func (w Where) butHere(self raft.ServerID, bound raft.ServerAddress) Where {
	return func(id raft.ServerID) (raft.ServerAddress, error) {
		if id == self {
			return bound, nil
		}
		return w(id)
	}
}

// EncodePeer is what a node calls itself in its messages: its plain address.
func (t *TCP) EncodePeer(_ raft.ServerID, at raft.ServerAddress) []byte { return []byte(at) }

// Wrap puts something around connections: TLS. Out is done with it when it returns, and closes a connection that it refuses; In must return
// at once, and may do its work at the first Read.
type Wrap struct {
	Out func(conn net.Conn, within time.Duration) (net.Conn, error)
	In  func(conn net.Conn) net.Conn
}

// ListenTCP binds the address for the node of this id and serves at once. advertise is the host:port that the other nodes dial, a name allowed; empty means
// the bound address, which then must not be a wildcard. where tells the present address of a node, for those that have moved since the
// Raft configuration was written; nil: nobody moves, and connections are meant for whoever is there, who then has no id here. wrap is put
// around each connection; nil: nothing.
func ListenTCP(id, bind, advertise string, where Where, wrap *Wrap, log *slog.Logger) (*TCP, error) {
	listener, err := net.Listen("tcp", bind)
	if err != nil {
		return nil, fmt.Errorf("raft address %s: %w", bind, err)
	}
	if advertise == "" {
		advertise = listener.Addr().String()
	}
	if err := dialable(advertise); err != nil {
		return nil, errors.Join(fmt.Errorf("raft address: %w", err), listener.Close())
	}
	s := &stream{
		Listener: listener, id: id, advertise: address(advertise), wrap: wrap, log: log, inbound: map[net.Conn]struct{}{}, broken: make(chan struct{}, 1),
	}
	s.door.Store(&Door{})
	config := &raft.NetworkTransportConfig{
		Stream:                  s,
		MaxPool:                 pooledConnections,
		MaxRPCsInFlight:         1, // with pipelining one failed append can stop replication for good (hashicorp/raft#611, #612)
		Timeout:                 rpcTimeout,
		Logger:                  Hclog(log, "raft.net"),
		MsgpackUseNewTimeFormat: true,
	}
	if where != nil {
		config.ServerAddressProvider = where.butHere(raft.ServerID(id), raft.ServerAddress(listener.Addr().String()))
	}
	transport := raft.NewNetworkTransportWithConfig(config)
	transport.TimeoutScale = snapshotBytesPerTimeout
	return &TCP{NetworkTransport: transport, stream: s, where: where}, nil
}

// Guard sets the door, once, before Raft starts. Without one the node names no caller and lets everybody in who means it.
func (t *TCP) Guard(door Door) { t.stream.door.Store(&door) }

// Close stops listening and ends every connection, those that peers hold to this node too. Raft calls it when it shuts down.
func (t *TCP) Close() error {
	err := t.NetworkTransport.Close()
	t.CloseStreams()
	t.stream.hangUp()
	return err
}

// dialable refuses an address that means nothing to another node.
func dialable(hostPort string) error {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || port == "0" || ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("%s cannot be dialled by other nodes: advertise a host and port", hostPort)
	}
	return nil
}

// address is a net.Addr that may be a name: names are looked up at every dial, so that a node may move.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// stream accepts and dials connections, and knows the accepted ones: the library forgets to close them.
type stream struct {
	net.Listener
	id        string // of this node
	advertise address
	wrap      *Wrap // nil: none
	log       *slog.Logger
	broken    chan struct{} // holds a token when an accepted connection has ended
	door      atomic.Pointer[Door]

	// A mutex and not a loop: Accept and Close of many connections meet here, and each only touches the set.
	mu      sync.Mutex
	inbound map[net.Conn]struct{}
	closed  bool
}

var _ raft.StreamLayer = (*stream)(nil)

func (s *stream) Addr() net.Addr { return s.advertise }

func (s *stream) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, at := split(target)
	door := s.door.Load()
	build := door.build(id)
	if build == FormerBuild {
		return s.dialFormer(id, at, timeout)
	}
	conn, err := s.reach(at, timeout)
	if err != nil {
		return nil, err
	}
	answer, reason, err := greet(conn, id, door.Caller, timeout)
	if err == nil && answer == welcome {
		return conn, nil
	}
	_ = conn.Close()
	switch {
	case build == UnknownBuild && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return s.dialFormer(id, at, timeout)
	case err != nil:
		return nil, err
	case answer == otherStart && door.Refused != nil:
		door.Refused(reason)
	}
	return nil, fmt.Errorf("refused by the node at %s: %s", at, reason)
}

func (s *stream) reach(at string, timeout time.Duration) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", at, timeout)
	if err != nil || s.wrap == nil {
		return conn, err
	}
	return s.wrap.Out(conn, timeout)
}

// dialFormer calls a build that does not answer greetings.
func (s *stream) dialFormer(id, at string, timeout time.Duration) (net.Conn, error) {
	conn, err := s.reach(at, timeout)
	if err != nil {
		return nil, err
	}
	if err := greetFormer(conn, id, timeout); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (s *stream) Accept() (net.Conn, error) {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if s.wrap != nil {
			conn = s.wrap.In(conn)
		}
		if tracked := s.track(conn); tracked != nil {
			return tracked, nil
		}
		s.log.Warn("too many raft connections: one refused", "limit", maxInbound, "from", conn.RemoteAddr())
		_ = conn.Close()
	}
}

// track takes a connection into the set, or returns nil when it is full or closed.
func (s *stream) track(conn net.Conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.inbound) >= maxInbound {
		return nil
	}
	s.inbound[conn] = struct{}{}
	return &inboundConn{Conn: conn, stream: s}
}

func (s *stream) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.inbound {
		_ = conn.Close()
	}
	clear(s.inbound)
}

// inboundConn hears the greeting before anything else is read of it, and leaves the set when it is closed.
type inboundConn struct {
	net.Conn
	stream *stream
	heard  bool // belongs to the one who reads
}

func (c *inboundConn) Read(b []byte) (int, error) {
	if !c.heard {
		err := hear(c.Conn, c.stream.id, c.stream.door.Load().Judge)
		switch {
		case errors.Is(err, errOtherNode):
			c.stream.log.Warn("raft connection refused: this address was another node's; remove that node from its cluster if it is no more",
				"from", c.RemoteAddr(), "error", err)
			return 0, io.EOF // it has been told
		case errors.Is(err, errNotLetIn):
			c.stream.log.Warn("raft connection refused: who calls is not the node that it says", "from", c.RemoteAddr(), "error", err)
			return 0, io.EOF
		case err != nil:
			return 0, err
		}
		c.heard = true
	}
	return c.Conn.Read(b)
}

func (c *inboundConn) Close() error {
	c.stream.mu.Lock()
	delete(c.stream.inbound, c.Conn)
	c.stream.mu.Unlock()
	select {
	case c.stream.broken <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}
