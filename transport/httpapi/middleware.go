package httpapi

import (
	"encoding/json"
	"net/http"
	"runtime/debug"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// withJSONErrors answers in JSON where the mux itself would answer in text: unknown paths and wrong methods.
func withJSONErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// Without a pattern it is the mux's own handler for 404 or 405: ask it which, and with which header.
		asked := &statusOnly{header: http.Header{}}
		handler.ServeHTTP(asked, r)
		if asked.status == http.StatusMethodNotAllowed {
			allow := asked.header.Get("Allow")
			w.Header().Set("Allow", allow)
			writeError(w, failure(callboardv1.Refuse("api", "method_not_allowed", "%s is not possible here: want %s", r.Method, allow).With("allow", allow)))
			return
		}
		writeError(w, failure(callboardv1.Refuse("api", "not_found", "there is nothing at %s: GET /openapi.json lists what there is", r.URL.Path)))
	})
}

// statusOnly listens to a handler without letting it answer.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(status int)      { s.status = status }

// WriteRefusal answers a request with a refusal, for what stands in front of the API.
func WriteRefusal(w http.ResponseWriter, refusal *callboardv1.Error) { writeError(w, failure(refusal)) }

func writeError(w http.ResponseWriter, e *errorBody) {
	w.Header().Set("Content-Type", "application/json")
	for name, values := range e.GetHeaders() {
		w.Header()[name] = values
	}
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(e) // the caller has gone: nobody to tell
}

// withRecovery answers 500 when a handler panics, and logs why. The process goes on: nothing here owns state.
func (a *api) withRecovery(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer a.recovered(w, r)
		next.ServeHTTP(w, r)
	})
}

func (a *api) recovered(w http.ResponseWriter, r *http.Request) {
	reason := recover()
	if reason == nil {
		return
	}
	if reason == http.ErrAbortHandler { //nolint:errorlint // the very value, as net/http compares it
		panic(reason)
	}
	a.Log.ErrorContext(r.Context(), "httpapi: a handler panicked", "method", r.Method, "path", r.URL.Path, "panic", reason, "stack", string(debug.Stack()))
	writeError(w, failure(callboardv1.Refuse("cluster", "internal_error", "the node failed while it answered: its log says more")))
}

// withAuthNote tells whoever shows a token that nobody looks at it. Clients of the reference always show one, and a request is no less
// allowed for it.
func withAuthNote(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			w.Header().Set("X-Callboard-Authentication", "none")
		}
		next.ServeHTTP(w, r)
	})
}
