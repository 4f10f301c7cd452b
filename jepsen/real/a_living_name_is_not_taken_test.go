//go:build unix

package real_test

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// A new node is started under the name of a member that lives. It is told why it is not taken in, and the member stays what it is.
func aLivingNameIsNotTaken(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	member := s.follower(leader)
	before := s.members(leader)
	stranger, err := s.NewNode("stranger")
	s.must(err)
	stranger.ID, stranger.Join, stranger.Expect = member.ID, member.Join, 0
	if err := stranger.Start(s.Context()); err != nil && stranger.Process == nil {
		s.Fatal(err)
	}
	s.until("the stranger says why it is not taken in", func(context.Context) error {
		if log := stranger.Log(); !strings.Contains(log, "is alive and has the name "+member.ID) || !strings.Contains(log, "its own --name") {
			return errors.New("it does not")
		}
		return nil
	})
	s.must(stranger.Kill())
	if after := s.members(leader); !slices.Equal(before, after) {
		s.Errorf("members were %v and are %v", before, after)
	}
}
