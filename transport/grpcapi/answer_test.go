package grpcapi

import (
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// TestAnActorThroughItsLife looks at one actor in every state: what is shown, and what is not shown any more.
func TestAnActorThroughItsLife(t *testing.T) {
	e, api := newAPI(0)
	key := "room 1"
	made, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{
		Namespace: "default", Name: "a", Key: &key, Pool: "p", Input: []byte("12345"), CrashPolicy: callboardv1.CrashPolicy_CRASH_POLICY_SLEEP,
	})
	if err != nil {
		t.Fatal(err)
	}
	id := made.GetActor().GetActorId()
	check := func(state callboardv1.ActorState, reasonCode, next string, good func(a *callboardv1.Actor) bool) {
		t.Helper()
		a := get(t, api, id)
		if a.GetReasonCode() != reasonCode || (a.GetReason() != "") != (reasonCode != "") || !strings.Contains(a.GetNextChange(), next) {
			t.Errorf("%v: reason %s %q, next %q; want %s, %q", state, a.GetReasonCode(), a.GetReason(), a.GetNextChange(), reasonCode, next)
		}
		if a.GetState() != state || !good(a) {
			t.Fatalf("want %v, got %v", state, a)
		}
		if a.GetKey() != key || a.GetName() != "a" || a.GetPool() != "p" || a.GetNamespace() != "default" || a.GetCreateTs() < apitest.WallMs ||
			a.GetCrashPolicy() != callboardv1.CrashPolicy_CRASH_POLICY_SLEEP || a.GetNamespaceId() == "" {
			t.Fatalf("what never changes: %v", a)
		}
	}
	check(callboardv1.ActorState_ACTOR_STATE_PENDING, "no_runner", "frees a slot", func(a *callboardv1.Actor) bool {
		return a.GetPendingAllocationTs() > 0 && a.GetRunnerId() == "" && a.GetGeneration() == 0 && strings.Contains(a.GetReason(), "no runner of pool p") && a.GetInputBytes() == 5
	})
	runner := e.AddRunner("p", "r", 7, 1)
	check(callboardv1.ActorState_ACTOR_STATE_STARTING, "", "unless it reports", func(a *callboardv1.Actor) bool {
		return a.GetRunnerId() == runner.String() && a.GetGeneration() == 1 && a.GetPendingAllocationTs() == 0 && a.GetConnectableTs() == 0 && a.GetReason() == ""
	})
	e.ReportRunning()
	check(callboardv1.ActorState_ACTOR_STATE_RUNNING, "", "nothing is due", func(a *callboardv1.Actor) bool {
		return a.GetStartTs() > 0 && a.GetConnectableTs() > 0 && a.GetError() == nil
	})
	e.ReportCrashed("it hurt")
	check(callboardv1.ActorState_ACTOR_STATE_BACKING_OFF, "backing_off", "back-off ends", func(a *callboardv1.Actor) bool {
		return a.GetRescheduleTs() > 0 && a.GetConnectableTs() == 0 && a.GetStartTs() > 0 && a.GetRunnerId() == "" && strings.Contains(a.GetReason(), "placed again at") &&
			a.GetError().GetCode() == "crashed" && strings.Contains(a.GetError().GetMessage(), "it hurt") && a.GetError().GetRunnerId() == runner.String()
	})
	e.Advance(6000)
	e.ReportRunning()
	check(callboardv1.ActorState_ACTOR_STATE_RUNNING, "", "nothing is due", func(a *callboardv1.Actor) bool { return a.GetGeneration() == 2 })
	if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: id}); err != nil {
		t.Fatal(err)
	}
	check(callboardv1.ActorState_ACTOR_STATE_STOPPING, "going_to_sleep", "unless its end", func(a *callboardv1.Actor) bool { return a.GetSleepTs() > 0 && a.GetRunnerId() != "" })
	e.ReportStopped()
	check(callboardv1.ActorState_ACTOR_STATE_SLEEPING, "", "wake it", func(a *callboardv1.Actor) bool {
		return a.GetSleepTs() > 0 && a.GetRunnerId() == "" && a.GetError() == nil
	})
	if answer, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: id}); err != nil || !answer.GetEnded() {
		t.Fatal(answer, err)
	}
	check(callboardv1.ActorState_ACTOR_STATE_DESTROYED, "", "forgotten", func(a *callboardv1.Actor) bool {
		return a.GetDestroyTs() > 0 && a.GetSleepTs() == 0 && a.GetInputBytes() == 0
	})
}

// TestWhyItIsPending names what is missing.
func TestWhyItIsPending(t *testing.T) {
	e, api := newAPI(1)
	create(t, api, "a", "")
	waiting := create(t, api, "a", "")
	expect := func(code, want string) {
		t.Helper()
		if a := get(t, api, waiting.GetActorId()); a.GetReasonCode() != code || !strings.Contains(a.GetReason(), want) {
			t.Errorf("%s %q is not %s, or does not say %q", a.GetReasonCode(), a.GetReason(), code, want)
		}
	}
	expect("no_capacity", "no free slot in pool p (1 runner, 1 full; 1 slots in all)")
	answer, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: waiting.GetActorId()})
	if err != nil || !strings.HasPrefix(answer.GetSummary(), "pending since") || answer.GetDecision() != nil || len(answer.GetSteps()) < 2 {
		t.Errorf("explain: %v, %v", answer, err)
	}

	view, err := e.View(t.Context(), callboardv1.Consistency_CONSISTENCY_STALE)
	if err != nil {
		t.Fatal(err)
	}
	for r := range view.Runners(view.Namespace("default"), 0) {
		e.Disconnect(r.ID)
	}
	expect("no_runner_connected", "no runner of pool p is connected (1 away)")
}

// TestAnActorThatFails: one whose back-off is over waits for its turn, and each of those that failed says what and where; a runner that it
// failed on says so.
func TestAnActorThatFails(t *testing.T) {
	e, api := newAPI(1)
	a := create(t, api, "a", "")
	e.ReportRunning()
	e.ReportCrashed("it hurt")
	explain := func(runner string) *callboardv1.ExplainResponse {
		t.Helper()
		answer, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId(), RunnerId: runner})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	failed := get(t, api, a.GetActorId())
	on := failed.GetError().GetRunnerId()
	if failed.GetNextChangeTs() != failed.GetRescheduleTs() || failed.GetRescheduleTs() == 0 {
		t.Errorf("%v", failed)
	}
	answer := explain(on)
	steps := strings.Join(answer.GetSteps(), "\n")
	for _, want := range []string{"last placed at", "1 runner in pool p", "last trouble: it stopped with an error", "it hurt", "could take it, but it failed there last (crashed)"} {
		if !strings.Contains(steps, want) {
			t.Errorf("%q is not in:\n%s", want, steps)
		}
	}
	if !strings.HasPrefix(answer.GetSummary(), "backing off: it failed once") || answer.GetNextChangeTs() != failed.GetNextChangeTs() {
		t.Errorf("%v", answer)
	}
	view, err := e.View(t.Context(), callboardv1.Consistency_CONSISTENCY_STALE)
	if err != nil {
		t.Fatal(err)
	}
	for dueMs, want := range map[int64]string{view.ClockMs() - 1: "retry_queued", view.ClockMs() + 1: "backing_off"} {
		if why := whyBackingOff(view, &fsm.Actor{DueMs: dueMs}); why.code != want {
			t.Errorf("%+v; want %s", why, want)
		}
	}
	other := e.AddRunner("p", "other", 1, 1)
	if steps := strings.Join(explain(other.String()).GetSteps(), "\n"); !strings.Contains(steps, "could take it when its back-off is over") {
		t.Errorf("%s", steps)
	}
	if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
		t.Fatal(err)
	}
	if steps := strings.Join(explain(on).GetSteps(), "\n"); !strings.Contains(steps, "the actor is destroyed") {
		t.Errorf("%s", steps)
	}
}

// TestAnActorWaitsForItsBody: a runner has a life of it that the state does not know.
func TestAnActorWaitsForItsBody(t *testing.T) {
	e, api := newAPI(0)
	a := create(t, api, "a", "")
	id, err := fsm.ParseID(a.GetActorId())
	if err != nil {
		t.Fatal(err)
	}
	has := e.AddRunner("p", "has it", 1, 5)
	if m := get(t, api, a.GetActorId()); m.GetState() != callboardv1.ActorState_ACTOR_STATE_STARTING {
		t.Fatalf("%v: %q", m.GetState(), m.GetReason())
	}
	ref := &logv1.Ref{ActorId: id[:], Generation: 7}
	e.Do(&logv1.Op{Op: &logv1.Op_HoldOrphan{HoldOrphan: &logv1.HoldOrphan{RunnerId: has[:], Ref: ref, HoldsActor: true}}})
	e.ReportRunning()
	if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
		t.Fatal(err)
	}
	e.ReportStopped()
	if _, err := api.Actors().Wake(t.Context(), &callboardv1.WakeRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
		t.Fatal(err)
	}
	want := "runner " + has.String() + " still has a body of it"
	if m := get(t, api, a.GetActorId()); m.GetState() != callboardv1.ActorState_ACTOR_STATE_PENDING || !strings.Contains(m.GetReason(), want) {
		t.Errorf("%v: %q does not say %q", m.GetState(), m.GetReason(), want)
	}
	e.Do(&logv1.Op{Op: &logv1.Op_ReleaseOrphan{ReleaseOrphan: &logv1.ReleaseOrphan{RunnerId: has[:], Ref: ref}}})
	if m := get(t, api, a.GetActorId()); m.GetState() != callboardv1.ActorState_ACTOR_STATE_STARTING {
		t.Errorf("%v: %q", m.GetState(), m.GetReason())
	}
}

// TestAnActorWaitsForItsVersion: it ran on version 2, and the free slots are on version 1.
func TestAnActorWaitsForItsVersion(t *testing.T) {
	e, api := newAPI(0)
	e.AddRunner("p", "new", 2, 1)
	a := create(t, api, "a", "")
	e.ReportRunning()
	e.AddRunner("p", "old", 1, 5)
	for _, call := range []func() error{
		func() error {
			_, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: a.GetActorId()})
			return err
		},
		func() error { e.ReportStopped(); create(t, api, "takes its slot", ""); return nil },
		func() error {
			_, err := api.Actors().Wake(t.Context(), &callboardv1.WakeRequest{Namespace: "default", ActorId: a.GetActorId()})
			return err
		},
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
	}
	if m := get(t, api, a.GetActorId()); m.GetReasonCode() != "awaiting_newer_version" || !strings.Contains(m.GetReason(), "it last ran on version 2") {
		t.Errorf("%v: %q", m.GetState(), m.GetReason())
	}
}

func TestExplainSaysWhyHereAndWhyNotThere(t *testing.T) {
	e, api := newAPI(0)
	old, newer := e.AddRunner("p", "old", 1, 5), e.AddRunner("p", "new", 2, 5)
	elsewhere := e.AddRunner("q", "other", 9, 5)
	a := create(t, api, "a", "")
	e.ReportRunning()
	explain := func(runner fsm.RunnerID) *callboardv1.ExplainResponse {
		answer, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId(), RunnerId: runner.String()})
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	for runner, want := range map[fsm.RunnerID]string{
		newer: "has it", old: "its version 1 is older than 2", elsewhere: "it is in pool q",
	} {
		answer := explain(runner)
		if last := answer.GetSteps()[len(answer.GetSteps())-1]; !strings.Contains(last, want) {
			t.Errorf("%q does not say %q", last, want)
		}
		if d := answer.GetDecision(); d.GetChosen() != newer.String() || d.GetVersion() != 2 || d.GetInPool() != 2 || !strings.Contains(d.GetRule(), "spread") {
			t.Errorf("the decision: %v", d)
		}
	}
	_, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId(), RunnerId: someID})
	expectRefusal(t, err, "runner.not_found", "")
}

func TestRunnersAsTheyAre(t *testing.T) {
	e, api := newAPI(0)
	gone, away, well := e.AddRunner("p", "gone", 1, 5), e.AddRunner("p", "away", 2, 5), e.AddRunner("q", "well", 3, 5)
	e.EndRunner(gone)
	e.Disconnect(away)
	list := func(req *callboardv1.RunnerServiceListRequest) (keys []string) {
		req.Namespace = "default"
		answer, err := api.Runners().List(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range answer.GetRunners() {
			keys = append(keys, r.GetKey())
		}
		return keys
	}
	for _, test := range []struct {
		req  *callboardv1.RunnerServiceListRequest
		want string
	}{
		{&callboardv1.RunnerServiceListRequest{}, "well away"},
		{&callboardv1.RunnerServiceListRequest{IncludeStopped: true}, "well away gone"},
		{&callboardv1.RunnerServiceListRequest{Pool: "p"}, "away"},
		{&callboardv1.RunnerServiceListRequest{RunnerIds: []string{gone.String(), well.String(), gone.String(), someID}}, "well gone"},
		{&callboardv1.RunnerServiceListRequest{RunnerIds: []string{gone.String(), well.String()}, Pool: "q"}, "well"},
	} {
		if got := strings.Join(list(test.req), " "); got != test.want {
			t.Errorf("%v: %q, want %q", test.req, got, test.want)
		}
	}
	for id, want := range map[fsm.RunnerID]struct {
		state      callboardv1.RunnerState
		ineligible string
	}{
		gone: {callboardv1.RunnerState_RUNNER_STATE_STOPPED, "stopped"},
		away: {callboardv1.RunnerState_RUNNER_STATE_DISCONNECTED, "disconnected"},
		well: {callboardv1.RunnerState_RUNNER_STATE_CONNECTED, ""},
	} {
		answer, err := api.Runners().Get(t.Context(), &callboardv1.RunnerServiceGetRequest{Namespace: "default", RunnerId: id.String()})
		if r := answer.GetRunner(); err != nil || r.GetState() != want.state || r.GetIneligibleReason() != want.ineligible || (r.GetStopTs() != 0) != (id == gone) {
			t.Errorf("%v, %v; want %v", r, err, want)
		}
	}
}

func TestPoolsShowWhatHolds(t *testing.T) {
	_, api := newAPI(3)
	create(t, api, "a", "")
	put, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{
		Namespace: "default", Name: "p", Config: &callboardv1.PoolConfig{Placement: callboardv1.Placement_PLACEMENT_BINPACK, MetadataJson: `{"a":1}`},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, c := put.GetPool(), put.GetPool().GetConfig()
	if p.GetFreeSlots() != 2 || p.GetTotalSlots() != 3 || p.GetLiveActors() != 1 || p.GetConnectedRunners() != 1 || p.GetNewestVersion() != 1 || p.GetAutoCreated() {
		t.Errorf("counts: %v", p)
	}
	if !c.GetDrainOnVersionUpgrade() || c.ActorEvictionDelay == nil || c.GetActorEvictionDelay() != 0 ||
		c.ActorEvictionPeriod == nil || c.GetActorEvictionRateMicros() != 1_000_000 || c.GetRunnerLostThreshold() != 15 ||
		c.GetPlacement() != callboardv1.Placement_PLACEMENT_BINPACK || c.GetMetadataJson() != `{"a":1}` {
		t.Errorf("defaults: %v", c)
	}
	if _, err := api.ClusterInfo().PutSettings(t.Context(), &callboardv1.PutSettingsRequest{Values: map[string]string{"runner_lost_threshold": "20s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Pools().Delete(t.Context(), &callboardv1.PoolServiceDeleteRequest{Namespace: "default", Name: "p"}); err != nil {
		t.Fatal(err)
	}
	got, err := api.Pools().Get(t.Context(), &callboardv1.PoolServiceGetRequest{Namespace: "default", Name: "p"})
	if err != nil || got.GetPool().GetConfig() != nil || got.GetPool().GetLiveActors() != 1 {
		t.Errorf("deleted, with an actor: %v, %v; want it without a config", got, err)
	}
	if pools, _, _, err := api.PoolConfigs(t.Context(), "default", "", 0); err != nil || len(pools) != 0 {
		t.Errorf("configs: %v, %v; want none", pools, err)
	}
}

func TestClusterInShort(t *testing.T) {
	_, api := newAPI(1)
	create(t, api, "a", "")
	create(t, api, "a", "")
	got, err := api.ClusterInfo().Get(t.Context(), &callboardv1.ClusterServiceGetRequest{})
	if err != nil || got.GetLeader() != "n1" || got.GetLiveActors() != 2 || got.GetPendingActors() != 1 || got.GetConnectedRunners() != 1 ||
		got.GetTotalSlots() != 1 || got.GetFreeSlots() != 0 || len(got.GetPeers()) != 3 || got.GetIndex() == 0 || got.GetClusterId() == "" {
		t.Errorf("%v, %v", got, err)
	}
}

// TestWhoAwaitsANewerVersionSaysSo: the only runner of the newer version shuts down. Who ran there waits, says for what and until when, and goes
// to the older version then.
func TestWhoAwaitsANewerVersionSaysSo(t *testing.T) {
	e, api := newAPI(1)
	newer := e.AddRunner("p", "newer", 2, 1)
	id := create(t, api, "a", "").GetActorId()
	e.ReportRunning()
	view, err := e.View(t.Context(), callboardv1.Consistency_CONSISTENCY_STALE)
	if err != nil {
		t.Fatal(err)
	}
	ns := view.Namespace("default").ID
	e.Do(
		&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: newer[:], Cause: uint32(fsm.DrainShutdown)}}},
		&logv1.Op{Op: &logv1.Op_AwaitVersion{AwaitVersion: &logv1.AwaitVersion{NamespaceId: ns[:], Pool: "p", Version: 2, UntilMs: view.ClockMs() + 15_000}}},
	)
	e.ReportStopped()
	e.Advance(1)
	a := get(t, api, id)
	if a.GetReasonCode() != "awaiting_newer_version" || !strings.Contains(a.GetReason(), "it last ran on version 2, and no runner of that version or newer in pool p takes actors") ||
		a.GetNextChangeTs() == 0 || !strings.HasPrefix(a.GetNextChange(), "unless a runner of a newer version") {
		t.Errorf("%v", a)
	}
	answer, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: id})
	if steps := strings.Join(answer.GetSteps(), "\n"); err != nil || answer.GetNextChangeTs() != a.GetNextChangeTs() || !strings.Contains(steps, "goes lower only when no runner of that version or newer has taken actors for a while") {
		t.Errorf("%v %v", answer, err)
	}
	e.Advance(15_000)
	if a := get(t, api, id); a.GetReasonCode() != "" || a.GetRunnerId() == "" {
		t.Errorf("15 s later: %v", a)
	}
}
