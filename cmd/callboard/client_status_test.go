package main

import (
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// status names the voters that are away and how many more may be lost; members without a vote are not counted.
func TestStatusWarnsOfVotersThatAreAway(t *testing.T) {
	voter := func(name, state string) peerJSON { return peerJSON{Name: name, State: state, Voter: true} }
	three := []peerJSON{voter("n1", "leader"), voter("n2", "unreachable"), voter("n3", "follower"), {Name: "n4", State: "unreachable"}}
	for _, c := range []struct {
		peers []peerJSON
		want  string
	}{
		{three, "n2 of 3 voters cannot be reached; no further one may be lost"},
		{append(three, voter("n5", "follower"), voter("n6", "follower")), "n2 of 5 voters cannot be reached; 1 more may be lost"},
		{[]peerJSON{voter("n1", "leader")}, ""},
	} {
		if got := votersWarning(c.peers); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// The list of peers names a node on probation, and no other.
func TestPeersShowWhoIsOnProbation(t *testing.T) {
	peers := peersOf([]*callboardv1.Peer{
		{Name: "n1", State: "leader", Voter: true},
		{Name: "n2", State: "follower", Voter: true, Probation: "its log ends at entry 7 of term 2, and it had acknowledged entry 9 of term 2"},
	})
	shown := render(func(t *table) { peerRows(t, peers) })
	if !strings.Contains(shown, "n2 is on probation: its log ends at entry 7 of term 2, and it had acknowledged entry 9 of term 2. It stands for no election") ||
		strings.Contains(shown, "n1 is on probation") {
		t.Errorf("it shows\n%s", shown)
	}
}
