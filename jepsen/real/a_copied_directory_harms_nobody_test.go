//go:build unix

package real_test

import (
	"os"
	"slices"
	"strings"

	"github.com/callboard/callboard/jepsen/real"
)

// The directory of a follower is copied, and the copy adopted and started beside it: under a name that sorts before all others and one that sorts
// behind them, copied while the original ran and while it was stopped, told where the others are and not told. It ends with its own
// words and code, says the same when it is started again, and nobody has moved, lost its vote or campaigned.
func aCopiedDirectoryHarmsNobody(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	original := s.follower(leader)
	before := s.members(leader)
	led := leading(s.cluster.Nodes)

	first := s.copied(original, "a-copy", original.Join)
	last := s.copied(original, "z-copy", original.Join)
	alone := s.copied(original, "alone", nil)
	for _, double := range []*real.Node{first, last, alone} {
		s.endsAsCopy(double)
		began := double.Log()
		s.endsAsCopy(double)
		if !strings.Contains(double.Log(), "found on 20") {
			s.Errorf("%s, started again, does not say that it was found to be a copy:\n%s\nat first:\n%s", double.ID, double.Log(), began)
		}
	}
	s.must(original.Kill())
	stopped := s.copied(original, "z-stopped", original.Join)
	s.must(s.cluster.Start(s.Context(), original))
	s.caughtUp(original)
	s.endsAsCopy(stopped)

	s.caughtUp(original)
	if after := s.members(leader); !slices.Equal(before, after) {
		s.Errorf("members were %v and are %v", before, after)
	}
	if now := leading(s.cluster.Nodes); now != led {
		s.Errorf("nodes began to lead %d times, %d before there was a copy", now, led)
	}
	for _, n := range s.cluster.Nodes {
		if log := n.Log(); strings.Contains(log, "a member has moved") {
			s.Errorf("%s says that a member has moved", n.ID)
		}
	}
}

// members lists the members by what a copy could change.
func (s *scenario) members(at *real.Node) (lines []string) {
	s.Helper()
	peers, err := s.listPeers(s.Context(), at)
	s.must(err)
	for _, p := range peers {
		lines = append(lines, strings.Join([]string{p.Name, p.NodeID, p.RaftAddr, p.GRPCAddr}, " "))
	}
	return lines
}

// copied makes a node of a copy of another one's directory.
func (s *scenario) copied(original *real.Node, name string, join []string) *real.Node {
	s.Helper()
	double, err := s.NewNode(name)
	s.must(err)
	double.Join, double.Expect, double.Args = join, 0, []string{"--adopt-copy"}
	s.must(os.CopyFS(double.DataDir, os.DirFS(original.DataDir)))
	return double
}

// endsAsCopy starts a node that must end by itself, as a copy.
func (s *scenario) endsAsCopy(double *real.Node) {
	s.Helper()
	if err := double.Start(s.Context()); err != nil && double.Process == nil {
		s.Fatal(err)
	}
	code, err := double.Wait(s.Context(), patience)
	s.must(err)
	if log := double.Log(); code != 30 || !strings.Contains(log, "was its data directory copied?") || strings.Contains(log, "msg=leading ") {
		s.Errorf("%s ended with code %d, want 30 and its reason:\n%s", double.ID, code, log)
	}
}
