package crowd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"sync/atomic"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Times of the runner library, at the default threshold.
const (
	welcomeTimeout = 5 * time.Second
	quiet          = 5 * time.Second // without an acknowledgement: the next node
	firstPause     = 200 * time.Millisecond
	longestPause   = 2 * time.Second
)

// member is one runner.
type member struct {
	crowd    *Crowd
	hello    *callboardv1.Hello
	at       int // index of the address it is at, or dials next
	failures int
	welcome  atomic.Pointer[string] // the address, while its lease is good
}

func (c *Crowd) newMember(i int) *member {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return &member{crowd: c, at: i % len(c.addrs), hello: &callboardv1.Hello{
		Protocol: 1, Namespace: "default", Pool: c.pool, Key: fmt.Sprintf("crowd-%d", i), Slots: 1, MetadataJson: "{}",
		InstanceId: fmt.Sprintf("%x-%x-%x-%x-%x", id[0:4], id[4:6], id[6:8], id[8:10], id[10:16]),
	}}
}

// run dials until the crowd leaves.
func (m *member) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := m.session(ctx)
		m.welcome.Store(nil)
		m.crowd.broke(err)
		m.at = (m.at + 1) % len(m.crowd.addrs)
		longest := min(firstPause<<min(m.failures, 10), longestPause)
		m.failures++
		select {
		case <-time.After(longest/4 + mathrand.N(3*longest/4)):
		case <-ctx.Done():
		}
	}
}

// session is one stream, from the dial to its end.
func (m *member) session(ctx context.Context) error {
	addr := m.crowd.addrs[m.at]
	began := time.Now()
	conn, err := (&net.Dialer{Timeout: welcomeTimeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	s, err := open(conn)
	if err != nil {
		return err
	}
	m.hello.Attempt++
	if err := s.send(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Hello{Hello: m.hello}}); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(began.Add(welcomeTimeout)) // a closed connection says so when it is read
	var beats *time.Timer
	for seq := uint64(0); ; {
		answer, err := s.receive()
		if err != nil {
			return err
		}
		now := time.Now()
		switch said := answer.GetMessage().(type) {
		case *callboardv1.ConnectResponse_Welcome:
			m.failures = 0
			m.welcomed(addr, now.Sub(began))
			interval := time.Duration(said.Welcome.GetHeartbeatIntervalMs()) * time.Millisecond
			beats = time.AfterFunc(time.Hour, func() {
				seq++
				beats.Reset(interval)
				_ = s.send(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Heartbeat{
					Heartbeat: &callboardv1.Heartbeat{Seq: seq, ThresholdMs: said.Welcome.GetLostThresholdMs()},
				}}) // a broken stream is seen by its reader
			})
			defer beats.Stop()
			beats.Reset(mathrand.N(interval))
		case *callboardv1.ConnectResponse_Desired:
			if err := s.send(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_CommandsAck{
				CommandsAck: &callboardv1.CommandsAck{Seq: said.Desired.GetSeq()},
			}}); err != nil {
				return err
			}
			continue
		case *callboardv1.ConnectResponse_Disconnect:
			return errors.New(said.Disconnect.GetError().GetCode())
		}
		_ = conn.SetReadDeadline(now.Add(quiet))
	}
}

func (m *member) welcomed(addr string, took time.Duration) {
	m.welcome.Store(&addr)
	m.crowd.dialled(took)
}
