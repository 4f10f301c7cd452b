package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type clusterBody struct {
	ClusterID        string     `json:"cluster_id"`
	Node             string     `json:"node"`
	Leader           *string    `json:"leader" nullable:"true" doc:"Null: none is known."`
	Version          string     `json:"version"`
	Index            uint64     `json:"index"`
	Epoch            uint64     `json:"epoch"`
	ClockMs          int64      `json:"clock_ms" doc:"Cluster clock."`
	LiveActors       uint64     `json:"live_actors"`
	PendingActors    uint64     `json:"pending_actors" doc:"In a queue: a slot would do."`
	PacedActors      uint64     `json:"paced_actors" doc:"They were on a lost runner, and wait for their turn before they are pending."`
	ConnectedRunners uint32     `json:"connected_runners"`
	TotalSlots       uint64     `json:"total_slots"`
	FreeSlots        uint64     `json:"free_slots"`
	Peers            []peerBody `json:"peers"`
}

type peerBody struct {
	Name          string `json:"name"`
	NodeID        string `json:"node_id"`
	State         string `json:"state"`
	Voter         bool   `json:"voter"`
	RaftAddr      string `json:"raft_addr"`
	GRPCAddr      string `json:"grpc_addr"`
	HTTPAddr      string `json:"http_addr"`
	AppliedIndex  uint64 `json:"applied_index"`
	LastContactMs *int64 `json:"last_contact_ms" nullable:"true" doc:"Null: unknown."`
	Version       string `json:"version"`
	StateHash     string `json:"state_hash" doc:"At applied_index: of two nodes at one index it must be the same."`
	StateDiffers  string `json:"state_differs" doc:"What its last comparison with the others' states found; empty: nothing."`
	Probation     string `json:"probation" doc:"Where its log ends, and what it had acknowledged; empty: it is not on probation."`
}

func (a *api) registerCluster() {
	register(a, huma.Operation{OperationID: "cluster_get", Method: http.MethodGet, Path: "/cluster", Summary: "The nodes, the leader, and what the cluster has"}, a.getCluster)
}

func (a *api) getCluster(ctx context.Context, in *ReadParams) (*answer[clusterBody], error) {
	got, err := a.Cluster.Get(ctx, &callboardv1.ClusterServiceGetRequest{Consistency: in.consistency()})
	if err != nil {
		return nil, err
	}
	body := clusterBody{
		ClusterID: got.GetClusterId(), Node: got.GetNode(), Leader: text(got.GetLeader()), Version: got.GetVersion(), Index: got.GetIndex(),
		Epoch: got.GetEpoch(), ClockMs: got.GetClockMs(), LiveActors: got.GetLiveActors(), PendingActors: got.GetPendingActors(), PacedActors: got.GetPacedActors(),
		ConnectedRunners: got.GetConnectedRunners(), TotalSlots: got.GetTotalSlots(), FreeSlots: got.GetFreeSlots(), Peers: []peerBody{},
	}
	for _, p := range got.GetPeers() {
		peer := peerBody{
			Name: p.GetName(), NodeID: p.GetNodeId(), State: p.GetState(), Voter: p.GetVoter(), RaftAddr: p.GetRaftAddr(), GRPCAddr: p.GetGrpcAddr(),
			HTTPAddr: p.GetHttpAddr(), AppliedIndex: p.GetAppliedIndex(), Version: p.GetVersion(),
			StateHash: p.GetStateHash(), StateDiffers: p.GetStateDiffers(), Probation: p.GetProbation(),
		}
		if p.GetLastContactMs() >= 0 {
			peer.LastContactMs = &p.LastContactMs
		}
		body.Peers = append(body.Peers, peer)
	}
	return &answer[clusterBody]{Index: indexText(got.GetIndex()), Body: body}, nil
}
