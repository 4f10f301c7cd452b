package fsm

import (
	"fmt"
	"maps"
	"slices"
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
	w := &walk{t: t, view: NewView(), model: newModel(), draws: map[string][]pacedDraw{}}
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
	draws map[string][]pacedDraw // planned evictions by pool
}

type loggedEntry struct {
	index, term uint64
	bytes       []byte
}

type savedView struct {
	live     *View // still there at the end, unchanged
	hash     [32]byte
	restored *View
	next     int // of the log, to be applied next
}

func (w *walk) step() {
	switch evenly(w.t, "step", 20) {
	case 0:
		w.saved = append(w.saved, savedView{w.view, w.view.Hash(), restore(w.t, &w.view.State), len(w.log)})
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
		if !legal {
			before = tx.Hash()
		}
		res := tx.Do(op)
		if legal != (res.Code == CodeOK) {
			w.t.Fatalf("%s: %s, the model says %v", line, res.Code, legal)
		}
		if !legal && tx.Hash() != before {
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
	if next.Hash() != tx.Seal(index).Hash() {
		w.t.Fatal("applied from the log, the entry leads to another state than the leader had")
	}
	w.view = next
	w.compare()
}

// leap is a long time, now and then.
func (w *walk) leap() int64 { return one[int64](w.t, "leap", 20_000, 20_000, 700_000, 4_000_000) }

// replay applies the log to an empty state, and its rest to every snapshot.
func (w *walk) replay() {
	want := w.view.Hash()
	nothing := NewView()
	for _, from := range append([]savedView{{nothing, nothing.Hash(), nothing, 0}}, w.saved...) {
		w.sameOrder(from.live, from.restored)
		if from.live.Hash() != from.hash || from.restored.Hash() != from.hash {
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
		if v.Hash() != want {
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
	w.same("pools to evict from", poolNames(live.PoolsToEvict()), poolNames(restored.PoolsToEvict()))
	for pool := range w.model.pools {
		for seed := range uint32(5) {
			w.same(fmt.Sprint("candidates of the restored ", pool, " with the seed ", seed), order(live, pool, seed), order(restored, pool, seed))
		}
	}
}

// compare asks the state and the model the same questions.
func (w *walk) compare() {
	s, m := &w.view.State, w.model
	if err := s.CheckAll(); err != nil {
		w.t.Fatal(err)
	}
	for id, want := range m.actors {
		if got := w.describe(s.Actor(ActorID(idOf(id)))); got != want.describe(id) {
			w.t.Fatalf("the state has\n  %s\nthe model\n  %s", got, want.describe(id))
		}
		w.same("orphans that "+id+" waits for", m.waitsFor(id), s.Actor(ActorID(idOf(id))).Orphans)
	}
	for id, want := range m.runners {
		if got := describeRunner(s, s.Runner(RunnerID(idOf(id)))); got != want.describe(m, id) {
			w.t.Fatalf("the state has\n  %s\nthe model\n  %s", got, want.describe(m, id))
		}
	}
	w.same("how many actors, runners and outcomes", fmt.Sprint(len(m.actors), len(m.runners), len(m.outcomes)),
		fmt.Sprint(s.actorsByID.Len(), s.runnersByID.Len(), s.OutcomeCount()))
	w.same("how many pools", len(m.pools), s.PoolCount())
	for pool, p := range m.pools {
		idle := slices.ContainsFunc(s.IdlePools(99), func(p *Pool) bool { return textOf(ID(p.ID.Namespace))+"/"+p.ID.Name == pool })
		w.same("whether to forget "+pool, !p.written && !m.refersTo(pool), idle)
		w.comparePool(pool)
	}
	w.compareDrains()
	w.compareKeys()
	w.compareDue()
	w.compareLists()
}

func (w *walk) same(what string, want, got any) {
	if fmt.Sprint(want) != fmt.Sprint(got) {
		w.t.Fatalf("%s: the model says %v, the state %v", what, want, got)
	}
}

func (a *modelActor) describe(id string) string {
	return fmt.Sprintf("%s %s/%s %s[%s] %s gen=%d<%d on=%q rev reason=%d limit=%d due=%d kept=%v destroying=%v place=%d floor=%d alarm=%d in=%q saved=%q@%d %+v evict=%d unreceived=%v rollout=%d/%v promise=%q forced=%v",
		id, a.namespace, a.pool, a.name, a.key, a.phase, a.generation, a.claimed, a.runner, a.reason, a.limitMs, a.dueMs, a.wakeKept, a.destroying,
		a.place(), a.floor, a.alarmMs, a.input, a.saved, a.savedVersion, a.trouble,
		a.evictMs, a.unreceived, a.movedIn, a.byRollout, a.promise, a.forced)
}

func (a *modelActor) place() int {
	if a.phase != "pending" {
		return 0
	}
	return a.queueSeq
}

// describe says of a row what the model says of it.
func (w *walk) describe(a *Actor) string {
	if a == nil {
		return "nothing"
	}
	s := &w.view.State
	m := &modelActor{
		namespace: textOf(ID(s.ActorNamespace(a).ID)), pool: s.ActorPool(a).ID.Name, name: a.Name, key: a.Key, phase: a.Phase.String(), generation: a.Generation, claimed: a.Claimed,
		reason: uint32(a.StopReason), limitMs: a.StopLimitMs, dueMs: a.DueMs, wakeKept: a.WakeKept, destroying: a.Destroying,
		queueSeq: int(a.QueueSeq), floor: a.FloorVersion, alarmMs: a.AlarmMs, input: string(a.Input), saved: string(a.Saved), savedVersion: a.SavedVersion,
		evictMs: a.EvictMs, unreceived: a.Eviction&evictionUnreceived != 0, movedIn: int(a.MovedIn), byRollout: a.Eviction&evictionByRollout != 0, forced: a.Eviction&evictionForced != 0,
	}
	if to := s.RunnerByNumber(a.Promise); to != nil {
		m.promise = textOf(ID(to.ID))
	}
	if a.Runner != 0 {
		m.runner = textOf(ID(s.RunnerByNumber(a.Runner).ID))
	}
	if t := a.Trouble; t != nil {
		m.trouble = modelTrouble{t.Code, idText(ID(t.Runner)), t.Retries, t.RetryMs, t.CrashedMs, idText(ID(t.Preferred))}
	}
	return m.describe(textOf(ID(a.ID)))
}

func idText(id ID) string {
	if id.IsZero() {
		return ""
	}
	return textOf(id)
}

func (r *modelRunner) describe(m *model, id string) string {
	slots, stopping := m.held(id)
	return fmt.Sprint(id, " ", r.namespace, "/", r.pool, " key=", r.key, " number=", r.number, " version=", r.version, " slots=", r.slots, " held=", slots, "/", stopping, " promised=", m.promised(id),
		" T=", r.thresholdMs, " seen=", r.seenMs, "/", r.verdictMs, " session=", r.session, " connected=", r.connected, " end=", r.end, r.endedMs, " drain=", r.drain, r.moves, " replaced by ", r.replacedBy,
		" attempt=", r.attempt, " orphans=", slices.Sorted(maps.Keys(r.orphans)))
}

func describeRunner(s *State, r *Runner) string {
	if r == nil {
		return "nothing"
	}
	orphans := []string{}
	for o := range s.OrphansOf(r) {
		orphans = append(orphans, fmt.Sprint(textOf(ID(o.Ref.Actor)), "/", o.Ref.Generation))
	}
	slices.Sort(orphans)
	return fmt.Sprint(textOf(ID(r.ID)), " ", textOf(ID(r.Pool.Namespace)), "/", r.Pool.Name, " key=", r.Key, " number=", r.Number, " version=", r.Version, " slots=", r.Slots,
		" held=", r.Held, "/", r.Stopping, " promised=", r.Promised, " T=", r.ThresholdMs, " seen=", s.LastSeenMs(r), "/", r.VerdictMs, " session=", textOf(ID(r.Session)), " connected=", r.Connected,
		" end=", []string{"", "stopped", "lost"}[r.End], r.EndedMs, " drain=", drainOf(r.Drain), r.Moves, " replaced by ", idText(ID(r.ReplacedBy)), " attempt=", r.Attempt, " orphans=", orphans)
}

func (w *walk) comparePool(pool string) {
	s, m := &w.view.State, w.model
	namespace, name, _ := strings.Cut(pool, "/")
	p := s.Pool(PoolID{NamespaceID(idOf(namespace)), name})
	if p == nil {
		w.t.Fatalf("there is no pool %s", pool)
	}
	all := m.candidates(pool)
	for _, version := range []uint32{0, 1, 2, 3, ^uint32(0)} {
		first := ""
		if queue := m.queue(pool, version); len(queue) > 0 {
			first = queue[0]
		}
		got := ""
		if a := s.FirstPending(p, version); a != nil {
			got = textOf(ID(a.ID))
		}
		w.same(fmt.Sprint("first pending of ", pool, " for version ", version), first, got)

	}
	var candidates []string
	for r := range s.Candidates(p, ^uint32(0)-s.runnerNumbers.next) { // a seed that rarely turns equals around
		candidates = append(candidates, textOf(ID(r.ID)))
	}
	w.sameButEquals(pool, all, candidates)
	w.same("counts of "+pool, fmt.Sprintf("%+v", m.stats(pool)), fmt.Sprintf("%+v", s.PoolStats(p)))
	w.compareVersions(pool, p)
	w.comparePace(pool, p)
}

// sameButEquals compares two orders of candidates. Those that are equal in all but their number may come in any order.
func (w *walk) sameButEquals(pool string, want, got []string) {
	rank := func(ids []string) (ranks []string) {
		for _, id := range ids {
			r := w.model.runners[id]
			ranks = append(ranks, fmt.Sprint(r.lastResort(), " ", r.version, " ", w.model.used(id), "/", r.slots))
		}
		return ranks
	}
	w.same("order of the candidates of "+pool, rank(want), rank(got))
	w.same("candidates of "+pool, slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
}

func (w *walk) compareKeys() {
	for _, namespace := range []string{"default", "games"} {
		for _, name := range []string{"counter", "bell"} {
			for _, key := range []string{"k1", "k2"} {
				got := ""
				if a := w.view.ActorByKey(NamespaceID(idOf(namespace)), name, key); a != nil {
					got = textOf(ID(a.ID))
				}
				w.same("actor of the key "+namespace+"/"+name+"/"+key, w.model.byKey(namespace, name, key), got)
			}
		}
	}
}

// compareDue compares everything that has fallen due, whatever the order among things due at the same time.
func (w *walk) compareDue() {
	s, m := &w.view.State, w.model
	var want, got []string
	for id, a := range m.actors {
		if a.dueMs != 0 && a.dueMs <= m.clockMs {
			want = append(want, fmt.Sprint(a.dueMs, " ", id))
		}
		if a.phase == "sleeping" && a.alarmMs != 0 && a.alarmMs <= m.wallMs {
			want = append(want, fmt.Sprint("alarm ", a.alarmMs, " ", id))
		}
	}
	for id, r := range m.runners {
		at := r.lostMs()
		if r.end != "" {
			if at = r.endedMs; !w.holds(id) {
				at += 3_600_000
			}
		}
		if at <= m.clockMs {
			want = append(want, fmt.Sprint(at, " ", id))
		}
		due := r.drain.deadlineMs
		if r.drain.cause == uint32(DrainShutdown) {
			due += min(r.drain.deadlineMs-r.drain.startMs, 1_800_000)/10 + r.thresholdMs
		}
		if m.drainDue(id) && due <= m.clockMs {
			want = append(want, fmt.Sprint(due, " ", id))
		}
	}
	for _, p := range m.pools {
		for _, r := range p.rollouts {
			if r.waitMs != 0 && r.waitMs <= m.clockMs {
				want = append(want, fmt.Sprint(r.waitMs, " rollout ", r.id))
			}
			if at := r.endMs + 3_600_000; r.state != "open" && at <= m.clockMs {
				want = append(want, fmt.Sprint(at, " rollout ", r.id))
			}
		}
	}
	last := int64(0)
	for _, d := range s.Due(1000) {
		if d.AtMs < last {
			w.t.Fatalf("%d is due after %d", d.AtMs, last)
		}
		last = d.AtMs
		switch {
		case d.Actor != nil:
			got = append(got, fmt.Sprint(d.AtMs, " ", textOf(ID(d.Actor.ID))))
		case d.Rollout != nil:
			got = append(got, fmt.Sprint(d.AtMs, " rollout ", d.Rollout.ID))
		default:
			got = append(got, fmt.Sprint(d.AtMs, " ", textOf(ID(d.Runner.ID))))
		}
	}
	for _, a := range s.DueBackoffs(1000) {
		got = append(got, fmt.Sprint(a.DueMs, " ", textOf(ID(a.ID))))
	}
	for _, a := range s.DueAlarms(1000) {
		got = append(got, fmt.Sprint("alarm ", a.AlarmMs, " ", textOf(ID(a.ID))))
	}
	slices.Sort(want)
	slices.Sort(got)
	w.same("what is due", want, got)
}

func (w *walk) holds(id string) bool {
	slots, _ := w.model.held(id)
	return slots > 0
}

// compareLists compares what pages of the API show: newest first.
func (w *walk) compareLists() {
	s, m := &w.view.State, w.model
	for ns := range s.Namespaces("") {
		namespace := textOf(ID(ns.ID))
		for _, name := range []string{"counter", "bell"} {
			var want, got []string
			for id, a := range m.actors {
				if a.namespace == namespace && a.name == name {
					want = append(want, id)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return m.actors[b].seq - m.actors[a].seq })
			for a := range s.Actors(ns, name, 0) {
				got = append(got, textOf(ID(a.ID)))
			}
			w.same("actors named "+name, want, got)
			if len(want) > 1 {
				second := s.Actor(ActorID(idOf(want[0]))).Seq
				for a := range s.Actors(ns, name, second) {
					w.same("the page after the first actor", want[1], textOf(ID(a.ID)))
					break
				}
			}
		}
		var want, got []string
		for id, r := range m.runners {
			if r.namespace == namespace {
				want = append(want, id)
			}
		}
		slices.SortFunc(want, func(a, b string) int { return m.runners[b].seq - m.runners[a].seq })
		for r := range s.Runners(ns, 0) {
			got = append(got, textOf(ID(r.ID)))
			var has, hasModel []string
			for a := range s.ActorsOf(r, 0) {
				has = append(has, textOf(ID(a.ID)))
			}
			for id, a := range m.actors {
				if a.onRunner() && a.runner == textOf(ID(r.ID)) {
					hasModel = append(hasModel, id)
				}
			}
			slices.Sort(has)
			slices.Sort(hasModel)
			w.same("actors of "+textOf(ID(r.ID)), hasModel, has)
		}
		w.same("runners of "+namespace, want, got)
	}
}

func poolNames(pools []*Pool) (names []string) {
	for _, p := range pools {
		names = append(names, textOf(ID(p.ID.Namespace))+"/"+p.ID.Name)
	}
	return names
}

// drawPace makes the part of a config that says at what pace actors are evicted.
func (w *walk) drawPace() string {
	rate := one[uint64](w.t, "rate", 1, 300_000, 1_000_000, 2_500_000, 1_000_000_000, 100_000_000_000, 0, 1<<60)
	return fmt.Sprint("eviction_rate_micros_per_s=", rate, " eviction_delay_s=", one(w.t, "delay", 0, 0, 2),
		" eviction_period_s=", one[uint32](w.t, "period", 0, 1, 60, 1<<32-1))
}

// draw makes an op that is legal more often than not.
func (w *walk) draw() string {
	t, m := w.t, w.model
	pick := func(label string, of ...string) string { return one(t, label, of...) }
	oneOf := func(label string, ids []string, fallback string) string {
		slices.Sort(ids)
		if len(ids) == 0 || evenly(t, "stray", 20) == 0 {
			return fallback
		}
		return one(t, label, ids...)
	}
	actorIn := func(phases ...string) string {
		var ids []string
		for id, a := range m.actors {
			if slices.Contains(phases, a.phase) {
				ids = append(ids, id)
			}
		}
		return oneOf("actor", ids, pick("any actor", "a1", "a2", "a3", "a4", "a5", "a6"))
	}
	ref := func(id string) string {
		generation := uint64(0)
		if a := m.actors[id]; a != nil {
			generation = a.generation
		}
		switch evenly(t, "generation", 20) {
		case 0:
			generation++
		case 1:
			generation = max(generation, 1) - 1
		}
		return fmt.Sprint(id, "/", generation)
	}
	unused := func(label string, taken func(id string) bool, ids ...string) string {
		return oneOf(label, slices.DeleteFunc(slices.Clone(ids), taken), ids[0])
	}
	runner := func() string {
		var ids []string
		for id, r := range m.runners {
			if r.end == "" {
				ids = append(ids, id)
			}
		}
		return oneOf("runner", ids, pick("any runner", "r1", "r2", "r3", "r4"))
	}
	ended := func() string {
		var ids []string
		for id, r := range m.runners {
			if r.end != "" {
				ids = append(ids, id)
			}
		}
		return oneOf("ended runner", ids, "r1")
	}
	session := func() string { return pick("session", "", "", "", "", "", " session=other", " session=s1") }
	namespace := func() string {
		return pick("namespace", "default", "default", "default", "default", "default", "default", "default", "games", "nowhere")
	}
	anyPool := func() string { return pick("pool", "p", "p", "p", "p", "q", "q", "q", "x") }

	if evenly(t, "of a drain", 5) < 2 {
		return w.drawDrain(pick, oneOf, ref)
	}
	switch evenly(t, "op", 44) {
	case 0, 1, 2, 3, 4:
		key := pick("key", "", "", "", " key=k1", " key=k1", " key=k2", " key=''")
		return fmt.Sprint("create-actor ", unused("new actor", func(id string) bool { return m.actors[id] != nil }, "a1", "a2", "a3", "a4", "a5", "a6"), " namespace=", namespace(), " pool=", anyPool(),
			" name=", pick("name", "counter", "counter", "bell"), key, " input=", pick("input", "", "hi", "hello"), " crash_policy=", pick("policy", "1", "2", "3", "1", "2", "3", "1", "2", "3", "0", "4"))
	case 5, 6, 7, 8, 9, 10, 11:
		a := actorIn("pending")
		next := uint64(1)
		if m.actors[a] != nil {
			next = m.actors[a].nextGeneration() - 1 + one[uint64](t, "next generation", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2)
		}
		return fmt.Sprint("assign-actor ", a, "/", next, " ", runner(), session())
	case 12, 13:
		return "actor-running " + ref(actorIn("starting"))
	case 14, 15, 16:
		reason := pick("reason", "sleep", "destroy", "evict", "reschedule", "no_response", "replaced", "shutdown", "orphan", "none")
		return fmt.Sprint("stop-actor ", ref(actorIn("starting", "running", "stopping")), " reason=", reason, pick("deadline", "", "", "", " deadline=1"))
	case 17, 18, 19, 20:
		next := pick("next", "pending", "pending", "pending", "backing_off", "backing_off", "sleeping", "destroyed", "unspecified")
		reschedule := fmt.Sprint(" reschedule=", m.clockMs+one[int64](t, "wait", 1, 2_000, 100_000, 0))
		if next == "pending" {
			reschedule = pick("turn", "", "", "", reschedule)
		}
		return fmt.Sprint("actor-stopped ", ref(actorIn("starting", "running", "stopping")), " next=", next, reschedule, pick("forced", "", "", " forced"),
			" cause=", pick("cause", "confirmed", "abandoned", "fenced", "lost", "no_response", "vanished", "finished", "refused"), pick("clean", "", " clean"), pick("penalty", "", " penalty"), pick("prefer", "", " prefer_runner"))
	case 21:
		return "enqueue-actor " + actorIn("backing_off", "pending")
	case 22:
		return "sleep-actor " + actorIn("pending", "backing_off")
	case 23, 24:
		return "wake-actor " + actorIn("sleeping", "stopping")
	case 25:
		return fmt.Sprint("set-alarm ", actorIn("sleeping", "running"), " at_unix_ms=", pick("at", "0", "1700000000000", "1700000030000", "1800000000000", "-5"))
	case 26:
		return "destroy-actor " + actorIn("pending", "sleeping", "backing_off")
	case 27:
		return "forget-actor " + actorIn("destroyed")
	case 28:
		return fmt.Sprint("save-state ", ref(actorIn("starting", "running", "stopping")), " state=", pick("state", "", "score", "points", "bytes:65537"))
	case 29:
		return fmt.Sprint("raise-generation ", actorIn("pending", "sleeping", "backing_off", "starting", "running"), " ", pick("raised", "1", "4", "9", "4503599627370497"))
	case 30, 31:
		replaces := pick("replaces", "", "", "", " replaces=r1", " replaces=r9")
		return fmt.Sprint("register-runner ", unused("new runner", func(id string) bool { return m.runners[id] != nil }, "r1", "r2", "r3", "r4", "r5"), " namespace=", namespace(), " pool=", anyPool(), " key=", pick("runner key", "x", "y"),
			" version=", pick("version", "0", "1", "2", "3"), " slots=", pick("slots", "1", "2", "2", "3", "4", "1", "2", "3", "0", "1000001"), " threshold=", pick("T", "15000", "15000", "10000", "10000", "10000", "0"), replaces)
	case 32:
		return fmt.Sprint("resume-runner ", runner(), " session=", pick("new session", "s1", "s2"), " slots=", pick("new slots", "1", "2", "4", "0"), " version=", pick("new version", "1", "2"), pick("attempt", "", "", "", "", " attempt=1"))
	case 33:
		return "disconnect-runner " + runner() + session()
	case 34:
		return "runners-seen " + pick("seen", "1", "1 2 3 4", "2 3", "9", "")
	case 35:
		return "mark-lost " + runner() + session() + pick("last seen", "", "", "", " last_seen=1")
	case 36:
		return "end-runner " + runner()
	case 37:
		of := pick("orphan of", actorIn("pending"), "a1", "a2", "x1")
		generation := uint64(1)
		if a := m.actors[of]; a != nil {
			generation = a.generation + one[uint64](t, "orphan generation", 0, 1, 1, 7)
		}
		if pick("orphan", "hold", "hold", "release") == "release" {
			return fmt.Sprint("release-orphan ", runner(), " ", of, "/", generation)
		}
		return fmt.Sprint("hold-orphan ", runner(), " ", of, "/", generation, pick("holds", "", " holds_actor", " holds_actor"))
	case 38, 39:
		return "forget-runner " + ended()
	case 40, 41:
		return pick("rare",
			fmt.Sprint("hold-verdict ", runner(), session(), " until=", m.clockMs+one[int64](t, "until", 0, 3_000, 20_000)),
			"set-runner-threshold "+runner()+" "+pick("new T", "20000", "10000", "0")+session(),
			"put-pool namespace=default name=q placement="+pick("placement", "spread", "binpack"),
			"put-pool namespace=default name=p placement="+pick("placement of p", "spread", "binpack")+" "+w.drawPace(),
			"put-pool namespace="+namespace()+" name="+pick("pool name", "p", "x", "'a b'"),
			"delete-pool namespace="+namespace()+" name="+anyPool(),
			"forget-pool namespace="+pick("forgotten pool", "default name=q", "default name=x", "games name=p"), // the walk needs p
			"put-namespace "+pick("new namespace", "games", "toys")+" name="+pick("namespace name", "toys", "Toys"))
	default:
		return pick("rarer", "put-pool namespace=games name=p", "remember-outcome key="+pick("outcome", "o1", "o2", "")+" outcome=done", fmt.Sprint("forget-outcomes before=", m.clockMs-60_000),
			"put-settings stored_bytes_limit="+pick("limit", "1048576", "reset", "5"))
	}
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
