//go:build unix

package real_test

// A node is stopped, and comes back under another name and at other addresses. It is the same member.
func aNodeIsFoundUnderAnotherName(s *scenario) {
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	renamed := s.follower(leader)
	was := s.peer(leader, renamed.ID)
	s.must(renamed.Terminate())
	_, err = renamed.Wait(s.Context(), patience)
	s.must(err)
	s.must(renamed.Move())
	renamed.ID = "another"
	s.must(s.startsIn(renamed))
	if is := s.peer(leader, renamed.ID); is.NodeID != was.NodeID || !is.Voter {
		s.Errorf("it was %+v and is %+v", was, is)
	}
}
