package httpapi

import (
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestOutcomesHaveTheirStatus(t *testing.T) {
	for _, test := range []struct {
		err        error
		status     int
		name       string
		retryAfter string
	}{
		{callboardv1.ErrNoLeader, 503, "cluster.no_leader", "1"},
		{callboardv1.ErrOverloaded, 429, "cluster.overloaded", "1"},
		{callboardv1.ErrOutcomeUnknown, 504, "cluster.outcome_unknown", ""},
		{net.ErrClosed, 504, "cluster.outcome_unknown", ""},
		{callboardv1.Refuse("cluster", "idempotency_full", "full").With("retry_after_ms", "10000"), 429, "cluster.idempotency_full", "10"},
		{callboardv1.Refuse("actor", "some_new_code", "new"), 400, "actor.some_new_code", ""},
	} {
		e, h := newHandler(0)
		e.FailNext(test.err)
		r := call(h, "POST", "/actors?namespace=default", newActor)
		expectError(t, r, test.status, test.name, "")
		if got := r.header.Get("Retry-After"); got != test.retryAfter {
			t.Errorf("%v: Retry-After %q, want %q", test.err, got, test.retryAfter)
		}
	}
}

func TestARetryWithTheSameKeyTakesEffectOnce(t *testing.T) {
	_, h := newHandler(0)
	first := ok(t, call(h, "POST", "/actors?namespace=default", newActor, "Idempotency-Key", "k"))
	second := ok(t, call(h, "POST", "/actors?namespace=default", newActor, "Idempotency-Key", "k"))
	if first.text != second.text {
		t.Errorf("%s, then %s", first.text, second.text)
	}
	third := ok(t, call(h, "POST", "/actors?namespace=default", newActor, "Idempotency-Key", "l"))
	if third.text == first.text {
		t.Error("another key gave the same actor")
	}
}

func TestDeleteWaitsAnd202WhenItTakesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, h := newHandler(1)
		id := create(t, h, `{"name":"a","key":"k","runner_name_selector":"p","crash_policy":"restart"}`)
		e.ReportRunning()
		for timeout, want := range map[string]time.Duration{"0": time.Millisecond, "1500": 1500 * time.Millisecond, "2s": 2 * time.Second} {
			begin := time.Now()
			r := call(h, "DELETE", "/actors/"+id+"?namespace=default&timeout="+timeout, "")
			if took := time.Since(begin); r.status != http.StatusAccepted || r.text != "{}\n" || took != want {
				t.Errorf("timeout=%s: %d %q after %v; want 202 {} after %v", timeout, r.status, r.text, took, want)
			}
		}
		busy := call(h, "POST", "/actors?namespace=default", `{"name":"a","key":"k","runner_name_selector":"p","crash_policy":"restart"}`)
		expectError(t, busy, http.StatusConflict, "actor.key_busy", "")
		if busy.header.Get("Retry-After") != "1" {
			t.Errorf("key_busy: Retry-After %q", busy.header.Get("Retry-After"))
		}
		time.AfterFunc(time.Second, e.ReportStopped)
		begin := time.Now()
		if r := call(h, "DELETE", "/actors/"+id+"?namespace=default", ""); r.status != http.StatusOK || r.text != "{}\n" || time.Since(begin) != time.Second {
			t.Errorf("%d %q after %v; want 200 {} after 1s", r.status, r.text, time.Since(begin))
		}
		if r := call(h, "DELETE", "/actors/"+id+"?namespace=default", ""); r.status != http.StatusOK {
			t.Errorf("again: %d %s", r.status, r.text)
		}
	})
}

func TestSleepWakeAndResolve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, h := newHandler(1)
		id := create(t, h, newActor)
		e.ReportRunning()
		ok(t, call(h, "POST", "/actors/"+id+"/sleep?namespace=default", ""))
		e.ReportStopped()
		time.AfterFunc(time.Second, e.ReportRunning)
		r := read[resolvedBody](t, ok(t, call(h, "POST", "/actors/"+id+"/resolve?namespace=default", "{}")))
		if r.Generation != 2 || r.RunnerAddr == nil || *r.RunnerAddr != "10.0.0.1:7000" || r.ActorID != id {
			t.Errorf("%+v", r)
		}
		ok(t, call(h, "POST", "/actors/"+id+"/sleep?namespace=default", "{}"))
		expectError(t, call(h, "GET", "/actors/"+id+"?namespace=default&wait=running&timeout=1s", ""), http.StatusGatewayTimeout, "api.timeout", "")
		e.ReportStopped()
		ok(t, call(h, "POST", "/actors/"+id+"/wake?namespace=default", ""))
		time.AfterFunc(time.Second, e.ReportRunning)
		a := read[oneActorBody](t, ok(t, call(h, "GET", "/actors/"+id+"?namespace=default&wait=running", ""))).Actor
		if a.State != "running" || a.Generation != 3 {
			t.Errorf("%+v", a)
		}
	})
}
