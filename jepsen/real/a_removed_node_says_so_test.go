//go:build unix

package real_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/callboard/callboard/jepsen/real"
)

// A member is stopped and removed by its name. Started again it says when, and ends; emptied it joins as a new one. One that runs when it is
// removed ends too.
func aRemovedNodeSaysSo(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	removed := s.follower(leader)
	s.must(removed.Terminate())
	_, err = removed.Wait(s.Context(), patience)
	s.must(err)
	s.removePeer(leader, removed.ID)
	if err := removed.Start(s.Context()); err != nil && removed.Process == nil {
		s.Fatal(err)
	}
	s.endsAsRemoved(removed)
	s.must(removed.Wipe())
	s.must(removed.Start(s.Context()))
	s.until(removed.ID+" is a member again", func(ctx context.Context) error {
		_, err := s.peerNow(ctx, leader, removed.ID, "")
		return err
	})
	s.until(removed.ID+" has written down its cluster", func(context.Context) error { // before that it would ask to be taken in once more
		text, err := os.ReadFile(filepath.Join(removed.DataDir, "node.json"))
		if err == nil && !strings.Contains(string(text), "cluster_id") {
			err = errors.New("it has not")
		}
		return err
	})
	s.removePeer(leader, s.peer(leader, removed.ID).NodeID)
	s.endsAsRemoved(removed)
}

func (s *scenario) removePeer(at *real.Node, name string) {
	s.Helper()
	out, errOut, code, err := s.Command(s.Context(), nil, "operator", "raft", "remove-peer", name, "--address", at.Addrs.GRPC)
	s.must(err)
	if code != 0 {
		s.Fatalf("remove-peer %s: code %d: %s%s", name, code, out, errOut)
	}
}

func (s *scenario) endsAsRemoved(n *real.Node) {
	s.Helper()
	code, err := n.Wait(s.Context(), patience)
	s.must(err)
	if log := n.Log(); code != 31 || !strings.Contains(log, "was removed from its cluster on 20") || !strings.Contains(log, n.DataDir) {
		s.Errorf("%s ended with code %d, want 31 and when it was removed:\n%s", n.ID, code, log)
	}
}
