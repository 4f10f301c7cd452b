//go:build unix

package real_test

import (
	"context"
	"errors"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// A follower is killed and started at once at other addresses: nobody waits until the former process is found dead.
func aKilledNodeIsBackAtNewAddresses(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	moved := s.follower(leader)
	s.must(moved.Kill())
	s.must(moved.Move())
	s.must(s.startsIn(moved))
}

// startsIn starts a follower, and wants it to be a member at its addresses soon.
func (s *scenario) startsIn(n *real.Node) error {
	s.Helper()
	began := time.Now()
	if err := n.Start(s.Context()); err != nil {
		return err
	}
	leader, err := s.cluster.Leader(s.Context())
	if err != nil {
		return err
	}
	s.until(n.ID+" is a member at its new addresses", func(ctx context.Context) error {
		p, err := s.peerNow(ctx, leader, n.ID, "")
		if err == nil && (p.RaftAddr != n.Addrs.Raft || p.GRPCAddr != n.Addrs.GRPC || p.State == "unreachable") {
			err = errors.New("it is not: " + p.RaftAddr + " " + p.GRPCAddr + " " + p.State)
		}
		return err
	})
	s.promised("from its start until a killed node is a member at its new addresses", time.Since(began), 5*time.Second)
	s.caughtUp(n)
	return nil
}
