package scheduler

import (
	"fmt"
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func batchOf(actors ...*callboardv1.NewActor) *nodev1.Command {
	return &nodev1.Command{Command: &nodev1.Command_CreateActors{
		CreateActors: &callboardv1.CreateBatchRequest{Namespace: "default", Actors: actors},
	}}
}

// keyed is an actor of a batch; an empty key is none.
func keyed(key string) *callboardv1.NewActor {
	a := &callboardv1.NewActor{Name: "counter", Pool: "default", Input: []byte("x" + key)}
	if key != "" {
		a.Key = &key
	}
	return a
}

// TestABatchIsMadeWholeOrNotAtAll: each refusal names the item that it is about, and leaves nothing of those before it.
func TestABatchIsMadeWholeOrNotAtAll(t *testing.T) {
	with := func(change func(a *callboardv1.NewActor)) *callboardv1.NewActor {
		a := keyed("")
		change(a)
		return a
	}
	many := func(n int) []*callboardv1.NewActor {
		actors := make([]*callboardv1.NewActor, n)
		for i := range actors {
			actors[i] = keyed(fmt.Sprint(i))
		}
		return actors
	}
	tests := []struct {
		name    string
		command *nodev1.Command
		want    string
		field   string
	}{
		{"one", batchOf(keyed("")), "", ""},
		{"as many as there may be", batchOf(many(MaxBatch)...), "", ""},
		{"one more", batchOf(many(MaxBatch + 1)...), "api.bad_request", ""},
		{"none", batchOf(), "api.bad_request", ""},
		{"no such namespace", &nodev1.Command{Command: &nodev1.Command_CreateActors{
			CreateActors: &callboardv1.CreateBatchRequest{Namespace: "elsewhere", Actors: many(1)},
		}}, "namespace.not_found", ""},
		{"a name that is too long", batchOf(keyed(""), with(func(a *callboardv1.NewActor) { a.Name = strings.Repeat("x", 257) })), "api.bad_request", "actors[1].name"},
		{"an unknown pool behind a known one", batchOf(keyed(""), keyed(""), with(func(a *callboardv1.NewActor) { a.Pool = "other" })), "actor.no_runner_config_configured", "actors[2]"},
		{"a key that an actor has", batchOf(keyed("new"), keyed("taken")), "actor.duplicate_key", "actors[1]"},
		{"a key twice in the batch", batchOf(keyed("new"), keyed("other"), keyed("new")), "actor.duplicate_key", "actors[2]"},
		{"two names with one key", batchOf(keyed("new"), with(func(a *callboardv1.NewActor) { a.Name, a.Key = "other", keyed("new").Key })), "", ""},
		{"more input than there is room, together", batchOf(with(func(a *callboardv1.NewActor) { a.Input = make([]byte, 600<<10) }),
			with(func(a *callboardv1.NewActor) { a.Input = make([]byte, 600<<10) })), "actor.stored_bytes_exceeded", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
			w.command(&nodev1.Command{Command: &nodev1.Command_PutSettings{PutSettings: &callboardv1.PutSettingsRequest{
				Values: map[string]string{"stored_bytes_limit": "1048576"},
			}}}, "")
			w.command(create("x", "taken", "default", 0), "")
			before := w.view.LiveActors()
			got := w.command(tt.command, "")
			expectRefusal(t, got.Refusal, tt.want)
			if field := got.Refusal.GetMetadata()["field"]; field != tt.field {
				t.Errorf("it is about %q, want %q: %v", field, tt.field, got.Refusal)
			}
			made := 0
			if tt.want == "" {
				made = len(tt.command.GetCreateActors().GetActors())
			}
			if len(got.Success.GetIds()) != made*len(fsm.ActorID{}) || w.view.LiveActors() != before+uint64(made) {
				t.Errorf("%d bytes of ids, and %d actors more; want %d", len(got.Success.GetIds()), w.view.LiveActors()-before, made)
			}
			for i := range made {
				id := idAt(got, i)
				want := tt.command.GetCreateActors().GetActors()[i]
				if a := w.view.Actor(id); a == nil || a.Key != want.GetKey() || a.Name != want.GetName() || a.Input != string(want.GetInput()) {
					t.Errorf("id %d is that of %+v, want %v", i, a, want)
				}
			}
		})
	}
}

// TestABatchIsRememberedWhole: a retry makes nothing, and is answered with the same ids, however large the batch.
func TestABatchIsRememberedWhole(t *testing.T) {
	w := newWorld(t)
	w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
	actors := make([]*callboardv1.NewActor, MaxBatch)
	for i := range actors {
		actors[i] = keyed("")
	}
	first := w.command(batchOf(actors...), "k")
	expectRefusal(t, first.Refusal, "")
	again := w.command(batchOf(actors...), "k")
	expectRefusal(t, again.Refusal, "")
	if string(again.Success.GetIds()) != string(first.Success.GetIds()) || w.view.LiveActors() != MaxBatch {
		t.Errorf("the retry made actors: there are %d", w.view.LiveActors())
	}
	expectRefusal(t, w.command(batchOf(actors[1:]...), "k").Refusal, "api.idempotency_conflict")
}

// TestABatchIsPlacedInTheOrderOfItsActors: one entry makes it and places what there is room for.
func TestABatchIsPlacedInTheOrderOfItsActors(t *testing.T) {
	w := newWorld(t)
	w.start(&process{name: "r", slots: 2})
	w.turn(Input{})
	got := w.command(batchOf(keyed("a"), keyed("b"), keyed("c")), "")
	expectRefusal(t, got.Refusal, "")
	for i, want := range []bool{true, true, false} {
		a := w.view.Actor(idAt(got, i))
		if a.Phase.OnRunner() != want {
			t.Errorf("actor %d is %v", i, a.Phase)
		}
	}
}

// idAt is the id of one actor of a batch.
func idAt(a Answer, i int) fsm.ActorID {
	const size = len(fsm.ActorID{})
	return fsm.ActorID(a.Success.GetIds()[i*size : (i+1)*size])
}
