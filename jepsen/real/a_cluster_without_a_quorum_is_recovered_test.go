//go:build unix

package real_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// All nodes end at once. Of two the log comes back as it was before the last writes, and the third never comes back: no quorum of whole nodes
// is left. `operator raft recover` names the one that keeps more, and makes it the cluster; the other joins it as a blank node with its
// usual line. What the more advanced one kept is there.
func TestAClusterWithoutAQuorumIsRecovered(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	cluster, err := leader.ClusterID(s.Context())
	s.must(err)
	n1, n2, n3 := s.cluster.Nodes[0], s.cluster.Nodes[1], s.cluster.Nodes[2]
	s.namespace("first")
	s.must(s.cluster.Kill(n1, n2, n3))
	older := s.copyLog(n2)
	s.must(s.cluster.Start(s.Context(), n1, n2, n3))
	s.namespace("second")
	s.must(s.cluster.Kill(n1, n2, n3))
	kept := s.copyLog(n1)
	s.must(s.cluster.Start(s.Context(), n1, n2, n3))
	s.namespace("third")

	s.refusesToRecover("end the node first", n1)
	s.must(s.cluster.Kill(n1, n2))
	s.refusesToRecover("a process answers for n3", n1)
	s.must(n3.Kill())
	s.refusesToRecover("a quorum", n1, n2, n3)
	s.must(os.WriteFile(filepath.Join(n1.DataDir, "raft.db"), kept, 0o600))
	s.must(os.WriteFile(filepath.Join(n2.DataDir, "raft.db"), older, 0o600))
	_, told, code, err := s.Command(s.Context(), nil, n1.CommandLine()...)
	s.must(err)
	if code == 0 || !strings.Contains(told, "operator raft recover") {
		s.Errorf("on an older log it starts with code %d and says %q", code, lastLine(told))
	}
	s.refusesToRecover("--others-are-dead", n1, n2)

	recovered := s.recover("--others-are-dead", "--data-dir", n2.DataDir, "--data-dir", n1.DataDir)
	if len(recovered.Nodes) != 2 || recovered.Nodes[0].DataDir != n1.DataDir || !recovered.Done || len(recovered.Others) != 1 {
		s.Fatalf("it recovered %+v, want the one in %s", recovered, n1.DataDir)
	}
	if first := recovered.Nodes[0]; first.KeptIndex >= first.HeldIndex || first.Refusal == "" {
		s.Errorf("it does not say that entries are lost: %+v", first)
	}
	s.must(s.cluster.Start(s.Context(), n1))
	now, err := n1.ClusterID(s.Context())
	s.must(err)
	if now != cluster {
		s.Errorf("it is cluster %s, was %s", now, cluster)
	}
	s.must(n2.Start(s.Context()))
	s.cluster.Nodes = []*real.Node{n1, n2}
	s.until("n2 has a vote", func(ctx context.Context) error {
		p, err := s.peerNow(ctx, n1, "n2", recovered.Nodes[1].NodeID)
		if err == nil && !p.Voter {
			err = fmt.Errorf("it has none: %+v", p)
		}
		return err
	})
	s.caughtUp(n2)
	for _, n := range s.cluster.Nodes {
		has := s.namespaces(n)
		if !has["first"] || !has["second"] || has["third"] {
			s.Errorf("%s has %v", n.ID, has)
		}
	}
	if aside, _ := filepath.Glob(filepath.Join(n2.DataDir, "aside-*", "raft.db")); len(aside) != 1 {
		s.Error("the old files of n2 are not aside")
	}
}

// recovered is what `operator raft recover -o json` says.
type recovered struct {
	Nodes []struct {
		NodeID    string `json:"node_id"`
		DataDir   string `json:"data_dir"`
		Refusal   string `json:"refusal"`
		HeldIndex uint64 `json:"held_index"`
		KeptIndex uint64 `json:"kept_index"`
	} `json:"nodes"`
	Others []string `json:"others"`
	Done   bool     `json:"done"`
}

func (s *scenario) recover(args ...string) (r recovered) {
	s.Helper()
	out, errOut, code, err := s.Command(s.Context(), nil, append([]string{"operator", "raft", "recover", "-o", "json"}, args...)...)
	s.must(err)
	if code != 0 {
		s.Fatalf("exit code %d: %s", code, errOut)
	}
	s.must(json.Unmarshal([]byte(out), &r))
	return r
}

// refusesToRecover wants a refusal that names a reason, and directories that are as they were.
func (s *scenario) refusesToRecover(reason string, nodes ...*real.Node) {
	s.Helper()
	args := []string{"operator", "raft", "recover"}
	for _, n := range nodes {
		args = append(args, "--data-dir", n.DataDir)
	}
	out, errOut, code, err := s.Command(s.Context(), nil, args...)
	s.must(err)
	if code == 0 || !strings.Contains(errOut, reason) {
		s.Errorf("exit code %d, it says %q, want %q; it prints\n%s", code, errOut, reason, out)
	}
	for _, n := range nodes {
		for _, file := range []string{"raft.db.lost", "rejoin.json"} {
			if _, err := os.Stat(filepath.Join(n.DataDir, file)); err == nil {
				s.Errorf("it refused, and left %s in %s", file, n.DataDir)
			}
		}
	}
}

func (s *scenario) copyLog(n *real.Node) []byte {
	s.Helper()
	content, err := os.ReadFile(filepath.Join(n.DataDir, "raft.db"))
	s.must(err)
	return content
}

// namespace makes one: an acknowledged write, which no node is without when this returns.
func (s *scenario) namespace(name string) {
	s.Helper()
	c, err := s.cluster.Nodes[0].Client()
	s.must(err)
	defer func() { _ = c.Close() }()
	_, err = c.Namespaces.Create(s.Context(), &callboardv1.NamespaceServiceCreateRequest{Name: name})
	s.must(err)
	for _, n := range s.cluster.Nodes {
		s.must(n.Reads(s.Context()))
		if !s.namespaces(n)[name] {
			s.Fatalf("%s does not have %s", n.ID, name)
		}
	}
}

func (s *scenario) namespaces(n *real.Node) map[string]bool {
	s.Helper()
	c, err := n.Client()
	s.must(err)
	defer func() { _ = c.Close() }()
	list, err := c.Namespaces.List(s.Context(), &callboardv1.NamespaceServiceListRequest{Limit: 100})
	s.must(err)
	has := map[string]bool{}
	for _, namespace := range list.GetNamespaces() {
		has[namespace.GetName()] = true
	}
	return has
}
