package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/peer"
)

// bootstrapEvery is how often a node without a cluster looks around.
const bootstrapEvery = 500 * time.Millisecond

// sayEvery is how often such a node says what it waits for.
const sayEvery = 10 * time.Second

// bootstrap makes this node part of a cluster, then writes down of which. A node that has written that down is part of one already. A
// new one joins the cluster that it meets; only where as many blank nodes have met as the cluster expects, and none that belongs to
// a cluster, does the one with the least id found it, with exactly those members. One that was told where others are, and not how many
// found a cluster, founds none. So a wiped node never founds a second cluster: the
// others are not blank, and say so.
//
// Whether this node is blank was looked up before Raft started. What the leader still sends to the node that was here before does not
// reach this one.
func (n *node) bootstrap(ctx context.Context) error {
	var said time.Time
	founders := n.cfg.founders()
	for n.id.ClusterID == "" && !n.core.isMember(n.id.NodeID) {
		cluster, blank := n.lookAround()
		switch {
		case len(cluster) > 0:
			n.askToJoin(ctx, cluster)
		case n.mayFound() && founders > 0 && len(blank) >= founders && blank[0].NodeID == n.id.NodeID:
			if err := n.found(blank[:founders]); err != nil {
				return err
			}
		case time.Since(said) > sayEvery:
			said = time.Now()
			n.sayWhatItWaitsFor(founders, len(blank))
		}
		select {
		case <-time.After(bootstrapEvery):
		case <-ctx.Done():
			return nil
		}
	}
	return n.rememberCluster(ctx)
}

// mayFound reports whether this node may found a cluster, and not only join one that is there.
func (n *node) mayFound() bool { return n.blank && n.id.Joins == "" && !n.cfg.joinsOnly() }

func (n *node) sayWhatItWaitsFor(founders, blank int) {
	if founders > 0 {
		n.cfg.Log.Info("waiting for the other nodes", "blank_nodes_here", blank, "expected", founders, "join", n.cfg.Join)
		return
	}
	n.cfg.Log.Info("waiting for a member of a cluster to join: none has been met at the addresses of --join. A node with --join founds a "+
		"cluster only with --bootstrap-expect", "nodes_met", len(n.members.Peers())-1, "join", n.cfg.Join)
}

// lookAround tells the nodes that belong to a cluster from those without any state, this one perhaps among them, by id. A node that has a
// state and does not know of which cluster is neither: it was ended before it wrote that down, and will know when there is a leader.
func (n *node) lookAround() (cluster, blank []gossip.Peer) {
	for _, p := range n.members.Peers() {
		switch {
		case !p.Alive:
		case p.ClusterID != "":
			cluster = append(cluster, p)
		case p.Blank:
			blank = append(blank, p)
		}
	}
	slices.SortFunc(blank, func(a, b gossip.Peer) int { return strings.Compare(a.NodeID, b.NodeID) })
	return cluster, blank
}

func (n *node) found(founders []gossip.Peer) error {
	var servers []raft.Server
	for _, p := range founders {
		servers = append(servers, raft.Server{ID: raft.ServerID(p.NodeID), Address: raft.ServerAddress(p.RaftAddr)})
	}
	n.cfg.Log.Info("founding the cluster", "members", len(servers))
	if err := n.core.raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error(); err != nil && !n.core.isMember(n.id.NodeID) {
		return fmt.Errorf("found the cluster: %w", err)
	}
	return nil
}

// askToJoin asks every node of the cluster until one that leads takes this one in. Whether it did shows in the configuration.
func (n *node) askToJoin(ctx context.Context, cluster []gossip.Peer) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	join := &nodev1.ChangeMembershipRequest{Change: &nodev1.ChangeMembershipRequest_Join{
		Join: &nodev1.Join{NodeId: n.id.NodeID, RaftAddr: n.members.self.RaftAddr, Replaces: n.cfg.Replaces},
	}}
	var why error = peer.ErrNotLeader // of all, unless the leader says more
	for _, p := range cluster {
		_, err := n.core.engine.peers.ChangeMembership(ctx, p.GRPCAddr, join)
		if err == nil {
			n.cfg.Log.Info("joining the cluster", "cluster_id", p.ClusterID, "through", p.Name)
			return
		}
		if !errors.Is(err, peer.ErrNotLeader) {
			why = err
		}
	}
	n.cfg.Log.Info("nobody has taken this node in yet", "asked", len(cluster), "error", why)
}

// rememberCluster writes the cluster's id beside the node's, as soon as the state has it, and tells the others. A node whose log
// belongs to another cluster than its identity stops.
func (n *node) rememberCluster(ctx context.Context) error {
	v, _ := n.core.replica.Wait(ctx, func(v *fsm.View) bool { return !fsm.ID(v.Cluster()).IsZero() })
	if v == nil {
		return nil // the node stops
	}
	cluster := v.Cluster().String()
	if n.id.ClusterID != "" && n.id.ClusterID != cluster {
		return fmt.Errorf("this node belongs to cluster %s, and its log to cluster %s: the files of two nodes were mixed up; "+
			"wipe %s and let it rejoin", n.id.ClusterID, cluster, n.cfg.DataDir)
	}
	if n.id.ClusterID == "" {
		n.id.ClusterID = cluster
		if err := n.id.save(n.cfg.DataDir); err != nil {
			return err
		}
	}
	self := n.members.self
	self.ClusterID, self.Blank = cluster, false
	return n.members.update(self)
}
