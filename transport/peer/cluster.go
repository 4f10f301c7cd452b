package peer

import (
	"context"

	"google.golang.org/grpc/metadata"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// clusterKey is the metadata that names the caller's cluster. Addresses are given to others: what leads at one may be a node of another
// cluster, and would take a write for its own.
const clusterKey = "callboard-cluster"

// callerKey is the metadata that names the calling process: its node, and its start of it.
const callerKey = "callboard-caller"

// ErrOtherStart refuses a process that must not act for its node, because another start of it does.
var ErrOtherStart = callboardv1.Refuse("cluster", "other_start", "another process is this node: nothing took effect")

// Judge reports whether a process may act for the node that it calls itself: ErrOtherStart if not, with a text of its own; any other
// error if that cannot be told yet.
type Judge func(ctx context.Context, caller string) error

// Cluster tells a node's cluster; empty: it has none yet.
type Cluster func() string

// named adds the caller's cluster to what a call carries.
func (c Cluster) named(ctx context.Context) context.Context {
	if own := c(); own != "" {
		return metadata.AppendToOutgoingContext(ctx, clusterKey, own)
	}
	return ctx
}

// strange refuses a call from another cluster. For its caller the node is one that does not lead.
func (c Cluster) strange(ctx context.Context) error {
	own := c()
	for _, its := range metadata.ValueFromIncomingContext(ctx, clusterKey) {
		if own != "" && its != own {
			return callboardv1.Refuse(ErrNotLeader.GetGroup(), ErrNotLeader.GetCode(),
				"the node that has this address now belongs to cluster %s, not to %.64q: nothing took effect", own, its)
		}
	}
	return nil
}

// admit refuses a call from another cluster, and one of a process that is not the node that it calls itself.
func (s *service) admit(ctx context.Context) error {
	if err := s.cluster.strange(ctx); err != nil {
		return err
	}
	if s.judge == nil {
		return nil
	}
	for _, caller := range metadata.ValueFromIncomingContext(ctx, callerKey) {
		err := s.judge(ctx, caller)
		if refusal, ok := callboardv1.AsRefusal(err); ok {
			return refusal
		}
		if err != nil {
			return callboardv1.Refuse(ErrNotLeader.GetGroup(), ErrNotLeader.GetCode(), "%v: nothing took effect", err)
		}
	}
	return nil
}
