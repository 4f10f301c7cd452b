//go:build unix

package real_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A follower's machine is lost for good. A new node, at other addresses and under another name, takes its place with one line: the dead
// member is out before the new one has a vote, so there are never more than three voters. While the old one runs nobody takes its place.
func TestANewMachineReplacesADeadOne(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	dead := s.follower(leader)
	s.must(dead.Kill())
	began := time.Now()
	fresh, err := s.NewNode("n4")
	s.must(err)
	fresh.Expect, fresh.Join, fresh.Args = 3, dead.Join, []string{"--replaces", dead.ID}
	s.must(fresh.Start(s.Context()))
	s.until("n4 has a vote, and "+dead.ID+" is no member", func(ctx context.Context) error {
		peers, err := s.listPeers(ctx, leader)
		if err != nil {
			return err
		}
		if len(peers) > 3 {
			s.Errorf("%d members: %+v", len(peers), peers)
		}
		has := false
		for _, p := range peers {
			if p.Name == dead.ID {
				return fmt.Errorf("%s is still a member", dead.ID)
			}
			has = has || p.Name == "n4" && p.Voter
		}
		if !has {
			return fmt.Errorf("it has none: %+v", peers)
		}
		return nil
	})
	s.Logf("n4 has the vote of %s %v after its start", dead.ID, round(time.Since(began)))
	s.must(fresh.Reads(s.Context()))

	// Another one wants the place of a member that is there.
	eager, err := s.NewNode("n5")
	s.must(err)
	eager.Expect, eager.Join, eager.Args = 3, dead.Join, []string{"--replaces", "n4"}
	s.must(eager.Start(s.Context()))
	s.until("n5 is told that n4 is there", func(context.Context) error {
		if log := eager.Log(); !strings.Contains(log, "end it before another node takes its place") {
			return fmt.Errorf("it says %q", lastLine(log))
		}
		return nil
	})
	if peers, err := s.listPeers(s.Context(), leader); err != nil || len(peers) != 3 {
		s.Errorf("%d members, %v: want three", len(peers), err)
	}
}
