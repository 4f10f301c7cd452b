package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// TestWhatPagesMayAsk: a web page calls a node only if the node served it, or if its origin is allowed. What is no browser notices nothing.
func TestWhatPagesMayAsk(t *testing.T) {
	const console = "http://console.example"
	closed := New(Config{Log: slog.New(slog.DiscardHandler)})
	open := New(Config{Log: slog.New(slog.DiscardHandler), AllowOrigins: []string{console}})
	all := New(Config{Log: slog.New(slog.DiscardHandler), AllowOrigins: []string{"*"}})
	for _, test := range []struct {
		name    string
		handler http.Handler
		method  string
		headers []string
		want    int
	}{
		{"no browser", closed, "GET", nil, 200},
		{"a page of the node", closed, "GET", []string{"Origin", "http://example.com", "Sec-Fetch-Site", "same-origin"}, 200}, // the Host of test requests
		{"somebody who types the address", closed, "GET", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		{"a link on a page", closed, "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"an image on a page", closed, "GET", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"another port of the machine", closed, "GET", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a form on a page", closed, "POST", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},
		{"a page elsewhere", closed, "GET", []string{"Origin", console}, 403},
		{"a page without an origin", closed, "GET", []string{"Origin", "null"}, 403},
		{"the same host at another port", closed, "GET", []string{"Origin", "http://example.com:81"}, 403},
		{"a preflight", closed, "OPTIONS", []string{"Origin", console, "Access-Control-Request-Method", "PUT"}, 403},
		{"an origin that is allowed", open, "GET", []string{"Origin", console}, 200},
		{"another than the one that is allowed", open, "GET", []string{"Origin", "http://console.example.evil"}, 403},
		{"any origin", all, "GET", []string{"Origin", "http://anywhere.example"}, 200},
	} {
		r := call(test.handler, test.method, "/health", "", test.headers...)
		if r.status != test.want {
			t.Errorf("%s: %d, want %d", test.name, r.status, test.want)
		}
		if test.want == http.StatusForbidden {
			expectError(t, r, http.StatusForbidden, "api.origin_not_allowed", "")
			if r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: refused, and yet %v", test.name, r.header)
			}
		}
	}
	r := call(open, "OPTIONS", "/actors", "", "Origin", console, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-a, x-b")
	if r.status != http.StatusNoContent || r.header.Get("Access-Control-Allow-Origin") != console ||
		r.header.Get("Access-Control-Allow-Methods") != "PUT" || r.header.Get("Access-Control-Allow-Headers") != "x-a, x-b" ||
		r.header.Get("Access-Control-Allow-Credentials") != "true" || !strings.Contains(strings.Join(r.header.Values("Vary"), " "), "Origin") {
		t.Errorf("%d %v", r.status, r.header)
	}
}

// TestAForeignNameForLoopback: a name that somebody made point at this machine is not answered for.
func TestAForeignNameForLoopback(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler), Loopback: true, AllowOrigins: []string{"https://api.example"}})
	for host, want := range map[string]int{
		"127.0.0.1:6420": 200, "[::1]:6420": 200, "localhost:6420": 200, "localhost": 200, "a.localhost:1": 200, "10.0.0.1": 200, "api.example": 200,
		"evil.example:6420": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example:6420": 403, "api.example:81": 403, "evil": 403,
	} {
		if r := call(h, "GET", "/health", "", "Host", host); r.status != want {
			t.Errorf("%s: %d, want %d", host, r.status, want)
		}
	}
}

func TestOriginsAreChecked(t *testing.T) {
	for origin, fine := range map[string]bool{
		"*": true, "http://a": true, "https://a.example:8080": true,
		"": false, "a.example": false, "https://a.example/": false, "https://a.example/x": false, "ftp://a": false, "https://": false, "https://*.example?": false,
	} {
		if err := CheckOrigin(origin); (err == nil) != fine {
			t.Errorf("%q: %v", origin, err)
		}
	}
}
