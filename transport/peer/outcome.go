package peer

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Both promise that nothing took effect: the caller may try again, there or elsewhere.
var (
	// ErrNotLeader: the node that was asked does not lead (any more) and has proposed nothing.
	ErrNotLeader = callboardv1.Refuse("cluster", "not_leader", "this node does not lead: nothing took effect")
	// ErrUnreachable: the request never left this node.
	ErrUnreachable = callboardv1.Refuse("cluster", "unreachable", "the node cannot be reached: nothing took effect")
)

// toStatus is the server's half: a refusal travels whole, and whatever else went wrong leaves the outcome unknown.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	return refusalOf(err).GRPCStatus().Err()
}

func refusalOf(err error) *callboardv1.Error {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return refusal
	}
	unknown := callboardv1.ErrOutcomeUnknown
	return callboardv1.Refuse(unknown.GetGroup(), unknown.GetCode(), "%s (%v)", unknown.GetMessage(), err)
}

// fromStatus is the client's half. Every error that it returns promises that nothing took effect, except ErrOutcomeUnknown.
func fromStatus(err error, sent bool) error {
	if err == nil {
		return nil
	}
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return refusal
	}
	// A node that does not know the call has not done it either.
	if !sent || status.Code(err) == codes.Unimplemented {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return fmt.Errorf("%w: %w", callboardv1.ErrOutcomeUnknown, err)
}

// departure notes whether an RPC's request was handed to a connection. gRPC's codes cannot tell a connection that was never there
// from one that broke after the request had left.
type departure struct{ gone atomic.Bool }

type departureKey struct{}

func watchDeparture(ctx context.Context) (context.Context, *departure) {
	d := &departure{}
	return context.WithValue(ctx, departureKey{}, d), d
}

// departures is the stats handler of every connection.
type departures struct{}

func (departures) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (departures) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (departures) HandleConn(context.Context, stats.ConnStats)                       {}

func (departures) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if _, out := event.(*stats.OutPayload); out {
		if d, ok := ctx.Value(departureKey{}).(*departure); ok {
			d.gone.Store(true)
		}
	}
}
