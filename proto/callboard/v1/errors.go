package callboardv1

import (
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Refuse makes a refusal: group and code are stable, the text says what happened, why, and what to do.
func Refuse(group, code, format string, args ...any) *Error {
	return &Error{Group: group, Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds a detail to a refusal and returns it.
func (x *Error) With(key, value string) *Error {
	if x.Metadata == nil {
		x.Metadata = map[string]string{}
	}
	x.Metadata[key] = value
	return x
}

// InItem says that a refusal, which nobody else has yet, is about one item of a list, and returns it.
func (x *Error) InItem(list string, i int) *Error {
	at := fmt.Sprintf("%s[%d]", list, i)
	x.Message = at + ": " + x.GetMessage()
	if field := x.GetMetadata()["field"]; field != "" {
		at += "." + field
	}
	return x.With("field", at)
}

// Name returns group.code.
func (x *Error) Name() string { return x.GetGroup() + "." + x.GetCode() }

// Error makes a refusal an error.
func (x *Error) Error() string { return x.Name() + ": " + x.GetMessage() }

// Is tells whether target is a refusal with the same name.
func (x *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Name() == x.Name()
}

// GRPCStatus makes gRPC carry a refusal whole, as a detail of its status.
func (x *Error) GRPCStatus() *status.Status {
	s := status.New(statusOf(x).grpc, x.GetMessage())
	if with, err := s.WithDetails(x); err == nil {
		return with
	}
	return s
}

// HTTPStatus returns the status that a refusal has over HTTP.
func (x *Error) HTTPStatus() int { return statusOf(x).http }

// AsRefusal finds the refusal in an error: the error itself, or the detail of a gRPC status.
func AsRefusal(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e, true
	}
	s, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	for _, d := range s.Details() {
		if e, ok := d.(*Error); ok {
			return e, true
		}
	}
	return nil, false
}

// Refusals that are the same wherever they come from.
var (
	// ErrOutcomeUnknown: the write may or may not have taken effect. A retry with the same idempotency key is safe.
	ErrOutcomeUnknown = Refuse("cluster", "outcome_unknown",
		"the outcome is unknown: the write may or may not have taken effect; retry with the same idempotency key, or read the state")
	// ErrNoLeader: nothing took effect.
	ErrNoLeader = Refuse("cluster", "no_leader",
		"no leader is known: nothing took effect; retry in a moment, and look at `callboard operator raft list-peers` if it lasts")
	// ErrNodeBehind: a read that this node cannot answer. Another node can.
	ErrNodeBehind = Refuse("cluster", "node_behind",
		"this node does not keep up with the leader, and cannot tell the current state: ask another node, or read with consistency stale; if it lasts, look at this node's log and disk")
	// ErrOverloaded: nothing took effect.
	ErrOverloaded = Refuse("cluster", "overloaded",
		"too many requests wait for the leader: nothing took effect; retry after a moment, and less at once").With("retry_after_ms", "1000")
)

type statuses struct {
	grpc codes.Code
	http int
}

// The one table of statuses. A code that is not named here is a bad request.
var statusByName = map[string]statuses{
	"cluster.outcome_unknown":            {codes.Aborted, http.StatusGatewayTimeout},
	"cluster.no_leader":                  {codes.Unavailable, http.StatusServiceUnavailable},
	"cluster.node_behind":                {codes.Unavailable, http.StatusServiceUnavailable},
	"cluster.overloaded":                 {codes.ResourceExhausted, http.StatusTooManyRequests},
	"cluster.not_leader":                 {codes.Unavailable, http.StatusServiceUnavailable},
	"cluster.unreachable":                {codes.Unavailable, http.StatusServiceUnavailable},
	"cluster.internal_error":             {codes.Internal, http.StatusInternalServerError},
	"cluster.not_a_member":               {codes.NotFound, http.StatusNotFound},
	"cluster.idempotency_full":           {codes.ResourceExhausted, http.StatusTooManyRequests},
	"api.forbidden":                      {codes.PermissionDenied, http.StatusForbidden},
	"api.origin_not_allowed":             {codes.PermissionDenied, http.StatusForbidden},
	"api.not_found":                      {codes.NotFound, http.StatusNotFound},
	"api.timeout":                        {codes.DeadlineExceeded, http.StatusGatewayTimeout},
	"api.slow_body":                      {codes.DeadlineExceeded, http.StatusRequestTimeout},
	"api.canceled":                       {codes.Canceled, http.StatusServiceUnavailable},
	"api.unsupported_media_type":         {codes.InvalidArgument, http.StatusUnsupportedMediaType},
	"api.not_built":                      {codes.Unimplemented, http.StatusNotImplemented},
	"api.idempotency_conflict":           {codes.FailedPrecondition, http.StatusUnprocessableEntity},
	"api.payload_too_large":              {codes.ResourceExhausted, http.StatusRequestEntityTooLarge},
	"api.method_not_allowed":             {codes.Unimplemented, http.StatusMethodNotAllowed},
	"actor.not_found":                    {codes.NotFound, http.StatusNotFound},
	"actor.destroyed":                    {codes.FailedPrecondition, http.StatusConflict},
	"actor.duplicate_key":                {codes.AlreadyExists, http.StatusConflict},
	"actor.key_busy":                     {codes.Aborted, http.StatusConflict},
	"actor.wrong_state":                  {codes.FailedPrecondition, http.StatusConflict},
	"actor.stored_bytes_exceeded":        {codes.ResourceExhausted, http.StatusTooManyRequests},
	"namespace.not_found":                {codes.NotFound, http.StatusNotFound},
	"namespace.name_not_unique":          {codes.AlreadyExists, http.StatusConflict},
	"namespace.limit_reached":            {codes.ResourceExhausted, http.StatusTooManyRequests},
	"pool.not_found":                     {codes.NotFound, http.StatusNotFound},
	"pool.limit_reached":                 {codes.ResourceExhausted, http.StatusTooManyRequests},
	"pool.not_serverless":                {codes.FailedPrecondition, http.StatusConflict},
	"runner.limit_reached":               {codes.ResourceExhausted, http.StatusTooManyRequests},
	"runner.not_found":                   {codes.NotFound, http.StatusNotFound},
	"runner.draining":                    {codes.FailedPrecondition, http.StatusConflict},
	"runner.ended":                       {codes.FailedPrecondition, http.StatusConflict},
	"runner.outdated":                    {codes.FailedPrecondition, http.StatusConflict},
	"pool.version_not_held":              {codes.FailedPrecondition, http.StatusConflict},
	"runner.version_held":                {codes.FailedPrecondition, http.StatusConflict},
	"runner.no_drain":                    {codes.NotFound, http.StatusNotFound},
	"pool.no_rollout":                    {codes.NotFound, http.StatusNotFound},
	"actor.not_running":                  {codes.FailedPrecondition, http.StatusConflict},
	"session.slow_reader":                {codes.ResourceExhausted, http.StatusTooManyRequests},
	"session.sequence_gap":               {codes.InvalidArgument, http.StatusBadRequest},
	"session.lost":                       {codes.Aborted, http.StatusConflict},
	"session.ended":                      {codes.Aborted, http.StatusConflict},
	"session.node_behind":                {codes.Unavailable, http.StatusServiceUnavailable},
	"session.node_leaving":               {codes.Unavailable, http.StatusServiceUnavailable},
	"session.superseded":                 {codes.Aborted, http.StatusConflict},
	"serverless.address_denied":          {codes.InvalidArgument, http.StatusBadRequest},
	"serverless.connection_error":        {codes.Unavailable, http.StatusBadGateway},
	"serverless.http_error":              {codes.Unavailable, http.StatusBadGateway},
	"serverless.invalid_request":         {codes.InvalidArgument, http.StatusBadRequest},
	"serverless.invalid_response_json":   {codes.Unavailable, http.StatusBadGateway},
	"serverless.invalid_response_schema": {codes.Unavailable, http.StatusBadGateway},
	"serverless.invalid_sse_payload":     {codes.Unavailable, http.StatusBadGateway},
	"serverless.non_success_status":      {codes.Unavailable, http.StatusBadGateway},
	"serverless.request_failed":          {codes.Unavailable, http.StatusBadGateway},
	"serverless.request_timed_out":       {codes.Unavailable, http.StatusBadGateway},
	"serverless.stream_silent":           {codes.Unavailable, http.StatusBadGateway},
	"session.request_over":               {codes.FailedPrecondition, http.StatusConflict},
	"session.request_taken":              {codes.FailedPrecondition, http.StatusConflict},
	"session.request_unknown":            {codes.NotFound, http.StatusNotFound},
	"cluster.not_the_carrier":            {codes.FailedPrecondition, http.StatusConflict},
	"session.replaced":                   {codes.FailedPrecondition, http.StatusConflict},
	"session.limit_reached":              {codes.ResourceExhausted, http.StatusTooManyRequests},
	"actor.no_runner_config_configured":  {codes.FailedPrecondition, http.StatusBadRequest},
	"actor.destroyed_while_waiting":      {codes.FailedPrecondition, http.StatusConflict},
	"actor.stale_generation":             {codes.FailedPrecondition, http.StatusConflict},
	"datacenter.not_found":               {codes.NotFound, http.StatusNotFound},
	"cluster.membership_change_rejected": {codes.FailedPrecondition, http.StatusConflict},
	"cluster.other_start":                {codes.FailedPrecondition, http.StatusConflict},
}

func statusOf(x *Error) statuses {
	if s, ok := statusByName[x.Name()]; ok {
		return s
	}
	return statuses{codes.InvalidArgument, http.StatusBadRequest}
}
