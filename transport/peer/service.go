package peer

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// Leader is the leader's loop. On a node that does not lead every method returns ErrNotLeader. An error promises that nothing took
// effect if it is a refusal (callboardv1.Error) other than ErrOutcomeUnknown; every other error is passed on as ErrOutcomeUnknown.
type Leader interface {
	// Submit takes commands in their order and calls answer once for each, with its place among them, when its entry has committed or
	// it is known that it will not. answer never blocks and may be called from any goroutine, also long after ctx has ended.
	Submit(requests []*nodev1.SubmitRequest, answer func(i int, response *nodev1.SubmitResponse, err error))
	// ReadIndex answers with the index of an entry proposed after the call.
	ReadIndex(ctx context.Context) (*nodev1.ReadIndexResponse, error)
	// ReportCarrier takes note of a node's process that can carry requests to serverless pools.
	ReportCarrier(ctx context.Context, request *nodev1.ReportCarrierRequest) (*nodev1.ReportCarrierResponse, error)
	// Relay takes the reports of a node's sessions, in order; it may wait for room until ctx ends. After an error it has taken none
	// of them. Otherwise it calls answer from any goroutine until every report has had its one answer, with the index that the
	// answers stand on; a leader that is deposed answers `unknown`. answer never blocks and may be called long after ctx has ended.
	Relay(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(index uint64, answers []*nodev1.SessionAnswer)) error
}

// Node is what a node tells about itself, and how it changes the Raft configuration when it leads (ErrNotLeader when not).
type Node interface {
	Describe(ctx context.Context) (*nodev1.DescribeResponse, error)
	ChangeMembership(ctx context.Context, request *nodev1.ChangeMembershipRequest) (*nodev1.ChangeMembershipResponse, error)
	Membership(ctx context.Context, request *nodev1.MembershipRequest) (*nodev1.MembershipResponse, error)
}

// States tells the hashes of a node's recent states.
type States interface {
	StateHashes() *nodev1.StateHashesResponse
}

// Register offers NodeService on a gRPC server, which should have been made with ServerOptions, to the nodes of this cluster that the judge
// takes for what they say; nil: all of them.
func Register(server grpc.ServiceRegistrar, cluster Cluster, judge Judge, leader Leader, node Node, states States) {
	nodev1.RegisterNodeServiceServer(server, &service{cluster: cluster, judge: judge, leader: leader, node: node, states: states})
}

const (
	// streamWindow and connectionWindow are how much may be on its way to a node that has not been taken there. They are fixed: gRPC would fit
	// them to the line by a ping for each message that comes alone, and so double what a heartbeat costs.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// ServerOptions are what a server of NodeService needs: room for the largest message, and patience with the pings of its clients.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.MaxSendMsgSize(MaxMessageBytes),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingEvery / 2, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingEvery, Timeout: pingTimeout}),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connectionWindow),
	}
}

type service struct {
	nodev1.UnimplementedNodeServiceServer
	cluster Cluster
	judge   Judge
	leader  Leader
	node    Node
	states  States
}

func (s *service) ReadIndex(ctx context.Context, _ *nodev1.ReadIndexRequest) (*nodev1.ReadIndexResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	response, err := s.leader.ReadIndex(ctx)
	return response, toStatus(err)
}

func (s *service) ReportCarrier(ctx context.Context, request *nodev1.ReportCarrierRequest) (*nodev1.ReportCarrierResponse, error) {
	if err := s.cluster.strange(ctx); err != nil {
		return nil, toStatus(err)
	}
	response, err := s.leader.ReportCarrier(ctx, request)
	return response, toStatus(err)
}

func (s *service) Describe(ctx context.Context, _ *nodev1.DescribeRequest) (*nodev1.DescribeResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	response, err := s.node.Describe(ctx)
	return response, toStatus(err)
}

func (s *service) StateHashes(ctx context.Context, _ *nodev1.StateHashesRequest) (*nodev1.StateHashesResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	return s.states.StateHashes(), nil
}

func (s *service) ChangeMembership(ctx context.Context, request *nodev1.ChangeMembershipRequest) (*nodev1.ChangeMembershipResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	response, err := s.node.ChangeMembership(ctx, request)
	return response, toStatus(err)
}

func (s *service) Membership(ctx context.Context, request *nodev1.MembershipRequest) (*nodev1.MembershipResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	response, err := s.node.Membership(ctx, request)
	return response, toStatus(err)
}
