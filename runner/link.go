package runner

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// link is one stream to one engine node, from the dial to its end. Its goroutines only carry messages; what they mean is the
// loop's business.
type link struct {
	target  string // from the address book
	cluster string // that the Hello names; empty: any may welcome the runner
	ctx     context.Context
	cancel  context.CancelFunc
	hello   chan []*callboardv1.Hello        // room for one: the loop's answer to linkReady
	outbox  chan *callboardv1.ConnectRequest // read by the writer

	// What follows belongs to the loop.
	addr        string // host:port, set with linkReady
	attempt     uint32
	deadline    time.Duration // of the Welcome
	greeted     bool          // the Hello is out
	helloBeat   beat
	threshold   time.Duration // of the Welcome
	interval    time.Duration // of heartbeats, at that threshold
	heartbeatAt time.Duration
	beatSeq     uint64
	beats       []beat
	lastAck     time.Duration
	desiredSeq  uint64
	eventsSeq   uint64
}

var errOutboxFull = errors.New("the stream does not take what is sent: its outbox is full")

// carry lives as long as the stream.
func (k *link) carry(l *loop) {
	err := k.converse(l)
	k.cancel()
	l.post(linkClosed{link: k, err: err})
}

func (k *link) converse(l *loop) error {
	addr, err := k.resolve(l)
	if err != nil {
		return err
	}
	conn, err := k.dial(l.cfg, addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	k.awaitConnection(conn)
	stream, err := callboardv1.NewSessionServiceClient(conn).Connect(k.ctx)
	if err != nil {
		return err
	}
	k.addr = addr // before the message that lets the loop read it
	if !l.post(linkReady{link: k}) {
		return ErrRunnerStopped
	}
	var hello []*callboardv1.Hello
	select {
	case hello = <-k.hello:
	case <-k.ctx.Done():
		return context.Cause(k.ctx)
	}
	for _, h := range hello {
		m := &callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Hello{Hello: h}}
		if stream.Send(m) != nil {
			break // receiving tells why
		}
	}
	var writer sync.WaitGroup
	writer.Go(func() { k.write(stream) })
	defer writer.Wait()
	defer k.cancel()
	for {
		body, err := stream.Recv()
		if err != nil {
			return err
		}
		if !l.post(linkMessage{link: k, body: body, at: l.clock.Now()}) {
			return ErrRunnerStopped
		}
	}
}

// write sends what the loop has put out. After a Goodbye nothing more comes, and the engine ends the stream.
func (k *link) write(stream callboardv1.SessionService_ConnectClient) {
	for {
		select {
		case m := <-k.outbox:
			if stream.Send(m) != nil {
				return // the reader learns why
			}
			if m.GetGoodbye() != nil {
				_ = stream.CloseSend()
				return
			}
		case <-k.ctx.Done():
			return
		}
	}
}

func (k *link) dial(cfg Config, addr string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if cfg.TLS != nil {
		creds = credentials.NewTLS(cfg.TLS)
	}
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return cfg.Dial(ctx, addr) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceiveBytes)),
		grpc.WithDisableServiceConfig(),
		grpc.WithReadBufferSize(8<<10), // a process may hold many runners
		grpc.WithWriteBufferSize(8<<10),
		grpc.WithStaticStreamWindowSize(1<<20), // fitted to the line, they would cost a ping for each acknowledgement
		grpc.WithStaticConnWindowSize(1<<20),
	)
}

// awaitConnection waits until the connection stands or has failed; opening the stream then says how it failed.
func (k *link) awaitConnection(conn *grpc.ClientConn) {
	conn.Connect()
	for {
		switch s := conn.GetState(); s {
		case connectivity.Idle, connectivity.Connecting:
			if !conn.WaitForStateChange(k.ctx, s) {
				return
			}
		default:
			return
		}
	}
}

// send puts a message out. The loop calls it and does not wait: a stream that takes nothing any more is closed.
func (k *link) send(m *callboardv1.ConnectRequest) error {
	select {
	case k.outbox <- m:
		return nil
	default:
		return errOutboxFull
	}
}
