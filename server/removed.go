package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/peer"
)

const (
	// askMembersFor is how long a node that starts waits for what the others say of it.
	askMembersFor = 2 * time.Second
	// leaderless is how long a node that runs hears of no leader before it asks the others whether it is a member still.
	leaderless = 5 * time.Second
)

// lookForItself looks for another process that is this node, and asks whether the node is a member still, before anything is done in its
// name.
func (n *node) lookForItself(ctx context.Context) error {
	if err := n.members.meet(ctx); err != nil {
		return err
	}
	if err := n.askMembers(ctx, peer.NewClient(func() string { return n.id.ClusterID }, n.caller(), dialNode(n.tls))); err != nil {
		return err
	}
	n.members.self.Running = true
	return n.members.update(n.members.self)
}

// askMembers asks the living nodes of this node's cluster about it. It returns an error when it was removed, or is another process.
// A node that does not answer, or knows no leader, says nothing.
func (n *node) askMembers(ctx context.Context, peers *peer.Client) error {
	defer peers.Close()
	ctx, cancel := context.WithTimeout(ctx, askMembersFor)
	defer cancel()
	var (
		all   sync.WaitGroup
		asked = n.kin()
		said  = make([]error, len(asked))
	)
	for i, p := range asked {
		all.Go(func() {
			answer, err := peers.Membership(ctx, p.GRPCAddr, &nodev1.MembershipRequest{NodeId: n.id.NodeID})
			switch {
			case errors.Is(err, peer.ErrOtherStart):
				said[i] = &refusedError{reason: err.Error()}
			case err == nil && !answer.GetMember():
				said[i] = n.removedError(answer.GetRemovedUnixMs())
			}
			if err == nil || said[i] != nil {
				cancel() // it leads, or there is nothing more to say
			}
		})
	}
	all.Wait()
	for _, err := range said {
		if err != nil {
			return err
		}
	}
	return nil
}

// kin lists the other living nodes of this node's cluster; none while it belongs to none.
func (n *node) kin() (kin []gossip.Peer) {
	self, _ := n.members.find(n.id.NodeID)
	for _, p := range n.members.Peers() {
		if p.Alive && p.NodeID != n.id.NodeID && self.ClusterID != "" && p.ClusterID == self.ClusterID {
			kin = append(kin, p)
		}
	}
	return kin
}

func (n *node) removedError(unixMs int64) error {
	when := ""
	if unixMs > 0 {
		when = " on " + time.UnixMilli(unixMs).UTC().Format(time.RFC3339)
	}
	return &barredError{
		text: fmt.Sprintf("node %s was removed from its cluster%s: empty its directory %s, and it joins as a new node with the same line",
			n.id.NodeID, when, n.cfg.DataDir),
		code: exitRemoved,
	}
}

// watchMembership asks the others about this node whenever it hears of no leader for a while, so that it does not campaign for ever.
func (n *node) watchMembership(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if n.core.raft.State() == raft.Leader || time.Since(n.core.raft.LastContact()) < leaderless {
			continue
		}
		if err := n.askMembers(ctx, peer.NewClient(n.core.replica.cluster, n.caller(), dialNode(n.tls))); err != nil {
			return err
		}
	}
}

// Membership tells whether a node is a member. That it is none is said only when the configuration without it has committed.
func (n *node) Membership(ctx context.Context, request *nodev1.MembershipRequest) (*nodev1.MembershipResponse, error) {
	if n.core.raft.State() != raft.Leader {
		return nil, peer.ErrNotLeader
	}
	if n.core.isMember(request.GetNodeId()) {
		return &nodev1.MembershipResponse{Member: true}, nil
	}
	if _, err := n.core.engine.readIndexHere(ctx, true); err != nil || n.core.isMember(request.GetNodeId()) {
		return nil, peer.ErrNotLeader
	}
	return &nodev1.MembershipResponse{RemovedUnixMs: n.removals.when(request.GetNodeId())}, nil
}

// isMember reports whether the Raft configuration names a node.
func (c *core) isMember(id string) bool {
	return slices.ContainsFunc(c.configuration(), func(s raft.Server) bool { return string(s.ID) == id })
}
