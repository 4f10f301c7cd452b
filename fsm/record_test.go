package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// These tests fill every field of a row, exported or not, with something, send it through its record and compare. A field that is
// added later and forgotten in record.go or restore.go makes them fail; one that is derived has to be named here.

// fill sets every field of a struct to a random value that is not zero, but for those in keep.
func fill(t *rapid.T, row any, keep ...string) {
	v := reflect.ValueOf(row).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if slices.Contains(keep, name) {
			continue
		}
		field := v.Field(i)
		field = reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem() // unexported ones too
		fillValue(t, name, field)
		if field.IsZero() {
			t.Fatalf("%T.%s was not filled", row, name)
		}
	}
}

func fillValue(t *rapid.T, name string, v reflect.Value) {
	switch v.Interface().(type) {
	case *logv1.PoolConfig:
		config := &logv1.PoolConfig{}
		fillMessage(t, config.ProtoReflect())
		v.Set(reflect.ValueOf(config))
		return
	case *Trouble:
		trouble := &Trouble{}
		fill(t, trouble)
		v.Set(reflect.ValueOf(trouble))
		return
	case Phase: // what the reader refuses is not drawn
		v.Set(reflect.ValueOf(rapid.SampledFrom([]Phase{Starting, Running, Stopping}).Draw(t, name)))
		return
	case CrashPolicy:
		v.SetUint(uint64(rapid.IntRange(1, int(PolicyDestroy)).Draw(t, name)))
		return
	case StopReason:
		v.SetUint(uint64(rapid.IntRange(1, int(stopReasonCount)-1).Draw(t, name)))
		return
	case ErrorCode:
		v.SetUint(uint64(rapid.IntRange(1, int(errorCodeCount)-1).Draw(t, name)))
		return
	case RunnerEnd:
		v.SetUint(uint64(rapid.IntRange(1, int(EndLost)).Draw(t, name)))
		return
	case DrainCause:
		v.SetUint(uint64(rapid.IntRange(1, int(DrainRequestEnd)).Draw(t, name)))
		return
	case Eviction:
		v.SetUint(uint64(rapid.IntRange(1, int(evictionMask)).Draw(t, name)))
		return
	case RequestPhase:
		v.SetUint(uint64(rapid.IntRange(int(RequestOpening), int(RequestEnded)).Draw(t, name)))
		return
	case RequestEnd:
		v.SetUint(uint64(rapid.IntRange(int(RequestFinished), int(RequestEndpointChanged)).Draw(t, name)))
		return
	case NameList:
		list, _ := nameList([]string{"A", rapid.StringN(1, 20, 64).Filter(func(s string) bool { return s > "A" }).Draw(t, name)})
		v.SetString(string(list))
		return
	case RolloutState:
		v.SetUint(uint64(rapid.IntRange(int(RolloutOpen), int(RolloutSuperseded)).Draw(t, name)))
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(rapid.Int64().Filter(func(n int64) bool { return n != 0 }).Draw(t, name))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(rapid.Uint64Range(1, 1<<(8*v.Type().Size())-1).Draw(t, name))
	case reflect.String:
		v.SetString(rapid.StringN(1, 20, 64).Draw(t, name))
	case reflect.Slice:
		v.SetBytes(rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, name))
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			id := rapid.SliceOfN(rapid.ByteRange(1, 255), v.Len(), v.Len()).Draw(t, name)
			reflect.Copy(v, reflect.ValueOf(id))
			return
		}
		for i := range v.Len() {
			fillValue(t, fmt.Sprintf("%s[%d]", name, i), v.Index(i))
		}
	case reflect.Struct:
		fill(t, v.Addr().Interface())
	default:
		t.Fatalf("%s is a %s: teach fillValue to fill it", name, v.Type())
	}
}

func fillMessage(t *rapid.T, m protoreflect.Message) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		name := string(f.Name())
		switch {
		case f.IsList():
			element := m.Mutable(f).List().AppendMutable()
			fillMessage(t, element.Message())
			continue
		case f.Message() != nil:
			fillMessage(t, m.Mutable(f).Message())
			continue
		}
		switch f.Kind() {
		case protoreflect.Int64Kind:
			m.Set(f, protoreflect.ValueOfInt64(rapid.Int64Range(1, 1<<40).Draw(t, name)))
		case protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(rapid.Uint32Min(1).Draw(t, name)))
		case protoreflect.Uint64Kind:
			m.Set(f, protoreflect.ValueOfUint64(rapid.Uint64Min(1).Draw(t, name)))
		case protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(rapid.StringN(1, 20, 64).Draw(t, name)))
		default:
			t.Fatalf("%s is a %s: teach fillMessage to fill it", name, f.Kind())
		}
	}
}

// world is a state with one row of each kind, every field of which is filled.
type world struct {
	tx        *Tx
	namespace *Namespace
	pool      *Pool
	bucket    Bucket
	await     Await
	runner    *Runner
	actor     *Actor
	rollout   *Rollout
	endpoint  *logv1.Endpoint
	request   *Request
	held      *HeldVersion
	kept      *KeptDrain
}

func drawWorld(t *rapid.T) world {
	tx := NewView().Begin(0, 0)
	w := world{tx: tx, namespace: &Namespace{}, pool: &Pool{}, runner: &Runner{}, actor: &Actor{}, rollout: &Rollout{}}
	tx.addNamespace(&Namespace{Name: "\x00first", ID: NamespaceID{1}}) // so that ordinals differ from zero
	fill(t, w.namespace, "ordinal")
	tx.addNamespace(w.namespace)

	tx.addPool(&Pool{ID: PoolID{w.namespace.ID, "\x00first"}, namespace: w.namespace.ordinal})
	fill(t, w.pool, "ordinal", "namespace")
	w.pool.ID.Namespace, w.pool.namespace = w.namespace.ID, w.namespace.ordinal
	tx.addPool(w.pool)
	fill(t, &w.bucket, "WindowTurns", "WindowRateMicros")
	w.bucket.WindowTurns, w.bucket.WindowRateMicros = rapid.Uint32Range(1, MaxWindowTurns).Draw(t, "turns"), rapid.Uint64Range(1, MaxEvictionRateMicros).Draw(t, "rate")
	tx.putBucket(w.pool, w.bucket)
	fill(t, &w.await)
	tx.setAwait(w.pool, w.await)

	fill(t, w.runner, "Number", "Slots", "Pool", "Held", "Stopping", "Promised", "pool")
	w.runner.Number, w.runner.Slots = rapid.Uint32Range(2, 50).Draw(t, "number"), rapid.Uint32Range(1, MaxSlots).Draw(t, "slots")
	w.runner.Pool, w.runner.pool = w.pool.ID, w.pool.ordinal
	w.runner.set = w.runner.Names.set()
	tx.runnerNumbers.claim(w.runner.Number)
	tx.addRunner(w.runner, rapid.Int64().Draw(t, "seen"))

	fill(t, w.actor, "Runner", "Promise", "Claimed", "Orphans", "ordinal", "namespace", "pool", "keyHash")
	w.actor.Generation %= MaxRaised
	w.actor.Claimed = rapid.Uint64Range(w.actor.Generation+1, MaxRaised).Draw(t, "claimed")
	w.actor.Runner, w.actor.pool, w.actor.namespace = w.runner.Number, w.pool.ordinal, w.namespace.ordinal
	if w.actor.Phase == Stopping {
		w.actor.Promise = w.runner.Number
	}
	tx.actorOrdinals.claim(3)
	w.actor.ordinal = 3
	tx.addActor(w.actor)

	orphan := orphanKey{runner: w.runner.Number}
	fill(t, &orphan.ref)
	orphan.rev, orphan.holdsActor = rapid.Uint64Min(1).Draw(t, "rev"), rapid.Bool().Draw(t, "holds its actor")
	if rapid.Bool().Draw(t, "one of the actor") {
		orphan.ref.Actor = w.actor.ID
	}
	tx.putOrphan(orphan)
	w.actor = tx.Actor(w.actor.ID)
	tx.hold(w.runner.Number, holding{slots: 1, stopping: 1})
	w.runner = tx.runners.Get(w.runner.Number) // with what it holds

	for i := range rapid.IntRange(1, 3).Draw(t, "outcomes") {
		tx.rememberOutcome(&logv1.RememberOutcome{
			Key: fmt.Sprint("key ", i), Outcome: rapid.SliceOfN(rapid.Byte(), 0, 2*smallOutcome).Draw(t, "outcome"), Fingerprint: rapid.Uint64().Draw(t, "fingerprint"),
		})
	}

	fill(t, w.rollout, "pool")
	w.rollout.pool = w.pool.ordinal
	tx.replaceRollout(nil, w.rollout)

	w.endpoint = &logv1.Endpoint{}
	fillMessage(t, w.endpoint.ProtoReflect())
	tx.setEndpoint(w.pool, w.endpoint)
	w.request = &Request{}
	fill(t, w.request, "Slots", "End", "pool", "ordinal")
	w.request.Slots, w.request.pool, w.request.Runner = w.runner.Slots, w.pool.ordinal, w.runner.ID
	if w.request.Phase == RequestEnded {
		w.request.End = RequestFailed
	}
	tx.requestOrdinals.claim(3)
	tx.addRequest(w.request)
	w.held, w.kept = &HeldVersion{}, &KeptDrain{}
	fill(t, w.held)
	tx.putHeldVersion(w.pool, w.held)
	fill(t, w.kept, "pool")
	w.kept.pool = w.pool.ordinal
	tx.replaceKeptDrain(nil, w.kept)
	return w
}

func restore(t interface{ Fatal(...any) }, s *State) *View {
	r := NewRestorer()
	for record := range s.Records() {
		// Through bytes, as in a file.
		encoded, err := proto.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		decoded := new(logv1.Record)
		if err := proto.Unmarshal(encoded, decoded); err != nil {
			t.Fatal(err)
		}
		if err := r.Add(decoded); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.View()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// A field of State is either in a record or derived from rows. Whoever adds one says here which.
var (
	recordedFields = []string{
		"index", "epoch", "base", "clockMs", "wallMs", "cluster", "leader", "settings", "actorSeq", "queueSeq", "runnerSeq", "rolloutSeq", "requestSeq", "seenMs",
		"requests", "endpoints", "namespaces", "pools", "buckets", "runners", "seen", "actors", "longParts", "orphans", "outcomes", "longOutcomes", "rollouts",
		"drainSeq", "heldVersions", "keptDrains", "awaits",
	}
	derivedFields = []string{
		"namespaceCount", "namespacesByName", "namespacesByID", "poolOrdinals", "idlePools", "poolStats", "poolsByName", "versions",
		"runnersByID", "runnersByKey", "runnersBySeq", "runnerNumbers", "candidates", "poolRunners", "evictables", "drainWork", "endedRunners", "endedRunnerCount",
		"requestsIndex",
		"requestOrdinals", "requestsByID", "poolRequests", "idleRunners", "serverlessPools", "endedRollouts", "endedRolloutCount", "named", "turns", "unreceived",
		"handlers", "nameQueue", "nameOn",
		"looks", "lookAt", "delays", "moved", "heard", "visited", // the last of a Tx alone
		"keptDrainsBySeq", "keptDrainCount",
		"actorOrdinals", "actorsByID", "actorsByName", "actorsByKey", "actorNames", "endedActors", "bodies", "queue", "assigned", "alarms", "backoffs", "agenda",
		"outcomesByKey", "outcomeSeq", "outcomeLongBytes", "phases", "storedBytes", "endedCount", "sum",
	}
)

func TestEveryFieldOfTheStateIsRecordedOrDerived(t *testing.T) {
	of := reflect.TypeFor[State]()
	for i := range of.NumField() {
		name := of.Field(i).Name
		if slices.Contains(recordedFields, name) == slices.Contains(derivedFields, name) {
			t.Errorf("State.%s: say in one of these lists whether a snapshot holds it", name)
		}
	}
	if of.NumField() != len(recordedFields)+len(derivedFields) {
		t.Errorf("State has %d fields, the lists have %d", of.NumField(), len(recordedFields)+len(derivedFields))
	}
}

func TestEveryFieldSurvivesASnapshot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		s := &w.tx.State
		fillState(t, s)
		s.rolloutSeq, s.requestSeq, s.drainSeq = max(s.rolloutSeq, w.rollout.ID), max(s.requestSeq, w.request.Seq), max(s.drainSeq, w.kept.Seq)
		restored := restore(t, s)

		expectSame(t, "State.settings", s.settings, restored.settings)
		for _, name := range []string{"index", "epoch", "base", "clockMs", "wallMs", "cluster", "leader", "actorSeq", "queueSeq", "runnerSeq", "rolloutSeq", "requestSeq", "drainSeq", "seenMs"} {
			expectSame(t, "State."+name, peek(s, name), peek(&restored.State, name))
		}
		expectRow(t, w.namespace, restored.NamespaceByID(w.namespace.ID), "ordinal")
		expectRow(t, w.pool, restored.Pool(w.pool.ID), "ordinal", "namespace")
		expectSame(t, "the pool's bucket", w.bucket, restored.buckets.Get(restored.Pool(w.pool.ID).ordinal))
		expectSame(t, "what the pool awaits", w.await, restored.Await(restored.Pool(w.pool.ID)))
		runner := restored.RunnerByNumber(w.runner.Number)
		expectRow(t, w.runner, runner, "pool")
		expectSame(t, "seen", s.seen.Get(w.runner.Number), restored.seen.Get(w.runner.Number))
		actor := restored.Actor(w.actor.ID)
		expectRow(t, w.actor, actor, "ordinal", "namespace", "pool")
		expectSame(t, "orphans", slices.Collect(s.orphans.All()), slices.Collect(restored.orphans.All()))
		rollout := restored.rollout(restored.Pool(w.pool.ID).ordinal, w.rollout.ID)
		expectRow(t, w.rollout, rollout, "pool")
		request := restored.Request(w.request.ID)
		expectRow(t, w.request, request, "pool", "ordinal")
		expectSame(t, "the request's pool", w.pool.ID, restored.RequestPool(request).ID)
		back := restored.endpoints.Get(restored.Pool(w.pool.ID).ordinal)
		if !proto.Equal(w.endpoint, back) {
			t.Fatalf("the endpoint was %v, is %v", w.endpoint, back)
		}
		for held := range restored.HeldVersions(restored.Pool(w.pool.ID)) {
			expectRow(t, w.held, held)
		}
		expectRow(t, w.kept, restored.KeptDrain(restored.Pool(w.pool.ID), w.kept.Key), "pool")
		expectSame(t, "outcomes", slices.Collect(s.outcomes.All()), slices.Collect(restored.outcomes.All()))
		expectSame(t, "outcomes by key", slices.Collect(s.outcomesByKey.All()), slices.Collect(restored.outcomesByKey.All()))
		expectSame(t, "long outcomes", slices.Collect(s.longOutcomes.All()), slices.Collect(restored.longOutcomes.All()))
		expectSame(t, "their bytes", s.outcomeLongBytes, restored.outcomeLongBytes)

		// What names other rows by ordinal names the same ones.
		expectSame(t, "the pool's namespace", w.pool.ID.Namespace, restored.namespaces.Get(restored.Pool(w.pool.ID).namespace).ID)
		expectSame(t, "the runner's pool", w.pool.ID, restored.RunnerPool(runner).ID)
		expectSame(t, "the rollout's pool", w.pool.ID, restored.RolloutPool(rollout).ID)
		expectSame(t, "the actor's pool", w.pool.ID, restored.ActorPool(actor).ID)
		expectSame(t, "the actor's namespace", w.namespace.ID, restored.ActorNamespace(actor).ID)
		if s.Hash() != restored.Hash() || s.StateHash() != restored.StateHash() || restored.RecountHash() != restored.StateHash() {
			t.Fatal("the hashes differ")
		}
	})
}

// fillState sets the state's own fields, as far as a record holds them. The tables are filled with rows.
func fillState(t *rapid.T, s *State) {
	v := reflect.ValueOf(s).Elem()
	for _, name := range recordedFields {
		field := v.FieldByName(name)
		if kind := field.Kind(); kind == reflect.Struct && name != "settings" {
			continue
		}
		fillValue(t, name, reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem())
	}
}

func peek(row any, name string) any {
	field := reflect.ValueOf(row).Elem().FieldByName(name)
	return reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem().Interface()
}

// expectRow compares two rows field by field, but for the derived ones.
func expectRow(t *rapid.T, want, got any, derived ...string) {
	if reflect.ValueOf(got).IsNil() {
		t.Fatalf("there is no %T", got)
	}
	of := reflect.TypeOf(want).Elem()
	for i := range of.NumField() {
		if name := of.Field(i).Name; !slices.Contains(derived, name) {
			expectSame(t, fmt.Sprintf("%T.%s", want, name), peek(want, name), peek(got, name))
		}
	}
}

func expectSame(t *rapid.T, what string, want, got any) {
	if m, ok := want.(proto.Message); ok {
		if !proto.Equal(m, got.(proto.Message)) {
			t.Fatalf("%s was %v, is %v", what, want, got)
		}
		return
	}
	if !reflect.DeepEqual(want, got) {
		t.Fatalf("%s was %v, is %v", what, want, got)
	}
}

// What no snapshot of ours can hold is an error with a reason, never a panic and never a state.
func TestRestorerRefuses(t *testing.T) {
	ns := func(name string, id byte) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_Namespace{Namespace: &logv1.NamespaceRecord{Id: someID(id), Name: name}}}
	}
	pool := func(name string, id byte) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_Pool{Pool: &logv1.PoolRecord{NamespaceId: someID(id), Name: name}}}
	}
	runner := func(change func(*logv1.RunnerRecord)) *logv1.Record {
		r := &logv1.RunnerRecord{Number: 1, Id: someID(7), Pool: 1, Slots: 1}
		change(r)
		return &logv1.Record{Record: &logv1.Record_Runner{Runner: r}}
	}
	actor := func(change func(*logv1.ActorRecord)) *logv1.Record {
		a := &logv1.ActorRecord{Id: someID(9), Seq: 1, Pool: 1, Name: "a", CrashPolicy: 1, Phase: uint32(Pending)}
		change(a)
		return &logv1.Record{Record: &logv1.Record_Actor{Actor: a}}
	}
	orphan := func(number uint32, generation uint64) *logv1.Record {
		ref := &logv1.Ref{ActorId: someID(9), Generation: generation}
		return &logv1.Record{Record: &logv1.Record_Orphan{Orphan: &logv1.OrphanRecord{Runner: number, Ref: ref}}}
	}
	rollout := func(id uint64, state RolloutState) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_Rollout{Rollout: &logv1.RolloutRecord{Id: id, Pool: 1, State: uint32(state)}}}
	}
	bucket := func(b *logv1.BucketRecord) []*logv1.Record {
		p := pool("p", 1)
		p.GetPool().Bucket = b
		return []*logv1.Record{{Record: &logv1.Record_State{State: &logv1.StateRecord{}}}, ns("a", 1), p}
	}
	waiting := pool("p", 1)
	waiting.GetPool().AwaitUntilMs = 5
	outcome := func(key string) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_Outcome{Outcome: &logv1.OutcomeRecord{Key: key}}}
	}
	page := func(change func(p *logv1.OutcomesRecord)) *logv1.Record {
		p := &logv1.OutcomesRecord{
			Keys: []byte("sixteen bytes, 1sixteen bytes, 2"), Fingerprints: []uint64{1, 2}, AtMs: []int64{5, 5}, Outcomes: [][]byte{{1}, {2}},
		}
		change(p)
		return &logv1.Record{Record: &logv1.Record_Outcomes{Outcomes: p}}
	}
	state := func(settings ...*logv1.SettingValue) *logv1.Record {
		return &logv1.Record{Record: &logv1.Record_State{State: &logv1.StateRecord{Settings: settings, RolloutSeq: 9}}}
	}
	future := &logv1.NamespaceRecord{Id: someID(2), Name: "b"}
	future.ProtoReflect().SetUnknown(protoreflect.RawFields{0x78, 1})
	futureDecision := &logv1.Decision{}
	futureDecision.ProtoReflect().SetUnknown(protoreflect.RawFields{0x78, 1})

	futureBucket := &logv1.BucketRecord{}
	futureBucket.ProtoReflect().SetUnknown(protoreflect.RawFields{0x78, 1})
	some := []*logv1.Record{state(), ns("a", 1), pool("p", 1), runner(func(*logv1.RunnerRecord) {})}
	after := func(more ...*logv1.Record) []*logv1.Record { return slices.Concat(some, more) }
	runnerAfter := func(change func(*logv1.RunnerRecord)) []*logv1.Record {
		return slices.Concat(some[:3], []*logv1.Record{runner(change)})
	}
	actorAfter := func(change func(*logv1.ActorRecord)) []*logv1.Record { return after(actor(change)) }
	tests := []struct {
		name    string
		records []*logv1.Record
		want    string
	}{
		{"nothing", nil, "there are no records"},
		{"an empty record", []*logv1.Record{{}}, "not known to this build"},
		{"no state", []*logv1.Record{ns("a", 1)}, "record 1: the state's own record does not come first"},
		{"two states", []*logv1.Record{state(), state()}, "record 2: a record of kind 1 comes after one of kind 1"},
		{"an unknown setting", []*logv1.Record{state(&logv1.SettingValue{Name: "zeal"})}, `the setting "zeal" is not known`},
		{"a namespace after a pool", []*logv1.Record{state(), ns("a", 1), pool("p", 1), ns("b", 2)}, "comes after one of kind"},
		{"namespaces out of order", []*logv1.Record{state(), ns("b", 1), ns("a", 2)}, `"a" comes after "b"`},
		{"a namespace id twice", []*logv1.Record{state(), ns("a", 1), ns("b", 1)}, "comes twice"},
		{"a field of the future", []*logv1.Record{state(), {Record: &logv1.Record_Namespace{Namespace: future}}}, "NamespaceRecord has the field 15, which this build does not know"},
		{"a short id", []*logv1.Record{state(), {Record: &logv1.Record_Namespace{Namespace: &logv1.NamespaceRecord{Id: []byte{1}}}}}, "has 1 bytes"},
		{"a pool in no namespace", []*logv1.Record{state(), pool("p", 1)}, "unknown namespace"},
		{"a pool without a name", []*logv1.Record{state(), ns("a", 1), pool("", 1)}, "has no name"},
		{"a pool twice", []*logv1.Record{state(), ns("a", 1), pool("p", 1), pool("p", 1)}, "comes twice"},
		{"a runner in no pool", runnerAfter(func(r *logv1.RunnerRecord) { r.Pool = 2 }), "pool 2 of 1"},
		{"a runner in pool 0", runnerAfter(func(r *logv1.RunnerRecord) { r.Pool = 0 }), "pool 0 of 1"},
		{"a runner of number 0", runnerAfter(func(r *logv1.RunnerRecord) { r.Number = 0 }), "the number must be 1 to"},
		{"a runner of a huge number", runnerAfter(func(r *logv1.RunnerRecord) { r.Number = ^uint32(0) }), "the number must be 1 to"},
		{"a runner without slots", runnerAfter(func(r *logv1.RunnerRecord) { r.Slots = 0 }), "0 slots"},
		{"a runner with an unknown end", runnerAfter(func(r *logv1.RunnerRecord) { r.End = 3 }), "the end 3"},
		{"a runner with an unknown drain", runnerAfter(func(r *logv1.RunnerRecord) { r.DrainCause = 8 }), "the drain cause 8"},
		{"a runner id twice", after(runner(func(r *logv1.RunnerRecord) { r.Number = 2 })), "comes twice"},
		{"a runner number twice", after(runner(func(r *logv1.RunnerRecord) { r.Id = someID(8) })), "comes after number 1"},
		{"an actor without an id", actorAfter(func(a *logv1.ActorRecord) { a.Id = nil }), "has 0 bytes"},
		{"an actor twice", after(actor(func(*logv1.ActorRecord) {}), actor(func(*logv1.ActorRecord) {})), "it comes after"},
		{"an actor in no pool", actorAfter(func(a *logv1.ActorRecord) { a.Pool = 9 }), "pool 9 of 1"},
		{"an actor without a name", actorAfter(func(a *logv1.ActorRecord) { a.Name = "" }), "a name of 0 bytes"},
		{"an actor with an empty key", actorAfter(func(a *logv1.ActorRecord) { a.Key = new(string) }), "a key of 0 bytes"},
		{"an actor without a policy", actorAfter(func(a *logv1.ActorRecord) { a.CrashPolicy = 0 }), "the crash policy 0"},
		{"an actor in no phase", actorAfter(func(a *logv1.ActorRecord) { a.Phase = 0 }), "the phase 0"},
		{"an actor in an unknown phase", actorAfter(func(a *logv1.ActorRecord) { a.Phase = 1 << 20 }), "the phase 1048576"},
		{"an actor that runs nowhere", actorAfter(func(a *logv1.ActorRecord) { a.Phase = uint32(Running) }), "running on the runner of number 0"},
		{"an actor that sleeps on a runner", actorAfter(func(a *logv1.ActorRecord) { a.Phase, a.Runner = uint32(Sleeping), 1 }), "sleeping on the runner of number 1"},
		{"an actor on no such runner", actorAfter(func(a *logv1.ActorRecord) { a.Phase, a.Runner = uint32(Running), 5 }), "no runner of number 5"},
		{"a claim below the generation", actorAfter(func(a *logv1.ActorRecord) { a.Generation, a.Claimed = 5, 5 }), "the generation 5 is claimed"},
		{"a claim of noise", actorAfter(func(a *logv1.ActorRecord) { a.Claimed = MaxRaised + 1 }), "is claimed: must be above 0"},
		{"an unknown stop reason", actorAfter(func(a *logv1.ActorRecord) { a.StopReason = uint32(stopReasonCount) }), "the stop reason"},
		{"an unknown rule", actorAfter(func(a *logv1.ActorRecord) { a.Decision = &logv1.Decision{Rule: 256} }), "the placement rule 256"},
		{"a decision of the future", actorAfter(func(a *logv1.ActorRecord) { a.Decision = futureDecision }), "Decision has the field 15,"},
		{"an input that is too long", actorAfter(func(a *logv1.ActorRecord) { a.Input = make([]byte, MaxInput+1) }), "an input of"},
		{"a saved state that is too long", actorAfter(func(a *logv1.ActorRecord) { a.Saved = make([]byte, MaxSaved+1) }), "a saved state of"},
		{"an unknown error code", actorAfter(func(a *logv1.ActorRecord) { a.Trouble = &logv1.TroubleRecord{Code: 99} }), "the error code 99"},
		{"a short runner id", actorAfter(func(a *logv1.ActorRecord) { a.Trouble = &logv1.TroubleRecord{RunnerId: []byte{1}} }), "has 1 bytes"},
		{"an orphan on no runner", after(orphan(5, 1)), "no runner of number 5"},
		{"an orphan twice", after(orphan(1, 1), orphan(1, 1)), "comes after"},
		{"an outcome twice", after(outcome("a"), outcome("a")), `"a" comes after "a"`},
		{"an outcome without a key", after(outcome("")), `"" comes after ""`},
		{"outcomes without keys", after(page(func(p *logv1.OutcomesRecord) { p.Keys = p.GetKeys()[1:] })), "31 bytes of keys, 2 fingerprints, 2 times, 2 outcomes"},
		{"outcomes without fingerprints", after(page(func(p *logv1.OutcomesRecord) { p.Fingerprints = nil })), "must belong together"},
		{"fewer outcomes than keys", after(page(func(p *logv1.OutcomesRecord) { p.Outcomes = p.GetOutcomes()[:1] })), "must belong together"},
		{"outcomes out of order", after(page(func(p *logv1.OutcomesRecord) { p.AtMs[1] = 4 })), "an outcome of 4 ms comes after one of 5 ms"},
		{"an outcome that is too long", after(page(func(p *logv1.OutcomesRecord) { p.Outcomes[0] = make([]byte, MaxOutcomeBytes+1) })), "an outcome of 16385 bytes"},
		{"an outcome twice, in pages", after(page(func(p *logv1.OutcomesRecord) { copy(p.GetKeys()[16:], p.GetKeys()[:16]) })), "the outcomes 1 and 2 have the same key"},
		{"outcomes of two formats", after(outcome("a"), page(func(*logv1.OutcomesRecord) {})), "outcomes of two formats"},
		{"outcomes after a rollout", after(rollout(2, RolloutOpen), page(func(*logv1.OutcomesRecord) {})), "comes after one of kind"},
		{"a window that is too great", bucket(&logv1.BucketRecord{WindowTurns: MaxWindowTurns + 1, WindowRateMicros: 1}), "a window of 10001 turns"},
		{"a window without a rate", bucket(&logv1.BucketRecord{WindowTurns: 1}), "a window of 1 turns for a rate of 0"},
		{"a window that is too fast", bucket(&logv1.BucketRecord{WindowTurns: 1, WindowRateMicros: MaxEvictionRateMicros + 1}), "a window of 1 turns"},
		{"a wait for no version", []*logv1.Record{state(), ns("a", 1), waiting}, "awaits no version until 5"},
		{"a bucket of the future", bucket(futureBucket), "BucketRecord has the field 15,"},
		{"unknown eviction flags", actorAfter(func(a *logv1.ActorRecord) { a.Eviction = 8 }), "the eviction flags 8"},
		{"a promise to one that runs", actorAfter(func(a *logv1.ActorRecord) { a.Phase, a.Runner, a.Promise = uint32(Running), 1, 1 }), "running with a slot promised on runner 1"},
		{"a promise of nobody", actorAfter(func(a *logv1.ActorRecord) { a.Phase, a.Runner, a.Promise = uint32(Stopping), 1, 5 }), "runner of number 5: there is none"},
		{"a promise of a number below", actorAfter(func(a *logv1.ActorRecord) { a.Phase, a.Runner, a.Promise = uint32(Stopping), 1, 1<<31 }), "there is none"},
		{"a rollout in no pool", after(&logv1.Record{Record: &logv1.Record_Rollout{Rollout: &logv1.RolloutRecord{Id: 1, Pool: 2, State: 1}}}), "pool 2 of 1"},
		{"a rollout in no state", after(rollout(1, 0)), "the rollout state 0"},
		{"a rollout in an unknown state", after(rollout(1, 5)), "the rollout state 5"},
		{"a rollout without an id", after(rollout(0, RolloutOpen)), "the rollout 0: the last one was 9"},
		{"a rollout to come", after(rollout(10, RolloutOpen)), "the rollout 10: the last one was 9"},
		{"a rollout twice", after(rollout(2, RolloutDone), rollout(2, RolloutDone)), "the rollout 2 comes after 2, which is done"},
		{"a rollout after an open one", after(rollout(2, RolloutOpen), rollout(3, RolloutDone)), "the rollout 3 comes after 2, which is open"},
		{"an outcome after a rollout", after(rollout(2, RolloutOpen), outcome("a")), "comes after one of kind"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := NewRestorer()
			var err error
			for _, record := range test.records {
				if err = r.Add(record); err != nil {
					break
				}
			}
			_, viewErr := r.View()
			if err == nil {
				err = viewErr
			}
			expectError(t, err, test.want)
			if viewErr == nil {
				t.Error("View gave a state all the same")
			}
		})
	}
}
