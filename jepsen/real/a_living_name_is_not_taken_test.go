//go:build unix

package real_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"

	"github.com/callboard/callboard/jepsen/real"
)

// A new node is started under the name of a member that lives, and one that advertises the Raft address of a member. They are told why they
// are not taken in, and the member stays what it is.
func aLivingNameIsNotTaken(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	member := s.follower(leader)
	before := s.members(leader)
	stranger, err := s.NewNode("stranger")
	s.must(err)
	stranger.ID, stranger.Join, stranger.Expect = member.ID, member.Join, 0
	s.isNotTakenIn(stranger, "is alive and has the name "+member.ID, "its own --name")
	if runtime.GOOS == "linux" { // which has more than one loopback address without asking for them
		_, port, err := net.SplitHostPort(member.Addrs.Raft)
		s.must(err)
		double, err := s.NewNode("double")
		s.must(err)
		double.Join, double.Expect = member.Join, 0
		double.Args = []string{"--raft-addr", net.JoinHostPort("127.0.0.2", port), "--advertise", "127.0.0.1"}
		s.isNotTakenIn(double, "is alive and has the Raft address "+member.Addrs.Raft, "its own --raft-addr and --advertise")
	}
	if after := s.members(leader); !slices.Equal(before, after) {
		s.Errorf("members were %v and are %v", before, after)
	}
}

func (s *scenario) isNotTakenIn(stranger *real.Node, why, whatToDo string) {
	s.Helper()
	if err := stranger.Start(s.Context()); err != nil && stranger.Process == nil {
		s.Fatal(err)
	}
	s.until("the stranger says why it is not taken in", func(context.Context) error {
		if log := stranger.Log(); !strings.Contains(log, why) || !strings.Contains(log, whatToDo) {
			return fmt.Errorf("it says %q", lastLine(log))
		}
		return nil
	})
	s.must(stranger.Kill())
}
