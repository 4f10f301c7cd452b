package peer

import (
	"context"

	"google.golang.org/grpc/metadata"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// clusterKey is the metadata that names the caller's cluster. Addresses are given to others: what leads at one may be a node of another
// cluster, and would take a write for its own.
const clusterKey = "callboard-cluster"

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
