package server

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/test/bufconn"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// street is a listener to which a test sends named connections.
type street struct {
	arrivals chan net.Conn
	closed   chan struct{}
}

func (s street) Accept() (net.Conn, error) {
	select {
	case c := <-s.arrivals:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s street) Close() error { close(s.closed); return nil }
func (s street) Addr() net.Addr {
	return &net.UnixAddr{Name: "street"}
}

// visitor is a connection that only knows who it is and whether it was closed.
type visitor struct {
	net.Conn
	name   string
	closed bool
}

func (v *visitor) Close() error         { v.closed = true; return nil }
func (v *visitor) RemoteAddr() net.Addr { return &net.UnixAddr{Name: v.name} }

// inLobby runs a test on a lobby in virtual time.
func inLobby(t *testing.T, test func(l *lobby, come func(from, to int) []*visitor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := street{arrivals: make(chan net.Conn), closed: make(chan struct{})}
		l := newLobby(s, slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- l.run() }()
		test(l, func(from, to int) (all []*visitor) {
			for i := from; i <= to; i++ {
				v := &visitor{name: fmt.Sprint(i)}
				s.arrivals <- v
				all = append(all, v)
			}
			synctest.Wait()
			return all
		})
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := l.Accept(); err == nil {
			t.Error("a lobby that is closed lets somebody in")
		}
	})
}

// enter lets in whoever may enter now.
func enter(l *lobby) (guests []net.Conn) {
	for {
		g := l.letIn()
		if g == nil {
			return guests
		}
		guests = append(guests, g)
	}
}

func names(guests []net.Conn) (all []string) {
	for _, g := range guests {
		all = append(all, g.RemoteAddr().String())
	}
	return all
}

func TestTheLobbyLetsAFewInTheNewestFirst(t *testing.T) {
	inLobby(t, func(l *lobby, come func(from, to int) []*visitor) {
		come(1, maxEntering+3)
		guests := enter(l)
		if got := names(guests); len(got) != maxEntering || got[0] != fmt.Sprint(maxEntering+3) || got[maxEntering-1] != "4" {
			t.Fatalf("%d are let in, from %s to %s", len(got), got[0], got[len(got)-1])
		}
		// Who is in, or gone, makes room for one.
		arrived(peer.NewContext(context.Background(), &peer.Peer{Addr: guests[0].RemoteAddr()}))
		arrived(peer.NewContext(context.Background(), &peer.Peer{Addr: guests[0].RemoteAddr()}))
		if got := names(enter(l)); !slices.Equal(got, []string{"3"}) {
			t.Errorf("then %v", got)
		}
		_ = guests[1].Close()
		_ = guests[0].Close()
		if got := names(enter(l)); !slices.Equal(got, []string{"2"}) {
			t.Errorf("then %v", got)
		}
	})
}

// Connections that ask nothing do not hold the others up for long.
func TestTheLobbyForgetsWhoAsksNothing(t *testing.T) {
	inLobby(t, func(l *lobby, come func(from, to int) []*visitor) {
		come(1, maxEntering+1)
		enter(l)
		time.Sleep(enteringFor - time.Millisecond)
		if got := enter(l); len(got) != 0 {
			t.Errorf("%v entered early", names(got))
		}
		time.Sleep(2 * time.Millisecond)
		if got := names(enter(l)); !slices.Equal(got, []string{"1"}) {
			t.Errorf("%v entered", got)
		}
	})
}

// Who has waited so long that he has given up is sent away, and so is the oldest of too many.
func TestTheLobbySendsTheOldestAway(t *testing.T) {
	inLobby(t, func(l *lobby, come func(from, to int) []*visitor) {
		early := come(1, 10)
		time.Sleep(waitingFor + time.Millisecond)
		come(11, 11)
		for _, v := range early {
			if !v.closed {
				t.Errorf("%s waits still", v.name)
			}
		}
		crowd := come(12, maxWaiting+11)
		if got := len(l.waiting); got != maxWaiting {
			t.Errorf("%d wait", got)
		}
		if crowd[0].closed {
			t.Error("one too many was sent away")
		}
		come(0, 0)
		if !crowd[0].closed {
			t.Error("there is no limit")
		}
	})
}

func TestALobbyThatClosesSendsEverybodyAway(t *testing.T) {
	var all []*visitor
	inLobby(t, func(_ *lobby, come func(from, to int) []*visitor) { all = come(1, 3) })
	for _, v := range all {
		if !v.closed {
			t.Errorf("%s waits still", v.name)
		}
	}
}

// sessions is a SessionService that answers when the test says so.
type sessions struct {
	callboardv1.UnimplementedSessionServiceServer
	answer chan struct{}
}

func (s sessions) Connect(stream callboardv1.SessionService_ConnectServer) error {
	<-s.answer
	if err := stream.Send(&callboardv1.ConnectResponse{}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// Through gRPC: a runner counts as entering until its first answer and no longer, though its stream goes on.
func TestARunnerIsInWithItsFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := bufconn.Listen(1 << 16)
		l := newLobby(door, slog.New(slog.DiscardHandler))
		server := grpc.NewServer(lobbyOptions()...)
		s := sessions{answer: make(chan struct{})}
		callboardv1.RegisterSessionServiceServer(server, s)
		ended := make(chan error, 2)
		go func() { ended <- l.run() }()
		go func() { ended <- server.Serve(l) }()
		conn, err := grpc.NewClient("passthrough:///lobby", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return door.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		stream, err := callboardv1.NewSessionServiceClient(conn).Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		entering := func() int {
			synctest.Wait()
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.entering
		}
		if got := entering(); got != 1 {
			t.Errorf("before the answer %d are entering", got)
		}
		s.answer <- struct{}{}
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
		if got := entering(); got != 0 {
			t.Errorf("behind the answer %d are entering", got)
		}
		_ = conn.Close()
		server.Stop()
		for range 2 {
			t.Logf("ended with %v", <-ended) // bufconn has an error of its own for a closed door
		}
		if got := entering(); got != 0 {
			t.Errorf("in the end %d are entering", got)
		}
	})
}
