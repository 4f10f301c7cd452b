package server

import "testing"

// A new member gets a vote while every voter is there, or if the cluster can then lose more of them than before. Never while that would
// leave a majority that cannot be reached.
func TestANewVoterIsNoHarm(t *testing.T) {
	for _, c := range []struct {
		voters, unreachable, left int
		takes                     bool
	}{
		{1, 0, 0, true},
		{2, 0, 0, true},
		{3, 0, 1, true},
		{4, 0, 1, true},  // all are there
		{3, 1, 0, false}, // a machine replaced by another without being removed: 4 voters, 3 needed
		{4, 1, 0, true},  // 5 voters, 3 needed: one more may be lost
		{5, 1, 1, false},
		{5, 2, 0, false},
		{4, 2, -1, true},
		{3, 2, -1, false},
		{2, 1, -1, true},
	} {
		m := margin{voters: c.voters, unreachable: make([]string, c.unreachable)}
		if m.left() != c.left || m.takesOneMore() != c.takes {
			t.Errorf("%d voters, %d away: %d may be lost, takes one more: %v; want %d, %v", c.voters, c.unreachable, m.left(), m.takesOneMore(), c.left, c.takes)
		}
		if after := m.withOneMore(); c.left >= 0 && m.takesOneMore() && after.left() < 0 {
			t.Errorf("%d voters, %d away: a further one leaves no majority", c.voters, c.unreachable)
		}
	}
}
