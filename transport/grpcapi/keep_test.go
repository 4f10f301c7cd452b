package grpcapi

import (
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// TestKeepIsToldWhereverItsActorsAre: a runner that keeps its actors without a lease gives up that they run only once, and whoever looks at
// the runner or at one of them sees it: also when that runner was lost, and the actor runs elsewhere.
func TestKeepIsToldWhereverItsActorsAre(t *testing.T) {
	e := apitest.New()
	api := New(e, &apitest.Cluster{Leader: "n1"})
	keeper := e.AddKeeper("p", "keeper", 1, 1)
	a := create(t, api, "a", "")
	e.ReportRunning()
	expect := func(when string, twice bool, step string) {
		t.Helper()
		if got := get(t, api, a.GetActorId()); got.GetMayRunTwice() != twice {
			t.Errorf("%s: may_run_twice is %v", when, got.GetMayRunTwice())
		}
		explained, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId()})
		if err != nil {
			t.Fatal(err)
		}
		if steps := strings.Join(explained.GetSteps(), "\n"); (step == "") == strings.Contains(steps, "on_lease_lost: keep") || !strings.Contains(steps, step) {
			t.Errorf("%s: %s", when, steps)
		}
	}
	expect("on the keeper", true, "its runner keeps actors when its lease ends")

	fencer := e.AddRunner("p", "fencer", 1, 1)
	e.Advance(16_000, keeper)
	e.Advance(5_000)
	e.ReportRunning()
	if got := get(t, api, a.GetActorId()); got.GetRunnerId() != fencer.String() || got.GetState() != callboardv1.ActorState_ACTOR_STATE_RUNNING {
		t.Fatalf("it is not elsewhere: %v", got)
	}
	expect("elsewhere", true, "it may still run on runner "+keeper.String())

	if _, err := api.Actors().Reschedule(t.Context(), &callboardv1.RescheduleRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
		t.Fatal(err)
	}
	e.ReportStopped()
	e.ReportRunning()
	expect("after a clean stop there", false, "")

	runners, err := api.Runners().List(t.Context(), &callboardv1.RunnerServiceListRequest{Namespace: "default", IncludeStopped: true})
	if err != nil || len(runners.GetRunners()) != 2 {
		t.Fatal(err)
	}
	for _, r := range runners.GetRunners() {
		if r.GetKeepOnLeaseLost() != (r.GetKey() == "keeper") {
			t.Errorf("runner %s: keep_on_lease_lost is %v", r.GetKey(), r.GetKeepOnLeaseLost())
		}
	}
}
