package raftnet

import (
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A process that ends is noticed by its peers and found gone; one that lives is not, and neither is one of which nothing can be known.
func TestAProcessThatIsGoneIsNoticed(t *testing.T) {
	addresses := map[raft.ServerID]raft.ServerAddress{}
	where := func(id raft.ServerID) (raft.ServerAddress, error) {
		if at, ok := addresses[id]; ok {
			return at, nil
		}
		return "", errors.New("nobody knows")
	}
	listen := func(id string) *TCP {
		transport, err := ListenTCP(id, "127.0.0.1:0", "", where, nil, quiet)
		must(t, err)
		addresses[raft.ServerID(id)] = transport.LocalAddr()
		return transport
	}
	here, other := listen("n1"), listen("n2")
	defer here.Close()
	go answerOne(here)
	var answer raft.RequestVoteResponse
	must(t, other.RequestVote("n1", here.LocalAddr(), &raft.RequestVoteRequest{}, &answer))
	if here.Gone("n2", other.LocalAddr()) {
		t.Error("a node that listens is taken for gone")
	}
	select {
	case <-here.Broken():
		t.Fatal("a connection that stands was told to be broken")
	default:
	}
	at := other.LocalAddr()
	must(t, other.Close())
	select {
	case <-here.Broken():
	case <-time.After(30 * time.Second):
		t.Fatal("nothing was noticed")
	}
	if !here.Gone("n2", at) {
		t.Error("a node that is gone is not found gone")
	}
	if addresses["n2"] = "nowhere.invalid:6422"; here.Gone("n2", at) {
		t.Error("a node that nothing is known of is taken for gone")
	}
}

// answerOne answers one request.
func answerOne(transport *TCP) {
	rpc := <-transport.Consumer()
	rpc.Respond(&raft.RequestVoteResponse{}, nil)
}

// A node that campaigns leads soon, although it and the third have heard of the leader a moment ago.
func TestACampaignDoesNotWaitForSilence(t *testing.T) {
	c := newTCPCluster(t, quiet)
	leader := c.leader()
	must(t, c.apply(leader, 1))
	c.agree(1) // nobody votes for one whose log is behind
	heir := others(leader)[0]
	must(t, c.transports[heir].Campaign())
	for began := time.Now(); c.nodes[heir].raft.State() != raft.Leader; time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s does not lead", heir)
		}
	}
	must(t, c.apply(heir, 7))
}
