package grpcapi

import (
	"context"
	"net"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Get answers what the cluster is and has, in short. Ask with consistency stale for what this node knows without a leader.
func (s *clusterService) Get(ctx context.Context, req *callboardv1.ClusterServiceGetRequest) (*callboardv1.ClusterServiceGetResponse, error) {
	view, err := s.view(ctx, req.GetConsistency())
	if err != nil {
		return nil, err
	}
	peers, err := s.cluster.Peers(ctx)
	if err != nil {
		return nil, readError(err)
	}
	node, leader, version := s.cluster.Node()
	answer := &callboardv1.ClusterServiceGetResponse{
		Node: node, Leader: leader, Version: version, Peers: peers,
		Index: view.Index(), Epoch: view.Epoch(), ClockMs: view.ClockMs(),
		LiveActors: view.LiveActors(), StateHash: view.StateHash().String(),
	}
	if id := view.Cluster(); !fsm.ID(id).IsZero() {
		answer.ClusterId = id.String()
	}
	for ns := range view.Namespaces("") {
		for _, pool := range takeCensus(view, ns) {
			answer.ConnectedRunners += uint32(pool.connected)
			answer.TotalSlots += pool.totalSlots
			answer.FreeSlots += pool.freeSlots
		}
		for p := range view.Pools(ns, "") {
			answer.PacedActors += uint64(view.PoolStats(p).Paced)
		}
	}
	answer.PendingActors = view.Count(fsm.Pending) - answer.GetPacedActors()
	return answer, nil
}

// ListPeers answers with the members of the cluster.
func (s *clusterService) ListPeers(ctx context.Context, _ *callboardv1.ListPeersRequest) (*callboardv1.ListPeersResponse, error) {
	view, err := s.view(ctx, callboardv1.Consistency_CONSISTENCY_STALE)
	if err != nil {
		return nil, err
	}
	peers, err := s.cluster.Peers(ctx)
	if err != nil {
		return nil, readError(err)
	}
	return &callboardv1.ListPeersResponse{Peers: peers, Index: view.Index()}, nil
}

// AddVoter gives a member a vote.
func (s *clusterService) AddVoter(ctx context.Context, req *callboardv1.AddVoterRequest) (*callboardv1.AddVoterResponse, error) {
	if req.GetNodeId() == "" {
		return nil, badField("node_id", "node_id is missing: see `callboard operator raft list-peers`")
	}
	if req.GetRaftAddr() != "" {
		if _, _, err := net.SplitHostPort(req.GetRaftAddr()); err != nil {
			return nil, badField("raft_addr", "raft_addr %q is not host:port: %v", clip(req.GetRaftAddr()), err)
		}
	}
	if err := s.cluster.AddVoter(ctx, req.GetNodeId(), req.GetRaftAddr()); err != nil {
		return nil, writeError(err)
	}
	return &callboardv1.AddVoterResponse{}, nil
}

// RemovePeer takes a member out of the cluster.
func (s *clusterService) RemovePeer(ctx context.Context, req *callboardv1.RemovePeerRequest) (*callboardv1.RemovePeerResponse, error) {
	if req.GetNodeId() == "" {
		return nil, badField("node_id", "node_id is missing: see `callboard operator raft list-peers`")
	}
	if err := s.cluster.RemovePeer(ctx, req.GetNodeId()); err != nil {
		return nil, writeError(err)
	}
	return &callboardv1.RemovePeerResponse{}, nil
}
