package session

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// overGRPC opens a stream as a runner does.
func overGRPC(t *testing.T, host *Host) callboardv1.SessionService_ConnectClient {
	t.Helper()
	stream, _ := connect(t, host)
	return stream
}

func connect(t *testing.T, host *Host) (callboardv1.SessionService_ConnectClient, *grpc.ClientConn) {
	t.Helper()
	listener := bufconn.Listen(64 << 10)
	server := grpc.NewServer()
	Register(server, host)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///engine", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := callboardv1.NewSessionServiceClient(conn).Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return stream, conn
}

func greet(t *testing.T, stream callboardv1.SessionService_ConnectClient) *callboardv1.Welcome {
	t.Helper()
	send(t, stream, helloMessage(testHello()))
	w := receive(t, stream).GetWelcome()
	if w == nil || !receive(t, stream).GetDesired().GetComplete() {
		t.Fatal("no Welcome, or no complete set")
	}
	return w
}

func send(t *testing.T, stream callboardv1.SessionService_ConnectClient, m *callboardv1.ConnectRequest) {
	t.Helper()
	if err := stream.Send(m); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, stream callboardv1.SessionService_ConnectClient) *callboardv1.ConnectResponse {
	t.Helper()
	m, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGRPCCarriesASessionToItsGoodbye(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		stream := overGRPC(t, host)
		w := greet(t, stream)
		time.Sleep(2 * time.Second)
		send(t, stream, beat(1))
		if ack := receive(t, stream).GetHeartbeatAck(); ack.GetSeq() != 1 {
			t.Errorf("acknowledged %v", ack)
		}
		send(t, stream, &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Goodbye{Goodbye: &callboardv1.Goodbye{}}})
		_ = stream.CloseSend()
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v, want OK", err)
		}
		if r := e.headRunner(w.GetRunnerId()); r.End != fsm.EndStopped {
			t.Errorf("the leader has %+v, want a stopped runner", r)
		}
	})
}

// The Disconnect comes first, then the status: a client that reads only one of them learns enough.
func TestGRPCEndsAViolationWithItsStatus(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		stream := overGRPC(t, host)
		greet(t, stream)
		send(t, stream, batch(5))
		if d := receive(t, stream).GetDisconnect(); d.GetError().GetCode() != "sequence_gap" {
			t.Errorf("Disconnect %v", d)
		}
		_, err := stream.Recv()
		if refusal, ok := callboardv1.AsRefusal(err); !ok || refusal.GetCode() != "sequence_gap" {
			t.Errorf("the stream ended with %v, want session.sequence_gap", err)
		}
		synctest.Wait()
		if host.Streams() != 0 {
			t.Error("the stream is still held although its client did not close it")
		}
	})
}

func TestGRPCRefusesWithAStatusWhenThereIsNoRoom(t *testing.T) {
	inBubble(t, Config{MaxStreams: 1}, func(t *testing.T, e *engine, host *Host) {
		greet(t, overGRPC(t, host))
		stream := overGRPC(t, host)
		if d := receive(t, stream).GetDisconnect(); d.GetError().GetCode() != "limit_reached" {
			t.Errorf("Disconnect %v", d)
		}
		if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
			t.Errorf("the stream ended with %v, want ResourceExhausted", err)
		}
	})
}

func TestGRPCCutsOffARunnerThatTakesNothing(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		w := greet(t, overGRPC(t, host))
		for range 4 {
			e.create(make([]byte, 1<<20))
		}
		synctest.Wait()
		time.Sleep(9900 * time.Millisecond)
		if host.Streams() != 1 {
			t.Fatal("the stream has ended too early")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if host.Streams() != 0 || e.headRunner(w.GetRunnerId()).Connected {
			t.Error("the stream is held by a runner that takes nothing")
		}
	})
}

func TestGRPCTellsABrokenConnection(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		stream, conn := connect(t, host)
		w := greet(t, stream)
		_ = conn.Close()
		synctest.Wait()
		if host.Streams() != 0 || e.headRunner(w.GetRunnerId()).Connected || e.reported(isBroken) != 1 {
			t.Error("the broken stream is not reported once")
		}
	})
}

func TestShutdownEndsGRPCStreamsInOrder(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		stream := overGRPC(t, host)
		greet(t, stream)
		host.Shutdown(t.Context())
		if d := receive(t, stream).GetDisconnect(); d.GetError().GetCode() != "node_leaving" || !d.GetReconnect() {
			t.Errorf("Disconnect %v", d)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended with %v, want OK", err)
		}
	})
}
