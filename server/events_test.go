package server

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// TestRolloutsAndDrainsAreTold: each thing that happens to a rollout or a drain moves its counter and leaves its line in the log.
func TestRolloutsAndDrainsAreTold(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	e := newEvents(slog.New(slog.NewTextHandler(&log, nil)), registry)
	engine := apitest.New()
	engine.OnEntry = e.tell
	api := grpcapi.New(engine, &apitest.Cluster{Leader: "n1"})
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	configure := func(drain bool) {
		t.Helper()
		_, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "p", Config: &callboardv1.PoolConfig{DrainOnVersionUpgrade: &drain}})
		must(nil, err)
	}
	run := func(seconds int) {
		for range seconds {
			engine.ReportStopped()
			engine.ReportRunning()
			engine.Advance(1000)
		}
	}
	configure(true)
	engine.AddRunner("p", "v1", 1, 10)
	for range 4 {
		must(api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "a", Pool: "p"}))
	}
	engine.ReportRunning()
	engine.AddRunner("p", "v2", 2, 10)
	must(api.Rollouts().Pause(t.Context(), &callboardv1.PauseRequest{Namespace: "default", Pool: "p", Reason: "lunch"}))
	must(api.Rollouts().Resume(t.Context(), &callboardv1.ResumeRequest{Namespace: "default", Pool: "p"}))
	engine.AddRunner("p", "v3", 3, 10)
	run(10)
	alone := engine.AddRunner("q", "alone", 1, 10)
	must(api.Runners().Drain(t.Context(), &callboardv1.DrainRequest{Namespace: "default", RunnerId: alone.String(), Reason: "disk", Force: true}))
	must(api.Runners().Undrain(t.Context(), &callboardv1.UndrainRequest{Namespace: "default", RunnerId: alone.String()}))
	engine.AddRunner("p", "v4", 4, 10)
	configure(false)

	counted := gather(t, registry)
	for counter, want := range map[string]float64{
		"callboard_rollout_events_total opened": 3, "callboard_rollout_events_total paused": 1, "callboard_rollout_events_total resumed": 1,
		"callboard_rollout_events_total superseded": 1, "callboard_rollout_events_total done": 1, "callboard_rollout_events_total called_off": 1,
		"callboard_drain_events_total operator started": 1, "callboard_drain_events_total operator cancelled": 1,
		"callboard_drain_events_total newer_version finished": 2, "callboard_drain_events_total newer_version cancelled": 3,
	} {
		if got := counted[counter]; got != want {
			t.Errorf("%s is %v, want %v", counter, got, want)
		}
	}
	if got := counted["callboard_evictions_total planned"]; got < 4 {
		t.Errorf("%v planned evictions, want 4 or more", got)
	}
	for _, line := range []string{
		`msg="rollout opened" pool=p namespace=default rollout=1 version=2 moved=0 lost=0 left=0 waiting=3 rate=1 rate_is_default=true takes=3s`,
		`msg="rollout paused" pool=p namespace=default rollout=1 version=2`, "reason=lunch",
		`msg="rollout superseded" pool=p namespace=default rollout=1 version=2`, `msg="rollout done" pool=p namespace=default rollout=2 version=3`,
		`level=WARN msg="rollout called off" pool=p namespace=default rollout=3 version=4`, `msg="drain started"`, "cause=newer_version",
		"cause=operator actors=0 reason=disk force=true", `msg="drain cancelled"`, `msg="drain finished"`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("no %s in\n%s", line, log.String())
		}
	}
}

// TestEveryStreamThatEndsIsTold: a runner that opens a stream before the end of its last one was reported has lost that one all the
// same, also when the two are in one entry; and no stream ends twice.
func TestEveryStreamThatEndsIsTold(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	e := newEvents(slog.New(slog.NewTextHandler(&log, nil)), registry)
	engine := apitest.New()
	engine.OnEntry = e.tell
	id := engine.AddRunner("p", "r", 1, 10)
	session, attempt := byte(0), uint32(0)
	resume := func(holder string) *logv1.Op {
		session++
		attempt++
		return &logv1.Op{Op: &logv1.Op_ResumeRunner{ResumeRunner: &logv1.ResumeRunner{
			RunnerId: id[:], SessionId: bytes.Repeat([]byte{session}, 16), Holder: holder, Version: 1, Slots: 10, Attempt: attempt,
		}}}
	}
	broken := func() *logv1.Op {
		return &logv1.Op{Op: &logv1.Op_DisconnectRunner{DisconnectRunner: &logv1.DisconnectRunner{RunnerId: id[:], SessionId: bytes.Repeat([]byte{session}, 16)}}}
	}
	told := func(what string, disconnected, resumed float64) {
		t.Helper()
		counted := gather(t, registry)
		if d, r := counted["callboard_runner_events_total disconnected"], counted["callboard_runner_events_total resumed"]; d != disconnected || r != resumed {
			t.Errorf("%s: %v disconnected and %v resumed, want %v and %v", what, d, r, disconnected, resumed)
		}
	}
	engine.Disconnect(id)
	engine.Do(resume("n2"))
	told("the holder knows first", 1, 1)
	engine.Advance(2_000, id)
	engine.Do(resume("n3"))
	told("the runner comes first", 2, 2)
	if line := `msg="runner disconnected" runner_id=` + id.String(); strings.Count(log.String(), line) != 2 || !strings.Contains(log.String(), "stream_at=n2") {
		t.Errorf("not two lines that it disconnected, or none that says from n2:\n%s", &log)
	}
	if line := "held_before_by=n2 silent_ms=2000"; !strings.Contains(log.String(), line) {
		t.Errorf("no %s in\n%s", line, &log)
	}
	first := broken()
	engine.Do(first, resume("n1"))
	told("both in one entry", 3, 3)
	engine.Do(resume("n2"), resume("n3"))
	told("two streams in one entry", 5, 5)
}

// TestAKeeperIsTold: each line about a runner says what it does when its lease ends, and the loss of one that keeps its actors is an alarm.
func TestAKeeperIsTold(t *testing.T) {
	var log bytes.Buffer
	e := newEvents(slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	engine := apitest.New()
	engine.OnEntry = e.tell
	keeper := engine.AddKeeper("p", "keeper", 1, 1)
	fencer := engine.AddRunner("p", "fencer", 1, 1)
	engine.Advance(16_000, keeper, fencer)
	engine.Advance(5_000, keeper, fencer)
	for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		of, lost := strings.Contains(line, "key=keeper"), strings.Contains(line, `msg="runner lost"`)
		if strings.Contains(line, "on_lease_lost=keep") != of || strings.Contains(line, "they may run there and elsewhere") != (of && lost) {
			t.Error(line)
		}
	}
	if got := strings.Count(log.String(), `msg="runner lost"`); got != 2 {
		t.Errorf("%d are lost, want 2:\n%s", got, &log)
	}
}

// gather reads every counter: its name and the values of its labels, sorted by label.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			counted[name] = m.GetCounter().GetValue()
		}
	}
	return counted
}

// A runner that names a later life than the state knows is worth an alarm: somebody has restored an older state.
func TestARaisedGenerationIsToldAndCounted(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	e := newEvents(slog.New(slog.NewTextHandler(&log, nil)), registry)
	engine := apitest.New()
	engine.OnEntry = e.tell
	api := grpcapi.New(engine, &apitest.Cluster{Leader: "n1"})
	engine.AddRunner("p", "one", 1, 10)
	created, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "a", Pool: "p"})
	if err != nil {
		t.Fatal(err)
	}
	id := created.GetActor().GetActorId()
	raw, err := fsm.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	engine.Do(&logv1.Op{Op: &logv1.Op_RaiseGeneration{RaiseGeneration: &logv1.RaiseGeneration{ActorId: raw[:], Generation: 7}}})
	if got := gather(t, registry)["callboard_generations_raised_total"]; got != 1 {
		t.Errorf("counted %v", got)
	}
	if line := log.String(); !strings.Contains(line, "actor_id="+id+" pool=p known=1 claimed=7 alarm=") {
		t.Errorf("no such line in %s", line)
	}
}
