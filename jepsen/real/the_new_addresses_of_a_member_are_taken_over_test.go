//go:build unix

package real_test

import (
	"slices"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

// A follower ends, and comes back on its data directory with other ports. The others list it there; and it counts: when the leader is
// killed then, the moved node and the third are a majority, and writes go on.
func theNewAddressesOfAMemberAreTakenOver(s *scenario) {
	before := s.allRunning(room, actors)
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	moved := s.follower(leader)
	s.must(moved.Terminate())
	code, err := moved.Wait(s.Context(), patience)
	s.must(err)
	if code != 0 {
		s.Errorf("%s ended with code %d after SIGTERM", moved.ID, code)
	}
	s.must(moved.Move())
	began := time.Now()
	s.must(s.cluster.Start(s.Context(), moved))
	s.caughtUp(moved)
	s.Logf("%s is listed at its new addresses %v after its start", moved.ID, round(time.Since(began)))

	leader, err = s.cluster.Leader(s.Context())
	s.must(err)
	if leader == moved {
		s.Fatalf("%s leads; it was to be a follower", moved.ID)
	}
	writers := s.write(20*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	killed := int64(history.Now())
	s.must(leader.Kill())
	s.promised("from the death of the leader until the moved node and the third acknowledge a write", s.written(killed), 3*time.Second)
	s.must(s.cluster.Start(s.Context(), leader))
	s.caughtUp(leader)
	writers.end()
	s.connected(pool, s.runners...)
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(room, actors)))
}

// follower returns a node that does not lead.
func (s *scenario) follower(leader *real.Node) *real.Node {
	return s.cluster.Nodes[(slices.Index(s.cluster.Nodes, leader)+1)%len(s.cluster.Nodes)]
}
