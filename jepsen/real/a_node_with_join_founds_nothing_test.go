//go:build unix

package real_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A node that is told where others are, and not how many found a cluster, founds none: it waits, says for what, and names an address where
// nobody gossips within ten seconds. When a cluster is there it joins.
func TestANodeWithJoinFoundsNothing(t *testing.T) {
	t.Parallel()
	s := emptyWorld(t)
	first, err := s.NewNode("n1")
	s.must(err)
	second, err := s.NewNode("n2")
	s.must(err)
	second.Expect, second.Join = 0, []string{first.Addrs.Gossip, first.Addrs.Raft} // the latter is no gossip port
	s.must(second.Start(s.Context()))
	says := func(what string) time.Duration {
		return s.until("it says: "+what, func(context.Context) error {
			if !strings.Contains(second.Log(), what) {
				return errors.New("it does not")
			}
			return nil
		})
	}
	says("waiting for a member of a cluster to join")
	first.Expect, first.Join = 1, []string{second.Addrs.Gossip}
	s.must(first.Start(s.Context()))
	s.must(first.Reads(s.Context()))
	s.until("it is a member", func(ctx context.Context) error {
		_, err := s.peerNow(ctx, first, "n2", "")
		return err
	})
	took := says("no node has answered at this address yet")
	if !strings.Contains(second.Log(), "join="+first.Addrs.Raft) {
		t.Errorf("the wrong address is not named:\n%s", second.Log())
	}
	s.promised("from being a member until a wrong address is named", took, 10*time.Second)
	if strings.Contains(second.Log(), "founding the cluster") || !strings.Contains(first.Log(), "founding the cluster") {
		t.Errorf("n2 founded a cluster, or n1 did not:\n%s", second.Log())
	}
	a, err := first.ClusterID(s.Context())
	s.must(err)
	s.until("both belong to the same cluster", func(ctx context.Context) error {
		b, err := second.ClusterID(ctx)
		if err == nil && a != b {
			err = errors.New("they do not")
		}
		return err
	})
}
