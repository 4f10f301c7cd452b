package apitest

import (
	"context"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Cluster is a cluster of three nodes that are always well.
type Cluster struct {
	Leader  string
	Changes []string // what was asked for
}

// Node describes n1 and whom it takes for the leader.
func (c *Cluster) Node() (name, leader, version string) { return "n1", c.Leader, "0.0.0-test" }

// Peers lists three nodes.
func (c *Cluster) Peers(context.Context) ([]*callboardv1.Peer, error) {
	peers := make([]*callboardv1.Peer, 0, 3)
	for i, name := range []string{"n1", "n2", "n3"} {
		p := &callboardv1.Peer{
			Name: name, NodeId: "id-" + name, State: "follower", Voter: true, RaftAddr: name + ":6422", GrpcAddr: name + ":6421",
			HttpAddr: name + ":6420", AppliedIndex: 40 + uint64(i), LastContactMs: int64(10 * i), Version: "0.0.0-test",
		}
		if name == c.Leader {
			p.State = "leader"
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// AddVoter remembers the wish.
func (c *Cluster) AddVoter(_ context.Context, nodeID, raftAddr string) error {
	c.Changes = append(c.Changes, "add "+nodeID+" "+raftAddr)
	return nil
}

// RemovePeer remembers the wish.
func (c *Cluster) RemovePeer(_ context.Context, node string) error {
	if node == "n9" {
		return callboardv1.Refuse("cluster", "not_a_member", "n9 is not a member: see `callboard operator raft list-peers`")
	}
	c.Changes = append(c.Changes, "remove "+node)
	return nil
}
