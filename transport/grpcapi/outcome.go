package grpcapi

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// keyBusyRetryMs is the advice that comes with actor.key_busy: an actor that stops usually ends within a second.
const keyBusyRetryMs = "1000"

// submit sends a command and returns its success with a View that holds it.
func (a *API) submit(ctx context.Context, idempotencyKey string, command *nodev1.Command) (*nodev1.Success, *fsm.View, uint64, error) {
	if err := problem(checkIdempotencyKey(idempotencyKey)); err != nil {
		return nil, nil, 0, err
	}
	answer, err := a.engine.Submit(ctx, &nodev1.SubmitRequest{Command: command, IdempotencyKey: idempotencyKey})
	if err != nil {
		return nil, nil, 0, writeError(err)
	}
	if refusal := answer.GetRefusal(); refusal != nil {
		return nil, nil, answer.GetIndex(), advise(refusal)
	}
	view, err := a.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_STALE)
	if err != nil {
		return nil, nil, 0, writeError(err)
	}
	return answer.GetSuccess(), view, answer.GetIndex(), nil
}

// advise adds to a refusal when a retry makes sense.
func advise(refusal *callboardv1.Error) error {
	if refusal.Name() != "actor.key_busy" || refusal.GetMetadata()["retry_after_ms"] != "" {
		return refusal
	}
	return proto.CloneOf(refusal).With("retry_after_ms", keyBusyRetryMs)
}

// writeError turns what Submit returned into a refusal or unknown. A context that ended says nothing about the write.
func writeError(err error) error {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return refusal
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return callboardv1.ErrOutcomeUnknown
	}
	return callboardv1.Refuse("cluster", "outcome_unknown",
		"the outcome is unknown: %v; retry with the same idempotency key, or read the state", err)
}

// readError turns what a read returned into a refusal. Nothing was changed, so the caller may simply try again.
func readError(err error) error {
	refusal, ok := callboardv1.AsRefusal(err)
	switch {
	case ok:
		return refusal
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded):
		return callboardv1.Refuse("api", "timeout",
			"the time given was not enough to read the current state: the leader may be away; retry, or read with consistency stale")
	default:
		return callboardv1.Refuse("cluster", "internal_error", "this node could not read its state: %v; its log says more", err)
	}
}

// view returns the View that a read is answered from.
func (a *API) view(ctx context.Context, consistency callboardv1.Consistency) (*fsm.View, error) {
	switch consistency {
	case callboardv1.Consistency_CONSISTENCY_UNSPECIFIED:
		consistency = callboardv1.Consistency_CONSISTENCY_LINEARIZABLE
	case callboardv1.Consistency_CONSISTENCY_LINEARIZABLE, callboardv1.Consistency_CONSISTENCY_STALE:
	default:
		return nil, badField("consistency", "consistency %d is not known: want linearizable or stale", consistency)
	}
	view, err := a.engine.View(ctx, consistency)
	if err != nil {
		return nil, readError(err)
	}
	return view, nil
}

// namespaceView returns the View that a read is answered from, and the namespace that it is about.
func (a *API) namespaceView(ctx context.Context, name string, consistency callboardv1.Consistency) (*fsm.View, *fsm.Namespace, error) {
	if err := problem(checkNamespace(name)); err != nil {
		return nil, nil, err
	}
	view, err := a.view(ctx, consistency)
	if err != nil {
		return nil, nil, err
	}
	ns := view.Namespace(name)
	if ns == nil {
		return nil, nil, callboardv1.Refuse("namespace", "not_found",
			"there is no namespace %q: see `callboard namespace list`, or make it with `callboard namespace create %s`", name, name).With("namespace", name)
	}
	return view, ns, nil
}
