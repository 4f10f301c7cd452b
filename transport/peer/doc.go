// Package peer is what engine nodes say to each other over gRPC, both sides of NodeService: commands and read indexes forwarded to
// the leader, what runners report (relayed in batches over one stream to the leader), descriptions, and changes of membership.
//
// It maps outcomes once. Whoever calls gets the leader's answer, callboardv1.ErrOutcomeUnknown, or an error that promises that
// nothing took effect; it never retries, for only the caller knows what may be done twice. It decides nothing and keeps no state of
// the cluster: package server tells it who leads, and waits for its own View.
package peer
