package fsm

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Random ops, most of them legal and many not, against the model. After each op: the same verdict, no trace of a refused one, sound
// invariants, the same answers. At the end: the log replayed from its bytes, on a state restored in the middle too, gives the same hash.
func TestStateAgainstModel(t *testing.T) {
	for i := range 2 { // a hundred histories each, unless -rapid.checks says otherwise
		t.Run(fmt.Sprint(i), func(t *testing.T) { rapid.Check(t, walkAtRandom) })
	}
}

func walkAtRandom(t *rapid.T) {
	w := &walk{t: t, view: NewView(), model: newModel(), draws: map[string][]pacedDraw{}, names: map[StateHash][32]byte{}}
	w.entry("leader-established node=n1")
	w.entry("put-namespace games name=games")
	w.entry("put-pool namespace=default name=p "+w.drawPace(), "put-pool namespace=default name=q placement=binpack", "put-pool namespace=games name=p")
	if evenly(t, "furnished", 4) > 0 {
		w.furnish()
	}
	for range 1 + evenly(t, "entries", 60) {
		w.step()
	}
	w.replay()
	for _, draws := range w.draws {
		everyWindow(t, draws)
	}
}

// furnish makes what a walk would need a hundred steps for: two versions in a pool, and something that runs.
func (w *walk) furnish() {
	w.entry("register-runner r1 key=x version=1 slots=4", "register-runner r2 key=y version=2 slots=6", "register-runner r3 key=z version=1 slots=2",
		"register-runner r4 pool=q slots=3")
	w.entry("create-actor a1", "create-actor a2 key=k1", "create-actor a3 crash_policy=sleep", "create-actor a4 pool=q", "create-actor a5")
	w.entry("assign-actor a1/1 r1", "assign-actor a2/1 r1", "assign-actor a3/1 r3", "assign-actor a4/1 r4", "actor-running a1/1", "actor-running a4/1")
	if evenly(w.t, "rolling out", 2) == 0 {
		w.entry("open-rollout version=2", "start-drain r1 cause=newer_version", "start-drain r3 cause=newer_version")
	}
}

// walk is one random history.
type walk struct {
	t     *rapid.T
	view  *View
	model *model
	term  uint64
	log   []loggedEntry
	saved []savedView            // snapshots on the way
	names map[StateHash][32]byte // the hashes of all Views
	draws map[string][]pacedDraw // planned evictions by pool
}

type loggedEntry struct {
	index, term uint64
	bytes       []byte
}

type savedView struct {
	live     *View // still there at the end, unchanged
	hash     [32]byte
	sum      StateHash
	restored *View
	next     int // of the log, to be applied next
}

func (w *walk) step() {
	switch evenly(w.t, "step", 20) {
	case 0:
		w.saved = append(w.saved, savedView{w.view, w.view.Hash(), w.view.StateHash(), restore(w.t, &w.view.State), len(w.log)})
	case 1: // go on with what a restart would have
		w.view = restore(w.t, &w.view.State)
	case 2: // an election
		w.entry("leader-established node=n2")
	default:
		var lines []string
		for range 1 + evenly(w.t, "ops", 4) {
			lines = append(lines, w.draw())
		}
		w.entry(lines...)
	}
}

// entry runs ops as a leader does, then commits them as one entry, and applies that.
func (w *walk) entry(lines ...string) {
	m := w.model
	clockMs := m.clockMs + one[int64](w.t, "clock", 0, 1, 100, 100, 900, 2_000, 2_000, 2_000, 9_000, w.leap())
	wallMs := 1_700_000_000_000 + clockMs + rapid.Int64Range(-5_000, 5_000).Draw(w.t, "wall")
	elected := strings.HasPrefix(lines[0], "leader-established")
	if elected {
		w.term++
		clockMs = m.clockMs // time without a leader does not count
	}
	m.fill(max(0, clockMs-m.clockMs))
	m.clockMs, m.wallMs = max(m.clockMs, clockMs), max(m.wallMs, wallMs)
	entry := &logv1.Entry{Format: EntryFormat, Epoch: w.view.epoch, Base: w.view.base, ClockMs: clockMs, WallMs: wallMs}

	tx := w.view.Begin(clockMs, wallMs)
	tx.epoch = w.term
	if elected {
		entry.Epoch, entry.Base, entry.ClockMs = 0, 0, clockMs+7
	}
	for _, line := range lines {
		op := mustOp(&tx.State, line)
		legal := m.do(op)
		var before [32]byte
		sum := tx.StateHash()
		if !legal {
			before = tx.Hash()
		}
		res := tx.Do(op)
		if legal != (res.Code == CodeOK) {
			w.t.Fatalf("%s: %s, the model says %v", line, res.Code, legal)
		}
		if !legal && (tx.Hash() != before || tx.StateHash() != sum) {
			w.t.Fatalf("%s: refused (%s), and left a trace", line, res.Code)
		}
		if err := tx.Check(); err != nil {
			w.t.Fatalf("%s: %v", line, err)
		}
		if legal {
			w.noteDraw(op)
		}
		entry.Ops = append(entry.Ops, op)
	}
	encoded, err := proto.Marshal(entry)
	if err != nil {
		w.t.Fatal(err)
	}
	index := w.view.index + rapid.Uint64Range(1, 3).Draw(w.t, "gap") // other entries of Raft lie between
	w.log = append(w.log, loggedEntry{index, w.term, encoded})
	next, _, accepted := w.view.Apply(index, w.term, entry)
	if !accepted {
		w.t.Fatal("the entry was refused")
	}
	if sealed := tx.Seal(index); next.Hash() != sealed.Hash() || next.StateHash() != sealed.StateHash() {
		w.t.Fatal("applied from the log, the entry leads to another state than the leader had")
	}
	w.view = next
	w.compare()
	w.nameView()
}

// nameView wants every state of a walk to have a state hash of its own.
func (w *walk) nameView() {
	hash := w.view.Hash()
	if other, known := w.names[w.view.StateHash()]; known && other != hash {
		w.t.Fatalf("two states have the state hash %s", w.view.StateHash())
	}
	w.names[w.view.StateHash()] = hash
}

// leap is a long time, now and then.
func (w *walk) leap() int64 { return one[int64](w.t, "leap", 20_000, 20_000, 700_000, 4_000_000) }

// replay applies the log to an empty state, and its rest to every snapshot.
func (w *walk) replay() {
	want := w.view.Hash()
	nothing := NewView()
	for _, from := range append([]savedView{{nothing, nothing.Hash(), nothing.StateHash(), nothing, 0}}, w.saved...) {
		w.sameOrder(from.live, from.restored)
		if from.live.Hash() != from.hash || from.restored.Hash() != from.hash || from.live.StateHash() != from.sum || from.restored.StateHash() != from.sum {
			w.t.Fatalf("the View before entry %d has changed", from.next)
		}
		v := from.restored
		for _, logged := range w.log[from.next:] {
			entry := new(logv1.Entry)
			if err := proto.Unmarshal(logged.bytes, entry); err != nil {
				w.t.Fatal(err)
			}
			v, _, _ = v.Apply(logged.index, logged.term, entry)
		}
		if v.Hash() != want || v.StateHash() != w.view.StateHash() {
			w.t.Fatalf("replayed from entry %d, the log leads to another state", from.next)
		}
		if err := v.CheckAll(); err != nil {
			w.t.Fatalf("replayed from entry %d: %v", from.next, err)
		}
	}
}

// sameOrder wants a restored state to choose as the live one does.
func (w *walk) sameOrder(live, restored *View) {
	order := func(v *View, pool string, seed uint32) (ids []string) {
		namespace, name, _ := strings.Cut(pool, "/")
		if p := v.Pool(PoolID{NamespaceID(idOf(namespace)), name}); p != nil {
			for r := range v.Candidates(p, seed) {
				ids = append(ids, textOf(ID(r.ID)))
			}
		}
		return ids
	}
	w.same("pools to evict from", poolsToEvict(live), poolsToEvict(restored))
	for pool := range w.model.pools {
		for seed := range uint32(5) {
			w.same(fmt.Sprint("candidates of the restored ", pool, " with the seed ", seed), order(live, pool, seed), order(restored, pool, seed))
		}
	}
}

// poolsToEvict lists the pools that an election has looked at.
func poolsToEvict(v *View) []string {
	tx := v.Begin(v.ClockMs(), v.WallMs())
	tx.DirtyAllPools()
	return poolNames(tx.PoolsToEvict())
}

// Views are read and begun on from many goroutines: with -race this fails unless the lock in Begin holds.
func TestBeginFromTwoGoroutines(t *testing.T) {
	v := crowded()
	want := v.Hash()
	hashes := make([][32]byte, 4)
	var wg sync.WaitGroup
	for i := range hashes {
		wg.Go(func() {
			for n := range 20 {
				tx := v.Begin(v.clockMs, v.wallMs)
				for k := range 40 {
					tx.Do(mustOp(&tx.State, fmt.Sprint("create-actor b", k, " key=b", k)))
				}
				if n == 19 {
					hashes[i] = tx.Seal(v.index + 1).Hash()
				}
				if v.Actor(ActorID(idOf("b1"))) != nil || v.Hash() != want {
					t.Error("the View changed")
				}
			}
		})
	}
	wg.Wait()
	for _, hash := range hashes {
		if hash != hashes[0] {
			t.Error("equal ops on one View lead to different states")
		}
	}
}
