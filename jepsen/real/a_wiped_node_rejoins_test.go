//go:build unix

package real_test

import (
	"context"
	"errors"
	"time"

	"github.com/callboard/callboard/jepsen/check"
)

// A follower is killed and its data directory wiped. Started with the same line it joins as a new node: without a vote first, with one
// when it has been caught up for 10 s. The cluster stays one, with three members, and no actor moves.
func aWipedNodeRejoins(s *scenario) {
	before := s.allRunning(room, actors)
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	cluster, err := leader.ClusterID(s.Context())
	s.must(err)
	wiped := s.follower(leader)
	was := s.peer(leader, wiped.ID)

	s.must(wiped.Kill())
	s.must(wiped.Wipe())
	began := time.Now()
	s.must(wiped.Start(s.Context()))
	var joined time.Time
	s.until(wiped.ID+" is a member without a vote", func(ctx context.Context) error {
		p, err := s.peerNow(ctx, leader, wiped.ID, was.NodeID)
		if err == nil && p.Voter {
			s.Errorf("%s has a vote %v after its start", wiped.ID, round(time.Since(began)))
		}
		joined = time.Now()
		return err
	})
	s.Logf("%s is a member without a vote %v after its start", wiped.ID, round(joined.Sub(began)))
	s.until(wiped.ID+" has a vote", func(ctx context.Context) error {
		p, err := s.peerNow(ctx, leader, wiped.ID, was.NodeID)
		if err == nil && !p.Voter {
			err = errors.New("it has none")
		}
		return err
	})
	s.promised("from being a member until it has a vote", time.Since(joined), 13*time.Second)
	if waited := time.Since(joined); waited < 9*time.Second {
		s.Errorf("%s got its vote after %v, want 10 s", wiped.ID, round(waited))
	}
	s.caughtUp(wiped)

	for _, n := range s.cluster.Nodes {
		id, err := n.ClusterID(s.Context())
		s.must(err)
		if id != cluster {
			s.Errorf("%s belongs to cluster %s, not to %s", n.ID, id, cluster)
		}
	}
	s.connected(pool, s.runners...)
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(room, actors)))
}
