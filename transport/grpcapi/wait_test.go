package grpcapi

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// began starts a blocking call and returns when it waits. The function it returns waits for the answer, and tells how long it took.
func began[A any](t *testing.T, call func() (A, error)) func() (A, time.Duration, error) {
	t.Helper()
	var (
		answer A
		err    error
		took   time.Duration
		done   = make(chan struct{})
		begin  = time.Now()
	)
	go func() {
		defer close(done)
		answer, err = call()
		took = time.Since(begin)
	}()
	synctest.Wait()
	return func() (A, time.Duration, error) {
		<-done
		return answer, took, err
	}
}

func TestDestroyWaitsForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(1)
		a := create(t, api, "a", "")
		e.ReportRunning()
		wait := began(t, func() (*callboardv1.DestroyResponse, error) {
			return api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: a.GetActorId()})
		})
		if state := get(t, api, a.GetActorId()).GetState(); state != callboardv1.ActorState_ACTOR_STATE_STOPPING {
			t.Errorf("it is %v while the call waits", state)
		}
		time.Sleep(20 * time.Second)
		e.ReportStopped()
		if answer, took, err := wait(); err != nil || !answer.GetEnded() || took != 20*time.Second {
			t.Errorf("%v, %v after %v; want ended after 20s", answer, err, took)
		}
		if state := get(t, api, a.GetActorId()).GetState(); state != callboardv1.ActorState_ACTOR_STATE_DESTROYED {
			t.Errorf("it is %v in the end", state)
		}
	})
}

func TestDestroyGivesUpWaitingButNotDestroying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(1)
		a := create(t, api, "a", "")
		for _, timeout := range []time.Duration{30 * time.Second, time.Second} {
			req := &callboardv1.DestroyRequest{Namespace: "default", ActorId: a.GetActorId()}
			if timeout != 30*time.Second { // the default
				req.TimeoutMs = uint32(timeout.Milliseconds())
			}
			wait := began(t, func() (*callboardv1.DestroyResponse, error) { return api.Actors().Destroy(t.Context(), req) })
			if answer, took, err := wait(); err != nil || answer.GetEnded() || answer.GetIndex() == 0 || took != timeout {
				t.Errorf("%v, %v after %v; want not ended after %v", answer, err, took, timeout)
			}
		}
		e.ReportStopped()
		if answer, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil || !answer.GetEnded() {
			t.Errorf("destroying it again: %v, %v", answer, err)
		}
	})
}

func TestGetOrCreateWaitsWhileTheKeyIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(2)
		old := create(t, api, "a", "k")
		e.ReportRunning()
		if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: old.GetActorId(), TimeoutMs: 1}); err != nil {
			t.Fatal(err)
		}
		key := "k"
		_, err := api.Actors().Create(t.Context(), &callboardv1.CreateRequest{Namespace: "default", Name: "a", Key: &key, Pool: "p"})
		if refusal := expectRefusal(t, err, "actor.key_busy", ""); refusal.metadata["retry_after_ms"] == "" {
			t.Error("key_busy does not say when to retry")
		}
		req := &callboardv1.GetOrCreateRequest{Namespace: "default", Name: "a", Key: "k", Pool: "p", IdempotencyKey: "once"}
		wait := began(t, func() (*callboardv1.GetOrCreateResponse, error) { return api.Actors().GetOrCreate(t.Context(), req) })
		time.Sleep(7 * time.Second)
		e.ReportStopped()
		answer, took, err := wait()
		if err != nil || !answer.GetCreated() || answer.GetActor().GetActorId() == old.GetActorId() || took != 7*time.Second {
			t.Errorf("%v, %v after %v; want a new actor after 7s", answer, err, took)
		}
		req.TimeoutMs = 9 // the same command: only its patience changed
		if again, err := api.Actors().GetOrCreate(t.Context(), req); err != nil || !again.GetCreated() || again.GetActor().GetActorId() != answer.GetActor().GetActorId() {
			t.Errorf("the same call again: %v, %v; want the same answer", again, err)
		}
	})
}

func TestGetOrCreateGivesUpAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, api := newAPI(2)
		old := create(t, api, "a", "k")
		if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: old.GetActorId(), TimeoutMs: 1}); err != nil {
			t.Fatal(err)
		}
		wait := began(t, func() (*callboardv1.GetOrCreateResponse, error) {
			return api.Actors().GetOrCreate(t.Context(), &callboardv1.GetOrCreateRequest{Namespace: "default", Name: "a", Key: "k", Pool: "p", TimeoutMs: 5000})
		})
		_, took, err := wait()
		if refusal := expectRefusal(t, err, "actor.key_busy", ""); took != 5*time.Second || refusal.metadata["retry_after_ms"] == "" {
			t.Errorf("%v after %v; want key_busy with retry_after_ms after 5s", refusal, took)
		}
	})
}

// overtaken is an engine on which somebody else takes a key right after a caller was told that it is busy.
type overtaken struct {
	*apitest.Engine
	then func()
}

func (o *overtaken) Submit(ctx context.Context, req *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
	answer, err := o.Engine.Submit(ctx, req)
	if answer.GetRefusal() != nil && o.then != nil {
		then := o.then
		o.then = nil
		then()
	}
	return answer, err
}

// Whoever waits for a key gets the actor that somebody else has made with it meanwhile.
func TestGetOrCreateOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, others := newAPI(2)
		old := create(t, others, "a", "k")
		e.ReportRunning()
		if _, err := others.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: old.GetActorId(), TimeoutMs: 1}); err != nil {
			t.Fatal(err)
		}
		var theirs *callboardv1.Actor
		engine := &overtaken{Engine: e, then: func() {
			e.ReportStopped()
			theirs = create(t, others, "a", "k")
		}}
		api := New(engine, &apitest.Cluster{Leader: "n1"})
		wait := began(t, func() (*callboardv1.GetOrCreateResponse, error) {
			return api.Actors().GetOrCreate(t.Context(), &callboardv1.GetOrCreateRequest{Namespace: "default", Name: "a", Key: "k", Pool: "p"})
		})
		answer, took, err := wait()
		if err != nil || answer.GetCreated() || answer.GetActor().GetActorId() != theirs.GetActorId() || took != 0 {
			t.Errorf("%v, %v after %v; want the other's actor at once", answer, err, took)
		}
	})
}

func TestGetOrCreateHasOneWinner(t *testing.T) {
	_, api := newAPI(0)
	const callers = 32
	var (
		mu      sync.Mutex
		ids     = map[string]int{}
		created int
		calls   sync.WaitGroup
	)
	for range callers {
		calls.Go(func() {
			answer, err := api.Actors().GetOrCreate(t.Context(), &callboardv1.GetOrCreateRequest{Namespace: "default", Name: "a", Key: "k", Pool: "p"})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[answer.GetActor().GetActorId()]++
			if answer.GetCreated() {
				created++
			}
		})
	}
	calls.Wait()
	if len(ids) != 1 || created != 1 {
		t.Errorf("%d actors, %d created; want one of each", len(ids), created)
	}
}

func TestResolveWakesAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(1)
		a := create(t, api, "a", "")
		e.ReportRunning()
		if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
			t.Fatal(err)
		}
		e.ReportStopped()
		if state := get(t, api, a.GetActorId()).GetState(); state != callboardv1.ActorState_ACTOR_STATE_SLEEPING {
			t.Fatalf("it is %v, want sleeping", state)
		}
		wait := began(t, func() (*callboardv1.ResolveResponse, error) {
			return api.Actors().Resolve(t.Context(), &callboardv1.ResolveRequest{Namespace: "default", ActorId: a.GetActorId()})
		})
		time.Sleep(3 * time.Second)
		e.ReportRunning()
		answer, took, err := wait()
		if err != nil || answer.GetRunnerAddr() != "10.0.0.1:7000" || answer.GetActor().GetGeneration() != 2 || took != 3*time.Second {
			t.Errorf("%v, %v after %v; want the runner's address and generation 2 after 3s", answer, err, took)
		}
		if answer, err = api.Actors().Resolve(t.Context(), &callboardv1.ResolveRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil || answer.GetActor().GetGeneration() != 2 {
			t.Errorf("resolving a running one: %v, %v", answer, err)
		}
	})
}

// TestResolveWhileItFallsAsleep keeps the wake for the end of the stop.
func TestResolveWhileItFallsAsleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(1)
		a := create(t, api, "a", "")
		e.ReportRunning()
		if _, err := api.Actors().Sleep(t.Context(), &callboardv1.SleepRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
			t.Fatal(err)
		}
		wait := began(t, func() (*callboardv1.ResolveResponse, error) {
			return api.Actors().Resolve(t.Context(), &callboardv1.ResolveRequest{Namespace: "default", ActorId: a.GetActorId()})
		})
		e.ReportStopped()
		e.ReportRunning()
		if answer, _, err := wait(); err != nil || answer.GetActor().GetGeneration() != 2 {
			t.Errorf("%v, %v; want generation 2", answer, err)
		}
	})
}

func TestWaitingSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, api := newAPI(0)
		a := create(t, api, "a", "")
		wait := began(t, func() (*callboardv1.ResolveResponse, error) {
			return api.Actors().Resolve(t.Context(), &callboardv1.ResolveRequest{Namespace: "default", ActorId: a.GetActorId(), TimeoutMs: 2000})
		})
		_, took, err := wait()
		refusal := expectRefusal(t, err, "api.timeout", "")
		if took != 2*time.Second || !strings.Contains(refusal.message, "no runner of pool p") || refusal.metadata["state"] != "pending" {
			t.Errorf("after %v: %v", took, refusal)
		}
		waitGet := began(t, func() (*callboardv1.GetResponse, error) {
			return api.Actors().Get(t.Context(), &callboardv1.GetRequest{Namespace: "default", ActorId: a.GetActorId(), WaitRunning: true})
		})
		e.AddRunner("p", "late", 1, 1)
		e.ReportRunning()
		if answer, _, err := waitGet(); err != nil || answer.GetActor().GetState() != callboardv1.ActorState_ACTOR_STATE_RUNNING {
			t.Errorf("%v, %v; want running", answer, err)
		}
	})
}

func TestWaitingEndsWithTheActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, api := newAPI(0)
		a := create(t, api, "a", "")
		wait := began(t, func() (*callboardv1.GetResponse, error) {
			return api.Actors().Get(t.Context(), &callboardv1.GetRequest{Namespace: "default", ActorId: a.GetActorId(), WaitRunning: true})
		})
		if _, err := api.Actors().Destroy(t.Context(), &callboardv1.DestroyRequest{Namespace: "default", ActorId: a.GetActorId()}); err != nil {
			t.Fatal(err)
		}
		_, _, err := wait()
		expectRefusal(t, err, "actor.destroyed_while_waiting", "")
		_, err = api.Actors().Resolve(t.Context(), &callboardv1.ResolveRequest{Namespace: "default", ActorId: a.GetActorId()})
		expectRefusal(t, err, "actor.destroyed", "")
		_, err = api.Actors().Wake(t.Context(), &callboardv1.WakeRequest{Namespace: "default", ActorId: a.GetActorId()})
		expectRefusal(t, err, "actor.destroyed", "")
	})
}
