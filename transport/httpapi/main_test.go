package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newHandler returns the API of an engine that has pool p, with one runner of that many slots; 0: none.
func newHandler(slots uint32) (*apitest.Engine, http.Handler) {
	e := apitest.New()
	if slots > 0 {
		e.AddRunner("p", "first", 1, slots)
	} else {
		e.AddPool("default", "p")
	}
	api := grpcapi.New(e, &apitest.Cluster{Leader: "n1"})
	return e, New(Config{
		Actors: api.Actors(), Pools: api.Pools(), Runners: api.Runners(), Rollouts: api.Rollouts(), Namespaces: api.Namespaces(), Cluster: api.ClusterInfo(), Pages: api,
		Version: "0.0.0-test", Revision: "abc", GRPCAddrs: func() []string { return []string{"127.0.0.1:6421"} },
	})
}

// reply is an answer, read.
type reply struct {
	status int
	header http.Header
	text   string
}

// call makes a request; headers come in pairs.
func call(h http.Handler, method, path, body string, headers ...string) reply {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return reply{w.Code, w.Header(), w.Body.String()}
}

// read decodes the body.
func read[T any](t *testing.T, r reply) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.text), &v); err != nil {
		t.Fatalf("%d %q: %v", r.status, r.text, err)
	}
	return v
}

// ok wants a 200.
func ok(t *testing.T, r reply) reply {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	return r
}

// expectError wants an error in the shape of all errors.
func expectError(t *testing.T, r reply, status int, name, field string) {
	t.Helper()
	e := read[errorBody](t, r)
	if r.status != status || e.Group+"."+e.Code != name || field != "" && e.Metadata["field"] != field || e.Message == "" {
		t.Errorf("%d %s; want %d %s about %q", r.status, r.text, status, name, field)
	}
	if got := r.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("an error of type %q", got)
	}
}

const newActor = `{"name":"a","runner_name_selector":"p","crash_policy":"restart"}`

// create makes an actor and returns its id.
func create(t *testing.T, h http.Handler, body string) string {
	t.Helper()
	return read[oneActorBody](t, ok(t, call(h, "POST", "/actors?namespace=default", body))).Actor.ActorID
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
