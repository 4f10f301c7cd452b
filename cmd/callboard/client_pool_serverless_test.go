package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestAServerlessPoolIsShown: what nobody knows yet is not shown as good, values of headers are not shown, and what was set is.
func TestAServerlessPoolIsShown(t *testing.T) {
	c := startCluster(t, 0)
	out := c.ok(t, "pool", "set", "s", "--serverless", "--url", "http://127.0.0.1:1/api/rivet", "--header", "Authorization=secret", "--request-lifespan", "900", "--slots-per-runner", "25")
	for _, want := range []string{
		`  url +http://127\.0\.0\.1:1/api/rivet`, `  headers +Authorization`, `  request_lifespan +900 s`, `  slots_per_runner +25`,
		`requests open +none`, `endpoint +not asked yet`, `endpoint serves +-`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(out) {
			t.Errorf("pool set does not show %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "secret") {
		t.Errorf("pool set shows the value of a header:\n%s", out)
	}
	if out := c.ok(t, "pool", "requests", "s"); !strings.Contains(out, "SLOTS ASKED") {
		t.Errorf("pool requests:\n%s", out)
	}
	pool := decode[poolAnswer](t, c.ok(t, "pool", "show", "s", "-o", "json")).Pool
	if s := pool.Config.Serverless; s == nil || !s.Headers["Authorization"] || s.RequestLifespan != 900 || pool.EndpointPollTS != 0 {
		t.Errorf("pool show: %+v", pool)
	}
}

// TestHowAnEndpointIsToldOf: its error with what is done about it, else what it has said.
func TestHowAnEndpointIsToldOf(t *testing.T) {
	failed := &endpointErrorJSON{Code: "http_error", Message: "500", Count: 1, TS: 1}
	for _, test := range []struct {
		pool poolJSON
		want string
	}{
		{poolJSON{}, `^not asked yet$`},
		{poolJSON{EndpointPollTS: 1}, `^answers, as of \d\d:\d\d:\d\d$`},
		{poolJSON{EndpointPollTS: 1, EndpointError: failed}, `^http_error: 500 \(once, at \d\d:\d\d:\d\d\)$`},
		{
			poolJSON{EndpointError: &endpointErrorJSON{Code: "http_error", Message: "500", Count: 2, TS: 1, RetryTS: 1}},
			`^http_error: 500 \(2 times, last at \d\d:\d\d:\d\d\), called again at \d\d:\d\d:\d\d$`,
		},
	} {
		if got := test.pool.endpointText(); !regexp.MustCompile(test.want).MatchString(got) {
			t.Errorf("%q, want %s", got, test.want)
		}
	}
}
