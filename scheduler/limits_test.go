package scheduler

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What is too large to be written into a story.

// seed changes the state by ops that no Step has decided.
func (w *world) seed(ops func(do func(*logv1.Op))) {
	w.t.Helper()
	tx := w.view.Begin(w.clockMs, w.wallMs())
	ops(func(op *logv1.Op) {
		if res := tx.Do(op); res.Code != fsm.CodeOK {
			w.t.Fatalf("seeding the world: %v: %s", res.Code, w.opText(op))
		}
	})
	w.view = tx.Seal(w.view.Index() + 1)
}

// bare runs one Step on commands without the world's checks, which look at everything: for states that are full of something.
func (w *world) bare(commands ...Command) Output {
	in := Input{Commands: commands}
	w.turns++
	binary.LittleEndian.PutUint64(in.Seed[:], w.turns)
	tx := w.view.Begin(w.clockMs, w.wallMs())
	out := Step(tx, in)
	w.view = tx.Seal(w.view.Index() + 1)
	return out
}

func (w *world) defaultNamespace() *fsm.Namespace { return w.view.Namespace("default") }

func putPool(ns *fsm.Namespace, name string) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns.ID[:], Name: name, Config: &logv1.PoolConfig{}}}}
}

func TestFieldsAtTheirLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	bad := "\xff"
	with := func(change func(r *callboardv1.CreateRequest)) *nodev1.Command {
		c := create("a", "", "default", 0)
		change(c.GetCreateActor())
		return c
	}
	key := func(k string) func(r *callboardv1.CreateRequest) {
		return func(r *callboardv1.CreateRequest) { r.Key = &k }
	}
	pool := func(name string, c *callboardv1.PoolConfig) *nodev1.Command {
		return &nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{Namespace: "default", Name: name, Config: c}}}
	}
	namespace := func(name, display string) *nodev1.Command {
		return &nodev1.Command{Command: &nodev1.Command_CreateNamespace{CreateNamespace: &callboardv1.NamespaceServiceCreateRequest{Name: name, DisplayName: display}}}
	}
	destroy := func(id string) *nodev1.Command {
		return &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default", ActorId: id}}}
	}
	settings := func(name, value string) *nodev1.Command {
		return &nodev1.Command{Command: &nodev1.Command_PutSettings{PutSettings: &callboardv1.PutSettingsRequest{Values: map[string]string{name: value}}}}
	}
	metadata := func(text string) *callboardv1.PoolConfig { return &callboardv1.PoolConfig{MetadataJson: text} }
	tests := []struct {
		name    string
		command *nodev1.Command
		want    string // the refusal; empty: accepted
	}{
		{"a name of 256 bytes", with(func(r *callboardv1.CreateRequest) { r.Name = long(256) }), ""},
		{"a name of 257 bytes", with(func(r *callboardv1.CreateRequest) { r.Name = long(257) }), "api.bad_request"},
		{"a name that is no UTF-8", with(func(r *callboardv1.CreateRequest) { r.Name = bad }), "api.bad_request"},
		{"a key of 1024 bytes", with(key(long(1024))), ""},
		{"a key of 1025 bytes", with(key(long(1025))), "actor.key_too_large"},
		{"a name with a line break", with(func(r *callboardv1.CreateRequest) { r.Name = "a\nb" }), "api.bad_request"},
		{"a name with NUL", with(func(r *callboardv1.CreateRequest) { r.Name = "a\x00" }), "api.bad_request"},
		{"a name with a C1 control", with(func(r *callboardv1.CreateRequest) { r.Name = "a\u009b" }), "api.bad_request"},
		{"a key that is no UTF-8", with(key(bad)), "api.bad_request"},
		{"an input of 4 MiB", with(func(r *callboardv1.CreateRequest) { r.Input = make([]byte, 4<<20) }), ""},
		{"an input of a byte more", with(func(r *callboardv1.CreateRequest) { r.Input = make([]byte, 4<<20+1) }), "actor.input_too_large"},
		{"a pool that is no UTF-8", with(func(r *callboardv1.CreateRequest) { r.Pool = bad }), "actor.no_runner_config_configured"},
		{"a namespace that is no UTF-8", with(func(r *callboardv1.CreateRequest) { r.Namespace = bad }), "namespace.not_found"},
		{"a pool name of 128 bytes", pool(long(128), metadata("")), ""},
		{"a pool name of 129 bytes", pool(long(129), metadata("")), "runner_config.invalid"},
		{"a pool name that is no UTF-8", pool(bad, metadata("")), "runner_config.invalid"},
		{"pool metadata of 64 KiB", pool("p", metadata(`"`+long(64<<10-2)+`"`)), ""},
		{"pool metadata of a byte more", pool("p", metadata(`"`+long(64<<10-1)+`"`)), "runner_config.invalid"},
		{"pool metadata that is no UTF-8", pool("p", metadata(`"`+bad+`"`)), "runner_config.invalid"},
		{"a pool without a config", pool("p", nil), "runner_config.invalid"},
		{"a namespace of 64 bytes", namespace(long(64), ""), ""},
		{"a namespace of 65 bytes", namespace(long(65), ""), "namespace.failed_to_create"},
		{"a display name of 128 characters", namespace("n1", strings.Repeat("é", 128)), ""},
		{"a display name of 129 characters", namespace("n2", strings.Repeat("é", 129)), "namespace.failed_to_create"},
		{"a display name that is no UTF-8", namespace("n2", bad), "namespace.failed_to_create"},
		{"an id that is none", destroy("zzz"), "api.bad_request"},
		{"a display name with an escape", namespace("n2", "a\x1b[2J"), "namespace.failed_to_create"},
		{"an id that is no UTF-8", destroy(strings.Repeat(bad, 36)), "api.bad_request"},
		{"a setting that is no number", settings("actor_stop_threshold", bad), "cluster.setting_invalid"},
		{"a command that says nothing", &nodev1.Command{}, "api.not_built"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
			got := w.command(tt.command, "")
			expectRefusal(t, got.Refusal, tt.want)
			if (got.Success != nil) != (tt.want == "") {
				t.Errorf("success %v", got.Success)
			}
		})
	}
}

func expectRefusal(t *testing.T, got *callboardv1.Error, want string) {
	t.Helper()
	name := ""
	if got != nil {
		name = got.Name()
	}
	if name != want {
		t.Errorf("got %q (%v), want %q", name, got, want)
	}
}

func TestHelloAtItsLimits(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	tests := []struct {
		name   string
		change func(h *callboardv1.Hello)
		want   string
	}{
		{"as it should be", func(*callboardv1.Hello) {}, ""},
		{"another protocol", func(h *callboardv1.Hello) { h.Protocol = 2 }, "session.protocol_unsupported"},
		{"a serverless request", func(h *callboardv1.Hello) { h.ServerlessRequestId = "x" }, "session.request_unknown"},
		{"a namespace that cannot be", func(h *callboardv1.Hello) { h.Namespace = long(1 << 20) }, "namespace.not_found"},
		{"no key", func(h *callboardv1.Hello) { h.Key = "" }, "session.bad_key"},
		{"a key of 256 bytes", func(h *callboardv1.Hello) { h.Key = long(256) }, ""},
		{"a key of 257 bytes", func(h *callboardv1.Hello) { h.Key = long(257) }, "session.bad_key"},
		{"a key that is no UTF-8", func(h *callboardv1.Hello) { h.Key = "\xff" }, "session.bad_key"},
		{"no slots", func(h *callboardv1.Hello) { h.Slots = 0 }, "session.bad_slots"},
		{"a million slots", func(h *callboardv1.Hello) { h.Slots = 1_000_000 }, ""},
		{"a million slots and one", func(h *callboardv1.Hello) { h.Slots = 1_000_001 }, "session.bad_slots"},
		{"metadata of 64 KiB", func(h *callboardv1.Hello) { h.MetadataJson = `"` + long(64<<10-2) + `"` }, ""},
		{"metadata of a byte more", func(h *callboardv1.Hello) { h.MetadataJson = `"` + long(64<<10-1) + `"` }, "session.bad_metadata"},
		{"metadata that is no JSON", func(h *callboardv1.Hello) { h.MetadataJson = "{" }, "session.bad_metadata"},
		{"a key with a line break", func(h *callboardv1.Hello) { h.Key = "a\r\nb" }, "session.bad_key"},
		{"metadata that is no UTF-8", func(h *callboardv1.Hello) { h.MetadataJson = "\"\xff\"" }, "session.bad_metadata"},
		{"an address of 256 bytes", func(h *callboardv1.Hello) { h.AdvertisedAddr = long(256) }, ""},
		{"an address of 257 bytes", func(h *callboardv1.Hello) { h.AdvertisedAddr = long(257) }, "session.bad_advertised_addr"},
		{"an address with a line break", func(h *callboardv1.Hello) { h.AdvertisedAddr = "a\nb" }, "session.bad_advertised_addr"},
		{"an address that is no UTF-8", func(h *callboardv1.Hello) { h.AdvertisedAddr = "\xff" }, "session.bad_advertised_addr"},
		{"256 names", func(h *callboardv1.Hello) { h.ActorNames = names(256) }, ""},
		{"257 names", func(h *callboardv1.Hello) { h.ActorNames = names(257) }, "session.bad_actor_names"},
		{"one name many times", func(h *callboardv1.Hello) { h.ActorNames = []string{"b", "a", "b"} }, ""},
		{"a name as long as an actor may have", func(h *callboardv1.Hello) { h.ActorNames = []string{long(fsm.MaxActorName)} }, ""},
		{"a name of a byte more", func(h *callboardv1.Hello) { h.ActorNames = []string{long(fsm.MaxActorName + 1)} }, "session.bad_actor_names"},
		{"an empty name", func(h *callboardv1.Hello) { h.ActorNames = []string{""} }, "session.bad_actor_names"},
		{"a name with DEL", func(h *callboardv1.Hello) { h.ActorNames = []string{"a\x7f"} }, "session.bad_actor_names"},
		{"a name that is no UTF-8", func(h *callboardv1.Hello) { h.ActorNames = []string{"\xff"} }, "session.bad_actor_names"},
		{"no instance", func(h *callboardv1.Hello) { h.InstanceId = "" }, "session.bad_instance"},
		{"an instance that is no id", func(h *callboardv1.Hello) { h.InstanceId = long(36) }, "session.bad_instance"},
		{"a claim that is no id", func(h *callboardv1.Hello) {
			h.Running = []*callboardv1.RunningActor{{Ref: &callboardv1.ActorRef{ActorId: "x"}}, {}}
			h.Ended = []*callboardv1.EndedActor{{Ref: &callboardv1.ActorRef{ActorId: "x"}}, {}}
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			report := w.start(&process{name: "r", manual: true}).hello(w)
			tt.change(report.GetHello().GetHello())
			answer := w.report(report)
			expectRefusal(t, answer.GetRefusal(), tt.want)
			if answer.GetRetry() {
				t.Error("it may dial again, and would be refused again")
			}
			if n := len(answer.GetRefusal().GetMessage()); n > 2_000 {
				t.Errorf("it is refused in %d bytes", n)
			}
		})
	}
}

// TestAKeeperIsWarnedOf: a runner that keeps its actors without a lease is told what that gives up, and the leader's log too; its row says
// so, and follows what a later Hello says.
func TestAKeeperIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	p := w.start(&process{name: "r", manual: true})
	say := func(keep bool) *nodev1.SessionAnswer {
		report := p.hello(w)
		report.GetHello().GetHello().KeepOnLeaseLost = keep
		return w.report(report)
	}
	answer := say(true)
	if texts := answer.GetWarnings(); len(texts) != 1 || !strings.Contains(texts[0], "nothing promises that one of them runs only once") {
		t.Errorf("the runner is told %q", texts)
	}
	if id := fsm.RunnerID(answer.GetRunnerId()); !w.view.Runner(id).KeepOnLeaseLost {
		t.Error("its row does not say so")
	} else if say(false); w.view.Runner(id).KeepOnLeaseLost {
		t.Error("its row still says so")
	}
}

func TestEventsAtTheirLimits(t *testing.T) {
	w := newWorld(t)
	p := w.start(&process{name: "r", slots: 3})
	w.turn(Input{})
	w.command(create("a", "", "default", 0), "")
	a := w.actor("a")
	events := make([]*callboardv1.ActorEvent, 1001)
	for i := range events {
		events[i] = running(a.Ref())
	}
	answer := w.report(p.events(events...))
	expectRefusal(t, answer.GetRefusal(), "session.too_many_events")
	answer = w.report(p.events(events[:1000]...))
	expectRefusal(t, answer.GetRefusal(), "")

	answer = w.report(p.events(&callboardv1.ActorEvent{}, &callboardv1.ActorEvent{Ref: refOf(a.Ref())}, running(a.Ref())))
	if len(answer.GetRefusedEvents()) != 2 || answer.GetRefusedEvents()[0].GetPosition() != 0 || answer.GetRefusedEvents()[1].GetPosition() != 1 {
		t.Errorf("refused are %v, want the first two", answer.GetRefusedEvents())
	}

	// What a runner says about a crash is cut to a size, and fit for the log.
	message := strings.Repeat("é", 1000) + "\xff"
	w.report(p.events(stopped(a.Ref(), false, message)))
	if got := w.actor("a").Trouble.Message; len(got) > 1024 || !strings.HasPrefix(got, "éé") {
		t.Errorf("the message is %d bytes: %.20q", len(got), got)
	}
}

func TestIdempotencyKeysAtTheirLimits(t *testing.T) {
	w := newWorld(t)
	w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
	for _, bad := range []string{strings.Repeat("x", 129), "\xff"} {
		expectRefusal(t, w.command(create("a", "", "default", 0), bad).Refusal, "api.bad_request")
	}
	expectRefusal(t, w.command(create("b", "", "default", 0), strings.Repeat("x", 128)).Refusal, "")
}

func TestOutcomesFull(t *testing.T) {
	w := newWorld(t)
	ask := func(name, key string) *callboardv1.Error {
		return w.bare(Command{Command: create(name, "", "default", 0), IdempotencyKey: key}).Commands[0].Refusal
	}
	w.seed(func(do func(*logv1.Op)) { do(putPool(w.defaultNamespace(), "default")) })
	expectRefusal(t, ask("a", "mine"), "")
	w.seed(func(do func(*logv1.Op)) {
		long := make([]byte, fsm.MaxOutcomeBytes) // they fill what there is sooner than small ones do
		for i := range fsm.MaxOutcomesBytes/fsm.MaxOutcomeBytes - 1 {
			do(&logv1.Op{Op: &logv1.Op_RememberOutcome{RememberOutcome: &logv1.RememberOutcome{Key: fmt.Sprintf("\x00k%d", i), Outcome: long}}})
		}
	})
	if w.view.OutcomesFull() {
		t.Fatal("full too early")
	}
	w.seed(func(do func(*logv1.Op)) {
		do(&logv1.Op{Op: &logv1.Op_RememberOutcome{RememberOutcome: &logv1.RememberOutcome{Key: "\x00last", Outcome: make([]byte, fsm.MaxOutcomeBytes)}}})
	})
	expectRefusal(t, ask("b", "one too many"), "cluster.idempotency_full")
	if w.view.LiveActors() != 1 {
		t.Errorf("%d actors: what was refused took effect", w.view.LiveActors())
	}
	// What is remembered is answered, and what needs no memory is done.
	expectRefusal(t, ask("a", "mine"), "")
	expectRefusal(t, ask("c", ""), "")

	// Ten minutes later all are forgotten, two thousand an entry, without anybody asking.
	w.clockMs += fsm.OutcomeKeptMs + 1
	for steps := 0; w.view.OutcomeCount() > 0; steps++ {
		if steps > fsm.MaxOutcomesBytes/fsm.MaxOutcomeBytes/2000+1 {
			t.Fatalf("%d outcomes are left", w.view.OutcomeCount())
		}
		if out := w.bare(); out.WakeMs > w.clockMs && w.view.OutcomeCount() > 0 {
			t.Fatalf("%d outcomes are left, and it comes back at %d ms only", w.view.OutcomeCount(), out.WakeMs)
		}
	}
}

func TestNamespacesFull(t *testing.T) {
	w := newWorld(t)
	w.seed(func(do func(*logv1.Op)) {
		for i := range fsm.MaxNamespaces - 1 {
			id := idOf(fmt.Sprintf("namespace %d", i))
			do(&logv1.Op{Op: &logv1.Op_PutNamespace{PutNamespace: &logv1.PutNamespace{NamespaceId: id[:], Name: fmt.Sprintf("n%d", i)}}})
		}
	})
	out := w.bare(Command{Command: &nodev1.Command{Command: &nodev1.Command_CreateNamespace{
		CreateNamespace: &callboardv1.NamespaceServiceCreateRequest{Name: "one-too-many"},
	}}})
	expectRefusal(t, out.Commands[0].Refusal, "namespace.limit_reached")
}

func TestPoolsFull(t *testing.T) {
	w := newWorld(t)
	w.seed(func(do func(*logv1.Op)) {
		for i := range fsm.MaxPools {
			do(putPool(w.defaultNamespace(), fmt.Sprintf("p%d", i)))
		}
	})
	p := w.start(&process{name: "r", pool: "one-too-many", manual: true})
	in := Input{
		Commands: []Command{{Command: &nodev1.Command{Command: &nodev1.Command_PutPool{
			PutPool: &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "one-too-many", Config: &callboardv1.PoolConfig{}},
		}}}},
		Reports: []*nodev1.SessionReport{p.hello(w)},
	}
	out := Step(w.view.Begin(w.clockMs, w.wallMs()), in)
	expectRefusal(t, out.Commands[0].Refusal, "pool.limit_reached")
	expectRefusal(t, out.Reports[0].GetRefusal(), "pool.limit_reached")

	// One that is deleted, and that nothing refers to, makes room in the same entry.
	w.bare(Command{Command: &nodev1.Command{Command: &nodev1.Command_DeletePool{
		DeletePool: &callboardv1.PoolServiceDeleteRequest{Namespace: "default", Name: "p7"},
	}}})
	expectRefusal(t, w.bare(in.Commands...).Commands[0].Refusal, "")
}

// TestRunnersFull: what a runner too many is told. That the state refuses it is TestLimits of package fsm: a million of them are too many for
// a test.
func TestRunnersFull(t *testing.T) {
	refusal := tooManyRunners()
	expectRefusal(t, refusal, "runner.limit_reached")
	if refusal.HTTPStatus() != 429 || refusal.GRPCStatus().Code() != codes.ResourceExhausted {
		t.Errorf("its status is %d, %v", refusal.HTTPStatus(), refusal.GRPCStatus().Code())
	}
}

func TestStoredBytesExceeded(t *testing.T) {
	w := newWorld(t)
	p := w.start(&process{name: "r", slots: 9})
	w.turn(Input{})
	w.command(&nodev1.Command{Command: &nodev1.Command_PutSettings{PutSettings: &callboardv1.PutSettingsRequest{
		Values: map[string]string{"stored_bytes_limit": "1048576"},
	}}}, "")
	large := create("large", "", "default", 0)
	large.GetCreateActor().Input = make([]byte, 1<<20)
	expectRefusal(t, w.command(large, "").Refusal, "")
	small := create("x", "", "default", 0)
	expectRefusal(t, w.command(small, "").Refusal, "actor.stored_bytes_exceeded")
	small.GetCreateActor().Input = nil
	got := w.command(small, "")
	expectRefusal(t, got.Refusal, "") // it needs nothing

	ref := w.view.Actor(fsm.ActorID(got.Success.GetId())).Ref()
	save := &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: []byte("x")}}}
	answer := w.report(p.events(save))
	if len(answer.GetRefusedEvents()) != 1 {
		t.Fatal("the saved state was accepted")
	}
	expectRefusal(t, answer.GetRefusedEvents()[0].GetError(), "actor.stored_bytes_exceeded")
}

// TestEndedRunnersBeyondTheLimit: a namespace keeps so many ended runners, and the oldest go first.
func TestEndedRunnersBeyondTheLimit(t *testing.T) {
	w := newWorld(t)
	runner := func(i int) fsm.RunnerID { return fsm.RunnerID(idOf(fmt.Sprint("runner ", i))) }
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		do(putPool(ns, "default"))
		for i := range fsm.MaxEnded {
			id := runner(i)
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: "default", Key: fmt.Sprint(i), InstanceId: id[:], SessionId: id[:], Slots: 1, ThresholdMs: 15_000,
			}}})
			do(&logv1.Op{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: id[:]}}})
		}
	})
	if excess := w.view.ExcessRunners(w.defaultNamespace(), 9); len(excess) != 0 {
		t.Errorf("%d are too many, at the limit", len(excess))
	}
	p := w.start(&process{name: "r", manual: true, slots: 1})
	w.clockMs++
	hello := Step(w.view.Begin(w.clockMs, w.wallMs()), Input{Reports: []*nodev1.SessionReport{p.hello(w)}})
	w.seed(func(do func(*logv1.Op)) {
		for _, op := range hello.Ops {
			do(op)
		}
	})
	id := fsm.RunnerID(hello.Reports[0].GetRunnerId())
	tx := w.view.Begin(w.clockMs, w.wallMs())
	Step(tx, Input{Reports: []*nodev1.SessionReport{{
		RunnerId: id[:], SessionId: hello.Reports[0].GetSessionId(), Report: &nodev1.SessionReport_Goodbye{Goodbye: &callboardv1.Goodbye{}},
	}}})
	if tx.Runner(id) == nil || tx.Runner(runner(0)) != nil || tx.Runner(runner(1)) == nil {
		t.Error("the oldest one should have gone, and only that")
	}
}

// TestEndedBeyondTheLimit: a namespace keeps so many ended actors, and the oldest go first.
func TestEndedBeyondTheLimit(t *testing.T) {
	w := newWorld(t)
	w.seed(func(do func(*logv1.Op)) {
		ns := w.defaultNamespace()
		do(putPool(ns, "default"))
		for i := range fsm.MaxEnded {
			id := idOf(fmt.Sprintf("ended %d", i))
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "old", Pool: "default", CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
			do(&logv1.Op{Op: &logv1.Op_DestroyActor{DestroyActor: &logv1.DestroyActor{ActorId: id[:]}}})
		}
	})
	w.clockMs++
	id := fsm.ActorID(w.bare(Command{Command: create("a", "", "default", 0)}).Commands[0].Success.GetId())
	w.bare(Command{Command: &nodev1.Command{Command: &nodev1.Command_DestroyActor{
		DestroyActor: &callboardv1.DestroyRequest{Namespace: "default", ActorId: id.String()},
	}}})
	if v := w.view; v.Actor(id) == nil || v.Actor(fsm.ActorID(idOf("ended 0"))) != nil || v.Actor(fsm.ActorID(idOf("ended 1"))) == nil {
		t.Error("the oldest one should have gone, and only that")
	}
}

// The drain that was kept first makes room for another.
func TestKeptDrainsBeyondTheLimit(t *testing.T) {
	w := newWorld(t)
	w.quiet = true
	w.startOne("r1", 1, 1)
	p := w.defaultPool()
	w.seed(func(do func(*logv1.Op)) {
		instance := idOf("instance")
		for i := range fsm.MaxKeptDrains {
			do(&logv1.Op{Op: &logv1.Op_RememberDrain{RememberDrain: &logv1.RememberDrain{
				NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Key: fmt.Sprintf("key%05d", i), InstanceId: instance[:],
			}}})
		}
	})
	r := w.row(w.process("r1"))
	w.bare(Command{Command: &nodev1.Command{Command: &nodev1.Command_DrainRunner{DrainRunner: &callboardv1.DrainRequest{Namespace: "default", RunnerId: r.ID.String()}}}})
	if w.view.KeptDrain(p, "key00000") != nil || w.view.KeptDrain(p, "key00001") == nil || w.view.KeptDrain(p, "r1") == nil {
		t.Error("the drain that was kept first was not the one that made room")
	}
}

// names returns n names that an actor may have.
func names(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprint("name", i)
	}
	return all
}
