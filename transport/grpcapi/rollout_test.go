package grpcapi

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// rolling returns pool p with that many actors that run on version 1, whose runner has come to be outdated by version 2.
func rolling(t testing.TB, actors int, config *callboardv1.PoolConfig) (*apitest.Engine, *API) {
	t.Helper()
	e, api := newAPI(0)
	configure(t, api, config)
	e.AddRunner("p", "old", 1, 100)
	for range actors {
		create(t, api, "a", "")
	}
	e.ReportRunning()
	e.AddRunner("p", "new", 2, 100)
	return e, api
}

// answer lets runners confirm what they were asked.
func answer(e *apitest.Engine) {
	e.ReportStopped()
	e.ReportRunning()
}

func rolloutOf(t testing.TB, api *API, id uint64) *callboardv1.Rollout {
	t.Helper()
	got, err := api.Rollouts().Get(t.Context(), &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "p", Id: id})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetRollout()
}

func runnerOf(t testing.TB, api *API, key string) *callboardv1.Runner {
	t.Helper()
	got, err := api.Runners().List(t.Context(), &callboardv1.RunnerServiceListRequest{Namespace: "default", Pool: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.GetRunners() {
		if r.GetKey() == key {
			return r
		}
	}
	t.Fatalf("no runner %s", key)
	return nil
}

func poolOf(t testing.TB, api *API) *callboardv1.Pool {
	t.Helper()
	got, err := api.Pools().Get(t.Context(), &callboardv1.PoolServiceGetRequest{Namespace: "default", Name: "p"})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetPool()
}

// TestARolloutIsShownFromBeginToEnd: the rollout, its pool, the runner that drains and its actors.
func TestARolloutIsShownFromBeginToEnd(t *testing.T) {
	e, api := rolling(t, 4, &callboardv1.PoolConfig{})
	r := rolloutOf(t, api, 0)
	if r.GetState() != callboardv1.RolloutState_ROLLOUT_STATE_OPEN || r.GetVersion() != 2 || r.GetNamespace() != "default" || r.GetPool() != "p" || r.GetStartTs() < apitest.WallMs ||
		r.GetMoving()+r.GetWaiting() != 4 || r.GetWaiting() < 2 || r.GetDrainingRunners() != 1 || r.GetRateMicros() != 1_000_000 || !r.GetRateIsDefault() || r.GetEtaTs() == 0 ||
		!strings.Contains(r.GetBinds(), "1/s (default)") {
		t.Errorf("begun: %v", r)
	}
	if p := poolOf(t, api); p.GetRolloutId() != r.GetId() || p.GetDrainingRunners() != 1 || p.GetNewestVersion() != 2 {
		t.Errorf("the pool: %v", p)
	}
	old := runnerOf(t, api, "old")
	if d := old.GetDrain(); old.GetState() != callboardv1.RunnerState_RUNNER_STATE_DRAINING || old.GetDrainCause() != callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION ||
		d.GetCause() != old.GetDrainCause() || d.GetTotal() != 4 || d.GetMoving()+d.GetLeft() != 4 || d.GetSafeToTerminate() || d.GetStartTs() == 0 || old.GetDrainTs() != d.GetStartTs() {
		t.Errorf("the outdated runner: %v", old)
	}
	if newer := runnerOf(t, api, "new"); newer.GetDrain() != nil || newer.GetIneligibleReason() != "" {
		t.Errorf("the new runner: %v", newer)
	}
	for range 10 {
		answer(e)
		e.Advance(1000)
	}
	r = rolloutOf(t, api, r.GetId())
	if r.GetState() != callboardv1.RolloutState_ROLLOUT_STATE_DONE || r.GetMoved() != 4 || r.GetWaiting() != 0 || r.GetMoving() != 0 || r.GetEndTs() <= r.GetStartTs() {
		t.Errorf("ended: %v", r)
	}
	if p := poolOf(t, api); p.GetRolloutId() != 0 {
		t.Errorf("the pool: %v", p)
	}
	if d := runnerOf(t, api, "old").GetDrain(); !d.GetSafeToTerminate() || d.GetMoved() != 4 || d.GetFinishTs() == 0 {
		t.Errorf("the outdated runner: %v", d)
	}
}

// TestAPausedRolloutWaits and says why.
func TestAPausedRolloutWaits(t *testing.T) {
	e, api := rolling(t, 4, &callboardv1.PoolConfig{})
	paused, err := api.Rollouts().Pause(t.Context(), &callboardv1.PauseRequest{Namespace: "default", Pool: "p", Reason: "lunch"})
	if err != nil || !paused.GetRollout().GetPaused() || paused.GetRollout().GetPauseReason() != "lunch" || paused.GetIndex() == 0 {
		t.Fatalf("%v, %v", paused, err)
	}
	for range 5 {
		answer(e)
		e.Advance(1000)
	}
	r := rolloutOf(t, api, 0)
	if r.GetWaiting() < 2 || len(r.GetBlockedBy()) == 0 || r.GetBlockedBy()[0].GetCode() != "paused" || r.GetEtaTs() != 0 {
		t.Errorf("paused: %v", r)
	}
	resumed, err := api.Rollouts().Resume(t.Context(), &callboardv1.ResumeRequest{Namespace: "default", Pool: "p"})
	if err != nil || resumed.GetRollout().GetPaused() || resumed.GetRollout().GetEtaTs() == 0 {
		t.Fatalf("%v, %v", resumed, err)
	}
	for range 10 {
		answer(e)
		e.Advance(1000)
	}
	if r := rolloutOf(t, api, 0); r.GetState() != callboardv1.RolloutState_ROLLOUT_STATE_DONE {
		t.Errorf("resumed: %v", r)
	}
}

// TestAnOperatorsDrain takes effect at once, shows what was asked, and can be called off.
func TestAnOperatorsDrain(t *testing.T) {
	e, api := newAPI(5)
	for range 3 {
		create(t, api, "a", "")
	}
	e.ReportRunning()
	id := runnerOf(t, api, "first").GetRunnerId()
	req := &callboardv1.DrainRequest{Namespace: "default", RunnerId: id, DeadlineMs: 60_000, Reason: "disk", IdempotencyKey: "once"}
	got, err := api.Runners().Drain(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	d := got.GetRunner().GetDrain()
	if got.GetIndex() == 0 || got.GetRunner().GetState() != callboardv1.RunnerState_RUNNER_STATE_DRAINING || d.GetCause() != callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR ||
		d.GetReason() != "disk" || d.GetDeadlineTs()-d.GetStartTs() != 60_000 || d.GetForce() || d.GetLeft() != 3 || len(d.GetBlockedBy()) == 0 || d.GetBlockedBy()[0].GetCode() != "no_capacity" {
		t.Errorf("%v", got)
	}
	if again, err := api.Runners().Drain(t.Context(), req); err != nil || again.GetRunner().GetDrain().GetStartTs() != d.GetStartTs() {
		t.Errorf("the same key again: %v, %v", again, err)
	}
	undrained, err := api.Runners().Undrain(t.Context(), &callboardv1.UndrainRequest{Namespace: "default", RunnerId: id})
	if err != nil || undrained.GetRunner().GetDrain() != nil || undrained.GetRunner().GetState() != callboardv1.RunnerState_RUNNER_STATE_CONNECTED {
		t.Errorf("called off: %v, %v", undrained, err)
	}
	req.IdempotencyKey, req.Force = "", true
	if got, err = api.Runners().Drain(t.Context(), req); err != nil || !got.GetRunner().GetDrain().GetForce() {
		t.Errorf("forced: %v, %v", got, err)
	}
	for range 5 {
		answer(e)
		e.Advance(1000)
	}
	if r := runnerOf(t, api, "first"); !r.GetDrain().GetSafeToTerminate() || r.GetDrain().GetMoved() != 3 {
		t.Errorf("drained: %v", r)
	}
}

// TestARescheduledActorMoves at once.
func TestARescheduledActorMoves(t *testing.T) {
	e, api := newAPI(5)
	a := create(t, api, "a", "")
	e.ReportRunning()
	got, err := api.Actors().Reschedule(t.Context(), &callboardv1.RescheduleRequest{Namespace: "default", ActorId: a.GetActorId()})
	if err != nil || got.GetActor().GetState() != callboardv1.ActorState_ACTOR_STATE_STOPPING || got.GetIndex() == 0 {
		t.Fatalf("%v, %v", got, err)
	}
	answer(e)
	if m := get(t, api, a.GetActorId()); m.GetState() != callboardv1.ActorState_ACTOR_STATE_RUNNING || m.GetGeneration() != 2 {
		t.Errorf("%v", m)
	}
}

// TestNamedActorsShowTheirTurn: with a period the next ones are told ahead.
func TestNamedActorsShowTheirTurn(t *testing.T) {
	period := uint32(60)
	_, api := rolling(t, 4, &callboardv1.PoolConfig{ActorEvictionPeriod: &period})
	page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	turns := map[int64]bool{}
	for _, a := range page.GetActors() {
		if a.GetEvictTs() < apitest.WallMs || a.GetEvictTs() > apitest.WallMs+60_000 || turns[a.GetEvictTs()] {
			t.Errorf("%v", a)
		}
		turns[a.GetEvictTs()] = true
		explained, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId()})
		if err != nil || !strings.Contains(strings.Join(explained.GetSteps(), "\n"), "its runner drains (newer_version): 0 of 4 actors have moved") {
			t.Errorf("%v, %v", explained, err)
		}
		if a.GetState() == callboardv1.ActorState_ACTOR_STATE_RUNNING && explained.GetNextChangeTs() != a.GetEvictTs() {
			t.Errorf("%v", explained)
		}
	}
}

// TestATurnThatHasComeIsNoTimeInThePast: an actor whose turn has come waits for room, nobody knows until when.
func TestATurnThatHasComeIsNoTimeInThePast(t *testing.T) {
	e, api := newAPI(0)
	period := uint32(60)
	configure(t, api, &callboardv1.PoolConfig{ActorEvictionPeriod: &period})
	e.AddRunner("p", "old", 1, 100)
	for range 4 {
		create(t, api, "a", "")
	}
	e.ReportRunning()
	e.AddRunner("p", "new", 2, 1)
	for range 30 {
		e.Advance(1000)
		answer(e)
	}
	page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for _, a := range page.GetActors() {
		if strings.Contains(a.GetNextChange(), "its turn has come") {
			waiting++
		}
		if a.GetEvictTs() != 0 && a.GetEvictTs() < apitest.WallMs+30_000 || a.GetNextChangeTs() != a.GetEvictTs() {
			t.Errorf("half a minute later: %v", a)
		}
	}
	if waiting == 0 {
		t.Errorf("nobody waits for room: %v", page.GetActors())
	}
}

// TestTheActorsOfALostRunnerWaitForTheirTurn, and say until when.
func TestTheActorsOfALostRunnerWaitForTheirTurn(t *testing.T) {
	e, api := newAPI(0)
	period := uint32(60)
	configure(t, api, &callboardv1.PoolConfig{ActorEvictionPeriod: &period})
	lost := e.AddRunner("p", "lost", 1, 10)
	for range 10 {
		create(t, api, "a", "")
	}
	e.ReportRunning()
	e.AddRunner("p", "there", 1, 10)
	for range 16 {
		e.Advance(1000, lost)
	}
	page, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{Namespace: "default", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	waiting := 0
	for _, a := range page.GetActors() {
		if a.GetState() != callboardv1.ActorState_ACTOR_STATE_PENDING {
			continue
		}
		waiting++
		explained, err := api.Actors().Explain(t.Context(), &callboardv1.ExplainRequest{Namespace: "default", ActorId: a.GetActorId()})
		if a.GetReasonCode() != "eviction_paced" || a.GetRescheduleTs() == 0 || err != nil || explained.GetNextChangeTs() != a.GetRescheduleTs() {
			t.Errorf("%v; %v, %v", a, explained, err)
		}
	}
	if waiting < 5 {
		t.Errorf("%d wait for their turn", waiting)
	}
	// They are told apart from those that a slot would do for.
	pool, err := api.Pools().Get(t.Context(), &callboardv1.PoolServiceGetRequest{Namespace: "default", Name: "p"})
	if err != nil || pool.GetPool().GetPacedActors() != uint64(waiting) || pool.GetPool().GetPendingActors() != 0 {
		t.Errorf("%v, %v; want %d that wait for their turn, and none that is pending", pool, err, waiting)
	}
	cluster, err := api.ClusterInfo().Get(t.Context(), &callboardv1.ClusterServiceGetRequest{})
	if err != nil || cluster.GetPacedActors() != uint64(waiting) || cluster.GetPendingActors() != 0 {
		t.Errorf("%v, %v; want %d that wait for their turn, and none that is pending", cluster, err, waiting)
	}
}

// TestRolloutsComeInPages, newest first, and lose none.
func TestRolloutsComeInPages(t *testing.T) {
	e, api := rolling(t, 1, &callboardv1.PoolConfig{})
	for version := uint32(3); version <= 8; version++ {
		e.AddRunner("p", fmt.Sprint("v", version), version, 5)
	}
	var versions []uint32
	req := &callboardv1.RolloutServiceListRequest{Namespace: "default", Pool: "p", Limit: 3}
	for pages := 1; ; pages++ {
		page, err := api.Rollouts().List(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.GetRollouts() {
			versions = append(versions, r.GetVersion())
			if open := r.GetState() == callboardv1.RolloutState_ROLLOUT_STATE_OPEN; open != (r.GetVersion() == 8) {
				t.Errorf("%v", r)
			}
			if got := rolloutOf(t, api, r.GetId()); got.GetVersion() != r.GetVersion() {
				t.Errorf("by id: %v, want %v", got, r)
			}
		}
		if req.Cursor = page.GetNextCursor(); req.Cursor == "" {
			if pages != 3 {
				t.Errorf("%d pages", pages)
			}
			break
		}
	}
	if fmt.Sprint(versions) != "[8 7 6 5 4 3 2]" {
		t.Errorf("%v", versions)
	}
	// The numbers are of the cluster: a pool has some of them.
	if _, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "q"}); err != nil {
		t.Fatal(err)
	}
	e.AddRunner("q", "old", 1, 5)
	e.AddRunner("q", "new", 2, 5)
	elsewhere, err := api.Rollouts().Get(t.Context(), &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "q"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = api.Rollouts().Get(t.Context(), &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "p", Id: elsewhere.GetRollout().GetId()})
	expectRefusal(t, err, "pool.no_rollout", "")
}

// TestAPlanChangesNothing and tells what would move.
func TestAPlanChangesNothing(t *testing.T) {
	e, api := newAPI(0)
	configure(t, api, &callboardv1.PoolConfig{})
	e.AddRunner("p", "old", 1, 100)
	for range 20 {
		create(t, api, "a", "")
	}
	e.ReportRunning()
	plan := func(version uint32, slots uint64) *callboardv1.RolloutPlan {
		t.Helper()
		got, err := api.Rollouts().Plan(t.Context(), &callboardv1.PlanRequest{Namespace: "default", Pool: "p", Version: version, Slots: slots})
		if err != nil || got.GetIndex() == 0 {
			t.Fatal(got, err)
		}
		return got.GetPlan()
	}
	if p := plan(2, 0); p.GetMoves() != 20 || p.GetRunners() != 1 || !p.GetDrain() || p.GetDurationMs() < 18_000 || p.GetDurationMs() > 22_000 || p.GetPeakPerS() > 2 || len(p.GetPoints()) != 20 {
		t.Errorf("with room: %v", p)
	}
	if p := plan(2, 5); p.GetMoves() != 5 || p.GetStays() != 15 || len(p.GetBlockedBy()) == 0 || p.GetBlockedBy()[0].GetCode() != "no_capacity" {
		t.Errorf("with 5 slots: %v", p)
	}
	if p := plan(1, 0); p.GetMoves() != 0 || p.GetBinds() == "" {
		t.Errorf("the same version: %v", p)
	}
	configure(t, api, coexist)
	if p := plan(2, 0); p.GetMoves() != 0 || p.GetDrain() {
		t.Errorf("drain is off: %v", p)
	}
	if n := len(e.Submitted()); n != 22 {
		t.Errorf("%d commands were submitted, want those of the test itself", n)
	}
	if r := runnerOf(t, api, "old"); r.GetDrain() != nil {
		t.Errorf("%v", r)
	}
}

// TestTurningDrainOnIsWarnedOf when there are runners that it concerns.
func TestTurningDrainOnIsWarnedOf(t *testing.T) {
	e, api := newAPI(0)
	e.AddRunner("q", "old", 1, 5) // its pool is made when it connects: versions coexist
	e.AddRunner("q", "new", 2, 5)
	got, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "q", Config: &callboardv1.PoolConfig{}})
	if err != nil || len(got.GetWarnings()) != 1 || !strings.Contains(got.GetWarnings()[0], "drain_on_version_upgrade is on") || !got.GetPool().GetConfig().GetDrainOnVersionUpgrade() {
		t.Errorf("%v, %v", got, err)
	}
	got, err = api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "q", Config: &callboardv1.PoolConfig{}})
	if err != nil || len(got.GetWarnings()) != 0 {
		t.Errorf("written again: %v, %v", got, err)
	}
}

// TestOneForecastAtATime: who looks at rollouts waits for another one's forecast, and no longer than his time.
func TestOneForecastAtATime(t *testing.T) {
	_, api := rolling(t, 1, &callboardv1.PoolConfig{})
	api.ahead <- struct{}{} // somebody is at it
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := api.Rollouts().Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "p"})
	expectRefusal(t, err, "api.timeout", "")
	_, err = api.Rollouts().Plan(ctx, &callboardv1.PlanRequest{Namespace: "default", Pool: "p", Version: 9})
	expectRefusal(t, err, "api.timeout", "")
	<-api.ahead
	rolloutOf(t, api, 0)
	rolloutOf(t, api, 0) // the turn was given back
}
