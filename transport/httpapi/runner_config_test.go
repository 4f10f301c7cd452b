package httpapi

import (
	"net/http"
	"testing"
)

const configPath = "/runner-configs/p2?namespace=default"

// TestAConfigIsReadStrictly: what is wrong is refused with the path of its field.
func TestAConfigIsReadStrictly(t *testing.T) {
	_, h := newHandler(0)
	for body, want := range map[string]struct{ name, field string }{
		``:                                       {"api.bad_request", ""},
		`7`:                                      {"runner_config.invalid", "body"},
		`{`:                                      {"api.bad_request", "body"},
		`{"datacenters":{}} x`:                   {"api.bad_request", "body"},
		`{}`:                                     {"runner_config.invalid", "datacenters"},
		`{"datacenters":7}`:                      {"runner_config.invalid", "datacenters"},
		`{"datacenters":null}`:                   {"runner_config.invalid", "datacenters"},
		`{"datacentres":{}}`:                     {"runner_config.invalid", "datacentres"},
		`{"datacenters":{},"x":1}`:               {"runner_config.invalid", "x"},
		`{"datacenters":{"mars":{"normal":{}}}}`: {"datacenter.not_found", "datacenters.mars"},
		`{"datacenters":{"default":7}}`:          {"runner_config.invalid", "datacenters.default"},
		`{"datacenters":{"default":{}}}`:         {"runner_config.invalid", ""},
		`{"datacenters":{"default":{"normal":null}}}`:                                          {"runner_config.invalid", "datacenters.default.normal"},
		`{"datacenters":{"default":{"normal":{},"serverless":{}}}}`:                            {"runner_config.invalid", "datacenters.default.serverless"},
		`{"datacenters":{"default":{"serverless":{"url":"http://x","request_lifespan":900}}}}`: {"pool.not_built", "datacenters.default.serverless"},
		`{"datacenters":{"default":{"normal":{"speed":1}}}}`:                                   {"runner_config.invalid", "datacenters.default.normal.speed"},
		`{"datacenters":{"default":{"normal":{},"speed":1}}}`:                                  {"runner_config.invalid", "datacenters.default.speed"},
		`{"datacenters":{"default":{"normal":{"placement":"random"}}}}`:                        {"runner_config.invalid", "datacenters.default.normal.placement"},
		`{"datacenters":{"default":{"normal":{"drain_on_version_upgrade":1}}}}`:                {"runner_config.invalid", "datacenters.default.normal.drain_on_version_upgrade"},
		`{"datacenters":{"default":{"normal":{"drain_on_version_upgrade":true}}}}`:             {"pool.not_built", "datacenters.default.normal.drain_on_version_upgrade"},
		`{"datacenters":{"default":{"normal":{"drainOnVersionUpgrade":true}}}}`:                {"pool.not_built", "datacenters.default.normal.drainOnVersionUpgrade"},
		`{"datacenters":{"default":{"normal":{},"drain_on_version_upgrade":true}}}`:            {"pool.not_built", "datacenters.default.drain_on_version_upgrade"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":-1}}}}`:                   {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":4294967296}}}}`:           {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":1.5}}}}`:                  {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":5}}}}`:                    {"pool.not_built", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":0}}}}`:                     {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":-3}}}}`:                    {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":1e300}}}}`:                 {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":"fast"}}}}`:                {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"normal":{"runner_lost_threshold":5}}`:                                               {"runner_config.invalid", "normal.runner_lost_threshold"},
		`{"normal":{"actorEvictionDelay":4,"actor_eviction_delay":4}}`:                         {"runner_config.invalid", "normal.actor_eviction_delay"},
		`{"normal":{"placement":"spread","placement":"binpack"}}`:                              {"runner_config.invalid", "normal.placement"},
		`{"normal":{},"metadata":{"a":}}`:                                                      {"api.bad_request", ""},
	} {
		status := http.StatusBadRequest
		if want.name == "datacenter.not_found" {
			status = http.StatusNotFound
		}
		t.Run(body, func(t *testing.T) { expectError(t, call(h, "PUT", configPath, body), status, want.name, want.field) })
	}
	if r := call(h, "GET", configPath, ""); r.status != http.StatusNotFound {
		t.Errorf("something of all that was kept: %s", r.text)
	}
}

// TestAConfigIsKeptReplacedAndDeleted in every spelling.
func TestAConfigIsKeptReplacedAndDeleted(t *testing.T) {
	_, h := newHandler(0)
	for body, want := range map[string]struct{ placement, metadata string }{
		`{"datacenters":{"default":{"normal":{"placement":"binpack"},"metadata":{"a":[1,2]}}}}`:                     {"binpack", `{"a":[1,2]}`},
		`{"normal":{"placement":"binpack"}}`:                                                                        {"binpack", ""},
		`{"normal":{"drainOnVersionUpgrade":false,"actorEvictionDelay":null,"placement":null},"metadata":null}`:     {"spread", ""},
		`{"datacenters":{"default":{"normal":{"drain_on_version_upgrade":true},"drain_on_version_upgrade":false}}}`: {"spread", ""}, // the one beside the kind wins
		`{"datacenters":{"default":{"metadata":"text","normal":{}}}}`:                                               {"spread", `"text"`},
	} {
		r := ok(t, call(h, "PUT", configPath, body))
		if !read[putConfigBody](t, r).EndpointConfigChanged {
			t.Errorf("%s: %s", body, r.text)
		}
		got := read[datacentersOfConfig](t, ok(t, call(h, "GET", configPath, ""))).Datacenters["default"]
		if got.Normal == nil || got.Normal.Placement != want.placement || string(got.Metadata) != want.metadata || got.Normal.ActorEvictionRate != 1 || got.Normal.RunnerLostThreshold != 15 {
			t.Errorf("%s is kept as %+v %s", body, got.Normal, got.Metadata)
		}
	}
	list := read[configsBody](t, ok(t, call(h, "GET", "/runner-configs?namespace=default&variant=normal&limit=1", "")))
	if len(list.RunnerConfigs) != 1 || list.Pagination.Cursor == nil {
		t.Errorf("a page of one: %+v", list)
	}
	list = read[configsBody](t, ok(t, call(h, "GET", "/runner-configs?namespace=default&runner_name=p2&runner_name=&limit=1", "")))
	if _, there := list.RunnerConfigs["p2"]; !there || len(list.RunnerConfigs) != 1 || list.Pagination.Cursor != nil {
		t.Errorf("by name: %+v", list)
	}
	list = read[configsBody](t, ok(t, call(h, "GET", "/runner-configs?namespace=default&variant=serverless", "")))
	if len(list.RunnerConfigs) != 0 {
		t.Errorf("serverless: %+v", list)
	}
	for range 2 { // the second finds it as it wants it
		ok(t, call(h, "PUT", configPath, `{"datacenters":{}}`))
		expectError(t, call(h, "GET", configPath, ""), http.StatusNotFound, "pool.not_found", "")
	}
}
