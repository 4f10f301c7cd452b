package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/peer"
)

const (
	// membershipTimeout is how long one change of the Raft configuration may take.
	membershipTimeout = 10 * time.Second
	// describeTimeout is how long a member may take to tell about itself.
	describeTimeout = time.Second
	// stableFor is how long a new node must have been caught up before it gets a vote.
	stableFor = 10 * time.Second
	// caughtUpWithin is how many entries behind the leader a node may be and count as caught up.
	caughtUpWithin = 512
	// catchUpWait is how long somebody who asks for a vote waits for the node to catch up.
	catchUpWait = 5 * time.Second
)

// Node tells this node's name, the leader's as far as it knows, and its version.
func (n *node) Node() (name, leader, version string) {
	_, id := n.core.raft.LeaderWithID()
	if p, ok := n.members.find(string(id)); ok {
		leader = p.Name
	} else if id != "" {
		leader = string(id)
	}
	return n.cfg.Name, leader, n.cfg.Version
}

// Describe tells about this node, for lists of peers.
func (n *node) Describe(context.Context) (*nodev1.DescribeResponse, error) {
	v := n.core.replica.Current()
	state := "follower"
	if n.core.raft.State() == raft.Leader {
		state = "leader"
	}
	return &nodev1.DescribeResponse{
		Name: n.cfg.Name, NodeId: n.id.NodeID, AppliedIndex: v.Index(), State: state, Version: n.cfg.Version, ClusterId: v.Cluster().String(),
		StateHash: v.StateHash().String(), StateDiffers: n.core.comparer.differs(),
		Probation: n.core.probation(),
	}, nil
}

// probation says where the log of a node on probation ends, and what it had acknowledged; empty: it is not on probation.
func (c *core) probation() string {
	floor, last, on := c.voting.Probation()
	if !on {
		return ""
	}
	return fmt.Sprintf("its log ends at entry %d of term %d, and it had acknowledged entry %d of term %d", last.Index, last.Term, floor.Index, floor.Term)
}

// Peers lists the members as this node's Raft configuration has them, with what each says of itself.
func (n *node) Peers(ctx context.Context) ([]*callboardv1.Peer, error) {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	servers := n.core.configuration()
	out := make([]*callboardv1.Peer, len(servers))
	var wait sync.WaitGroup
	for i, s := range servers {
		wait.Go(func() { out[i] = n.peer(ctx, s) })
	}
	wait.Wait()
	slices.SortFunc(out, func(a, b *callboardv1.Peer) int {
		return cmp.Or(cmp.Compare(a.GetName(), b.GetName()), cmp.Compare(a.GetNodeId(), b.GetNodeId()))
	})
	return out, nil
}

func (n *node) peer(ctx context.Context, s raft.Server) *callboardv1.Peer {
	known, _ := n.members.find(string(s.ID))
	p := &callboardv1.Peer{
		Name: n.memberName(s.ID), NodeId: string(s.ID), State: "unreachable", Voter: s.Suffrage == raft.Voter, RaftAddr: string(s.Address),
		GrpcAddr: known.GRPCAddr, HttpAddr: known.HTTPAddr, Version: known.Version, LastContactMs: -1,
	}
	d, err := n.describe(ctx, string(s.ID), known.GRPCAddr)
	if err != nil {
		return p
	}
	p.State, p.AppliedIndex, p.Version, p.LastContactMs = d.GetState(), d.GetAppliedIndex(), d.GetVersion(), 0
	p.StateHash, p.StateDiffers, p.Probation = d.GetStateHash(), d.GetStateDiffers(), d.GetProbation()
	return p
}

func (n *node) describe(ctx context.Context, id, addr string) (*nodev1.DescribeResponse, error) {
	if id == n.id.NodeID {
		return n.Describe(ctx)
	}
	if addr == "" {
		return nil, peer.ErrUnreachable
	}
	return n.core.engine.peers.Describe(ctx, addr)
}

// AddVoter gives a member a vote, or adds it at a Raft address. A node that is not there would count in every majority from then on, and
// may leave the cluster without one for good: it gets neither.
func (n *node) AddVoter(ctx context.Context, nodeID, raftAddr string) error {
	known, ok := n.members.find(nodeID)
	switch {
	case !ok || !known.Alive:
		return callboardv1.Refuse("cluster", "membership_change_rejected",
			"no node with the id %.64q is alive, as far as is known here: start it with --join, it joins and gets its vote by itself", nodeID).With("field", "node_id")
	case raftAddr != "" && raftAddr != known.RaftAddr: // whoever is a member there would be removed for it
		return callboardv1.Refuse("cluster", "membership_change_rejected",
			"%.64q is at %s, as it says itself, and not at %.64q", nodeID, known.RaftAddr, raftAddr).With("field", "raft_addr")
	}
	if raftAddr != "" {
		err := n.changeMembership(ctx, &nodev1.ChangeMembershipRequest{Change: &nodev1.ChangeMembershipRequest_Join{
			Join: &nodev1.Join{NodeId: nodeID, RaftAddr: raftAddr},
		}})
		if err != nil {
			return err
		}
	}
	return n.changeMembership(ctx, &nodev1.ChangeMembershipRequest{Change: &nodev1.ChangeMembershipRequest_PromoteNodeId{PromoteNodeId: nodeID}})
}

// RemovePeer removes a member, named by its id or its name.
func (n *node) RemovePeer(ctx context.Context, name string) error {
	id, err := n.memberNamed(name)
	if err != nil {
		return err
	}
	if id == "" {
		return notAMember(name)
	}
	return n.changeMembership(ctx, &nodev1.ChangeMembershipRequest{Change: &nodev1.ChangeMembershipRequest_RemoveNodeId{RemoveNodeId: id}})
}

// memberNamed returns the id of a member that is named by its id or its name; empty: there is none.
func (n *node) memberNamed(name string) (id string, err error) {
	return memberNamed(n.core.configuration(), name, func(id string) (string, bool) {
		p, known := n.members.find(id)
		return p.Name, known
	})
}

// memberNamed looks for a name among members: for an id, for what they are called now, and, of those that nobody here knows now and that are
// listed by their id, for the name that their id begins with.
func memberNamed(servers []raft.Server, name string, called func(id string) (name string, known bool)) (id string, err error) {
	byID := func(id string) bool { return id == name }
	byName := func(id string) bool {
		is, known := called(id)
		return known && is == name
	}
	byBirth := func(id string) bool {
		_, known := called(id)
		return !known && name != "" && bornAs(id) == name
	}
	for _, is := range []func(id string) bool{byID, byName, byBirth} {
		switch named := slices.DeleteFunc(slices.Clone(servers), func(s raft.Server) bool { return !is(string(s.ID)) }); {
		case len(named) > 1:
			return "", callboardv1.Refuse("cluster", "membership_change_rejected", "%.64q names %d members: give the node id", name, len(named))
		case len(named) == 1:
			return string(named[0].ID), nil
		}
	}
	return "", nil
}

// memberName is how a member is listed: its name as gossip has it, or its id.
func (n *node) memberName(id raft.ServerID) string {
	known, _ := n.members.find(string(id))
	return cmp.Or(known.Name, string(id))
}

func notAMember(name string) error {
	return callboardv1.Refuse("cluster", "not_a_member", "%q is not a member: see `callboard operator raft list-peers`", name)
}

// changeMembership changes the Raft configuration, wherever the leader is.
func (n *node) changeMembership(ctx context.Context, change *nodev1.ChangeMembershipRequest) error {
	return n.core.engine.scouts.untilLeader(ctx, func() error {
		if n.core.raft.State() == raft.Leader {
			_, err := n.ChangeMembership(ctx, change)
			return err
		}
		addr, _ := n.core.engine.leaders.Leader()
		if addr == "" {
			return callboardv1.ErrNoLeader
		}
		_, err := n.core.engine.peers.ChangeMembership(ctx, addr, change)
		return err
	})
}

// ChangeMembership changes the Raft configuration on the leader.
func (n *node) ChangeMembership(ctx context.Context, change *nodev1.ChangeMembershipRequest) (*nodev1.ChangeMembershipResponse, error) {
	if n.core.raft.State() != raft.Leader {
		return nil, peer.ErrNotLeader
	}
	var err error
	switch c := change.GetChange().(type) {
	case *nodev1.ChangeMembershipRequest_Join:
		if err = n.mayJoin(ctx, c.Join); err == nil {
			err = n.makeRoom(ctx, c.Join)
		}
		if err == nil {
			err = n.core.admit(raft.ServerID(c.Join.GetNodeId()), raft.ServerAddress(c.Join.GetRaftAddr()))
		}
	case *nodev1.ChangeMembershipRequest_PromoteNodeId:
		if err = n.mayVote(ctx, c.PromoteNodeId); err == nil {
			err = n.leavesMargin(ctx, c.PromoteNodeId)
		}
		if err == nil {
			err = n.core.promote(raft.ServerID(c.PromoteNodeId))
		}
	case *nodev1.ChangeMembershipRequest_RemoveNodeId:
		err = n.core.raft.RemoveServer(raft.ServerID(c.RemoveNodeId), 0, membershipTimeout).Error()
	default:
		return nil, callboardv1.Refuse("cluster", "membership_change_rejected", "the change says nothing that this build knows")
	}
	if err != nil {
		return nil, membershipError(err)
	}
	n.removals.look(n.core.configuration()) // who came and went within a second is known too
	return &nodev1.ChangeMembershipResponse{Index: n.core.replica.Current().Index()}, nil
}

func membershipError(err error) error {
	var refusal *callboardv1.Error
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, raft.ErrNotLeader):
		return peer.ErrNotLeader
	case errors.Is(err, raft.ErrLeadershipLost):
		return callboardv1.ErrOutcomeUnknown
	}
	return callboardv1.Refuse("cluster", "membership_change_rejected", "%v", err)
}

// mayJoin refuses a node that would take the place, or the name, of a member that is there.
func (n *node) mayJoin(ctx context.Context, join *nodev1.Join) error {
	joining, _ := n.members.find(join.GetNodeId())
	for _, s := range n.core.configuration() {
		known, ok := n.members.find(string(s.ID))
		if !ok || known.NodeID == join.GetNodeId() {
			continue
		}
		place, name := string(s.Address) == join.GetRaftAddr(), known.Name == joining.Name
		if (place || name && known.Alive) && n.members.answers(ctx, known.NodeID) {
			what := "the name " + known.Name + ": give each node its own --name"
			if place {
				what = "the Raft address " + join.GetRaftAddr() + ": give each node its own --raft-addr and --advertise"
			}
			return callboardv1.Refuse("cluster", "membership_change_rejected", "%s is alive and has %s", known.NodeID, what)
		}
	}
	return nil
}

// admit takes a node in, without a vote until it has caught up. One that the configuration knows keeps its vote and moves to its new
// address; a stranger at the address of a member has taken its place, for a wiped node comes back with a new id.
func (c *core) admit(id raft.ServerID, addr raft.ServerAddress) error {
	if id == "" || addr == "" {
		return callboardv1.Refuse("cluster", "membership_change_rejected", "a node joins with its id and its Raft address")
	}
	for _, s := range c.configuration() {
		switch {
		case s.ID == id && s.Address == addr:
			return nil
		case s.ID == id && s.Suffrage == raft.Voter:
			return c.raft.AddVoter(id, addr, 0, membershipTimeout).Error()
		case s.ID != id && s.Address == addr:
			c.log.Warn("a node without a state has taken a member's place", "was", s.ID, "is", id, "raft_addr", addr)
			if err := c.raft.RemoveServer(s.ID, 0, membershipTimeout).Error(); err != nil {
				return err
			}
		}
	}
	return c.raft.AddNonvoter(id, addr, 0, membershipTimeout).Error()
}

func (c *core) promote(id raft.ServerID) error {
	for _, s := range c.configuration() {
		if s.ID == id {
			return c.raft.AddVoter(id, s.Address, 0, membershipTimeout).Error()
		}
	}
	return notAMember(string(id))
}

// mayVote waits until a node has caught up, and says what is amiss when it does not.
func (n *node) mayVote(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.keepsUp(ctx, id)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// keepsUp tells whether a node is there, in this cluster, and hardly behind the leader.
func (n *node) keepsUp(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	known, _ := n.members.find(id)
	d, err := n.describe(ctx, id, known.GRPCAddr)
	v := n.core.replica.Current()
	switch {
	case err != nil || d.GetNodeId() != id:
		return callboardv1.Refuse("cluster", "membership_change_rejected", "%.64q does not answer: it gets its vote by itself when it has kept up for %s", id, stableFor)
	case d.GetClusterId() != v.Cluster().String() || d.GetAppliedIndex()+caughtUpWithin < v.Index():
		return callboardv1.Refuse("cluster", "membership_change_rejected",
			"%.64q is at index %d and the leader at %d: it gets its vote by itself when it has kept up for %s", id, d.GetAppliedIndex(), v.Index(), stableFor)
	}
	return nil
}

// tend is the leader's care for its members: it gives a vote to new ones that have caught up and stayed so, and takes over the new
// address of one that has moved. It removes nobody.
func (n *node) tend(ctx context.Context) error {
	since := map[raft.ServerID]time.Time{} // caught up since
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		for _, s := range n.core.configuration() {
			n.tendOne(ctx, s, since)
		}
	}
}

func (n *node) tendOne(ctx context.Context, s raft.Server, since map[raft.ServerID]time.Time) {
	known, ok := n.members.find(string(s.ID))
	if !ok || !known.Alive {
		delete(since, s.ID)
		return
	}
	if known.RaftAddr != "" && known.RaftAddr != string(s.Address) {
		n.cfg.Log.Info("a member has moved", "node", known.Name, "from", s.Address, "to", known.RaftAddr)
		n.warn(n.core.admit(s.ID, raft.ServerAddress(known.RaftAddr)), "a member's new address was not taken over", known.Name)
	}
	if s.Suffrage == raft.Voter {
		return
	}
	if n.keepsUp(ctx, string(s.ID)) != nil {
		delete(since, s.ID)
		return
	}
	if since[s.ID].IsZero() {
		since[s.ID] = time.Now()
	}
	if time.Since(since[s.ID]) >= stableFor {
		if err := n.leavesMargin(ctx, string(s.ID)); err != nil {
			n.holdBack(s.ID, known.Name, err)
			return
		}
		n.cfg.Log.Info("a new member has caught up and gets a vote", "node", known.Name)
		n.warn(n.core.promote(s.ID), "a new member got no vote", known.Name)
		delete(since, s.ID)
	}
}

func (n *node) warn(err error, what, member string) {
	if err != nil {
		n.cfg.Log.Warn(what, "node", member, "error", err)
	}
}
