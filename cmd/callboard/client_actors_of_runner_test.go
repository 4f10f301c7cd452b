package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

type actorList struct {
	Actors     []actorJSON `json:"actors"`
	NextCursor *string     `json:"next_cursor"`
	Index      uint64      `json:"index"`
}

// TestTheActorsOfARunner are a command away from the runner that holds them.
func TestTheActorsOfARunner(t *testing.T) {
	c := startCluster(t, 0)
	runner, ended := c.engine.AddRunner("p", "r", 1, 5).String(), c.engine.AddRunner("q", "ended", 1, 1)
	c.engine.EndRunner(ended)
	made := decode[actorAnswer](t, c.ok(t, "actor", "create", "--name", "a", "--key", "k", "--pool", "p", "-o", "json")).Actor
	c.ok(t, "actor", "create", "--name", "b", "--pool", "p")
	c.ok(t, "actor", "create", "--name", "pending", "--pool", "q")

	hint := "callboard actor list --runner " + runner
	if out := c.ok(t, "runner", "show", runner); !strings.Contains(out, hint+"\n") {
		t.Errorf("runner show does not say %q:\n%s", hint, out)
	}
	lines := strings.Split(strings.TrimSpace(c.ok(t, strings.Fields(hint)[1:]...)), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "ACTOR ID") || !strings.Contains(lines[1], made.ActorID) || !strings.Contains(lines[2], " b ") {
		t.Errorf("the table:\n%s", strings.Join(lines, "\n"))
	}
	page := decode[actorList](t, c.ok(t, "actor", "list", "--runner", runner, "--limit", "1", "-o", "json"))
	if len(page.Actors) != 1 || page.Actors[0].ActorID != made.ActorID || page.NextCursor == nil || page.Index == 0 {
		t.Errorf("as JSON: %+v", page)
	}
	if page := decode[actorList](t, c.ok(t, "actor", "list", "--runner", ended.String(), "-o", "json")); len(page.Actors) != 0 || page.NextCursor != nil {
		t.Errorf("an ended runner: %+v", page)
	}
	fails(t, c.run("actor", "list", "--runner", "x"), exitRefused, "runner_id", "Code: api.bad_request")
	fails(t, c.run("actor", "list", "--runner", made.ActorID), exitRefused, "there is no runner", "Code: runner.not_found")
	for _, more := range [][]string{{"--name", "a"}, {"--key", "k"}, {"--id", made.ActorID}} {
		fails(t, c.run(append([]string{"actor", "list", "--runner", runner}, more...)...), exitRefused, "runner_id", "Code: validation.invalid_input")
	}
	fails(t, c.run("actor", "list", "--runner", runner, "--include-destroyed"), exitRefused, "include_destroyed", "Code: validation.invalid_input")
}

// TestTheHintNamesTheNamespace, for the command would look in another one.
func TestTheHintNamesTheNamespace(t *testing.T) {
	for namespace, want := range map[string]string{"default": "--runner R", "n": "--runner R --namespace n"} {
		if got := (runnerJSON{RunnerID: "R", Namespace: namespace}).actorsCommand(); got != "callboard actor list "+want {
			t.Errorf("%s: %q", namespace, got)
		}
	}
}

// restless is an engine where actors fall asleep after each page of a list.
type restless struct {
	callboardv1.ActorServiceServer
	sleep []string // ids; 100 after each page
}

func (s *restless) List(ctx context.Context, req *callboardv1.ListRequest) (*callboardv1.ListResponse, error) {
	page, err := s.ActorServiceServer.List(ctx, req)
	for range min(100, len(s.sleep)) {
		if _, err := s.Sleep(ctx, &callboardv1.SleepRequest{Namespace: "default", ActorId: s.sleep[0]}); err != nil {
			return nil, err
		}
		s.sleep = s.sleep[1:]
	}
	return page, err
}

// TestActorsThatMoveAreListedOnce: one that comes on two pages stands in the list as it was seen last.
func TestActorsThatMoveAreListedOnce(t *testing.T) {
	const actors = 2_500
	engine := apitest.New()
	runner := engine.AddRunner("p", "r", 1, actors).String()
	api := grpcapi.New(engine, &apitest.Cluster{Leader: "n1"})
	node := &restless{ActorServiceServer: api.Actors()}
	for range 5 {
		made, err := api.Actors().CreateBatch(t.Context(), manyActors(actors/5))
		if err != nil {
			t.Fatal(err)
		}
		node.sleep = append(node.sleep, made.GetActorIds()...)
	}
	engine.ReportRunning()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	callboardv1.RegisterActorServiceServer(server, node)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	defer serving.Wait()
	defer server.Stop()

	r := callboard("--address", listener.Addr().String(), "--timeout", "30s", "actor", "list", "--runner", runner, "--limit", "0", "-o", "json")
	list := decode[actorList](t, r.out)
	states, seen := map[string]int{}, map[string]bool{}
	for _, a := range list.Actors {
		states[a.State]++
		seen[a.ActorID] = true
	}
	// The first 200 were told to sleep before the last of three pages was read, all of them already listed as running.
	if len(list.Actors) != actors || len(seen) != actors || states["stopping"] != 200 || states["running"] != actors-200 {
		t.Errorf("%d rows, %d actors, %v", len(list.Actors), len(seen), states)
	}
}

func manyActors(n int) *callboardv1.CreateBatchRequest {
	req := &callboardv1.CreateBatchRequest{Namespace: "default"}
	for range n {
		req.Actors = append(req.Actors, &callboardv1.NewActor{Name: "a", Pool: "p"})
	}
	return req
}
