package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/grpcapi"
	"github.com/callboard/callboard/transport/grpcapi/apitest"
)

// cluster is an engine behind a real gRPC port, and what the commands of a test are about.
type cluster struct {
	engine *apitest.Engine
	nodes  *apitest.Cluster
	addr   string
}

// startCluster returns an engine whose pool p has one runner of that many slots; 0: none.
func startCluster(t *testing.T, slots uint32) *cluster {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{engine: apitest.New(), nodes: &apitest.Cluster{Leader: "n1"}, addr: listener.Addr().String()}
	if slots > 0 {
		c.engine.AddRunner("p", "first", 1, slots)
	} else {
		c.engine.AddPool("default", "p")
	}
	server := grpc.NewServer()
	grpcapi.New(c.engine, c.nodes).Register(server)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		serving.Wait()
	})
	return c
}

// result is what a command line came to.
type result struct {
	code        int
	out, errOut string
}

func callboard(args ...string) result {
	var out, errOut bytes.Buffer
	code := run(args, &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func (c *cluster) run(args ...string) result {
	return callboard(append([]string{"--address", c.addr, "--timeout", "5s"}, args...)...)
}

// ok wants exit code 0, and the text of the answer.
func (c *cluster) ok(t *testing.T, args ...string) string {
	t.Helper()
	r := c.run(args...)
	if r.code != exitOK {
		t.Fatalf("callboard %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.errOut)
	}
	return r.out
}

// fails wants an exit code, and texts on stderr; nothing raw ever reaches a person.
func fails(t *testing.T, r result, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("exit code %d, want %d\n%s%s", r.code, code, r.out, r.errOut)
	}
	for _, text := range texts {
		if !strings.Contains(r.errOut, text) {
			t.Errorf("%q does not say %q", r.errOut, text)
		}
	}
	if strings.Contains(r.errOut, "rpc error") || strings.Contains(r.errOut, "goroutine ") {
		t.Errorf("raw: %q", r.errOut)
	}
}

// decode reads JSON strictly: an unknown field means that the test does not know the answer.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func TestAnActorsLifeOnTheCommandLine(t *testing.T) {
	c := startCluster(t, 2)
	file := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(file, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	made := decode[actorAnswer](t, c.ok(t, "actor", "create", "--name", "a", "--key", "k", "--pool", "p", "--input-file", file, "--crash-policy", "sleep", "-o", "json"))
	if a := made.Actor; a.State != "starting" || a.keyText() != "k" || a.CrashPolicy != "sleep" || a.InputBytes != 5 || made.Index == 0 {
		t.Errorf("created: %+v", made)
	}
	id := made.Actor.ActorID
	got := decode[actorAnswer](t, c.ok(t, "actor", "get-or-create", "--name", "a", "--key", "k", "--pool", "p", "-o", "json"))
	if got.Created == nil || *got.Created || got.Actor.ActorID != id {
		t.Errorf("get-or-create: %+v", got)
	}
	c.engine.ReportRunning()
	for _, want := range []string{"state             running", "runner id", "generation        1"} {
		if out := c.ok(t, "actor", "show", id, "--wait-running"); !strings.Contains(out, want) {
			t.Errorf("show does not say %q:\n%s", want, out)
		}
	}
	if out := c.ok(t, "actor", "list", "--name", "a"); !strings.Contains(out, id) || !strings.HasPrefix(out, "ACTOR ID") {
		t.Errorf("list:\n%s", out)
	}
	if out := c.ok(t, "actor", "explain", id); !strings.Contains(out, "running on runner") || !strings.Contains(out, "spread") {
		t.Errorf("explain:\n%s", out)
	}
	if out := c.ok(t, "actor", "resolve", id); !strings.Contains(out, "10.0.0.1:7000") {
		t.Errorf("resolve:\n%s", out)
	}
	c.ok(t, "actor", "sleep", id)
	c.engine.ReportStopped()
	if out := c.ok(t, "actor", "wake", id); !strings.Contains(out, "starting") {
		t.Errorf("wake:\n%s", out)
	}
	if out := c.ok(t, "actor", "destroy", id, "--no-wait"); !strings.Contains(out, "will be destroyed") {
		t.Errorf("destroy without waiting:\n%s", out)
	}
	fails(t, c.run("actor", "create", "--name", "a", "--key", "k", "--pool", "p"), exitRefused, "Code: actor.key_busy")
	c.engine.ReportStopped()
	if out := c.ok(t, "actor", "destroy", id); !strings.Contains(out, "is destroyed") {
		t.Errorf("destroy:\n%s", out)
	}
	fails(t, c.run("actor", "wake", id), exitRefused, "Code: actor.destroyed")
}

func TestManyActorsAtOnce(t *testing.T) {
	c := startCluster(t, 500)
	r := c.run("actor", "create", "--name", "a", "--pool", "p", "--key", "k-%d", "--count", "120", "--concurrency", "8", "-o", "json")
	answer := decode[struct {
		Created  int      `json:"created"`
		Seconds  float64  `json:"seconds"`
		ActorIDs []string `json:"actor_ids"`
	}](t, r.out)
	unique := map[string]bool{}
	for _, id := range answer.ActorIDs {
		unique[id] = true
	}
	if r.code != exitOK || answer.Created != 120 || len(unique) != 120 {
		t.Errorf("exit code %d, %d created, %d ids", r.code, answer.Created, len(unique))
	}
	list := func(args ...string) (n int, more bool) {
		page := decode[struct {
			Actors     []actorJSON `json:"actors"`
			NextCursor *string     `json:"next_cursor"`
			Index      uint64      `json:"index"`
		}](t, c.ok(t, append([]string{"actor", "list", "--name", "a", "-o", "json"}, args...)...))
		return len(page.Actors), page.NextCursor != nil
	}
	if n, more := list(); n != 120 || more {
		t.Errorf("list: %d, more %v", n, more)
	}
	if n, more := list("--limit", "50"); n != 50 || !more {
		t.Errorf("list --limit 50: %d, more %v", n, more)
	}
	if n, more := list("--limit", "0"); n != 120 || more {
		t.Errorf("list --limit 0: %d, more %v", n, more)
	}
	fails(t, c.run("actor", "create", "--name", "a", "--pool", "p", "--key", "k-%d", "--count", "3", "--concurrency", "1"), exitRefused,
		"0 of 3 were created", "Code: actor.duplicate_key")
}

// TestExitCodes is the contract with scripts.
func TestExitCodes(t *testing.T) {
	c := startCluster(t, 1)
	const someID = "01977420-dc00-7000-8000-0000000000ff"
	fails(t, c.run("actor", "show", someID), exitRefused, "there is no actor", "Code: actor.not_found")
	fails(t, c.run("actor", "show", "x"), exitRefused, "actor_id", "Code: api.bad_request")
	fails(t, c.run("--namespace", "elsewhere", "actor", "list", "--name", "a"), exitRefused, "namespace", "Code: namespace.not_found")
	for _, args := range [][]string{
		{"actor"[:4]},
		{"actor", "lst"},
		{"actor", "show"},
		{"actor", "show", someID, "more"},
		{"actor", "list"},
		{"actor", "list", "--runner", ""},
		{"actor", "create"},
		{"actor", "create", "--name", "a", "--crash-policy", "panic"},
		{"actor", "create", "--name", "a", "--count", "0"},
		{"actor", "create", "--name", "a", "--count", "2", "--key", "k"},
		{"actor", "create", "--name", "a", "--count", "2", "--idempotency-key", "k"},
		{"actor", "create", "--name", "a", "--input", "x", "--input-file", "y"},
		{"actor", "create", "--name", "a", "--input-file", "/does/not/exist"},
		{"actor", "get-or-create", "--name", "a"},
		{"actor", "list", "--name", "a", "--limit", "-1"},
		{"status", "--colour"},
		{"status", "-o", "yaml"},
		{"status", "--timeout", "0s"},
		{"status", "--address", "nowhere"},
		{"operator", "config", "set", "x"},
		{"operator", "config", "set", "x=1", "x=2"},
		{"operator", "config", "get", "colour"},
		{"pool", "set", "p", "--eviction-rate", "0"},
		{"pool", "set", "p", "--eviction-rate", "NaN"},
		{"pool", "set", "p", "--eviction-delay", "-1"},
		{"pool", "set", "p", "--placement", "random"},
		{"runner", "drain"},
		{"runner", "drain", someID, "--deadline", "0s"},
		{"runner", "drain", someID, "--deadline", "-1m"},
		{"runner", "drain", someID, "--deadline", "2000h"},
		{"runner", "undrain"},
		{"rollout", "stat"},
		{"rollout", "status"},
		{"rollout", "status", "p", "--id", "x"},
		{"rollout", "plan", "p"},
		{"rollout", "plan", "p", "--to", "1763850000000"},
		{"rollout", "plan", "p", "--to", "2", "--slots", "-1"},
		{"actor", "reschedule"},
		{"runner", "--slots", "0"},
		{"runner", "--version", "1763850000000"},
		{"runner", "lst"},
		{"dev", "x"},
	} {
		fails(t, c.run(args...), exitUsage, "Error: ", "--help")
	}
	fails(t, c.run("runner", "--version", "1763850000000"), exitUsage, "milliseconds")

	c.engine.FailNext(callboardv1.ErrOutcomeUnknown)
	if r := c.run("actor", "create", "--name", "a", "--pool", "p", "--idempotency-key", "mine"); r.code != exitOK {
		t.Errorf("an unknown outcome is not tried again: %d %s", r.code, r.errOut)
	}
	for range 200 {
		c.engine.FailNext(callboardv1.ErrOutcomeUnknown)
	}
	fails(t, c.run("actor", "create", "--name", "a", "--pool", "p", "--idempotency-key", "mine2", "--timeout", "200ms"), exitUnknown,
		"unknown", "--idempotency-key mine2", "Code: cluster.outcome_unknown")

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	fails(t, callboard("status", "--address", nobody, "--timeout", "200ms"), exitUnreachable, "cannot reach", nobody, "callboard dev")
}

func TestErrorsForPrograms(t *testing.T) {
	c := startCluster(t, 1)
	type failure struct {
		Error errorJSON `json:"error"`
	}
	r := c.run("actor", "show", "x", "-o", "json")
	if e := decode[failure](t, r.errOut).Error; e.Group != "api" || e.Code != "bad_request" || e.Metadata["field"] != "actor_id" || e.ExitCode != exitRefused || r.out != "" {
		t.Errorf("%+v, and %q on stdout", e, r.out)
	}
	if e := decode[failure](t, c.run("actor", "list", "-o", "json").errOut).Error; e.Group != "cli" || e.Code != "usage" || e.ExitCode != exitUsage {
		t.Errorf("%+v", e)
	}
}

func TestStatusSaysWhetherPlacingWorks(t *testing.T) {
	c := startCluster(t, 1)
	if out := c.ok(t, "status"); !strings.HasPrefix(out, "Placing works.") || !strings.Contains(out, "1 of 1 free") {
		t.Errorf("%s", out)
	}
	c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	r := c.run("status")
	if r.code != exitRefused || !strings.HasPrefix(r.out, "Placing does not work:\n  pool p: 1 actors are pending and no slot is free") || r.errOut != "" {
		t.Errorf("%d\n%s%s", r.code, r.out, r.errOut)
	}
	status := decode[statusJSON](t, c.run("status", "-o", "json").out)
	if status.PlacingWorks || len(status.Problems) != 1 || status.PendingActors != 1 || len(status.Peers) != 3 || len(status.Pools) != 1 || *status.Leader != "n1" {
		t.Errorf("%+v", status)
	}
	if r := startCluster(t, 0).run("status"); r.code != exitRefused || !strings.Contains(r.out, "no runner is connected") {
		t.Errorf("without a runner: %d\n%s", r.code, r.out)
	}
}

func TestPoolsRunnersNamespacesAndOperators(t *testing.T) {
	c := startCluster(t, 3)
	if out := c.ok(t, "pool", "set", "p", "--placement", "binpack", "--metadata", `{"a":1}`); !strings.Contains(out, "binpack") || !strings.Contains(out, `{"a":1}`) {
		t.Errorf("pool set:\n%s", out)
	}
	pool := decode[poolAnswer](t, c.ok(t, "pool", "show", "p", "-o", "json")).Pool
	if pool.Config == nil || pool.Config.Placement != "binpack" || strings.Join(strings.Fields(string(pool.Config.Metadata)), "") != `{"a":1}` || pool.Config.ActorEvictionRate != 1 || pool.FreeSlots != 3 {
		t.Errorf("pool show: %+v", pool)
	}
	if out := c.ok(t, "pool", "list"); !regexp.MustCompile(`(?m)^p +1 +1 +3 of 3 +0 +0 +written +moves 1/s +-$`).MatchString(out) {
		t.Errorf("pool list:\n%s", out)
	}
	if out := c.ok(t, "pool", "delete", "p"); !strings.Contains(out, "is deleted") {
		t.Errorf("pool delete:\n%s", out)
	}
	list := decode[struct {
		Runners    []runnerJSON `json:"runners"`
		NextCursor *string      `json:"next_cursor"`
		Index      uint64       `json:"index"`
	}](t, c.ok(t, "runner", "list", "-o", "json"))
	if len(list.Runners) != 1 || list.Runners[0].State != "connected" || list.Runners[0].Key != "first" || string(list.Runners[0].Metadata) == "" {
		t.Fatalf("runner list: %+v", list)
	}
	if out := c.ok(t, "runner", "show", list.Runners[0].RunnerID); !strings.Contains(out, "0 of 3") || !strings.Contains(out, "connected") {
		t.Errorf("runner show:\n%s", out)
	}
	if out := c.ok(t, "namespace", "create", "n", "--display-name", "N"); !strings.Contains(out, "N") {
		t.Errorf("namespace create:\n%s", out)
	}
	if out := c.ok(t, "namespace", "list"); !strings.Contains(out, "default") || !strings.Contains(out, "n     ") {
		t.Errorf("namespace list:\n%s", out)
	}
	if out := c.ok(t, "operator", "config", "set", "runner_lost_threshold=20s"); !strings.Contains(out, "20s    set") || strings.Contains(out, "actor_start") {
		t.Errorf("config set:\n%s", out)
	}
	if out := c.ok(t, "operator", "config", "get", "runner_lost_threshold"); !strings.Contains(out, "20s    set") {
		t.Errorf("config get:\n%s", out)
	}
	fails(t, c.run("operator", "config", "set", "runner_lost_threshold=1s"), exitRefused, "10s to 10m", "Code: cluster.setting_invalid")
	if out := c.ok(t, "operator", "raft", "list-peers"); !strings.Contains(out, "n2    follower") || !strings.Contains(out, "n1    leader") {
		t.Errorf("list-peers:\n%s", out)
	}
	c.ok(t, "operator", "raft", "add-voter", "n4", "10.0.0.4:6422")
	c.ok(t, "operator", "raft", "remove-peer", "n2")
	fails(t, c.run("operator", "raft", "remove-peer", "n9"), exitRefused, "Code: cluster.not_a_member")
	if got := strings.Join(c.nodes.Changes, ", "); got != "add n4 10.0.0.4:6422, remove n2" {
		t.Errorf("changes: %s", got)
	}
}

// TestFlagsComeFromTheEnvironment: a flag wins over a variable, and a node's own variables do not choose what a client is about.
func TestFlagsComeFromTheEnvironment(t *testing.T) {
	c := startCluster(t, 1)
	c.ok(t, "actor", "create", "--name", "a", "--pool", "p")
	t.Setenv("CALLBOARD_ADDRESS", c.addr)
	t.Setenv("CALLBOARD_OUTPUT", "json")
	t.Setenv("CALLBOARD_NAME", "node-1")
	if r := callboard("actor", "list", "--name", "a"); r.code != exitOK || !strings.HasPrefix(r.out, "{") {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
	if r := callboard("actor", "list", "--name", "a", "-o", "table"); !strings.HasPrefix(r.out, "ACTOR ID") {
		t.Errorf("the flag does not win: %s", r.out)
	}
	if r := callboard("actor", "list"); r.code != exitUsage {
		t.Errorf("CALLBOARD_NAME chose the actors: %d %s", r.code, r.out)
	}
	t.Setenv("CALLBOARD_TIMEOUT", "soon")
	fails(t, callboard("version"), exitUsage, "CALLBOARD_TIMEOUT")
}

func TestTerminalsAreSafe(t *testing.T) {
	c := startCluster(t, 1)
	c.ok(t, "actor", "create", "--name", "a", "--key", "\x1b[2Jevil\nline", "--pool", "p")
	if out := c.ok(t, "actor", "list", "--name", "a"); strings.Contains(out, "\x1b") || strings.Count(out, "\n") != 2 {
		t.Errorf("%q", out)
	}
}

func TestVersionHelpAndCompletion(t *testing.T) {
	if r := callboard("version"); r.code != exitOK || !strings.Contains(r.out, version) {
		t.Errorf("%d %s", r.code, r.out)
	}
	if r := callboard("completion", "bash"); r.code != exitOK || !strings.Contains(r.out, "bash completion") {
		t.Errorf("completion: %d", r.code)
	}
	for _, group := range []string{"actor", "pool", "rollout", "namespace", "operator"} {
		if r := callboard(group); r.code != exitOK || !strings.Contains(r.out, "Available Commands") {
			t.Errorf("%s: %d\n%s", group, r.code, r.out)
		}
	}
}
