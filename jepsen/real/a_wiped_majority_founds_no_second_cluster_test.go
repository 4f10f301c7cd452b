//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/callboard/callboard/jepsen/real"
)

// The directories of two of three nodes are wiped while all are down. What the two had is gone, and the third alone is no majority: no
// write is taken any more. The two do not forget the cluster over that, and found none of their own. That holds too when the third was
// ended before it had written down which cluster it belongs to.
func TestAWipedMajorityFoundsNoSecondCluster(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	wiped, left := s.cluster.Nodes[:2], s.cluster.Nodes[2] // the wiped ones have the least ids: they would be the founders
	identity := filepath.Join(left.DataDir, "node.json")
	s.until(left.ID+" has written down its cluster", func(context.Context) error {
		text, err := os.ReadFile(identity)
		if err == nil && !strings.Contains(string(text), "cluster_id") {
			err = errors.New("it has not")
		}
		return err
	})
	s.wipe(wiped, left, "nobody has taken this node in yet")
	text, err := os.ReadFile(identity)
	s.must(err)
	forgetful := regexp.MustCompile(`,\s*"cluster_id": "[^"]*"`).ReplaceAll(text, nil)
	if len(forgetful) == len(text) {
		t.Fatalf("%s has no cluster to forget: %s", identity, text)
	}
	sum := regexp.MustCompile(`"sum": "[^"]*"`)
	blank := sum.ReplaceAllLiteral(forgetful, []byte(`"sum": ""`))
	summed := sum.ReplaceAllLiteral(forgetful, fmt.Appendf(nil, `"sum": "%08x"`, crc32.ChecksumIEEE(blank)))
	s.must(os.WriteFile(identity, summed, 0o600))
	s.wipe(wiped, left, "waiting for the other nodes")
}

// wipe wipes nodes while all are down, and starts all. The wiped ones must not lead, and say why not, twice: the other is known by then.
func (s *scenario) wipe(wiped []*real.Node, left *real.Node, says string) {
	s.Helper()
	s.must(s.cluster.Kill(s.cluster.Nodes...))
	s.must(left.Start(s.Context()))
	for _, n := range wiped {
		s.must(n.Wipe())
		s.must(n.Start(s.Context()))
	}
	for _, n := range wiped {
		s.until(n.ID+" says twice: "+says, func(context.Context) error {
			if strings.Count(n.Log(), says) < 2 {
				return errors.New("it does not")
			}
			return nil
		})
		if is, err := n.ClusterID(s.Context()); err != nil || strings.Trim(is, "0-") != "" {
			s.Errorf("%s, which was wiped, belongs to cluster %q, %v", n.ID, is, err)
		}
		if strings.Contains(n.Log(), "founding the cluster") {
			s.Errorf("%s founds a cluster", n.ID)
		}
	}
	if n := leading(s.cluster.Nodes); n != 0 {
		s.Errorf("nodes began to lead %d times", n)
	}
	s.must(s.cluster.Kill(s.cluster.Nodes...))
}

// leading counts how often the processes that run have begun to lead.
func leading(nodes []*real.Node) (n int) {
	for _, node := range nodes {
		n += strings.Count(node.Log(), "msg=leading ")
	}
	return n
}
