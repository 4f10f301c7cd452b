package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// huma makes its own errors through this variable of its package: there is no other way to shape them. It is set once, before any
// handler can run. So is that a field has one spelling: encoding/json would take any case for it.
func init() {
	huma.NewError = humaError
	huma.ValidateStrictCasing = true
}

// errorBody is every error that the API answers with.
type errorBody struct {
	status   int
	Group    string            `json:"group"`
	Code     string            `json:"code"`
	Message  string            `json:"message"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

func (e *errorBody) Error() string  { return e.Group + "." + e.Code + ": " + e.Message }
func (e *errorBody) GetStatus() int { return e.status }

// GetHeaders tells when to try again.
func (e *errorBody) GetHeaders() http.Header {
	seconds := e.retryAfter()
	if seconds == 0 {
		return nil
	}
	return http.Header{"Retry-After": {strconv.Itoa(seconds)}}
}

func (e *errorBody) retryAfter() int {
	ms, err := strconv.Atoi(e.Metadata["retry_after_ms"])
	switch {
	case err == nil && ms > 0:
		return (ms + 999) / 1000
	case e.status == http.StatusServiceUnavailable, e.status == http.StatusTooManyRequests:
		return 1
	default:
		return 0
	}
}

// failure turns what an operation returned into an answer.
func failure(err error) *errorBody {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		return &errorBody{refusal.HTTPStatus(), refusal.GetGroup(), refusal.GetCode(), refusal.GetMessage(), refusal.GetMetadata()}
	}
	var own *errorBody
	if errors.As(err, &own) {
		return own
	}
	if status.Code(err) == codes.Canceled {
		return failure(callboardv1.Refuse("api", "canceled", "the caller went away, or the node is stopping"))
	}
	return failure(callboardv1.Refuse("cluster", "internal_error", "the node failed: %s", status.Convert(err).Message()))
}

// badRequest refuses a request because of one field.
func badRequest(field, reason string) *callboardv1.Error {
	return callboardv1.Refuse("api", "bad_request", "%s: %s", field, reason).With("field", field).With("reason", reason)
}

// humaError shapes what huma finds wrong with a request before an operation sees it.
func humaError(code int, message string, errs ...error) huma.StatusError {
	var reasons []string
	metadata := map[string]string{}
	for _, err := range errs {
		detail, ok := err.(huma.ErrorDetailer) //nolint:errorlint // huma hands over the details themselves
		if !ok {
			reasons = append(reasons, err.Error())
			continue
		}
		field := strings.TrimPrefix(strings.TrimPrefix(detail.ErrorDetail().Location, "body."), "query.")
		if metadata["field"] == "" {
			metadata["field"] = field
		}
		reasons = append(reasons, field+": "+detail.ErrorDetail().Message)
	}
	reason := strings.Join(reasons, "; ")
	if reason == "" {
		reason = message
	}
	metadata["reason"] = reason
	refusal := refusalOf(code, reason)
	refusal.Metadata = metadata
	return failure(refusal)
}

// refusalOf names what huma tells by a status alone, so that a code has one status wherever it comes from.
func refusalOf(code int, reason string) *callboardv1.Error {
	switch {
	case code == http.StatusNotFound:
		return callboardv1.Refuse("api", "not_found", "%s", reason)
	case code == http.StatusMethodNotAllowed:
		return callboardv1.Refuse("api", "method_not_allowed", "%s", reason)
	case code == http.StatusRequestTimeout:
		return callboardv1.Refuse("api", "slow_body", "%s", reason)
	case code == http.StatusRequestEntityTooLarge:
		return callboardv1.Refuse("api", "payload_too_large", "%s", reason)
	case code == http.StatusUnsupportedMediaType:
		return callboardv1.Refuse("api", "unsupported_media_type", "%s", reason)
	case code >= http.StatusInternalServerError:
		return callboardv1.Refuse("cluster", "internal_error", "%s", reason)
	default:
		return callboardv1.Refuse("api", "bad_request", "%s", reason)
	}
}
