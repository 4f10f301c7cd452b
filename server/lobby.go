package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// maxEntering is how many new connections may be on their way in at once: between accept and their first answer. What they have to
	// do in a node stays a matter of milliseconds, however many knock; Raft and those who are in already notice nothing.
	maxEntering = 128
	// maxWaiting bounds the connections that wait to be let in. At the limit the oldest is closed: whoever sent it has likely given up.
	maxWaiting = 16_384
	// waitingFor is how long one may wait; a runner gives up a dial after as long.
	waitingFor = 5 * time.Second
	// enteringFor is how long one may be on its way in before it no longer counts: it asks nothing, or waits for something rare.
	enteringFor = 2 * time.Second
)

// lobby is a listener that lets connections in a few at a time, the newest first.
//
// When a node dies all its runners dial the others in the same instant. If all of them were served at once, each would wait for all,
// nobody would be welcome before he gives up and dials again, and a node so busy would lose its leadership on top. So a connection
// costs nothing but its file descriptor until it is its turn. The newest is first because its runner waits still; with the oldest first a node
// could spend all its time on those who have gone.
type lobby struct {
	listener net.Listener
	log      *slog.Logger
	news     chan struct{} // room for one: somebody came, or there is room
	shut     chan struct{} // closed when nobody comes any more; err says why

	mu       sync.Mutex // not a loop: connections leave on gRPC's goroutines, and all there is to own is this
	waiting  []arrival  // the newest last
	entering int
	err      error
}

type arrival struct {
	conn net.Conn
	at   time.Time
}

func newLobby(listener net.Listener, log *slog.Logger) *lobby {
	return &lobby{listener: listener, log: log, news: make(chan struct{}, 1), shut: make(chan struct{})}
}

// run takes connections until the lobby is closed.
func (l *lobby) run() error {
	defer close(l.shut)
	for {
		conn, err := l.listener.Accept()
		if err == nil {
			l.arrive(arrival{conn, time.Now()})
			continue
		}
		if passing := net.Error(nil); errors.As(err, &passing) && passing.Timeout() || isOutOfFiles(err) {
			l.log.Warn("connections cannot be accepted for now", "error", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.err = err
		for _, a := range l.waiting {
			_ = a.conn.Close()
		}
		l.waiting = nil
		return ignoreClosed(err)
	}
}

func (l *lobby) arrive(a arrival) {
	l.mu.Lock()
	old := 0
	for old < len(l.waiting) && (a.at.Sub(l.waiting[old].at) > waitingFor || len(l.waiting)-old >= maxWaiting) {
		_ = l.waiting[old].conn.Close()
		old++
	}
	l.waiting = append(l.waiting[old:], a)
	l.mu.Unlock()
	l.nudge()
}

func (l *lobby) nudge() {
	select {
	case l.news <- struct{}{}:
	default: // a token is there already
	}
}

// Accept returns the next connection that may enter.
func (l *lobby) Accept() (net.Conn, error) {
	for {
		if g := l.letIn(); g != nil {
			return g, nil
		}
		select {
		case <-l.news:
		case <-l.shut:
			l.mu.Lock()
			defer l.mu.Unlock()
			return nil, l.err
		}
	}
}

func (l *lobby) letIn() net.Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entering >= maxEntering || len(l.waiting) == 0 {
		return nil
	}
	newest := l.waiting[len(l.waiting)-1].conn
	l.waiting[len(l.waiting)-1] = arrival{}
	if l.waiting = l.waiting[:len(l.waiting)-1]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	l.entering++
	g := &guest{Conn: newest}
	g.in = sync.OnceFunc(func() {
		l.mu.Lock()
		l.entering--
		l.mu.Unlock()
		g.late.Stop()
		l.nudge()
	})
	g.late = time.AfterFunc(enteringFor, func() { g.in() })
	return g
}

// Close ends it. Those who wait are sent away.
func (l *lobby) Close() error { return l.listener.Close() }

// Addr is where it listens.
func (l *lobby) Addr() net.Addr { return l.listener.Addr() }

// guest is a connection that has been let in.
type guest struct {
	net.Conn
	in   func() // it has arrived, or gone: the next one may enter
	late *time.Timer
}

func (g *guest) Close() error {
	g.in()
	return g.Conn.Close()
}

// RemoteAddr is how gRPC's interceptors find the guest of a call.
func (g *guest) RemoteAddr() net.Addr { return guestAddr{g.Conn.RemoteAddr(), g} }

type guestAddr struct {
	net.Addr
	guest *guest
}

// arrived tells that the guest who makes a call is in.
func arrived(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		if addr, ok := p.Addr.(guestAddr); ok {
			addr.guest.in()
		}
	}
}

// lobbyOptions make a gRPC server tell the lobby who is in: a caller with his first call, a runner with his Welcome, or the word that
// there is none. The buffer is that of very many connections that say little.
func lobbyOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ReadBufferSize(4 << 10),
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			arrived(ctx)
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if info.FullMethod == callboardv1.SessionService_Connect_FullMethodName {
				stream = &entering{ServerStream: stream}
			} else {
				arrived(stream.Context())
			}
			return handler(srv, stream)
		}),
	}
}

// entering is a runner's stream until its first answer.
type entering struct {
	grpc.ServerStream
	in bool
}

func (e *entering) SendMsg(m any) error {
	if !e.in { // one goroutine sends
		e.in = true
		defer arrived(e.Context())
	}
	return e.ServerStream.SendMsg(m)
}
