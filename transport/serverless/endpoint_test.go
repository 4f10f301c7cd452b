package serverless

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const instance = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"

func TestAStreamIsRead(t *testing.T) {
	for _, test := range []struct {
		name, text, claimed, code string
		end                       error
	}{
		{"it ends well", "event: instance\ndata: " + instance + "\n\n: here\n\nevent: end\ndata: {}\n\n", instance, "", errEnd},
		{"line ends of another kind", "event: instance\r\ndata: " + instance + "\r\n\r\nevent: end\r\n\r\n", instance, "", errEnd},
		{"it just ends", "event: ping\n\n", "", "", io.EOF},
		{"an end that is cut off is none", "event: end\n", "", "", io.EOF},
		{"another library's first event", "data: AAEC\n\nevent: ping\n\n", "", "", io.EOF},
		{"no instance", "event: instance\ndata: x\n\n", "", "serverless.invalid_sse_payload", nil},
		{"a line without end", strings.Repeat("x", maxEventBytes+1), "", "serverless.invalid_sse_payload", nil},
		{"a stream without end", strings.Repeat(": spam\n", maxStreamBytes/7+1), "", "serverless.invalid_sse_payload", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var claimed string
			err := (&stream{claimed: func(id string) { claimed = id }}).read(strings.NewReader(test.text))
			refusal, _ := callboardv1.AsRefusal(err)
			if claimed != test.claimed || test.end != nil && !errors.Is(err, test.end) || test.code != "" && refusal.Name() != test.code {
				t.Errorf("claimed by %q, %v; want %q, %v %s", claimed, err, test.claimed, test.end, test.code)
			}
		})
	}
}

// What /metadata says, and each way in which it can be wrong, by the reference's kinds.
func TestMetadataIsChecked(t *testing.T) {
	var answer func(http.ResponseWriter, *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	text := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, test := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		code   string
	}{
		{"right", text(200, `{"runtime":"rivetkit","version":"2.3","runner":{"version":7},"actorNames":{"b":{},"a":{}}}`), ""},
		{"an error", text(500, "boom"), "serverless.non_success_status"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "serverless.non_success_status"},
		{"a page", text(200, "<html>"), "serverless.invalid_response_json"},
		{"something else", text(200, `{"runtime":"cron","version":"1"}`), "serverless.invalid_response_schema"},
		{"too much", text(200, `{"runtime":"`+strings.Repeat("x", maxMetadataBytes)+`"}`), "serverless.invalid_response_json"},
		{"a broken connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "serverless.request_failed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var calls atomic.Int32
			answer = func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				if r.URL.Path != "/api/metadata" || r.URL.RawQuery != "k=v" || r.Header.Get("Authorization") != "secret" || r.Header.Get("Accept-Encoding") != "" {
					t.Errorf("asked %s with %v", r.URL, r.Header)
				}
				test.answer(w, r)
			}
			check := Check(context.Background(), &Policy{AllowLoopback: true}, server.URL+"/api/?k=v", []*logv1.HeaderField{{Name: "Authorization", Value: "secret"}})
			if n := calls.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
			if got := check.GetError(); (got == nil) != (test.code == "") || got != nil && got.Name() != test.code {
				t.Errorf("%v, want %q", got, test.code)
			}
			if test.code == "" && (check.GetRunnerVersion() != 7 || check.GetVersion() != "2.3" || strings.Join(check.GetActorNames(), "") != "ab") {
				t.Errorf("read %v", check)
			}
		})
	}
	check := Check(context.Background(), &Policy{}, server.URL, nil)
	if check.GetError().Name() != "serverless.address_denied" {
		t.Errorf("loopback is not allowed: %v", check.GetError())
	}
}
