package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const someID = "01977420-dc00-7000-8000-0000000000ff"

// TestBadInputIsRefusedByName: every row is one thing wrong; it is refused with its own status and code, about its own field.
func TestBadInputIsRefusedByName(t *testing.T) {
	_, h := newHandler(1)
	existing := create(t, h, `{"name":"a","key":"taken","runner_name_selector":"p","crash_policy":"restart"}`)
	actor := func(change string) string {
		return strings.Replace(newActor, `"name"`, change+`,"name"`, 1)
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, 4<<20+1))
	ids := strings.TrimSuffix(strings.Repeat(someID+",", 33), ",")
	for _, test := range []struct {
		method, path, body string
		status             int
		want, field        string
	}{
		{"GET", "/", "", 404, "api.not_found", ""},
		{"GET", "/actor", "", 404, "api.not_found", ""},
		{"GET", "/actors/a/b/c", "", 404, "api.not_found", ""},
		{"PATCH", "/actors", "", 405, "api.method_not_allowed", ""},
		{"DELETE", "/health", "", 405, "api.method_not_allowed", ""},

		{"GET", "/actors?name=a", "", 400, "api.bad_request", "namespace"},
		{"GET", "/actors?namespace=elsewhere&name=a", "", 404, "namespace.not_found", ""},
		{"GET", "/actors?namespace=default", "", 400, "validation.invalid_input", "name"},
		{"GET", "/actors?namespace=default&key=k", "", 400, "validation.invalid_input", "name"},
		{"GET", "/actors?namespace=default&name=a&key=", "", 400, "actor.empty_key", "key"},
		{"GET", "/actors?namespace=default&name=a&limit=-1", "", 400, "api.bad_request", "limit"},
		{"GET", "/actors?namespace=default&name=a&limit=18446744073709551616", "", 400, "api.bad_request", "limit"},
		{"GET", "/actors?namespace=default&name=a&limit=x", "", 400, "api.bad_request", "limit"},
		{"GET", "/actors?namespace=default&name=a&cursor=1234", "", 400, "api.bad_request", "cursor"},
		{"GET", "/actors?namespace=default&name=a&include_destroyed=perhaps", "", 400, "api.bad_request", "include_destroyed"},
		{"GET", "/actors?namespace=default&name=a&consistency=eventual", "", 400, "api.bad_request", "consistency"},
		{"GET", "/actors?namespace=default&name=a&colour=red", "", 400, "api.bad_request", "colour"},
		{"GET", "/actors?namespace=default&name=a&name=b", "", 400, "api.bad_request", "name"},
		{"GET", "/actors?namespace=elsewhere&name=a&namespace=default", "", 400, "api.bad_request", "namespace"},
		{"GET", "/actors?namespace=default&actor_ids=" + someID + "&actor_ids=" + someID, "", 400, "api.bad_request", "actor_ids"},
		{"GET", "/actors?namespace=default&name=a;limit=1", "", 400, "api.bad_request", "query"},
		{"GET", "/actors?namespace=default&name=a&key=%zz", "", 400, "api.bad_request", "query"},
		{"DELETE", "/actors/" + existing + "?namespace=default&timeout=1s&timeout=2s", "", 400, "api.bad_request", "timeout"},
		{"GET", "/actors?namespace=default&actor_ids=" + ids, "", 400, "validation.too_many_actor_ids", "actor_ids"},
		{"GET", "/actors?namespace=default&actor_ids=x", "", 400, "api.bad_request", "actor_ids"},
		{"GET", "/actors?namespace=default&actor_id=x", "", 400, "api.bad_request", "actor_ids"},
		{"GET", "/actors?namespace=default&name=a&actor_id=" + someID, "", 400, "validation.invalid_input", "actor_ids"},
		{"GET", "/actors?namespace=default&name=a&runner_id=" + someID, "", 400, "validation.invalid_input", "runner_id"},
		{"GET", "/actors?namespace=default&key=k&runner_id=" + someID, "", 400, "validation.invalid_input", "runner_id"},
		{"GET", "/actors?namespace=default&actor_id=" + someID + "&runner_id=" + someID, "", 400, "validation.invalid_input", "runner_id"},
		{"GET", "/actors?namespace=default&include_destroyed=true&runner_id=" + someID, "", 400, "validation.invalid_input", "include_destroyed"},
		{"GET", "/actors?namespace=default&runner_id=x", "", 400, "api.bad_request", "runner_id"},
		{"GET", "/actors?namespace=default&runner_id=", "", 400, "validation.invalid_input", "name"},
		{"GET", "/actors?namespace=default&runner_id=" + someID + "&runner_id=" + someID, "", 400, "api.bad_request", "runner_id"},
		{"GET", "/actors?namespace=default&runner_id=" + someID, "", 404, "runner.not_found", ""},
		{"GET", "/actors/" + someID + "?namespace=default", "", 404, "actor.not_found", ""},
		{"GET", "/actors/17?namespace=default", "", 400, "api.bad_request", "actor_id"},
		{"GET", "/actors/" + someID + "?namespace=default&wait=sleeping", "", 400, "api.bad_request", "wait"},
		{"GET", "/actors/" + someID + "?namespace=default&timeout=soon", "", 400, "api.bad_request", "timeout"},
		{"GET", "/actors/" + someID + "?namespace=default&timeout=11m", "", 400, "api.bad_request", "timeout"},
		{"GET", "/actors/" + someID + "?namespace=default&timeout=-1s", "", 400, "api.bad_request", "timeout"},
		{"GET", "/actors/" + existing + "/explain?namespace=default&runner_id=x", "", 400, "api.bad_request", "runner_id"},

		{"POST", "/actors?namespace=default", "", 400, "api.bad_request", ""},
		{"POST", "/actors?namespace=default", "{", 400, "api.bad_request", ""},
		{"POST", "/actors?namespace=default", "[]", 400, "api.bad_request", ""},
		{"POST", "/actors?namespace=default", newActor + "x", 400, "api.bad_request", ""},
		{"POST", "/actors?namespace=default", actor(`"nme":"b"`), 400, "api.bad_request", "nme"},
		{"POST", "/actors?namespace=default", actor(`"Key":"b"`), 400, "api.bad_request", "Key"},
		{"POST", "/actors?namespace=default", actor(`"name":"a"`), 400, "api.bad_request", "name"},
		{"POST", "/actors?namespace=default", actor(`"key":"b","n\u0061me":"b"`), 400, "api.bad_request", "name"},
		{"POST", "/actors?namespace=default", actor(`"x":[{"y":1,"y":2}]`), 400, "api.bad_request", "y"},
		{"POST", "/runners/" + someID + "/drain?namespace=default", `{"force":false,"force":true}`, 400, "api.bad_request", "force"},
		{"POST", "/actors?namespace=default", `{"name":"a","runner_name_selector":"p"}`, 400, "api.bad_request", ""},
		{"POST", "/actors?namespace=default", `{"name":"a","runner_name_selector":"p","crash_policy":"panic"}`, 400, "api.bad_request", "crash_policy"},
		{"POST", "/actors?namespace=default", `{"name":7,"runner_name_selector":"p","crash_policy":"restart"}`, 400, "api.bad_request", "name"},
		{"POST", "/actors?namespace=default", `{"name":"","runner_name_selector":"p","crash_policy":"restart"}`, 400, "validation.invalid_input", "name"},
		{"POST", "/actors?namespace=default", `{"name":"a","runner_name_selector":"","crash_policy":"restart"}`, 400, "api.bad_request", "pool"},
		{"POST", "/actors?namespace=default", `{"name":"a","runner_name_selector":"q","crash_policy":"restart"}`, 400, "actor.no_runner_config_configured", ""},
		{"POST", "/actors?namespace=default", actor(`"key":""`), 400, "actor.empty_key", "key"},
		{"POST", "/actors?namespace=default", actor(`"key":"` + strings.Repeat("k", 2048) + `"`), 400, "actor.key_too_large", "key"},
		{"POST", "/actors?namespace=default", actor("\"key\":\"\xff\""), 400, "api.bad_request", "key"},
		{"POST", "/actors?namespace=default", actor(`"key":"\ud83d"`), 400, "api.bad_request", "key"},
		{"POST", "/actors?namespace=default", actor(`"key":"\ude00\ud83d"`), 400, "api.bad_request", "key"},
		{"POST", "/actors?namespace=default", actor(`"key":"\ud83d\n"`), 400, "api.bad_request", "key"},
		{"PUT", "/actors?namespace=default", actor("\"key\":\"a\xc3\""), 400, "api.bad_request", "key"},
		{"GET", "/actors?namespace=default&name=a&key=%ff", "", 400, "api.bad_request", "key"},
		{"POST", "/namespaces", "{\"name\":\"a\",\"display_name\":\"\xff\"}", 400, "api.bad_request", "display_name"},
		{"POST", "/actors?namespace=default", actor(`"key":"taken"`), 409, "actor.duplicate_key", ""},
		{"POST", "/actors?namespace=default", actor(`"input":"not base64!"`), 400, "api.bad_request", "input"},
		{"POST", "/actors?namespace=default", actor(`"input":"` + big + `"`), 400, "actor.input_too_large", "input"},
		{"POST", "/actors?namespace=default", strings.Repeat(" ", 9<<20), 413, "api.payload_too_large", ""},
		{"POST", "/actors?namespace=default", actor(`"datacenter":"mars"`), 404, "datacenter.not_found", "datacenter"},
		{"PUT", "/actors?namespace=default", newActor, 400, "api.bad_request", ""},
		{"PUT", "/actors?namespace=default", actor(`"key":null`), 400, "api.bad_request", "key"},
		{"DELETE", "/actors/" + someID + "?namespace=default", "", 404, "actor.not_found", ""},
		{"DELETE", "/actors/" + existing + "?namespace=default&timeout=1h", "", 400, "api.bad_request", "timeout"},
		{"POST", "/actors/" + someID + "/sleep?namespace=default", "", 404, "actor.not_found", ""},
		{"POST", "/actors/" + someID + "/wake?namespace=default", `{"why":1}`, 400, "api.bad_request", "why"},
		{"POST", "/actors/x/resolve?namespace=default", "", 400, "api.bad_request", "actor_id"},

		{"GET", "/runners?namespace=default&runner_id=x", "", 400, "api.bad_request", "runner_ids"},
		{"GET", "/runners", "", 400, "api.bad_request", "namespace"},
		{"GET", "/runners/names?namespace=default&cursor=x", "", 400, "api.bad_request", "cursor"},
		{"POST", "/actors/" + someID + "/reschedule?namespace=default", "", 404, "actor.not_found", ""},
		{"POST", "/actors/x/reschedule?namespace=default", "", 400, "api.bad_request", "actor_id"},
		{"POST", "/runners/x/drain?namespace=default", "", 400, "api.bad_request", "runner_id"},
		{"POST", "/runners/" + someID + "/drain", "", 400, "api.bad_request", "namespace"},
		{"POST", "/runners/" + someID + "/drain?namespace=default", "", 404, "runner.not_found", ""},
		{"POST", "/runners/" + someID + "/drain?namespace=default", `{"deadline":"10m"}`, 400, "api.bad_request", "deadline"},
		{"POST", "/runners/" + someID + "/drain?namespace=default", `{"deadline_ms":-1}`, 400, "api.bad_request", "deadline_ms"},
		{"POST", "/runners/" + someID + "/drain?namespace=default", `{"deadline_ms":4294967296}`, 400, "api.bad_request", "deadline_ms"},
		{"POST", "/runners/" + someID + "/drain?namespace=default", `{"reason":"` + strings.Repeat("r", 257) + `"}`, 400, "api.bad_request", "reason"},
		{"POST", "/runners/" + someID + "/undrain?namespace=default", `{"force":true}`, 400, "api.bad_request", "force"},
		{"POST", "/runners/" + someID + "/undrain?namespace=elsewhere", "", 404, "namespace.not_found", ""},
		{"GET", "/pools/p/rollout", "", 400, "api.bad_request", "namespace"},
		{"GET", "/pools/p/rollout?namespace=default", "", 404, "pool.no_rollout", ""},
		{"GET", "/pools/p/rollout?namespace=default&id=x", "", 400, "api.bad_request", "id"},
		{"GET", "/pools/p/rollout?namespace=default&id=18446744073709551615", "", 404, "pool.no_rollout", ""},
		{"GET", "/pools/q/rollout?namespace=default", "", 404, "pool.not_found", ""},
		{"GET", "/pools/q%2Fr/rollout?namespace=default", "", 400, "api.bad_request", "pool"},
		{"GET", "/pools/p/rollouts?namespace=default&cursor=x", "", 400, "api.bad_request", "cursor"},
		{"POST", "/pools/p/rollout/pause?namespace=default", "", 404, "pool.no_rollout", ""},
		{"POST", "/pools/p/rollout/pause?namespace=default", `{"reason":"` + strings.Repeat("r", 257) + `"}`, 400, "api.bad_request", "reason"},
		{"POST", "/pools/p/rollout/resume?namespace=default", "", 404, "pool.no_rollout", ""},
		{"GET", "/pools/p/rollout/plan?namespace=default", "", 400, "api.bad_request", "to"},
		{"GET", "/pools/p/rollout/plan?namespace=default&to=-1", "", 400, "api.bad_request", "to"},
		{"GET", "/pools/p/rollout/plan?namespace=default&to=4294967296", "", 400, "api.bad_request", "to"},
		{"GET", "/pools/p/rollout/plan?namespace=default&to=2&slots=18446744073709551615", "", 400, "api.bad_request", "slots"},
		{"POST", "/namespaces", `{"name":"-a","display_name":"A"}`, 400, "namespace.failed_to_create", "name"},
		{"POST", "/namespaces", `{"name":"a","display_name":"` + strings.Repeat("€", 129) + `"}`, 400, "namespace.failed_to_create", "display_name"},
		{"POST", "/namespaces", `{"name":"a","display_name":" A"}`, 400, "namespace.failed_to_create", "display_name"},
		{"POST", "/namespaces", `{"name":"a"}`, 400, "api.bad_request", ""},
		{"POST", "/namespaces", `{"name":"default","display_name":"A"}`, 409, "namespace.name_not_unique", ""},
		{"POST", "/namespaces", `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, 413, "api.payload_too_large", ""},
		{"GET", "/runner-configs/nope?namespace=default", "", 404, "pool.not_found", ""},
		{"DELETE", "/runner-configs/nope?namespace=elsewhere", "", 404, "namespace.not_found", ""},
	} {
		name := fmt.Sprintf("%s %.60s %.60s", test.method, test.path, test.body)
		t.Run(name, func(t *testing.T) {
			expectError(t, call(h, test.method, test.path, test.body, "Content-Type", "application/json"), test.status, test.want, test.field)
		})
	}
}

func TestHeadersAreChecked(t *testing.T) {
	_, h := newHandler(0)
	path := "/actors?namespace=default"
	expectError(t, call(h, "POST", path, newActor, "Content-Type", "text/xml"), http.StatusUnsupportedMediaType, "api.unsupported_media_type", "")
	expectError(t, call(h, "POST", path, newActor, "Content-Type", "application/cbor"), http.StatusUnsupportedMediaType, "api.unsupported_media_type", "")
	expectError(t, call(h, "PUT", configPath, `{"normal":{}}`, "Content-Type", "application/x-www-form-urlencoded"), http.StatusUnsupportedMediaType, "api.unsupported_media_type", "Content-Type")
	expectError(t, call(h, "POST", path, newActor, "Content-Type", "json;;"), http.StatusUnsupportedMediaType, "api.unsupported_media_type", "Content-Type")
	ok(t, call(h, "POST", path, newActor, "Content-Type", "Application/JSON; charset=utf-8"))
	expectError(t, call(h, "POST", path, newActor, "Idempotency-Key", strings.Repeat("k", 129)), http.StatusBadRequest, "api.bad_request", "idempotency_key")
	expectError(t, call(h, "POST", path, newActor, "Idempotency-Key", "a b"), http.StatusBadRequest, "api.bad_request", "idempotency_key")
	expectError(t, call(h, "POST", path, newActor, "Content-Encoding", "gzip"), http.StatusUnsupportedMediaType, "api.unsupported_media_type", "Content-Encoding")
	ok(t, call(h, "POST", path, newActor, "Content-Encoding", "identity"))
	twice := httptest.NewRequest(http.MethodPost, path, strings.NewReader(newActor))
	twice.Header["Idempotency-Key"] = []string{"a", "b"}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, twice)
	expectError(t, reply{w.Code, w.Header(), w.Body.String()}, http.StatusBadRequest, "api.bad_request", "Idempotency-Key")
	if r := call(h, "PATCH", "/health", ""); r.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("Allow: %q", r.header.Get("Allow"))
	}
}

// TestADisplayNameIsCountedInCharacters, at every door.
func TestADisplayNameIsCountedInCharacters(t *testing.T) {
	_, h := newHandler(0)
	ok(t, call(h, "POST", "/namespaces", `{"name":"a","display_name":"`+strings.Repeat("€", 128)+`"}`))
}

// TestABodyMayBeAsLargeAsTheLimit, and not a byte larger.
func TestABodyMayBeAsLargeAsTheLimit(t *testing.T) {
	_, h := newHandler(0)
	path := "/actors?namespace=default"
	ok(t, call(h, "POST", path, newActor+strings.Repeat(" ", maxCreateBodyBytes-len(newActor))))
	expectError(t, call(h, "POST", path, newActor+strings.Repeat(" ", maxCreateBodyBytes+1-len(newActor))), http.StatusRequestEntityTooLarge, "api.payload_too_large", "")
}

// TestTextIsKept: whatever is text arrives as it was sent, also where it is written as escapes.
func TestTextIsKept(t *testing.T) {
	for raw, want := range map[string]string{
		`"\ud83d\ude00"`: "😀", "\"\ufffd\"": "\ufffd", `"\ufffd"`: "\ufffd", `"\\ud83d"`: `\ud83d`, `"\u0000\uD7FF\ue000"`: "\x00\ud7ff\ue000", `"é\"\\"`: `é"\`,
	} {
		var got string
		if failed := checkBody([]byte(raw), true); failed != nil || json.Unmarshal([]byte(raw), &got) != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", raw, got, failed, want)
		}
	}
	for _, raw := range []string{`"\`, `"\u`, `"\ud8`, `"\ud800`, `"\ud800\`, `"\ud800\u`, `"\ud800\ud`, `\`} {
		if checkBody([]byte(raw), true) == nil && json.Valid([]byte(raw)) {
			t.Errorf("%s was taken", raw)
		}
	}
}
