package httpapi

import (
	"net/http"
	"slices"
	"strings"
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

// TestWhatARunnerAsks: the newest version of a pool that is named, and how often to ask again. Who names none, or one that is not there, is
// answered without.
func TestWhatARunnerAsks(t *testing.T) {
	_, h := newHandler(1)
	ok(t, call(h, "PUT", "/runner-configs/web?namespace=default",
		`{"datacenters":{"default":{"serverless":{"url":"http://x","request_lifespan":900,"metadata_poll_interval":20000},"drain_on_version_upgrade":false}}}`))
	for query, want := range map[string]string{
		"?namespace=default&runner_name=p":      `"runner":{"name":"p","newest_version":1,"drain_on_version_upgrade":false}`,
		"?namespace=default&runner_name=web":    `"runner":{"name":"web","newest_version":0,"drain_on_version_upgrade":false,"metadata_poll_interval":20000}`,
		"?namespace=default&runner_name=q":      "",
		"?namespace=elsewhere&runner_name=p":    "",
		"?namespace=default&runner_name=%2e%2e": "",
		"?runner_name=p":                        "",
	} {
		got := ok(t, call(h, "GET", "/metadata"+query, "")).text
		if want == "" && strings.Contains(got, `"runner":`) || !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
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

// TestWhatClientsPutBesideAKind is taken and named in a warning: the config is kept without it. A misspelt field is still refused, and so
// is one that is known elsewhere.
func TestWhatClientsPutBesideAKind(t *testing.T) {
	_, h := newHandler(0)
	for body, path := range map[string]string{
		`{"datacenters":{"default":{"normal":{},"metadataPollInterval":1000}}}`:                                                     "datacenters.default.metadataPollInterval",
		`{"datacenters":{"default":{"serverless":{"url":"http://x","request_lifespan":900},"metadata_poll_interval":{"any":[1]}}}}`: "datacenters.default.metadata_poll_interval",
		`{"normal":{},"metadataPollInterval":null}`:                                                                                 "metadataPollInterval",
	} {
		got := read[putConfigBody](t, ok(t, call(h, "PUT", configPath, body)))
		if !slices.ContainsFunc(got.Warnings, func(w string) bool { return strings.HasPrefix(w, path+": ") }) {
			t.Errorf("%s: no warning about %s in %q", body, path, got.Warnings)
		}
	}
	for body, field := range map[string]string{
		`{"normal":{},"metadataPolInterval":1}`:                                   "metadataPolInterval",
		`{"normal":{},"metadata_pollInterval":1}`:                                 "metadata_pollInterval",
		`{"normal":{"metadataPollInterval":1}}`:                                   "normal.metadataPollInterval",
		`{"normal":{},"actor_eviction_rate":1}`:                                   "actor_eviction_rate",
		`{"normal":{},"metadataPollInterval":1,"metadata_poll_interval":1}`:       "metadata_poll_interval",
		`{"datacenters":{"default":{"normal":{}}},"metadataPollInterval":1}`:      "metadataPollInterval",
		`{"datacenters":{"default":{"normal":{},"metadata_polling_interval":1}}}`: "datacenters.default.metadata_polling_interval",
	} {
		expectError(t, call(h, "PUT", configPath, body), http.StatusBadRequest, "runner_config.invalid", field)
	}
}
