package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
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
		`{"datacenters":{"default":{"normal":null}}}`:                                         {"runner_config.invalid", "datacenters.default.normal"},
		`{"datacenters":{"default":{"normal":{},"serverless":{}}}}`:                           {"runner_config.invalid", "datacenters.default.serverless"},
		`{"datacenters":{"default":{"serverless":{"url":"ftp://x","request_lifespan":900}}}}`: {"runner_config.invalid", "datacenters.default.serverless.url"},
		`{"serverless":{"url":"http://x"}}`:                                                   {"runner_config.invalid", "request_lifespan"},
		`{"serverless":{"url":"http://x","requestLifespan":9,"headers":{"a":"set"}}}`:         {"runner_config.invalid", "serverless.headers.a"},
		`{"serverless":{"url":"http://x","requestLifespan":9,"headers":{"x-rivet-a":"b"}}}`:   {"runner_config.invalid", "serverless.headers"},
		`{"serverless":{"url":"http://x","requestLifespan":9,"drainGracePeriod":9}}`:          {"runner_config.invalid", "serverless.drainGracePeriod"},
		`{"serverless":{"url":"http://x","requestLifespan":9,"speed":9}}`:                     {"runner_config.invalid", "serverless.speed"},
		`{"normal":{"url":"http://x"}}`:                                                       {"runner_config.invalid", "normal.url"},
		`{"datacenters":{"default":{"normal":{"speed":1}}}}`:                                  {"runner_config.invalid", "datacenters.default.normal.speed"},
		`{"datacenters":{"default":{"normal":{},"speed":1}}}`:                                 {"runner_config.invalid", "datacenters.default.speed"},
		`{"datacenters":{"default":{"normal":{"placement":"random"}}}}`:                       {"runner_config.invalid", "datacenters.default.normal.placement"},
		`{"datacenters":{"default":{"normal":{"drain_on_version_upgrade":1}}}}`:               {"runner_config.invalid", "datacenters.default.normal.drain_on_version_upgrade"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":-1}}}}`:                  {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":4294967296}}}}`:          {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_delay":1.5}}}}`:                 {"runner_config.invalid", "datacenters.default.normal.actor_eviction_delay"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":0}}}}`:                    {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":-3}}}}`:                   {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":1e300}}}}`:                {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":1e999}}}}`:                {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":9e-7}}}}`:                 {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":100001}}}}`:               {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":"NaN"}}}}`:                {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{"actor_eviction_rate":true}}}}`:                 {"runner_config.invalid", "datacenters.default.normal.actor_eviction_rate"},
		`{"datacenters":{"default":{"normal":{},"drainOnVersionUpgrade":1}}}`:                 {"runner_config.invalid", "datacenters.default.drainOnVersionUpgrade"},
		`{"normal":{},"drainOnVersionUpgrade":true,"drain_on_version_upgrade":true}`:          {"runner_config.invalid", "drain_on_version_upgrade"},
		`{"normal":{"actorEvictionRate":1,"actor_eviction_rate":1}}`:                          {"runner_config.invalid", "normal.actor_eviction_rate"},
		`{"normal":{"runner_lost_threshold":5}}`:                                              {"runner_config.invalid", "normal.runner_lost_threshold"},
		`{"normal":{"actorEvictionDelay":4,"actor_eviction_delay":4}}`:                        {"runner_config.invalid", "normal.actor_eviction_delay"},
		`{"normal":{"placement":"spread","placement":"binpack"}}`:                             {"runner_config.invalid", "normal.placement"},
		`{"Normal":{}}`:                         {"runner_config.invalid", "Normal"},
		`{"normal":{"actor_evictionRate":1}}`:   {"runner_config.invalid", "normal.actor_evictionRate"},
		`{"normal":{"ActorEvictionRate":1}}`:    {"runner_config.invalid", "normal.ActorEvictionRate"},
		"{\"normal\":{},\"metadata\":\"\xff\"}": {"api.bad_request", "metadata"},
		`{"normal":{},"metadata":{"a":}}`:       {"api.bad_request", ""},
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
		`{"datacenters":{"default":{"normal":{"placement":"binpack"},"metadata":{"a":[1,2]}}}}`:                 {"binpack", `{"a":[1,2]}`},
		`{"normal":{"placement":"binpack"}}`:                                                                    {"binpack", ""},
		`{"normal":{"drainOnVersionUpgrade":false,"actorEvictionDelay":null,"placement":null},"metadata":null}`: {"spread", ""},
		`{"datacenters":{"default":{"metadata":"text","normal":{}}}}`:                                           {"spread", `"text"`},
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
	for body, drains := range map[string]bool{
		`{"normal":{}}`: true,
		`{"normal":{"drain_on_version_upgrade":null}}`:                                  true,
		`{"normal":{"drainOnVersionUpgrade":false}}`:                                    false,
		`{"normal":{"drain_on_version_upgrade":true},"drain_on_version_upgrade":false}`: false, // the one beside the kind wins
		`{"normal":{"drain_on_version_upgrade":false},"drainOnVersionUpgrade":true}`:    true,
		`{"normal":{"drain_on_version_upgrade":false},"drain_on_version_upgrade":null}`: false,
	} {
		ok(t, call(h, "PUT", configPath, body))
		if got := read[datacentersOfConfig](t, ok(t, call(h, "GET", configPath, ""))).Datacenters["default"]; got.Normal.DrainOnVersionUpgrade != drains {
			t.Errorf("%s: drains %v, want %v", body, got.Normal.DrainOnVersionUpgrade, drains)
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

// TestARateIsKeptToTheMillionth: what is written as a decimal, as a float of 32 bits or with an exponent is kept as the nearest millionth.
func TestARateIsKeptToTheMillionth(t *testing.T) {
	_, h := newHandler(0)
	for written, want := range map[string]float64{
		"1": 1, "0.1": 0.1, "16.7": 16.7, "1e5": 1e5, "100000": 1e5, "1e-6": 1e-6, "0.000001": 1e-6,
		"9.999999974752427e-7": 1e-6, // the lower limit as a float of 32 bits
		"0.10000000149011612":  0.1,
		"3.14159265":           3.141593,
		"100000.001":           1e5, // the upper limit, as a float of 32 bits
	} {
		ok(t, call(h, "PUT", configPath, `{"normal":{"actorEvictionRate":`+written+`}}`))
		got := read[datacentersOfConfig](t, ok(t, call(h, "GET", configPath, ""))).Datacenters["default"].Normal.ActorEvictionRate
		if got != want {
			t.Errorf("%s is kept as %v, want %v", written, got, want)
		}
	}
	for _, written := range []string{"0", "-1", `"NaN"`, `"unlimited"`, "1e999"} {
		r := call(h, "PUT", configPath, `{"normal":{"actor_eviction_rate":`+written+`}}`)
		if r.status != http.StatusBadRequest || !strings.Contains(r.text, "rollout pause") || !strings.Contains(r.text, "unlimited") {
			t.Errorf("%s: %d %s; want to be told of `rollout pause` and `unlimited`", written, r.status, r.text)
		}
	}
}

// TestWhatIsReadCanBeWritten: a read, a change of one field, a write: the other fields stay as they are.
func TestWhatIsReadCanBeWritten(t *testing.T) {
	_, h := newHandler(0)
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.Uint64Range(1, 1e11).Draw(t, "rate, in millionths")
		config := &callboardv1.PoolConfig{ActorEvictionRateMicros: &micros, Placement: rapid.SampledFrom([]callboardv1.Placement{1, 2}).Draw(t, "placement")}
		if rapid.Bool().Draw(t, "all are given") {
			drain, delay, period := rapid.Bool().Draw(t, "drain"), rapid.Uint32().Draw(t, "delay"), rapid.Uint32().Draw(t, "period")
			threshold := rapid.Uint32Range(10, 600).Draw(t, "threshold")
			config.DrainOnVersionUpgrade, config.ActorEvictionDelay, config.ActorEvictionPeriod, config.RunnerLostThreshold = &drain, &delay, &period, &threshold
			config.MetadataJson = `{"a":[1,"x"]}`
		}
		a := &api{Config: Config{Datacenter: "default"}}
		body, err := json.Marshal(a.runnerConfig(&callboardv1.Pool{Config: config}))
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeConfig(body, "default")
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		body2, err := json.Marshal(a.runnerConfig(&callboardv1.Pool{Config: again.config}))
		if err != nil || again.config.GetActorEvictionRateMicros() != micros || !bytes.Equal(body, body2) {
			t.Fatalf("%s is kept as %s (%v)", body, body2, err)
		}
	})
	ok(t, call(h, "PUT", configPath, `{"normal":{"actor_eviction_delay":5,"actor_eviction_period":60,"actor_eviction_rate":0.5,"runner_lost_threshold":30},"metadata":{"team":"a"}}`))
	first := ok(t, call(h, "GET", configPath, ""))
	ok(t, call(h, "PUT", configPath, first.text))
	if second := ok(t, call(h, "GET", configPath, "")); second.text != first.text {
		t.Errorf("%s is kept as %s", first.text, second.text)
	}
	want := normalBody{DrainOnVersionUpgrade: true, ActorEvictionDelay: 5, ActorEvictionPeriod: 60, ActorEvictionRate: 0.5, RunnerLostThreshold: 30, Placement: "spread"}
	if got := read[datacentersOfConfig](t, first).Datacenters["default"].Normal; got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
