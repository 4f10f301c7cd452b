package httpapi

import (
	"net/http"
	"testing"
)

// TestTheFirstCallsOfPublishedClients: a client begins with /metadata, /health and /datacenters, always with a namespace and now and then
// with more. One that is refused there asks for ever.
func TestTheFirstCallsOfPublishedClients(t *testing.T) {
	_, h := newHandler(1)
	for _, path := range []string{"/metadata", "/health", "/datacenters"} {
		for _, query := range []string{"?namespace=default", "?namespace=elsewhere&namespace=default", "?runner_name=p&new=1", "?a;b", "?%zz"} {
			ok(t, call(h, "GET", path+query, ""))
		}
	}
}

// TestThereAreNoEnvoys, and a list of them says so; what is asked for is checked as in every list.
func TestThereAreNoEnvoys(t *testing.T) {
	_, h := newHandler(1)
	want := `{"envoys":[],"pagination":{"cursor":null}}` + "\n"
	for _, query := range []string{"", "&name=p", "&envoy_key=a&envoy_key=b&limit=10", "&cursor="} {
		if got := ok(t, call(h, "GET", "/envoys?namespace=default"+query, "")); got.text != want {
			t.Errorf("%s: %s", query, got.text)
		}
	}
	expectError(t, call(h, "GET", "/envoys", ""), http.StatusBadRequest, "api.bad_request", "namespace")
	expectError(t, call(h, "GET", "/envoys?namespace=elsewhere", ""), http.StatusNotFound, "namespace.not_found", "")
	expectError(t, call(h, "GET", "/envoys?namespace=default&colour=red", ""), http.StatusBadRequest, "api.bad_request", "colour")
}
