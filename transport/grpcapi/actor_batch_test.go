package grpcapi

import (
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestABatchAnswersWithItsActors in the order of the request, with every field that they were asked with.
func TestABatchAnswersWithItsActors(t *testing.T) {
	_, api := newAPI(1)
	key := "k"
	made, err := api.Actors().CreateBatch(t.Context(), &callboardv1.CreateBatchRequest{Namespace: "default", IdempotencyKey: "once", Actors: []*callboardv1.NewActor{
		{Name: "a", Key: &key, Pool: "p", Input: []byte("123"), CrashPolicy: callboardv1.CrashPolicy_CRASH_POLICY_SLEEP},
		{Name: "b", Pool: "p"},
	}})
	if err != nil || len(made.GetActorIds()) != 2 || made.GetIndex() == 0 {
		t.Fatal(made, err)
	}
	a, b := get(t, api, made.GetActorIds()[0]), get(t, api, made.GetActorIds()[1])
	if a.GetName() != "a" || a.GetKey() != key || a.GetInputBytes() != 3 || a.GetCrashPolicy() != callboardv1.CrashPolicy_CRASH_POLICY_SLEEP {
		t.Errorf("the first is %v", a)
	}
	if b.GetName() != "b" || b.Key != nil || b.GetCrashPolicy() != callboardv1.CrashPolicy_CRASH_POLICY_RESTART {
		t.Errorf("the second is %v", b)
	}
}
