package grpcapi

import (
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// An actor that no runner has a handler for says so, whatever slots are free; so does the runner, and one that has a handler and no slot.
func TestNoHandlerIsTold(t *testing.T) {
	e := apitest.New()
	api := New(e, &apitest.Cluster{Leader: "n1"})
	other := e.AddHandler("p", "other", 1, 5, "b", "c")
	waiting := create(t, api, "a", "")
	expect := func(code, want, step string) {
		t.Helper()
		answer, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: waiting.GetActorId(), RunnerId: other.String()})
		if err != nil {
			t.Fatal(err)
		}
		if a := answer.GetActor(); a.GetReasonCode() != code || !strings.Contains(a.GetReason(), want) {
			t.Errorf("%s %q is not %s, or does not say %q", a.GetReasonCode(), a.GetReason(), code, want)
		}
		if steps := strings.Join(answer.GetSteps(), "\n"); !strings.Contains(steps, step) || !strings.Contains(steps, "it has no handler for actors named \"a\"") {
			t.Errorf("the steps do not say %q:\n%s", step, steps)
		}
	}
	expect("no_handler", `no runner of pool p has a handler for actors named "a" (1 runner): start one`, `0 runners that can run actors named "a" (1 cannot)`)

	e.AddHandler("p", "mine", 1, 1, "a")
	if got := get(t, api, waiting.GetActorId()); got.GetRunnerId() == "" || got.GetRunnerId() == other.String() {
		t.Fatalf("it is not on the runner that has a handler: %v", got)
	}
	waiting = create(t, api, "a", "")
	expect("no_capacity", `no free slot in pool p (1 runner that can run actors named "a" (1 cannot), 1 full; 1 slots in all)`, "1 full")

	runners, err := api.Runners().List(t.Context(), &callboardv1.RunnerServiceListRequest{Namespace: "default"})
	if err != nil || len(runners.GetRunners()) != 2 {
		t.Fatal(runners, err)
	}
	for _, r := range runners.GetRunners() {
		if got, want := strings.Join(r.GetActorNames(), " "), map[string]string{"other": "b c", "mine": "a"}[r.GetKey()]; got != want {
			t.Errorf("runner %s lists %q, not %q", r.GetKey(), got, want)
		}
	}
}
