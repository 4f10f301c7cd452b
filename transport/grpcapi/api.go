package grpcapi

import (
	"context"

	"google.golang.org/grpc"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Engine is what the API needs from its node.
type Engine interface {
	// Submit hands a command to the leader and returns when this node's own View has the answer's index. Its error is a
	// *callboardv1.Error (outcome unknown, no leader, overloaded) or the context's error, after which the outcome is unknown.
	Submit(ctx context.Context, req *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error)
	// View returns a View that holds everything acknowledged before the call, or for a stale read this node's own.
	View(ctx context.Context, consistency callboardv1.Consistency) (*fsm.View, error)
	// WaitActor returns the first View of this node, at a log index or after it, in which an actor is as the condition says. The
	// condition is asked when the actor has changed; nil: there is no such actor.
	WaitActor(ctx context.Context, index uint64, id fsm.ActorID, is func(*fsm.Actor) bool) (*fsm.View, error)
	// RolloutStatus describes a rollout of a View.
	RolloutStatus(v *fsm.View, r *fsm.Rollout) *callboardv1.Rollout
	// DrainStatus describes how a runner gives up its actors; nil: it does not.
	DrainStatus(v *fsm.View, r *fsm.Runner) *callboardv1.Drain
	// Plan tells what a version would do to a pool if runners with that many slots brought it. It changes nothing.
	Plan(v *fsm.View, p *fsm.Pool, version uint32, slots uint64) *callboardv1.RolloutPlan
}

// Cluster is what the API needs to know about the nodes.
type Cluster interface {
	// Node tells this node's name, the leader's as far as it knows (empty: none), and its version.
	Node() (name, leader, version string)
	// Peers lists the members, this node included, in a stable order.
	Peers(ctx context.Context) ([]*callboardv1.Peer, error)
	// AddVoter gives a member a vote, or adds it at a Raft address.
	AddVoter(ctx context.Context, nodeID, raftAddr string) error
	// RemovePeer removes a member, named by id or name.
	RemovePeer(ctx context.Context, node string) error
}

// API implements the public services.
type API struct {
	engine  Engine
	cluster Cluster
	ahead   chan struct{} // full while somebody runs the scheduler ahead

	outbound Outbound // nil: this node calls no endpoints of serverless pools
}

// New returns the public services of a node.
func New(engine Engine, cluster Cluster) *API {
	return &API{engine: engine, cluster: cluster, ahead: make(chan struct{}, 1)}
}

// CallEndpoints lets the API ask the endpoints of serverless pools. It is called before Register.
func (a *API) CallEndpoints(outbound Outbound) { a.outbound = outbound }

// Register puts every service on a gRPC server.
func (a *API) Register(s grpc.ServiceRegistrar) {
	callboardv1.RegisterActorServiceServer(s, a.Actors())
	callboardv1.RegisterPoolServiceServer(s, a.Pools())
	callboardv1.RegisterRunnerServiceServer(s, a.Runners())
	callboardv1.RegisterRolloutServiceServer(s, a.Rollouts())
	callboardv1.RegisterNamespaceServiceServer(s, a.Namespaces())
	callboardv1.RegisterClusterServiceServer(s, a.ClusterInfo())
}

type (
	actorService struct {
		callboardv1.UnimplementedActorServiceServer
		*API
	}
	poolService struct {
		callboardv1.UnimplementedPoolServiceServer
		*API
	}
	runnerService struct {
		callboardv1.UnimplementedRunnerServiceServer
		*API
	}
	rolloutService struct {
		callboardv1.UnimplementedRolloutServiceServer
		*API
	}
	namespaceService struct {
		callboardv1.UnimplementedNamespaceServiceServer
		*API
	}
	clusterService struct {
		callboardv1.UnimplementedClusterServiceServer
		*API
	}
)

// Actors returns the service for actors.
func (a *API) Actors() callboardv1.ActorServiceServer { return &actorService{API: a} }

// Pools returns the service for pools.
func (a *API) Pools() callboardv1.PoolServiceServer { return &poolService{API: a} }

// Runners returns the service for runners.
func (a *API) Runners() callboardv1.RunnerServiceServer { return &runnerService{API: a} }

// Rollouts returns the service for rollouts.
func (a *API) Rollouts() callboardv1.RolloutServiceServer { return &rolloutService{API: a} }

// Namespaces returns the service for namespaces.
func (a *API) Namespaces() callboardv1.NamespaceServiceServer { return &namespaceService{API: a} }

// ClusterInfo returns the service for the cluster itself.
func (a *API) ClusterInfo() callboardv1.ClusterServiceServer { return &clusterService{API: a} }
