package fsm

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A table of the state is in the state hash, or it follows from those that are. Nodes would not see that they differ in a table that was
// forgotten here.
func TestEveryTableHasAHashForm(t *testing.T) {
	var hashed []string
	for _, table := range hashedTables {
		hashed = append(hashed, table.field)
	}
	hashed = append(hashed, "longOutcomes") // with their rows
	of := reflect.TypeFor[State]()
	for i := range of.NumField() {
		field := of.Field(i)
		table := strings.HasSuffix(field.Type.PkgPath(), "/fsm/table")
		derived := slices.Contains(derivedFields, field.Name)
		switch is := slices.Contains(hashed, field.Name); {
		case table && !derived && !is:
			t.Errorf("State.%s is a table without a hash form: give its rows a hash and a place in hashedTables (state_hash.go), and count every write with rehash", field.Name)
		case is && derived:
			t.Errorf("State.%s follows from other tables, and is in hashedTables all the same", field.Name)
		}
	}
	for _, name := range hashed {
		if _, there := of.FieldByName(name); !there {
			t.Errorf("hashedTables names State.%s: there is no such field", name)
		}
	}
}

// notHashed are the fields of rows that are not in a row's hash, and why. All others must be.
var notHashed = map[string]string{
	"Namespace.ordinal": "an ordinal", "Pool.ordinal": "an ordinal", "Pool.namespace": "an ordinal", "Actor.ordinal": "an ordinal",
	"Actor.namespace": "an ordinal", "Actor.pool": "an ordinal: its pool's ids are the seed", "Runner.pool": "an ordinal: its pool's ids are the seed",
	"Runner.Pool": "they are the seed", "Rollout.pool": "an ordinal: its pool's ids are the seed", "KeptDrain.pool": "an ordinal: its pool's ids are the seed",
	"Actor.keyHash": "a row does not hold it", "outcomeRow.seq": "of this node", "outcomeRow.size": "it follows from the outcome",
	"Runner.Held": "it follows from actors and orphans", "Runner.Stopping": "it follows from actors and orphans", "Runner.Promised": "it follows from actors",
	"Request.pool": "an ordinal: its pool's ids are the seed", "Request.ordinal": "an ordinal", "Runner.facts": "a hash", "Runner.set": "it follows from the names", "Pool.seed": "a hash",
}

func TestEveryFieldOfARowIsInTheStateHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := seedOf(PoolID{NamespaceID{1}, "p"})
		everyFieldCounts(t, &Namespace{}, (*Namespace).hash)
		everyFieldCounts(t, &Pool{}, func(p *Pool) StateHash { p.seed = seedOf(p.ID); return p.hash() })
		everyFieldCounts(t, &Bucket{}, func(b *Bucket) StateHash { return b.hash(pool) })
		everyFieldCounts(t, &Runner{}, func(r *Runner) StateHash { return r.hash(pool).plus(r.revHash()) })
		everyFieldCounts(t, &Request{}, func(r *Request) StateHash { return r.hash(pool) })
		everyFieldCounts(t, &Rollout{}, func(r *Rollout) StateHash { return r.hash(pool) })
		everyFieldCounts(t, &HeldVersion{}, func(h *HeldVersion) StateHash { return h.hash(pool) })
		everyFieldCounts(t, &Await{}, func(a *Await) StateHash { return a.hash(pool) })
		everyFieldCounts(t, &KeptDrain{}, func(d *KeptDrain) StateHash { return d.hash(pool) })
		everyFieldCounts(t, &orphanKey{}, func(k *orphanKey) StateHash { return k.hash() })
		everyFieldCounts(t, &outcomeRow{}, func(r *outcomeRow) StateHash { r.size = smallOutcome; return r.hash("") })
		everyFieldCounts(t, &Actor{}, func(a *Actor) StateHash {
			tx := NewView().Begin(0, 0)
			a.ordinal = 1
			tx.setActor(a)
			return tx.sum
		})
		everyFieldCounts(t, &longParts{}, func(l *longParts) StateHash { return l.hash(packedActor(make([]byte, 40))) })
	})
}

// everyFieldCounts changes the fields of a row one at a time.
func everyFieldCounts[T any](t *rapid.T, row *T, hash func(*T) StateHash) {
	fill(t, row)
	want := hash(row)
	if again := hash(row); again != want {
		t.Fatalf("%T: %s and %s for the same row", row, want, again)
	}
	of := reflect.TypeFor[T]()
	for i := range of.NumField() {
		name := of.Name() + "." + of.Field(i).Name
		changeEach(t, name, reflect.ValueOf(row).Elem().Field(i), func(path string) {
			_, free := notHashed[name]
			if changed := hash(row) != want; changed == free {
				t.Fatalf("%s: in the hash: %v, notHashed says %v: hash it in state_hash.go, or say in notHashed why not", path, changed, free)
			}
		})
	}
}

// changeEach gives each simple value below a field another one, calls back, and changes it back.
func changeEach(t *rapid.T, path string, field reflect.Value, changed func(path string)) {
	v := reflect.NewAt(field.Type(), unsafe.Pointer(field.UnsafeAddr())).Elem()
	switch {
	case v.Type() == reflect.TypeFor[*logv1.PoolConfig]():
		m := v.Interface().(*logv1.PoolConfig).ProtoReflect()
		m.Range(func(f protoreflect.FieldDescriptor, was protoreflect.Value) bool {
			m.Clear(f)
			changed(path + "." + string(f.Name()))
			m.Set(f, was)
			return true
		})
	case v.Kind() == reflect.Pointer:
		changeEach(t, path, v.Elem(), changed)
	case v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Array:
		for i := range v.Len() {
			changeEach(t, fmt.Sprintf("%s[%d]", path, i), v.Index(i), changed)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			changeEach(t, path+"."+v.Type().Field(i).Name, v.Field(i), changed)
		}
	default:
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		switch v.Kind() {
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Array:
			at := v.Index(rapid.IntRange(0, v.Len()-1).Draw(t, "at"))
			switch at.Kind() {
			case reflect.Bool:
				at.SetBool(!at.Bool())
			case reflect.Int64:
				at.SetInt(at.Int() + 1)
			default:
				at.SetUint(at.Uint() ^ 1)
			}
		default:
			v.SetUint(v.Uint() ^ 1)
		}
		changed(path)
		v.Set(was)
	}
}

// What the state holds beside its tables is in the hash too.
func TestEveryFieldOfTheStateIsInTheStateHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &NewView().State
		fillState(t, s)
		want := s.StateHash()
		of := reflect.TypeFor[State]()
		for i := range of.NumField() {
			field := of.Field(i)
			if slices.Contains(derivedFields, field.Name) || strings.HasSuffix(field.Type.PkgPath(), "/fsm/table") {
				continue
			}
			changeEach(t, "State."+field.Name, reflect.ValueOf(s).Elem().Field(i), func(path string) {
				if s.StateHash() == want {
					t.Fatalf("%s is not in the state hash: add it to ownHash in state_hash.go", path)
				}
			})
		}
	})
}

// Ordinals differ between a node that has run all the time and one that was restored. Their hashes do not.
func TestTheStateHashKnowsNoOrdinals(t *testing.T) {
	v := play("put-namespace ns1 name=games", "put-namespace ns2 name=arcade", "put-pool ns1 name=q", "put-pool ns2 name=r", "put-pool default name=a",
		"register-runner r1 namespace=ns1 pool=q slots=9", "create-actor a9 namespace=ns1 pool=q", "create-actor a1", "create-actor a2 namespace=ns2 pool=r key=k",
		"assign-actor a9/1 r1", "destroy-actor a1", "forget-actor a1", "create-actor a3 input=bytes:300", "put-pool ns2 name=r eviction_rate_micros_per_s=7")
	restored := restore(t, &v.State)
	moved := func(pick func(v *View) uint32) bool { return pick(v) != pick(restored) }
	for what, is := range map[string]bool{
		"an actor": moved(func(v *View) uint32 { return v.Actor(ActorID(idOf("a9"))).ordinal }),
		"a pool":   moved(func(v *View) uint32 { return v.Pool(PoolID{NamespaceID(idOf("ns2")), "r"}).ordinal }),
		"a space":  moved(func(v *View) uint32 { return v.Namespace("games").ordinal }),
	} {
		if !is {
			t.Errorf("%s has the same ordinal: this test shows nothing", what)
		}
	}
	if v.StateHash() != restored.StateHash() {
		t.Errorf("%s, restored %s", v.StateHash(), restored.StateHash())
	}
}

// The hash of a state that never changes. If it differs, nodes of two builds would call each other wrong: raise HashForm.
func TestTheHashFormIsFixed(t *testing.T) {
	const form, want = 1, "4b9362fb30b4d51af20a1cbb68a16528"
	v := play(
		"put-namespace ns1 name=games display_name=Games", "put-pool ns1 name=q placement=binpack", "put-settings stored_bytes_limit=1048576",
		"register-runner r1 key=k1 slots=3", "register-runner r2 key=k2 slots=3 version=2", "register-runner r3 key=k3 slots=2 version=1", "end-runner r3",
		"hold-orphan r1 x1/7", "create-actor a1 key=one input=hello", "create-actor a2 key=two", "create-actor a3 name=bell input=bytes:300", "create-actor a4",
		"assign-actor a1/1 r1", "actor-running a1/1", "save-state a1/1 state=score", "assign-actor a2/1 r2", "stop-actor a2/1 reason=sleep",
		"sleep-actor a3", "set-alarm a3 at_unix_ms=1800000000000", "assign-actor a4/1 r2", "actor-stopped a4/1 next=backing_off reschedule=90000 penalty message=oops",
		"open-rollout version=2", "start-drain r1 cause=newer_version", "runners-seen 1 2", "remember-outcome key=c/1 outcome=o", "remember-outcome key=c/2 outcome=bytes:300",
	)
	if got := v.StateHash().String(); got != want || form != HashForm {
		t.Errorf("the state hash is %s in form %d, was %s in form %d: if a row is hashed differently, raise HashForm, and then correct this test", got, HashForm, want, form)
	}
}

// BenchmarkStateHash tells how much of an actor's write is the state hash. Rounds of 256 writes, an entry each, take turns: in every second
// one each write hashes its rows ten times more.
func BenchmarkStateHash(b *testing.B) {
	const actors, round, more = 100_000, 256, 10
	v := play("register-runner r1 slots=1000000")
	tx := v.Begin(v.clockMs, v.wallMs)
	for i := range actors {
		tx.Do(mustOp(&tx.State, fmt.Sprintf("create-actor i%d key=customer-%d", i, i)))
	}
	v = tx.Seal(v.index + 1)
	rows := make([]packedActor, round)
	write := func(n, again int) time.Duration {
		tx := v.Begin(v.clockMs, v.wallMs)
		from := time.Now()
		for i := range round {
			old := tx.actorAt(uint32((n*round+i)*7919%actors) + 1)
			next := *old
			next.QueueSeq = tx.nextQueueSeq()
			tx.writeActor(old, &next)
			rows[i] = tx.actors.Get(old.ordinal)
			for range again {
				tx.rehash(tx.actorHash(rows[i]), tx.actorHash(rows[i]))
			}
		}
		took := time.Since(from)
		v = tx.Seal(v.index + 1)
		return took
	}
	var once, often time.Duration
	n := 0
	for b.Loop() {
		once += write(n, 0)
		often += write(n+1, more)
		n += 2
	}
	whole := float64(once.Nanoseconds()) / float64(b.N*round)
	hash := float64((often - once).Nanoseconds()) / float64(b.N*round*more)
	b.ReportMetric(whole, "ns/write")
	b.ReportMetric(hash, "ns/hash")
	b.ReportMetric(100*hash/(whole-hash), "%more")
}
