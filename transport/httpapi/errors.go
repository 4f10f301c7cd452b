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
		return &errorBody{status: http.StatusServiceUnavailable, Group: "api", Code: "canceled", Message: "the caller went away, or the node is stopping"}
	}
	return &errorBody{status: http.StatusInternalServerError, Group: "cluster", Code: "internal_error", Message: "the node failed: " + status.Convert(err).Message()}
}

// badRequest refuses a request because of one field.
func badRequest(field, reason string) *callboardv1.Error {
	return callboardv1.Refuse("api", "bad_request", "%s: %s", field, reason).With("field", field).With("reason", reason)
}

// humaError shapes what huma finds wrong with a request before an operation sees it. Its 422 is a 400 here.
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
	e := &errorBody{status: code, Group: "api", Code: "bad_request", Message: reason, Metadata: metadata}
	switch code {
	case http.StatusUnprocessableEntity:
		e.status = http.StatusBadRequest
	case http.StatusNotFound:
		e.Code = "not_found"
	case http.StatusMethodNotAllowed:
		e.Code = "method_not_allowed"
	default:
		if code >= http.StatusInternalServerError {
			e.Group, e.Code = "cluster", "internal_error"
		}
	}
	return e
}
