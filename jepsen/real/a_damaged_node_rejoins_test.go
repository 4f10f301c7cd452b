//go:build unix

package real_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

const (
	// rejoiners is how many actors move meanwhile, and rejoinRate how many a second.
	rejoiners  = 1_000
	rejoinRate = 100
)

// A follower is killed under writes and a rollout, and its log damaged. It does not start, and names the file. While another node is away
// too it is not taken out of the cluster, for the others have no quorum without it. Then one command brings it back, as
// a new member with a vote, though it is killed twice on the way. No write is lost, and no actor moves but by the rollout.
func TestADamagedNodeRejoinsWithOneCommand(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	damaged := s.follower(leader)
	was := s.peer(leader, damaged.ID)
	s.until(damaged.ID+" has written down of which cluster it is", func(context.Context) error {
		text, err := os.ReadFile(filepath.Join(damaged.DataDir, "node.json"))
		if err == nil && !strings.Contains(string(text), "cluster_id") {
			err = errors.New("it has not")
		}
		return err
	})
	s.must(damaged.Kill())
	log := filepath.Join(damaged.DataDir, "raft.db")
	whole, err := os.ReadFile(log)
	s.must(err)
	s.must(behead(log))
	_, told, code, err := s.Command(s.Context(), nil, damaged.CommandLine()...)
	s.must(err)
	if code == 0 || !strings.Contains(told, "raft.db") || !strings.Contains(told, "--rejoin-blank") {
		s.Errorf("on a damaged log it starts with code %d and says %q: want the file and the command", code, lastLine(told))
	}
	damaged.Args = []string{"--rejoin-blank"}
	s.refusedWithoutQuorum(leader, damaged)
	s.must(os.WriteFile(log, whole, 0o600)) // in place: the damage is gone, and with it the reason to begin anew
	s.must(s.cluster.Start(s.Context(), damaged))
	s.caughtUp(damaged)

	s.pace(rejoinRate * 1_000_000)
	old := s.fleet(1, 2*rejoiners) // room for the pulses of the writers
	s.connected(pool, old...)
	s.create(room, "", rejoiners)
	s.allRunning(room, rejoiners)
	leader, err = s.cluster.Leader(s.Context())
	s.must(err)
	writers := s.write(5*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	s.written(0)
	s.fleet(2, 2*rejoiners)
	s.moved(rejoiners / 10)
	if damaged == leader {
		damaged = s.follower(leader)
		damaged.Args, was = []string{"--rejoin-blank"}, s.peer(leader, damaged.ID)
	}
	s.must(damaged.Kill())
	s.must(behead(filepath.Join(damaged.DataDir, "raft.db")))
	for i := range 2 {
		s.must(damaged.Start(s.Context()))
		s.wait(time.Now(), time.Duration(i)*300*time.Millisecond)
		s.must(damaged.Kill())
	}
	s.must(damaged.Start(s.Context()))
	began := time.Now()
	s.until(damaged.ID+" has a vote under a new id", func(ctx context.Context) error {
		p, err := s.peerNow(ctx, leader, damaged.ID, was.NodeID)
		if err == nil && !p.Voter {
			err = errors.New("it has none")
		}
		return err
	})
	s.Logf("%s has a vote again %v after its last start", damaged.ID, round(time.Since(began)))
	s.caughtUp(damaged)
	if peers, err := s.listPeers(s.Context(), leader); err != nil || len(peers) != 3 {
		s.Errorf("%d members, %v: want three", len(peers), err)
	}
	if aside, _ := filepath.Glob(filepath.Join(damaged.DataDir, "aside-"+was.NodeID, "raft.db")); len(aside) != 1 {
		s.Errorf("the old files are not aside in %s", damaged.DataDir)
	}
	s.allMoved(rejoiners, 2)
	writers.end()
	s.judge(room, pulse)
}

// refusedWithoutQuorum has the node try while one of the others is away: it says so, and its directory stays as it is.
func (s *scenario) refusedWithoutQuorum(leader, damaged *real.Node) {
	s.Helper()
	var other *real.Node
	for _, n := range s.cluster.Alive() {
		if n != leader {
			other = n
		}
	}
	s.must(other.Kill())
	before, err := os.ReadDir(damaged.DataDir)
	s.must(err)
	began := time.Now()
	_, told, code, err := s.Command(s.Context(), nil, damaged.CommandLine()...)
	s.must(err)
	s.Logf("without a quorum it is refused within %v", round(time.Since(began)))
	if code == 0 || !strings.Contains(told, "have no leader without this node") {
		s.Errorf("without a quorum it ended with code %d and said %q", code, lastLine(told))
	}
	after, err := os.ReadDir(damaged.DataDir)
	s.must(err)
	if len(after) != len(before)+1 { // rejoin.json
		s.Errorf("its directory has %d entries, had %d", len(after), len(before))
	}
	s.must(s.cluster.Start(s.Context(), other))
}

// behead leaves nothing of a log but its two meta pages. Half a file would not do: bolt grows it ahead, and its second half may be unused.
func behead(path string) error {
	return os.Truncate(path, int64(2*os.Getpagesize()))
}
