package grpcapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const someID = "01977420-dc00-7000-8000-0000000000ff"

// TestBadInputIsRefusedByName calls every operation with one thing wrong at a time. Each row names the refusal and the field.
func TestBadInputIsRefusedByName(t *testing.T) {
	_, api := newAPI(1)
	type (
		newActor   = callboardv1.CreateRequest
		getOrMake  = callboardv1.GetOrCreateRequest
		list       = callboardv1.ListRequest
		poolConfig = callboardv1.PoolConfig
	)
	ctx := context.Background()
	createActor := func(change func(*newActor)) func() error {
		return func() error {
			req := &newActor{Namespace: "default", Name: "a", Pool: "p"}
			change(req)
			_, err := api.Actors().Create(ctx, req)
			return err
		}
	}
	getOrCreate := func(change func(*getOrMake)) func() error {
		return func() error {
			req := &getOrMake{Namespace: "default", Name: "a", Key: "k", Pool: "p"}
			change(req)
			_, err := api.Actors().GetOrCreate(ctx, req)
			return err
		}
	}
	createBatch := func(actors ...*callboardv1.NewActor) func() error {
		return func() error {
			_, err := api.Actors().CreateBatch(ctx, &callboardv1.CreateBatchRequest{Namespace: "default", Actors: actors})
			return err
		}
	}
	good := &callboardv1.NewActor{Name: "a", Pool: "p"}
	listActors := func(change func(*list)) func() error {
		return func() error {
			req := &list{Namespace: "default", Name: "a"}
			change(req)
			_, err := api.Actors().List(ctx, req)
			return err
		}
	}
	putPool := func(config *poolConfig) func() error {
		return func() error {
			_, err := api.Pools().Put(ctx, &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "p", Config: config})
			return err
		}
	}
	set := func(name, value string) func() error {
		return func() error {
			_, err := api.ClusterInfo().PutSettings(ctx, &callboardv1.PutSettingsRequest{Values: map[string]string{name: value}})
			return err
		}
	}
	key := func(n int) *string { s := strings.Repeat("k", n); return &s }
	tooFast, short, long := uint64(1e11+1), uint32(9), uint32(601)
	drain := func(change func(*callboardv1.DrainRequest)) func() error {
		return func() error {
			req := &callboardv1.DrainRequest{Namespace: "default", RunnerId: someID}
			change(req)
			_, err := api.Runners().Drain(ctx, req)
			return err
		}
	}
	plan := func(change func(*callboardv1.PlanRequest)) func() error {
		return func() error {
			req := &callboardv1.PlanRequest{Namespace: "default", Pool: "p", Version: 2}
			change(req)
			_, err := api.Rollouts().Plan(ctx, req)
			return err
		}
	}
	tests := []struct {
		name        string
		call        func() error
		want, field string
	}{
		{"create: no namespace", createActor(func(r *newActor) { r.Namespace = "" }), "api.bad_request", "namespace"},
		{"create: namespace in capitals", createActor(func(r *newActor) { r.Namespace = "Default" }), "api.bad_request", "namespace"},
		{"create: unknown namespace", createActor(func(r *newActor) { r.Namespace = "elsewhere" }), "namespace.not_found", ""},
		{"create: no name", createActor(func(r *newActor) { r.Name = "" }), "validation.invalid_input", "name"},
		{"create: long name", createActor(func(r *newActor) { r.Name = strings.Repeat("n", 257) }), "api.bad_request", "name"},
		{"create: name with a line break", createActor(func(r *newActor) { r.Name = "a\nb" }), "api.bad_request", "name"},
		{"create: name is no UTF-8", createActor(func(r *newActor) { r.Name = "\xff" }), "api.bad_request", "name"},
		{"create: empty key", createActor(func(r *newActor) { r.Key = key(0) }), "actor.empty_key", "key"},
		{"create: key of 1025 bytes", createActor(func(r *newActor) { r.Key = key(1025) }), "actor.key_too_large", "key"},
		{"create: no pool", createActor(func(r *newActor) { r.Pool = "" }), "api.bad_request", "pool"},
		{"create: pool with a slash", createActor(func(r *newActor) { r.Pool = "a/b" }), "api.bad_request", "pool"},
		{"create: unknown pool", createActor(func(r *newActor) { r.Pool = "q" }), "actor.no_runner_config_configured", ""},
		{"create: input of 4 MiB and a byte", createActor(func(r *newActor) { r.Input = make([]byte, 4<<20+1) }), "actor.input_too_large", "input"},
		{"create: unknown policy", createActor(func(r *newActor) { r.CrashPolicy = 9 }), "api.bad_request", "crash_policy"},
		{"create: negative policy", createActor(func(r *newActor) { r.CrashPolicy = -1 }), "api.bad_request", "crash_policy"},
		{"create: long idempotency key", createActor(func(r *newActor) { r.IdempotencyKey = *key(129) }), "api.bad_request", "idempotency_key"},
		{"create: idempotency key with a newline", createActor(func(r *newActor) { r.IdempotencyKey = "a\nb" }), "api.bad_request", "idempotency_key"},

		{"get-or-create: no key", getOrCreate(func(r *getOrMake) { r.Key = "" }), "actor.empty_key", "key"},
		{"get-or-create: 2 KiB key", getOrCreate(func(r *getOrMake) { r.Key = *key(2048) }), "actor.key_too_large", "key"},
		{"get-or-create: waits too long", getOrCreate(func(r *getOrMake) { r.TimeoutMs = 600_001 }), "api.bad_request", "timeout"},
		{"get-or-create: no name", getOrCreate(func(r *getOrMake) { r.Name = "" }), "validation.invalid_input", "name"},

		{"batch: no actors", createBatch(), "api.bad_request", "actors"},
		{"batch: 1 001 actors", createBatch(slices.Repeat([]*callboardv1.NewActor{good}, 1001)...), "api.bad_request", "actors"},
		{"batch: more than 1 MiB", createBatch(good, &callboardv1.NewActor{Name: "a", Pool: "p", Input: make([]byte, 1<<20)}), "api.payload_too_large", "actors"},
		{"batch: no name", createBatch(good, &callboardv1.NewActor{Pool: "p"}), "validation.invalid_input", "actors[1].name"},
		{"batch: empty key", createBatch(&callboardv1.NewActor{Name: "a", Pool: "p", Key: key(0)}), "actor.empty_key", "actors[0].key"},
		{"batch: unknown pool", createBatch(good, &callboardv1.NewActor{Name: "a", Pool: "q"}), "actor.no_runner_config_configured", "actors[1]"},

		{"list: neither name nor ids", listActors(func(r *list) { r.Name = "" }), "validation.invalid_input", "name"},
		{"list: key without name", listActors(func(r *list) { r.Name, r.Key = "", key(1) }), "validation.invalid_input", "name"},
		{"list: ids and name", listActors(func(r *list) { r.ActorIds = []string{someID} }), "validation.invalid_input", "actor_ids"},
		{"list: 33 ids", listActors(func(r *list) { r.Name, r.ActorIds = "", strings.Split(strings.Repeat(someID+",", 32)+someID, ",") }), "validation.too_many_actor_ids", "actor_ids"},
		{"list: malformed id", listActors(func(r *list) { r.Name, r.ActorIds = "", []string{"x"} }), "api.bad_request", "actor_ids"},
		{"list: empty id", listActors(func(r *list) { r.Name, r.ActorIds = "", []string{""} }), "api.bad_request", "actor_ids"},
		{"list: runner and name", listActors(func(r *list) { r.RunnerId = someID }), "validation.invalid_input", "runner_id"},
		{"list: runner and ids", listActors(func(r *list) { r.Name, r.ActorIds, r.RunnerId = "", []string{someID}, someID }), "validation.invalid_input", "runner_id"},
		{"list: runner and key", listActors(func(r *list) { r.Name, r.Key, r.RunnerId = "", key(1), someID }), "validation.invalid_input", "runner_id"},
		{"list: runner and destroyed", listActors(func(r *list) { r.Name, r.RunnerId, r.IncludeDestroyed = "", someID, true }), "validation.invalid_input", "include_destroyed"},
		{"list: malformed runner", listActors(func(r *list) { r.Name, r.RunnerId = "", "x" }), "api.bad_request", "runner_id"},
		{"list: unknown runner", listActors(func(r *list) { r.Name, r.RunnerId = "", someID }), "runner.not_found", ""},
		{"list: runner and limit", listActors(func(r *list) { r.Name, r.RunnerId, r.Limit = "", someID, 1001 }), "api.bad_request", "limit"},
		{"list: runner and cursor", listActors(func(r *list) { r.Name, r.RunnerId, r.Cursor = "", someID, "AQ" }), "api.bad_request", "cursor"},
		{"list: empty key", listActors(func(r *list) { r.Key = key(0) }), "actor.empty_key", "key"},
		{"list: limit", listActors(func(r *list) { r.Limit = 1001 }), "api.bad_request", "limit"},
		{"list: cursor is no base64", listActors(func(r *list) { r.Cursor = "!" }), "api.bad_request", "cursor"},
		{"list: cursor is empty base64", listActors(func(r *list) { r.Cursor = "AQ" }), "api.bad_request", "cursor"},
		{"list: huge cursor", listActors(func(r *list) { r.Cursor = strings.Repeat("A", 5000) }), "api.bad_request", "cursor"},
		{"list: unknown namespace", listActors(func(r *list) { r.Namespace = "elsewhere" }), "namespace.not_found", ""},
		{"list: unknown consistency", listActors(func(r *list) { r.Consistency = 7 }), "api.bad_request", "consistency"},

		{"get: malformed id", func() error {
			_, err := api.Actors().Get(ctx, &callboardv1.GetRequest{Namespace: "default", ActorId: "zz"})
			return err
		}, "api.bad_request", "actor_id"},
		{"get: unknown id", func() error {
			_, err := api.Actors().Get(ctx, &callboardv1.GetRequest{Namespace: "default", ActorId: someID})
			return err
		}, "actor.not_found", ""},
		{"wake: no id", func() error {
			_, err := api.Actors().Wake(ctx, &callboardv1.WakeRequest{Namespace: "default"})
			return err
		}, "api.bad_request", "actor_id"},
		{"sleep: unknown id", func() error {
			_, err := api.Actors().Sleep(ctx, &callboardv1.SleepRequest{Namespace: "default", ActorId: someID})
			return err
		}, "actor.not_found", ""},
		{"destroy: unknown id", func() error {
			_, err := api.Actors().Destroy(ctx, &callboardv1.DestroyRequest{Namespace: "default", ActorId: someID})
			return err
		}, "actor.not_found", ""},
		{"destroy: waits too long", func() error {
			_, err := api.Actors().Destroy(ctx, &callboardv1.DestroyRequest{Namespace: "default", ActorId: someID, TimeoutMs: 1 << 31})
			return err
		}, "api.bad_request", "timeout"},
		{"resolve: unknown id", func() error {
			_, err := api.Actors().Resolve(ctx, &callboardv1.ResolveRequest{Namespace: "default", ActorId: someID})
			return err
		}, "actor.not_found", ""},
		{"explain: malformed id", func() error {
			_, err := api.Actors().Explain(ctx, &callboardv1.ExplainRequest{Namespace: "default", ActorId: "1"})
			return err
		}, "api.bad_request", "actor_id"},

		{"pool: no name", func() error {
			_, err := api.Pools().Get(ctx, &callboardv1.PoolServiceGetRequest{Namespace: "default"})
			return err
		}, "api.bad_request", "name"},
		{"pool: unknown", func() error {
			_, err := api.Pools().Get(ctx, &callboardv1.PoolServiceGetRequest{Namespace: "default", Name: "q"})
			return err
		}, "pool.not_found", ""},
		{"pool: deleted twice", func() error {
			_, err := api.Pools().Delete(ctx, &callboardv1.PoolServiceDeleteRequest{Namespace: "default", Name: "q"})
			return err
		}, "pool.not_found", ""},
		{"pool: rate 0", putPool(&poolConfig{ActorEvictionRateMicros: new(uint64)}), "runner_config.invalid", "actor_eviction_rate"},
		{"pool: rate too high", putPool(&poolConfig{ActorEvictionRateMicros: &tooFast}), "runner_config.invalid", "actor_eviction_rate"},
		{"pool: threshold too short", putPool(&poolConfig{RunnerLostThreshold: &short}), "runner_config.invalid", "runner_lost_threshold"},
		{"pool: threshold too long", putPool(&poolConfig{RunnerLostThreshold: &long}), "runner_config.invalid", "runner_lost_threshold"},
		{"pool: placement", putPool(&poolConfig{Placement: 5}), "runner_config.invalid", "placement"},
		{"pool: metadata", putPool(&poolConfig{MetadataJson: "{"}), "runner_config.invalid", "metadata"},
		{"pool: much metadata", putPool(&poolConfig{MetadataJson: `"` + strings.Repeat("x", 65536) + `"`}), "runner_config.invalid", "metadata"},

		{"runners: malformed id", func() error {
			_, err := api.Runners().List(ctx, &callboardv1.RunnerServiceListRequest{Namespace: "default", RunnerIds: []string{"x"}})
			return err
		}, "api.bad_request", "runner_ids"},
		{"runners: too many ids", func() error {
			_, err := api.Runners().List(ctx, &callboardv1.RunnerServiceListRequest{Namespace: "default", RunnerIds: make([]string, 1001)})
			return err
		}, "api.bad_request", "runner_ids"},
		{"runner: unknown", func() error {
			_, err := api.Runners().Get(ctx, &callboardv1.RunnerServiceGetRequest{Namespace: "default", RunnerId: someID})
			return err
		}, "runner.not_found", ""},

		{"drain: no namespace", drain(func(r *callboardv1.DrainRequest) { r.Namespace = "" }), "api.bad_request", "namespace"},
		{"drain: no id", drain(func(r *callboardv1.DrainRequest) { r.RunnerId = "" }), "api.bad_request", "runner_id"},
		{"drain: unknown id", drain(func(*callboardv1.DrainRequest) {}), "runner.not_found", ""},
		{"drain: unknown namespace", drain(func(r *callboardv1.DrainRequest) { r.Namespace = "elsewhere" }), "namespace.not_found", ""},
		{"drain: long reason", drain(func(r *callboardv1.DrainRequest) { r.Reason = strings.Repeat("r", 257) }), "api.bad_request", "reason"},
		{"drain: reason is no UTF-8", drain(func(r *callboardv1.DrainRequest) { r.Reason = "\xff" }), "api.bad_request", "reason"},
		{"drain: idempotency key", drain(func(r *callboardv1.DrainRequest) { r.IdempotencyKey = *key(129) }), "api.bad_request", "idempotency_key"},
		{"undrain: unknown id", func() error {
			_, err := api.Runners().Undrain(ctx, &callboardv1.UndrainRequest{Namespace: "default", RunnerId: someID})
			return err
		}, "runner.not_found", ""},
		{"reschedule: unknown id", func() error {
			_, err := api.Actors().Reschedule(ctx, &callboardv1.RescheduleRequest{Namespace: "default", ActorId: someID})
			return err
		}, "actor.not_found", ""},
		{"rollout: no pool", func() error {
			_, err := api.Rollouts().Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: "default"})
			return err
		}, "api.bad_request", "pool"},
		{"rollout: unknown pool", func() error {
			_, err := api.Rollouts().Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "q"})
			return err
		}, "pool.not_found", ""},
		{"rollout: there is none", func() error {
			_, err := api.Rollouts().Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "p"})
			return err
		}, "pool.no_rollout", ""},
		{"rollout: unknown id", func() error {
			_, err := api.Rollouts().Get(ctx, &callboardv1.RolloutServiceGetRequest{Namespace: "default", Pool: "p", Id: 1<<64 - 1})
			return err
		}, "pool.no_rollout", ""},
		{"rollouts: limit", func() error {
			_, err := api.Rollouts().List(ctx, &callboardv1.RolloutServiceListRequest{Namespace: "default", Pool: "p", Limit: 1001})
			return err
		}, "api.bad_request", "limit"},
		{"rollouts: cursor", func() error {
			_, err := api.Rollouts().List(ctx, &callboardv1.RolloutServiceListRequest{Namespace: "default", Pool: "p", Cursor: "x"})
			return err
		}, "api.bad_request", "cursor"},
		{"pause: no pool", func() error {
			_, err := api.Rollouts().Pause(ctx, &callboardv1.PauseRequest{Namespace: "default"})
			return err
		}, "api.bad_request", "pool"},
		{"pause: long reason", func() error {
			_, err := api.Rollouts().Pause(ctx, &callboardv1.PauseRequest{Namespace: "default", Pool: "p", Reason: strings.Repeat("r", 257)})
			return err
		}, "api.bad_request", "reason"},
		{"pause: nothing to pause", func() error {
			_, err := api.Rollouts().Pause(ctx, &callboardv1.PauseRequest{Namespace: "default", Pool: "p"})
			return err
		}, "pool.no_rollout", ""},
		{"resume: nothing to resume", func() error {
			_, err := api.Rollouts().Resume(ctx, &callboardv1.ResumeRequest{Namespace: "default", Pool: "p"})
			return err
		}, "pool.no_rollout", ""},
		{"plan: pool with a slash", plan(func(r *callboardv1.PlanRequest) { r.Pool = "a/b" }), "api.bad_request", "pool"},
		{"plan: unknown pool", plan(func(r *callboardv1.PlanRequest) { r.Pool = "q" }), "pool.not_found", ""},
		{"plan: too many slots", plan(func(r *callboardv1.PlanRequest) { r.Slots = maxPlanSlots + 1 }), "api.bad_request", "slots"},

		{"namespace: no name", func() error {
			_, err := api.Namespaces().Create(ctx, &callboardv1.NamespaceServiceCreateRequest{})
			return err
		}, "api.bad_request", "name"},
		{"namespace: double dash", func() error {
			_, err := api.Namespaces().Create(ctx, &callboardv1.NamespaceServiceCreateRequest{Name: "a--b"})
			return err
		}, "namespace.failed_to_create", "name"},
		{"namespace: there already", func() error {
			_, err := api.Namespaces().Create(ctx, &callboardv1.NamespaceServiceCreateRequest{Name: "default"})
			return err
		}, "namespace.name_not_unique", ""},

		{"settings: none", func() error {
			_, err := api.ClusterInfo().PutSettings(ctx, &callboardv1.PutSettingsRequest{})
			return err
		}, "api.bad_request", "values"},
		{"settings: unknown", set("color", "red"), "cluster.setting_unknown", "color"},
		{"settings: endpoints asked too often", set("default_metadata_poll_interval", "4999ms"), "cluster.setting_invalid", "default_metadata_poll_interval"},
		{"settings: endpoints asked too rarely", set("default_metadata_poll_interval", "1h1s"), "cluster.setting_invalid", "default_metadata_poll_interval"},
		{"settings: no time", set("runner_lost_threshold", "soon"), "cluster.setting_invalid", "runner_lost_threshold"},
		{"settings: too short", set("runner_lost_threshold", "9999"), "cluster.setting_invalid", "runner_lost_threshold"},
		{"settings: too long", set("runner_lost_threshold", "11m"), "cluster.setting_invalid", "runner_lost_threshold"},
		{"settings: parts of a millisecond", set("base_retry_timeout", "15.0005ms"), "cluster.setting_invalid", "base_retry_timeout"},
		{"settings: overflow", set("stored_bytes_limit", "9999999999999GiB"), "cluster.setting_invalid", "stored_bytes_limit"},

		{"add-voter: no id", func() error {
			_, err := api.ClusterInfo().AddVoter(ctx, &callboardv1.AddVoterRequest{})
			return err
		}, "api.bad_request", "node_id"},
		{"add-voter: no port", func() error {
			_, err := api.ClusterInfo().AddVoter(ctx, &callboardv1.AddVoterRequest{NodeId: "x", RaftAddr: "host"})
			return err
		}, "api.bad_request", "raft_addr"},
		{"remove-peer: unknown", func() error {
			_, err := api.ClusterInfo().RemovePeer(ctx, &callboardv1.RemovePeerRequest{NodeId: "n9"})
			return err
		}, "cluster.not_a_member", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { expectRefusal(t, test.call(), test.want, test.field) })
	}
}

// TestGoodInputAtTheLimitIsTaken is the other side: what is just allowed.
func TestGoodInputAtTheLimitIsTaken(t *testing.T) {
	e, api := newAPI(10)
	key := strings.Repeat("k", 1024)
	if _, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{
		Namespace: "default", Name: strings.Repeat("n", 256), Key: &key, Pool: "p", Input: make([]byte, 4<<20), IdempotencyKey: strings.Repeat("i", 128),
	}); err != nil {
		t.Error(err)
	}
	if _, err := api.Actors().List(t.Context(), &callboardv1.ListRequest{
		Namespace: "default", ActorIds: strings.Split(strings.Repeat(someID+",", 31)+someID, ","), Limit: 1000,
	}); err != nil {
		t.Error(err)
	}
	no := false
	if _, err := api.Pools().Put(t.Context(), &callboardv1.PoolServicePutRequest{
		Namespace: "default", Name: "p", Config: &callboardv1.PoolConfig{DrainOnVersionUpgrade: &no, Placement: callboardv1.Placement_PLACEMENT_BINPACK, MetadataJson: "[1]"},
	}); err != nil {
		t.Error(err)
	}
	if n := len(e.Submitted()); n != 2 {
		t.Errorf("%d commands were submitted, want 2", n)
	}
}

// A cursor is taken as it was given only: the decoder of base64 passes over line breaks, so that many texts would be one cursor.
func TestACursorHasNoLineBreak(t *testing.T) {
	names := ask(listActorNames, "default")
	cursor := names.cursorAtName("counter")
	if place, err := names.place(cursor); err != nil || string(place) != "counter" {
		t.Fatalf("%q, %v", place, err)
	}
	for _, broken := range []string{cursor + "\n", "\r\n" + cursor, cursor[:5] + "\n" + cursor[5:]} {
		_, err := names.place(broken)
		expectRefusal(t, err, "api.bad_request", "cursor")
	}
}
