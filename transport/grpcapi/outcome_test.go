package grpcapi

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestAWriteThatMayHaveHappenedIsUnknown, never failed.
func TestAWriteThatMayHaveHappenedIsUnknown(t *testing.T) {
	for err, want := range map[error]string{
		context.Canceled:                           "cluster.outcome_unknown",
		context.DeadlineExceeded:                   "cluster.outcome_unknown",
		errors.New("the wire broke"):               "cluster.outcome_unknown",
		callboardv1.ErrOutcomeUnknown:              "cluster.outcome_unknown",
		callboardv1.ErrNoLeader:                    "cluster.no_leader",
		callboardv1.ErrOverloaded:                  "cluster.overloaded",
		callboardv1.ErrNoLeader.GRPCStatus().Err(): "cluster.no_leader",
	} {
		e, api := newAPI(0)
		e.FailNext(err)
		_, got := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "a", Pool: "p"})
		expectRefusal(t, got, want, "")
	}
}

func TestAReadThatEndsIsNotUnknown(t *testing.T) {
	_, api := newAPI(0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := api.Actors().List(ctx, &callboardv1.ListRequest{Namespace: "default", Name: "a"})
	if status.Code(err) != codes.Canceled {
		t.Errorf("canceled: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	_, err = api.Actors().List(ctx, &callboardv1.ListRequest{Namespace: "default", Name: "a"})
	expectRefusal(t, err, "api.timeout", "")
}

func TestTheSameKeyTakesEffectOnce(t *testing.T) {
	_, api := newAPI(3)
	req := &callboardv1.CreateRequest{Namespace: "default", Name: "a", Pool: "p", IdempotencyKey: "k-1"}
	first, err := api.Actors().Create(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	second, err := api.Actors().Create(t.Context(), req)
	if err != nil || second.GetActor().GetActorId() != first.GetActor().GetActorId() {
		t.Errorf("again: %v, %v; want actor %s", second, err, first.GetActor().GetActorId())
	}
	req.Name = "b"
	_, err = api.Actors().Create(t.Context(), req)
	expectRefusal(t, err, "api.idempotency_conflict", "")
}

// TestCommandsCarryOnlyTheirEffect looks at what reaches the leader: how long a caller waits would make a retry another command.
func TestCommandsCarryOnlyTheirEffect(t *testing.T) {
	e, api := newAPI(1)
	a := create(t, api, "a", "")
	e.ReportRunning()
	if _, err := api.Actors().GetOrCreate(t.Context(), &callboardv1.GetOrCreateRequest{
		Namespace: "default", Name: "a", Key: "k", Pool: "p", TimeoutMs: 77, IdempotencyKey: "i",
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{
		Namespace: "default", ActorId: a.GetActorId(), TimeoutMs: 1, IdempotencyKey: "j",
	}); err != nil {
		t.Fatal(err)
	}
	submitted := e.Submitted()
	made := submitted[1].GetCommand().GetCommand().(*nodev1.Command_GetOrCreateActor).GetOrCreateActor
	gone := submitted[2].GetCommand().GetCommand().(*nodev1.Command_DestroyActor).DestroyActor
	if made.GetTimeoutMs() != 0 || made.GetIdempotencyKey() != "" || gone.GetTimeoutMs() != 0 || gone.GetIdempotencyKey() != "" {
		t.Errorf("get-or-create %v, destroy %v: want neither time-out nor key in the command", made, gone)
	}
	if submitted[1].GetIdempotencyKey() != "i" || submitted[2].GetIdempotencyKey() != "j" {
		t.Error("the keys were lost")
	}
	if made.GetCrashPolicy() != callboardv1.CrashPolicy_CRASH_POLICY_RESTART {
		t.Errorf("crash policy %v, want the default", made.GetCrashPolicy())
	}
}
