package httpapi

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// schema is as much of JSON Schema as testdata/shapes.json uses. The file holds the shapes that published clients know.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"` // one name or several
	Enum       []string           `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Additional json.RawMessage    `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	AllOf      []*schema          `json:"allOf"`
	OneOf      []*schema          `json:"oneOf"`
}

type shapes map[string]*schema

func readShapes(t *testing.T) shapes {
	t.Helper()
	text, err := os.ReadFile("testdata/shapes.json")
	if err != nil {
		t.Fatal(err)
	}
	var s shapes
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// check returns what of a value a client that knows the schema would stumble over.
func (s shapes) check(at string, c *schema, v any) (findings []string) {
	bad := func(format string, args ...any) { findings = append(findings, at+": "+fmt.Sprintf(format, args...)) }
	if c.Ref != "" {
		name := c.Ref[strings.LastIndex(c.Ref, "/")+1:]
		if s[name] == nil {
			return []string{at + ": no schema " + name}
		}
		return s.check(at, s[name], v)
	}
	for _, part := range c.AllOf {
		findings = append(findings, s.check(at, part, v)...)
	}
	if len(c.OneOf) > 0 && !slices.ContainsFunc(c.OneOf, func(one *schema) bool { return len(s.check(at, one, v)) == 0 }) {
		bad("none of the alternatives")
	}
	if types := typesOf(c.Type); len(types) > 0 && !slices.ContainsFunc(types, func(name string) bool { return hasType(name, v) }) {
		bad("%v is not %v", v, types)
	}
	if text, isText := v.(string); isText && len(c.Enum) > 0 && !slices.Contains(c.Enum, text) {
		bad("%q is not one of %v", text, c.Enum)
	}
	if list, isList := v.([]any); isList && c.Items != nil {
		for i, item := range list {
			findings = append(findings, s.check(fmt.Sprintf("%s[%d]", at, i), c.Items, item)...)
		}
	}
	object, isObject := v.(map[string]any)
	if !isObject {
		return findings
	}
	for _, name := range c.Required {
		if _, there := object[name]; !there {
			bad("%s is missing", name)
		}
	}
	for name, value := range object {
		switch known := c.Properties[name]; {
		case known != nil:
			findings = append(findings, s.check(at+"."+name, known, value)...)
		case strings.Contains(at, ".runners[") && slices.Contains(addedToRunners, name):
		case string(c.Additional) == "false":
			bad("%s is unknown to clients", name)
		case strings.HasPrefix(string(c.Additional), "{"):
			var more schema
			if err := json.Unmarshal(c.Additional, &more); err != nil {
				bad("the schema itself: %v", err)
			}
			findings = append(findings, s.check(at+"."+name, &more, value)...)
		}
	}
	return findings
}

func typesOf(t any) (names []string) {
	switch t := t.(type) {
	case string:
		return []string{t}
	case []any:
		for _, name := range t {
			names = append(names, fmt.Sprint(name))
		}
	}
	return names
}

func hasType(name string, v any) bool {
	switch v := v.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case string:
		return name == "string"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}

// TestAnswersHaveTheShapesThatClientsKnow holds every answer against the published schema of its operation.
func TestAnswersHaveTheShapesThatClientsKnow(t *testing.T) {
	e, h := newHandler(1)
	shapes := readShapes(t)
	running := create(t, h, `{"name":"a","key":"k","input":"aGk=","runner_name_selector":"p","crash_policy":"sleep","datacenter":"default"}`)
	create(t, h, newActor) // pending
	e.ReportRunning()
	ok(t, call(h, "PUT", "/runner-configs/configured?namespace=default", `{"datacenters":{"default":{"normal":{},"metadata":{"x":[1]}}}}`))
	for _, test := range []struct{ schema, method, path, body string }{
		{"ActorsCreateResponse", "POST", "/actors?namespace=default", newActor},
		{"ActorsGetOrCreateResponse", "PUT", "/actors?namespace=default", `{"name":"a","key":"k","runner_name_selector":"p","crash_policy":"sleep"}`},
		{"ActorsListResponse", "GET", "/actors?namespace=default&name=a&limit=2", ""},
		{"ActorsListResponse", "GET", "/actors?namespace=default&name=nobody", ""},
		{"ActorsListNamesResponse", "GET", "/actors/names?namespace=default", ""},
		{"RunnersListResponse", "GET", "/runners?namespace=default", ""},
		{"RunnersListNamesResponse", "GET", "/runners/names?namespace=default", ""},
		{"NamespaceListResponse", "GET", "/namespaces", ""},
		{"NamespacesCreateResponse", "POST", "/namespaces", `{"name":"n","display_name":"N"}`},
		{"RunnerConfigsListResponse", "GET", "/runner-configs?namespace=default", ""},
		{"RunnerConfigsUpsertResponse", "PUT", "/runner-configs/other?namespace=default", `{"datacenters":{"default":{"normal":{}}}}`},
		{"RunnerConfigsDeleteResponse", "DELETE", "/runner-configs/other?namespace=default", ""},
		{"MetadataGetResponse", "GET", "/metadata", ""},
		{"HealthResponse", "GET", "/health", ""},
		{"DatacentersListResponse", "GET", "/datacenters", ""},
		{"ActorsRescheduleResponse", "POST", "/actors/" + running + "/reschedule?namespace=default", "{}"},
		{"ActorsSleepResponse", "POST", "/actors/" + running + "/sleep?namespace=default", "{}"},
	} {
		answer := ok(t, call(h, test.method, test.path, test.body, "Content-Type", "application/json"))
		for _, finding := range shapes.check(test.schema, shapes[test.schema], read[any](t, answer)) {
			t.Errorf("%s %s: %s", test.method, test.path, finding)
		}
	}
}

// addedToRunners is what only this engine tells of a runner.
var addedToRunners = []string{"state", "holder", "lease_age_ms", "lost_threshold_ms", "ineligible_reason", "on_lease_lost", "actor_names", "drain"}

// TestTheShapeCheckCanFail breaks an answer in every way that the check should see.
func TestTheShapeCheckCanFail(t *testing.T) {
	shapes := readShapes(t)
	for answer, want := range map[string]string{
		`{"namespaces":[]}`:                                     "pagination is missing",
		`{"namespaces":{},"pagination":{}}`:                     "is not [array]",
		`{"namespaces":[{"name":1}],"pagination":{}}`:           "is not [string]",
		`{"namespaces":[],"pagination":{"cursor":null},"x":1}`:  "x is unknown",
		`{"namespaces":[],"pagination":{"cursor":7}}`:           "is not [string null]",
		`{"namespaces":[{"create_ts":1.5}],"pagination":{}}`:    "is not [integer]",
		`{"namespaces":[{"create_ts":"1"}],"pagination":{}}`:    "is not [integer]",
		`{"namespaces":[{"name":"a"}],"pagination":{"more":1}}`: "more is unknown",
	} {
		findings := shapes.check("answer", shapes["NamespaceListResponse"], read[any](t, reply{text: answer}))
		if !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }) {
			t.Errorf("%s: %q, want %q", answer, findings, want)
		}
	}
}

// TestKeepIsShown over HTTP: by its runner, and by the actors there.
func TestKeepIsShown(t *testing.T) {
	e, h := newHandler(1)
	ok(t, call(h, "GET", "/runners?namespace=default", ""))
	full := create(t, h, newActor)
	e.AddKeeper("p", "keeper", 1, 1)
	there := create(t, h, newActor)
	for _, r := range read[runnersBody](t, ok(t, call(h, "GET", "/runners?namespace=default", ""))).Runners {
		if want := map[string]string{"first": "fence", "keeper": "keep"}[r.Key]; r.OnLeaseLost != want {
			t.Errorf("runner %s: on_lease_lost is %q, want %q", r.Key, r.OnLeaseLost, want)
		}
	}
	for id, want := range map[string]bool{full: false, there: true} {
		answer := ok(t, call(h, "GET", "/actors/"+id+"?namespace=default", ""))
		if got := read[oneActorBody](t, answer).Actor.MayRunTwice; got != want {
			t.Errorf("may_run_twice is %v, want %v: %s", got, want, answer.text)
		}
	}
}

// TestATokenIsNotLookedAt: a request that shows one is answered as ever, and told that nobody looked.
func TestATokenIsNotLookedAt(t *testing.T) {
	_, h := newHandler(1)
	if answer := ok(t, call(h, "GET", "/runners?namespace=default", "", "Authorization", "Bearer dev")); answer.header.Get("X-Callboard-Authentication") != "none" {
		t.Errorf("with a token: %v", answer.header)
	}
	if answer := ok(t, call(h, "GET", "/runners?namespace=default", "")); answer.header.Get("X-Callboard-Authentication") != "" {
		t.Errorf("without: %v", answer.header)
	}
}

// TestActorsShowMore than the clients of old knew.
func TestActorsShowMore(t *testing.T) {
	e, h := newHandler(1)
	id := create(t, h, newActor)
	e.ReportRunning()
	answer := ok(t, call(h, "GET", "/actors/"+id+"?namespace=default", ""))
	a := read[oneActorBody](t, answer).Actor
	if a.State != "running" || a.Generation != 1 || a.RunnerID == nil || a.Datacenter != "default" || a.RunnerNameSelector != "p" || a.ConnectableTs == nil || a.Key != nil {
		t.Errorf("%s", answer.text)
	}
	for _, number := range []string{`"create_ts":1`, `"generation":1`, `"destroy_ts":null`} {
		if !strings.Contains(answer.text, number) {
			t.Errorf("no %s in %s", number, answer.text)
		}
	}
	if answer.header.Get("X-Callboard-Index") == "" {
		t.Error("no X-Callboard-Index")
	}
	explained := read[explainBody](t, ok(t, call(h, "GET", "/actors/"+id+"/explain?namespace=default", "")))
	if explained.Decision == nil || explained.Decision.Chosen == nil || *explained.Decision.Chosen != *a.RunnerID || explained.Summary == "" {
		t.Errorf("explain: %+v", explained)
	}
	cluster := read[clusterBody](t, ok(t, call(h, "GET", "/cluster", "")))
	if cluster.Leader == nil || *cluster.Leader != "n1" || len(cluster.Peers) != 3 || cluster.LiveActors != 1 {
		t.Errorf("cluster: %+v", cluster)
	}
}
