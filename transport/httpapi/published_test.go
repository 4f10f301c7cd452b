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

// TestADatacenterIsWhereItWasAsked, over TLS too: clients go on with the address that they are told.
func TestADatacenterIsWhereItWasAsked(t *testing.T) {
	_, h := newHandler(0)
	for _, origin := range []string{"http://127.0.0.1:6420", "https://127.0.0.1:6420"} {
		if got := ok(t, call(h, "GET", origin+"/datacenters", "")); !strings.Contains(got.text, `"`+origin+`"`) {
			t.Errorf("asked at %s: %s", origin, got.text)
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

// TestAnIDOfTheReference is one of an actor that is gone: lists leave it out, and all else says that there is none. What only resembles it
// is no id.
func TestAnIDOfTheReference(t *testing.T) {
	_, h := newHandler(1)
	const foreign = "5mm1c4y0d3l6o2p8r7s9t0v1w2x3y4"
	for _, ids := range []string{"&actor_ids=" + foreign, "&actor_id=" + foreign + "&actor_id=" + foreign[:29] + "z"} {
		if got := read[actorsBody](t, ok(t, call(h, "GET", "/actors?namespace=default"+ids, ""))); len(got.Actors) != 0 {
			t.Errorf("%s: %v", ids, got.Actors)
		}
	}
	made := read[oneActorBody](t, ok(t, call(h, "POST", "/actors?namespace=default", newActor))).Actor.ActorID
	got := read[actorsBody](t, ok(t, call(h, "GET", "/actors?namespace=default&actor_ids="+foreign+","+made, "")))
	if len(got.Actors) != 1 || got.Actors[0].ActorID != made {
		t.Errorf("beside one that is there: %v", got.Actors)
	}
	expectError(t, call(h, "GET", "/actors/"+foreign+"?namespace=default", ""), http.StatusNotFound, "actor.not_found", "")
	expectError(t, call(h, "DELETE", "/actors/"+foreign+"?namespace=default", ""), http.StatusNotFound, "actor.not_found", "")
	expectError(t, call(h, "GET", "/actors?namespace=elsewhere&actor_ids="+foreign, ""), http.StatusNotFound, "namespace.not_found", "")
	for _, id := range []string{foreign[:29], foreign + "a", foreign[:29] + "A", foreign[:29] + "-"} {
		expectError(t, call(h, "GET", "/actors?namespace=default&actor_ids="+id, ""), http.StatusBadRequest, "api.bad_request", "actor_ids")
		expectError(t, call(h, "GET", "/actors/"+id+"?namespace=default", ""), http.StatusBadRequest, "api.bad_request", "actor_id")
	}
}

// TestAPoolIsDeletedAsClientsExpect: it is gone however often and by whichever call, and nothing was changed about an endpoint. What was
// read can be written back.
func TestAPoolIsDeletedAsClientsExpect(t *testing.T) {
	_, h := newHandler(0)
	for range 2 {
		if got := ok(t, call(h, "DELETE", configPath, "")); got.text != "{}\n" {
			t.Errorf("deleted: %s", got.text)
		}
	}
	for _, there := range []bool{true, false} {
		if there {
			ok(t, call(h, "PUT", configPath, `{"normal":{}}`))
			read := ok(t, call(h, "GET", configPath, "")).text
			if !strings.Contains(read, `"protocol_version":null`) {
				t.Errorf("read: %s", read)
			}
			ok(t, call(h, "PUT", configPath, read))
		}
		if got := ok(t, call(h, "PUT", configPath, `{"datacenters":{}}`)); got.text != `{"endpoint_config_changed":false}`+"\n" {
			t.Errorf("there %v, deleted by an empty map: %s", there, got.text)
		}
	}
	expectError(t, call(h, "PUT", configPath, `{"normal":{},"protocol_version":2}`), http.StatusBadRequest, "runner_config.invalid", "protocol_version")
}

// TestALongPageIsCut to what a page has at most, and a header says so.
func TestALongPageIsCut(t *testing.T) {
	_, h := newHandler(1)
	for _, path := range []string{
		"/actors?namespace=default&name=a", "/actors/names?namespace=default", "/runners?namespace=default",
		"/runner-configs?namespace=default", "/namespaces?",
	} {
		for limit, warned := range map[string]bool{"1000": false, "1001": true, "4294967297": true} {
			got := ok(t, call(h, "GET", path+"&limit="+limit, ""))
			if warning := got.header.Get(warningHeader); (warning != "") != warned {
				t.Errorf("%s, limit %s: %q", path, limit, warning)
			}
		}
		expectError(t, call(h, "GET", path+"&limit=18446744073709551616", ""), http.StatusBadRequest, "api.bad_request", "limit")
	}
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
