//go:build unix

package real_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// deafPool is the pool of the runners that say much and hear nothing.
const deafPool = "deaf"

// deafRunnersHarmNobody connects runners that take nothing, and has the engine send them more than it should keep. It returns the scene in which they
// have been cut off, and meanwhile whatever else is told of the node shows that they hold nobody up.
func deafRunnersHarmNobody(s *scenario) (areCutOff func(s *scenario)) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	var beating sync.WaitGroup
	s.Cleanup(func() {
		cancel()
		beating.Wait()
	})
	reads := s.deaf(ctx, &beating, "reads its connection", nil)
	wire := &deafConn{ended: make(chan struct{}), deaf: make(chan struct{})}
	s.deaf(ctx, &beating, "reads nothing", wire)
	close(wire.deaf)

	const actors, input = 40, 1 << 20
	for range actors {
		_, err := s.caller.Actors.Create(ctx, &callboardv1.CreateRequest{
			Namespace: "default", Name: "large", Pool: deafPool, Input: make([]byte, input), CrashPolicy: callboardv1.CrashPolicy_CRASH_POLICY_DESTROY,
		})
		s.must(err)
	}
	s.serves(fmt.Sprintf("two runners that take nothing of %d MiB", actors*input>>20))

	return func(s *scenario) {
		s.until("both are cut off", func(ctx context.Context) error {
			runners, err := s.caller.Runners(ctx, deafPool)
			if err != nil {
				return err
			}
			if slices.ContainsFunc(runners, connected) {
				return fmt.Errorf("%v", runners)
			}
			return nil
		})
		// Who reads again, reads why.
		for {
			answer, err := reads()
			refusal, _ := callboardv1.AsRefusal(err)
			if told := answer.GetDisconnect().GetError(); told != nil {
				refusal = told
			}
			if refusal != nil {
				if refusal.Name() != "session.slow_reader" {
					s.Errorf("it is told %v", refusal)
				}
				break
			}
			if err != nil {
				s.Fatalf("it is not told why: %v", err)
			}
		}
		s.serves("two runners that take nothing")
		s.memoryBelow(512 << 20)
	}
}

func connected(r *callboardv1.Runner) bool {
	return r.GetState() == callboardv1.RunnerState_RUNNER_STATE_CONNECTED
}

// deaf connects one runner, whose heartbeats go on; it returns what reads its stream.
func (s *scenario) deaf(ctx context.Context, beating *sync.WaitGroup, key string, wire *deafConn) (recv func() (*callboardv1.ConnectResponse, error)) {
	s.Helper()
	const window = 64 << 10 // and not more by itself
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
	}
	if wire != nil {
		options = append(options, grpc.WithContextDialer(wire.dial))
	}
	conn, err := grpc.NewClient(s.cluster.Nodes[0].Addrs.GRPC, options...)
	s.must(err)
	s.Cleanup(func() { _ = conn.Close() })
	stream, err := callboardv1.NewSessionServiceClient(conn).Connect(ctx)
	s.must(err)
	s.must(stream.Send(hello(func(h *callboardv1.Hello) {
		h.Pool, h.Key, h.Slots = deafPool, key, 1000
		if wire != nil {
			h.InstanceId = "7d1a4a52-5e47-4c33-9c5e-1b0f0f6f6a02"
		}
	})))
	answer, err := stream.Recv()
	s.must(err)
	if answer.GetWelcome() == nil {
		s.Fatalf("%s: %v, want a Welcome", key, answer)
	}
	beating.Go(func() {
		beat := time.NewTicker(time.Second)
		defer beat.Stop()
		for seq := uint64(1); ; seq++ {
			select {
			case <-beat.C:
			case <-ctx.Done():
				return
			}
			message := &callboardv1.Heartbeat{Seq: seq, ThresholdMs: answer.GetWelcome().GetLostThresholdMs()}
			if stream.Send(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Heartbeat{Heartbeat: message}}) != nil {
				return // its stream has ended
			}
		}
	})
	return stream.Recv
}

// deafConn is a connection of which nothing is read from some moment on.
type deafConn struct {
	net.Conn
	deaf  chan struct{} // closed: from now on
	ended chan struct{}
	close sync.Once
}

func (c *deafConn) dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	c.Conn = conn
	return c, err
}

func (c *deafConn) Read(into []byte) (int, error) {
	select {
	case <-c.deaf:
		<-c.ended
		return 0, io.EOF
	default:
		return c.Conn.Read(into)
	}
}

func (c *deafConn) Close() error {
	c.close.Do(func() { close(c.ended) })
	return c.Conn.Close()
}
