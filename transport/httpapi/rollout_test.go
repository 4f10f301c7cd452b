package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// asked is the last request that the services got: they answer with the same messages whatever they are asked.
type asked struct{ last proto.Message }

type askedRunners struct {
	callboardv1.UnimplementedRunnerServiceServer
	*asked
}

type askedRollouts struct {
	callboardv1.UnimplementedRolloutServiceServer
	*asked
}

func (s *askedRunners) Drain(_ context.Context, req *callboardv1.DrainRequest) (*callboardv1.DrainResponse, error) {
	s.last = req
	return &callboardv1.DrainResponse{Runner: someRunner, Index: 7}, nil
}

func (s *askedRunners) Undrain(_ context.Context, req *callboardv1.UndrainRequest) (*callboardv1.UndrainResponse, error) {
	s.last = req
	return &callboardv1.UndrainResponse{Runner: someRunner, Index: 7}, nil
}

func (s *askedRollouts) Get(_ context.Context, req *callboardv1.RolloutServiceGetRequest) (*callboardv1.RolloutServiceGetResponse, error) {
	s.last = req
	return &callboardv1.RolloutServiceGetResponse{Rollout: someRollout, Index: 7}, nil
}

func (s *askedRollouts) List(_ context.Context, req *callboardv1.RolloutServiceListRequest) (*callboardv1.RolloutServiceListResponse, error) {
	s.last = req
	return &callboardv1.RolloutServiceListResponse{Rollouts: []*callboardv1.Rollout{someRollout}, NextCursor: "more", Index: 7}, nil
}

func (s *askedRollouts) Pause(_ context.Context, req *callboardv1.PauseRequest) (*callboardv1.PauseResponse, error) {
	s.last = req
	return &callboardv1.PauseResponse{Rollout: someRollout, Index: 7}, nil
}

func (s *askedRollouts) Resume(_ context.Context, req *callboardv1.ResumeRequest) (*callboardv1.ResumeResponse, error) {
	s.last = req
	return &callboardv1.ResumeResponse{Rollout: someRollout, Index: 7}, nil
}

func (s *askedRollouts) Plan(_ context.Context, req *callboardv1.PlanRequest) (*callboardv1.PlanResponse, error) {
	s.last = req
	return &callboardv1.PlanResponse{Plan: somePlan, Index: 7}, nil
}

func (s *askedRunners) ListDrains(_ context.Context, req *callboardv1.ListDrainsRequest) (*callboardv1.ListDrainsResponse, error) {
	s.last = req
	return &callboardv1.ListDrainsResponse{NextCursor: "more", Index: 7, Drains: []*callboardv1.KeptDrain{{
		Key: "one", Version: 3, RunnerId: someID, Reason: "disk", DeadlineTs: 4, Force: true, Keep: true, Finished: true, KeptTs: 5, ForgetTs: 6,
	}}}, nil
}

var someHeld = &callboardv1.Pool{HeldVersions: []*callboardv1.HeldVersion{{Version: 8, Reason: "bad", StartTs: 9}}}

func (s *askedRollouts) Hold(_ context.Context, req *callboardv1.HoldRequest) (*callboardv1.HoldResponse, error) {
	s.last = req
	return &callboardv1.HoldResponse{Pool: someHeld, Index: 7}, nil
}

func (s *askedRollouts) Release(_ context.Context, req *callboardv1.ReleaseRequest) (*callboardv1.ReleaseResponse, error) {
	s.last = req
	return &callboardv1.ReleaseResponse{Pool: someHeld, Index: 7}, nil
}

var (
	someBlocker = &callboardv1.Blocker{Code: "no_capacity", Message: "no room", UntilTs: 1001}
	someRunner  = &callboardv1.Runner{RunnerId: someID, Drain: &callboardv1.Drain{
		Cause: callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR, StartTs: 1002, DeadlineTs: 1003, Reason: "disk", Force: true, Total: 104, Moved: 105, Moving: 106,
		Left: 107, FinishTs: 1008, SafeToTerminate: true, Standby: true, BlockedBy: []*callboardv1.Blocker{someBlocker},
	}}
	someRollout = &callboardv1.Rollout{
		Namespace: "default", Pool: "p", Id: 201, Version: 202, State: callboardv1.RolloutState_ROLLOUT_STATE_CALLED_OFF, EndReason: "gone", Paused: true,
		PauseReason: "lunch", StartTs: 1203, EndTs: 1204, Moved: 205, Moving: 206, Waiting: 207, Asleep: 208, Lost: 209, Left: 210, DrainingRunners: 211,
		DrainedRunners: 212, RateMicros: 1_500_000, RateIsDefault: true, TokensMicros: -2_500_000, Binds: "the rate", BlockedBy: []*callboardv1.Blocker{someBlocker},
		EtaTs: 1213, EtaIsEstimate: true,
	}
	somePlan = &callboardv1.RolloutPlan{
		Namespace: "default", Pool: "p", Version: 301, Slots: 302, Drain: true, Moves: 303, Stays: 304, Asleep: 305, Runners: 306, FirstMs: 307, DurationMs: 308,
		Estimate: true, PeakPerS: 309, Binds: "the rate", Points: []*callboardv1.PlanPoint{{AtMs: 310, Evicted: 311}}, BlockedBy: []*callboardv1.Blocker{someBlocker},
	}
)

const (
	drainText = `"drain":{"cause":"operator","reason":"disk","start_ts":1002,"deadline_ts":1003,"force":true,"total":104,"moved":105,"moving":106,"left":107,` +
		`"finish_ts":1008,"safe_to_terminate":true,"standby":true,"held":false,"blocked_by":[{"code":"no_capacity","message":"no room","until_ts":1001}]}`
	rolloutText = `{"id":201,"pool":"p","version":202,"state":"called_off","end_reason":"gone","paused":true,"pause_reason":"lunch","start_ts":1203,"end_ts":1204,` +
		`"moved":205,"moving":206,"waiting":207,"asleep":208,"lost":209,"left":210,"draining_runners":211,"drained_runners":212,"rate":1.5,"rate_is_default":true,` +
		`"tokens":-2.5,"binds":"the rate","blocked_by":[{"code":"no_capacity","message":"no room","until_ts":1001}],"eta_ts":1213,"eta_is_estimate":true,"held_versions":[]}`
	planText = `{"plan":{"pool":"p","version":301,"slots":302,"drain":true,"moves":303,"stays":304,"asleep":305,"runners":306,"first_ms":307,"duration_ms":308,` +
		`"estimate":true,"peak_per_s":309,"binds":"the rate","points":[{"at_ms":310,"evicted":311}],` +
		`"blocked_by":[{"code":"no_capacity","message":"no room","until_ts":1001}]}}`
)

// TestDrainsAndRolloutsAreTranslated holds each request and each answer against what HTTP says of it.
func TestDrainsAndRolloutsAreTranslated(t *testing.T) {
	s := &asked{}
	h := New(Config{Runners: &askedRunners{asked: s}, Rollouts: &askedRollouts{asked: s}})
	for _, test := range []struct {
		method, path, body string
		asked              proto.Message
		answered           string
	}{
		{
			"POST", "/runners/" + someID + "/drain?namespace=n", `{"deadline_ms":5,"reason":"disk","force":true}`,
			&callboardv1.DrainRequest{Namespace: "n", RunnerId: someID, DeadlineMs: 5, Reason: "disk", Force: true, IdempotencyKey: "k"}, drainText,
		},
		{"POST", "/runners/" + someID + "/drain?namespace=n", "", &callboardv1.DrainRequest{Namespace: "n", RunnerId: someID, IdempotencyKey: "k"}, drainText},
		{"POST", "/runners/" + someID + "/undrain?namespace=n", "{}", &callboardv1.UndrainRequest{Namespace: "n", RunnerId: someID, IdempotencyKey: "k"}, drainText},
		{
			"GET", "/pools/p/rollout?namespace=n&id=9", "",
			&callboardv1.RolloutServiceGetRequest{Namespace: "n", Pool: "p", Id: 9, Consistency: callboardv1.Consistency_CONSISTENCY_LINEARIZABLE},
			`{"rollout":` + rolloutText + `}`,
		},
		{
			"GET", "/pools/p/rollouts?namespace=n&limit=3&cursor=c&consistency=stale", "",
			&callboardv1.RolloutServiceListRequest{Namespace: "n", Pool: "p", Limit: 3, Cursor: "c", Consistency: callboardv1.Consistency_CONSISTENCY_STALE},
			`{"rollouts":[` + rolloutText + `],"pagination":{"cursor":"more"}}`,
		},
		{
			"POST", "/pools/p/rollout/pause?namespace=n", `{"reason":"lunch"}`,
			&callboardv1.PauseRequest{Namespace: "n", Pool: "p", Reason: "lunch", IdempotencyKey: "k"}, `{"rollout":` + rolloutText + `}`,
		},
		{"POST", "/pools/p/rollout/pause?namespace=n", "", &callboardv1.PauseRequest{Namespace: "n", Pool: "p", IdempotencyKey: "k"}, `{"rollout":` + rolloutText + `}`},
		{"POST", "/pools/p/rollout/resume?namespace=n", "", &callboardv1.ResumeRequest{Namespace: "n", Pool: "p", IdempotencyKey: "k"}, `{"rollout":` + rolloutText + `}`},
		{
			"POST", "/pools/p/rollout/hold?namespace=n", `{"version":8,"reason":"bad"}`,
			&callboardv1.HoldRequest{Namespace: "n", Pool: "p", Version: 8, Reason: "bad", IdempotencyKey: "k"}, `{"held_versions":[{"version":8,"reason":"bad","start_ts":9}]}`,
		},
		{
			"POST", "/pools/p/rollout/release?namespace=n", `{"version":8}`,
			&callboardv1.ReleaseRequest{Namespace: "n", Pool: "p", Version: 8, IdempotencyKey: "k"}, `{"held_versions":[{"version":8,"reason":"bad","start_ts":9}]}`,
		},
		{
			"GET", "/pools/p/drains?namespace=n&limit=3&cursor=c&consistency=stale", "",
			&callboardv1.ListDrainsRequest{Namespace: "n", Pool: "p", Limit: 3, Cursor: "c", Consistency: callboardv1.Consistency_CONSISTENCY_STALE},
			`{"drains":[{"key":"one","version":3,"runner_id":"` + someID + `","reason":"disk","deadline_ts":4,"force":true,"keep":true,"finished":true,` +
				`"kept_ts":5,"forget_ts":6}],"pagination":{"cursor":"more"}}`,
		},
		{"DELETE", "/pools/p/drains?namespace=n&key=one", "", &callboardv1.UndrainRequest{Namespace: "n", Pool: "p", Key: "one"}, `{}`},
		{
			"GET", "/pools/p/rollout/plan?namespace=n&to=4294967295&slots=12", "",
			&callboardv1.PlanRequest{Namespace: "n", Pool: "p", Version: 4294967295, Slots: 12, Consistency: callboardv1.Consistency_CONSISTENCY_LINEARIZABLE}, planText,
		},
	} {
		headers := []string{"Content-Type", "application/json"}
		if test.method == http.MethodPost {
			headers = append(headers, "Idempotency-Key", "k")
		}
		r := ok(t, call(h, test.method, test.path, test.body, headers...))
		if !proto.Equal(s.last, test.asked) {
			t.Errorf("%s %s asks %v, want %v", test.method, test.path, s.last, test.asked)
		}
		if got := strings.TrimSpace(r.text); !strings.Contains(got, test.answered) || r.header.Get("X-Callboard-Index") != "7" {
			t.Errorf("%s %s answers\n%s, want\n%s", test.method, test.path, got, test.answered)
		}
	}
}

// TestNothingIsNull where a client would read a list, and what never happened is null.
func TestNothingIsNull(t *testing.T) {
	for _, text := range []string{
		jsonOf(t, drainOf(&callboardv1.Drain{})), jsonOf(t, rolloutOf(&callboardv1.Rollout{})), jsonOf(t, planOf(&callboardv1.RolloutPlan{})),
	} {
		if !strings.Contains(text, `"blocked_by":[]`) || strings.Contains(text, `_ts":0`) && !strings.Contains(text, `"start_ts":0`) {
			t.Error(text)
		}
	}
	if text := jsonOf(t, (&api{}).runner(&callboardv1.Runner{})); !strings.Contains(text, `"drain":null`) {
		t.Error(text)
	}
}

// TestTheAPIListsItsPaths: what is built is in the OpenAPI document.
func TestTheAPIListsItsPaths(t *testing.T) {
	_, h := newHandler(0)
	document := read[struct {
		Paths map[string]map[string]struct{ OperationID string }
	}](t, ok(t, call(h, "GET", "/openapi.json", "")))
	var operations []string
	for _, methods := range document.Paths {
		for _, operation := range methods {
			operations = append(operations, operation.OperationID)
		}
	}
	for _, want := range []string{"runners_drain", "runners_undrain", "rollouts_get", "rollouts_list", "rollouts_plan", "rollouts_pause", "rollouts_resume", "actors_reschedule"} {
		if !slices.Contains(operations, want) {
			t.Errorf("no %s in %v", want, operations)
		}
	}
}

// TestARolloutOverHTTP goes through a rollout and an operator's drain with the engine behind it.
func TestARolloutOverHTTP(t *testing.T) {
	e, h := newHandler(0)
	ok(t, call(h, "PUT", "/runner-configs/p?namespace=default", `{"normal":{}}`))
	old := e.AddRunner("p", "old", 1, 10)
	actor := create(t, h, newActor)
	create(t, h, newActor)
	e.ReportRunning()
	e.AddRunner("p", "new", 2, 10)
	get := func(path string) rolloutBody {
		t.Helper()
		return read[oneRolloutBody](t, ok(t, call(h, "GET", path, ""))).Rollout
	}
	r := get("/pools/p/rollout?namespace=default")
	if r.State != "open" || r.Version != 2 || r.Moving+r.Waiting != 2 || r.Rate != 1 || r.EtaTs == nil || r.EndTs != nil {
		t.Errorf("open: %+v", r)
	}
	paused := read[oneRolloutBody](t, ok(t, call(h, "POST", "/pools/p/rollout/pause?namespace=default", `{"reason":"lunch"}`))).Rollout
	if !paused.Paused || paused.PauseReason == nil || *paused.PauseReason != "lunch" {
		t.Errorf("paused: %+v", paused)
	}
	ok(t, call(h, "POST", "/pools/p/rollout/resume?namespace=default", ""))
	for range 5 {
		e.ReportStopped()
		e.ReportRunning()
		e.Advance(1000)
	}
	if r := get("/pools/p/rollout?namespace=default&id=1"); r.State != "done" || r.Moved != 2 || r.EndTs == nil {
		t.Errorf("done: %+v", r)
	}
	list := read[rolloutsBody](t, ok(t, call(h, "GET", "/pools/p/rollouts?namespace=default", "")))
	if len(list.Rollouts) != 1 || list.Pagination.Cursor != nil {
		t.Errorf("%+v", list)
	}
	runners := read[runnersBody](t, ok(t, call(h, "GET", "/runners?namespace=default&runner_id="+old.String(), ""))).Runners
	if len(runners) != 1 || runners[0].Drain == nil || !runners[0].Drain.SafeToTerminate || runners[0].Drain.Cause != "newer_version" || runners[0].DrainTs == nil {
		t.Errorf("%+v", runners)
	}
	expectError(t, call(h, "POST", "/runners/"+old.String()+"/undrain?namespace=default", ""), http.StatusConflict, "runner.outdated", "")
	drained := read[oneRunnerBody](t, ok(t, call(h, "POST", "/runners/"+old.String()+"/drain?namespace=default", `{"deadline_ms":60000,"reason":"disk"}`))).Runner
	if drained.State != "draining" || drained.Drain.Cause != "operator" || *drained.Drain.Reason != "disk" || drained.Drain.DeadlineTs == nil {
		t.Errorf("%+v", drained)
	}
	plan := read[onePlanBody](t, ok(t, call(h, "GET", "/pools/p/rollout/plan?namespace=default&to=3", ""))).Plan
	if plan.Moves != 2 || !plan.Drain || len(plan.Points) != 2 {
		t.Errorf("%+v", plan)
	}
	if r := ok(t, call(h, "POST", "/actors/"+actor+"/reschedule?namespace=default", "")); strings.TrimSpace(r.text) != "{}" {
		t.Errorf("%s", r.text)
	}
	if a := read[oneActorBody](t, ok(t, call(h, "GET", "/actors/"+actor+"?namespace=default", ""))).Actor; a.State != "stopping" {
		t.Errorf("%+v", a)
	}
}
