package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/transport/gossip"
)

// members is what this node knows of the others by gossip: where they are, not who has a vote.
type members struct {
	gossip.Members
	meet    func(ctx context.Context) error
	run     func(ctx context.Context) error
	update  func(self gossip.Peer) error
	judge   func(ctx context.Context, nodeID string, start gossip.Start) error
	answers func(ctx context.Context, nodeID string) bool
	self    gossip.Peer // as it was at the start: its cluster may be known by now, its addresses stay
}

// meet begins to gossip, or with an empty address stays alone.
func (n *node) meet(raftAddr string) (*members, error) {
	self := gossip.Peer{
		Name: n.cfg.Name, NodeID: n.id.NodeID, ClusterID: n.id.ClusterID, RaftAddr: raftAddr,
		GRPCAddr: n.advertise(n.doors.grpc.Addr().String()), HTTPAddr: n.advertise(n.doors.http.Addr().String()),
		Version: n.cfg.Version, Blank: n.blank, Alive: true, Start: n.start,
	}
	if n.cfg.GossipAddr == "" {
		alone := gossip.NewStatic(self)
		return &members{
			Members: alone, self: self,
			meet:    func(context.Context) error { return nil },
			run:     func(ctx context.Context) error { <-ctx.Done(); return nil },
			update:  func(self gossip.Peer) error { alone.Set(self); return nil },
			judge:   func(context.Context, string, gossip.Start) error { return nil },
			answers: func(context.Context, string) bool { return false },
		}, nil
	}
	g, err := gossip.Listen(gossip.Options{
		Bind: n.cfg.GossipAddr, Advertise: n.advertiseIf(n.cfg.GossipAddr), Seeds: n.cfg.Join, Self: self, Keys: n.cfg.gossipKeys, Log: n.cfg.Log,
	})
	if errors.Is(err, gossip.ErrAdvertise) {
		return nil, fmt.Errorf("--advertise %q: %w", n.cfg.Advertise, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--gossip-addr: %w", addrError(n.cfg.GossipAddr, err))
	}
	n.closers = append(n.closers, g.Close)
	run := func(ctx context.Context) error {
		err := g.Run(ctx)
		_ = g.Leave() // the others find out by themselves otherwise
		return err
	}
	return &members{Members: g, self: self, meet: g.Meet, run: run, update: g.Update, judge: g.Judge, answers: g.Answers}, nil
}

// GRPCAddr returns the address of a node by its id; empty: not known.
func (m *members) GRPCAddr(nodeID string) string {
	p, _ := m.find(nodeID)
	return p.GRPCAddr
}

func (m *members) find(nodeID string) (gossip.Peer, bool) {
	for _, p := range m.Peers() {
		if p.NodeID == nodeID {
			return p, true
		}
	}
	return gossip.Peer{}, false
}

// grpcAddrs lists where runners may connect: this node, and the living ones that are members of its cluster. That is asked of Raft:
// gossip of a young cluster does not know yet which cluster its nodes belong to, and a runner that knew one address only would have nowhere
// to go when that node dies.
func (n *node) grpcAddrs() []string {
	addrs := []string{n.members.self.GRPCAddr}
	for _, p := range n.members.Peers() {
		if p.Alive && p.GRPCAddr != "" && p.NodeID != n.id.NodeID && n.core.isMember(p.NodeID) {
			addrs = append(addrs, p.GRPCAddr)
		}
	}
	return addrs
}

// httpURLs lists where the nodes of the cluster serve HTTP, this one first.
func (n *node) httpURLs() []string {
	scheme := "http://"
	if n.tls != nil {
		scheme = "https://"
	}
	urls := []string{scheme + n.members.self.HTTPAddr}
	for _, p := range n.members.Peers() {
		if p.Alive && p.HTTPAddr != "" && p.NodeID != n.id.NodeID && n.core.isMember(p.NodeID) {
			urls = append(urls, scheme+p.HTTPAddr)
		}
	}
	return urls
}

// raftAddr tells Raft where a node is now: as gossip has it, or as the configuration says.
func (n *node) raftAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if p, ok := n.members.find(string(id)); ok && p.Alive && p.RaftAddr != "" {
		return raft.ServerAddress(p.RaftAddr), nil
	}
	if core := n.core; core != nil {
		for _, s := range core.configuration() {
			if s.ID == id {
				return s.Address, nil
			}
		}
	}
	return "", fmt.Errorf("node %s is not a member", id)
}

// configuration returns the members as Raft has them: the truth.
func (c *core) configuration() []raft.Server {
	future := c.raft.GetConfiguration()
	if future.Error() != nil {
		return nil
	}
	return future.Configuration().Servers
}

// voters returns the members that have a vote.
func (c *core) voters() (ids []raft.ServerID) {
	for _, s := range c.configuration() {
		if s.Suffrage == raft.Voter {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
