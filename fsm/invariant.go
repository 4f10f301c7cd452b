package fsm

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/callboard/callboard/fsm/table"
)

// What must hold between the rows and everything that is derived from them. Two checks share one body:
//
//   - CheckAll looks at every row. Tests and `doctor` call it.
//   - Tx.Check looks at the rows that the Tx touched. The leader calls it before it proposes.
//
// Each row must be found under exactly the keys that it should be found under, and each index, count and sum must have changed by
// exactly what the rows' change amounts to. With one key per row and index, a length that is right leaves no room for a stray key.

const (
	// maxTouchedActors bounds how many changes of actors a Tx notes. Beyond it Check falls back to CheckAll.
	maxTouchedActors = 1 << 16
	// maxProblems bounds how many violations one error tells of.
	maxProblems = 20
)

// CheckAll recomputes everything that is derived from rows and compares. Its cost grows with the state.
func (s *State) CheckAll() error {
	c := newChecker(s, &NewView().State)
	c.checkWorld()
	c.checkNumbers("runner number", &s.runnerNumbers, func(n uint32) bool { return s.runners.Get(n) != nil })
	c.checkNumbers("actor ordinal", &s.actorOrdinals, func(n uint32) bool { return s.actors.Get(n) != nil })
	c.checkChanges(
		func(yield func(old, now *Runner) bool) {
			for number := range s.runnerNumbers.next {
				if r := s.runners.Get(number); r != nil && !yield(nil, r) {
					return
				}
			}
		},
		func(yield func(old, now *Actor) bool) {
			for ordinal := range s.actorOrdinals.next {
				if a := s.actors.Get(ordinal); a != nil && !yield(nil, a) {
					return
				}
			}
		})
	for ordinal := range s.poolCount {
		c.checkPool(ordinal)
	}
	if got, want := s.versions.Len(), len(c.delta.versions); got != want {
		c.differ("the state", "index of versions", want, got)
	}
	return c.err()
}

// Check looks at the rows that the Tx touched, and at the sums that they are part of. Its cost grows with what the Tx changed.
func (tx *Tx) Check() error {
	if len(tx.touchedActors) > maxTouchedActors {
		return tx.CheckAll()
	}
	c := newChecker(&tx.State, tx.before)
	if tx.clockMs < tx.before.clockMs || tx.wallMs < tx.before.wallMs || tx.epoch < tx.before.epoch {
		c.differ("the state", "clock, wall clock or epoch", "not going back", fmt.Sprint(tx.clockMs, " ", tx.wallMs, " ", tx.epoch))
	}
	c.checkChanges(
		func(yield func(old, now *Runner) bool) {
			for _, number := range tx.touchedRunners {
				if !yield(tx.before.runners.Get(number), tx.runners.Get(number)) {
					return
				}
			}
		},
		func(yield func(old, now *Actor) bool) {
			seen := make(map[uint32]bool, len(tx.touchedActors))
			for _, ordinal := range tx.touchedActors {
				if seen[ordinal] {
					continue
				}
				seen[ordinal] = true
				if !yield(tx.before.actors.Get(ordinal), tx.actors.Get(ordinal)) {
					return
				}
			}
		})
	return c.err()
}

// noteActor remembers that a row was touched.
func (tx *Tx) noteActor(ordinal uint32) {
	if len(tx.touchedActors) <= maxTouchedActors {
		tx.touchedActors = append(tx.touchedActors, ordinal)
	}
}

// checker compares a state with an older one, which is empty when everything is checked.
type checker struct {
	*State
	before   *State
	delta    tally
	problems []error
}

func newChecker(s, before *State) *checker {
	return &checker{State: s, before: before, delta: tally{
		held: map[uint32]heldSlots{}, pools: map[uint32]poolTally{}, versions: map[versionKey]int{}, names: map[nameCountKey]int{}, ended: map[uint32]int{},
	}}
}

func (c *checker) err() error { return errors.Join(c.problems...) }

// differ notes a violation: which row, what of it, and both values.
func (c *checker) differ(row any, what string, want, got any) {
	c.wrong(row, fmt.Sprintf("%s: should be %v, is %v", what, want, got))
}

// wrong notes a violation that is one sentence, once.
func (c *checker) wrong(row any, sentence string) {
	text := fmt.Sprintf("%v: %s", row, sentence)
	known := slices.ContainsFunc(c.problems, func(p error) bool { return p.Error() == text })
	if !known && len(c.problems) < maxProblems {
		c.problems = append(c.problems, errors.New(text))
	}
}

// tally is what rows add up to.
type tally struct {
	lens    lens
	phases  [phaseCount]int64
	stored  int64
	orphans int

	held     map[uint32]heldSlots // by runner number
	pools    map[uint32]poolTally // by pool ordinal
	versions map[versionKey]int   // without the count
	names    map[nameCountKey]int // without hash and count
	ended    map[uint32]int       // by namespace ordinal
}

type poolTally struct{ runners, connected, candidates, pending, live int }

// lens are the lengths of the indexes that rows of actors and runners are found under.
type lens struct {
	runnersByID, runnersByKey, runnersBySeq, candidates, drainWork                      int
	actorsByID, actorsByName, actorsByKey, queue, assigned, alarms, endedActors, agenda int
}

func (s *State) lens() lens {
	return lens{
		runnersByID: s.runnersByID.Len(), runnersByKey: s.runnersByKey.Len(), runnersBySeq: s.runnersBySeq.Len(),
		candidates: s.candidates.Len(), drainWork: s.drainWork.Len(),
		actorsByID: s.actorsByID.Len(), actorsByName: s.actorsByName.Len(), actorsByKey: s.actorsByKey.Len(), queue: s.queue.Len(),
		assigned: s.assigned.Len(), alarms: s.alarms.Len(), endedActors: s.endedActors.Len(), agenda: s.agenda.Len(),
	}
}

// minus returns by how much the lengths differ.
func (l lens) minus(o lens) lens {
	return lens{
		l.runnersByID - o.runnersByID, l.runnersByKey - o.runnersByKey, l.runnersBySeq - o.runnersBySeq, l.candidates - o.candidates,
		l.drainWork - o.drainWork, l.actorsByID - o.actorsByID, l.actorsByName - o.actorsByName, l.actorsByKey - o.actorsByKey,
		l.queue - o.queue, l.assigned - o.assigned, l.alarms - o.alarms, l.endedActors - o.endedActors, l.agenda - o.agenda,
	}
}

// checkChanges checks changed rows, then what they add up to. An old row is nil where there was none, a new one where there is none.
func (c *checker) checkChanges(runners iter.Seq2[*Runner, *Runner], actors iter.Seq2[*Actor, *Actor]) {
	for old, now := range runners {
		if old == now { // only a heartbeat touched it
			c.checkDue(now)
			continue
		}
		if old != nil {
			c.addRunner(c.before, old, -1)
		}
		if now != nil {
			c.addRunner(c.State, now, +1)
			c.checkRunner(now)
		}
	}
	for old, now := range actors {
		if old != nil {
			c.addActor(old, -1)
		}
		if now != nil {
			c.addActor(now, +1)
			c.checkActor(now)
			c.checkLife(old, now)
		}
	}
	for old, now := range runners {
		c.checkHeld(old, now)
		c.checkVersion(old)
		c.checkVersion(now)
	}
	for old, now := range actors {
		c.checkCounts(old)
		c.checkCounts(now)
	}
	c.checkSums()
}

func (c *checker) addRunner(s *State, r *Runner, by int) {
	d := &c.delta
	d.lens.runnersByID += by
	d.lens.runnersByKey += by
	d.lens.runnersBySeq += by
	d.lens.agenda += by
	p := d.pools[r.pool]
	if r.End == NotEnded {
		p.runners += by
		p.connected += by * count(r.Connected)
	}
	if r.Placeable() && r.FreeSlots() > 0 {
		p.candidates += by
		d.lens.candidates += by
	}
	if r.drainWork() {
		d.lens.drainWork += by
	}
	d.pools[r.pool] = p
	if r.registered() {
		d.versions[versionKey{pool: r.pool, version: r.Version}] += by
	}
	for range s.OrphansOf(r) {
		c.hold(r.Number, by, by)
		d.orphans += by
	}
}

func (c *checker) addActor(a *Actor, by int) {
	d := &c.delta
	d.lens.actorsByID += by
	d.lens.actorsByName += by
	d.phases[a.Phase] += int64(by)
	d.stored += int64(by * (len(a.Input) + len(a.Saved)))
	d.names[nameCountKey{namespace: a.namespace, name: a.Name}] += by
	if a.DueMs != 0 {
		d.lens.agenda += by
	}
	if a.Phase == Destroyed {
		d.lens.endedActors += by
		d.ended[a.namespace] += by
		return
	}
	p := d.pools[a.pool]
	p.live += by
	if a.HasKey {
		d.lens.actorsByKey += by
	}
	switch {
	case a.Phase == Pending:
		p.pending += by
		d.lens.queue += by
	case a.Phase == Sleeping && a.AlarmMs != 0:
		d.lens.alarms += by
	case a.Phase.OnRunner():
		d.lens.assigned += by
		c.hold(a.Runner, by, by*count(a.Phase == Stopping))
	}
	d.pools[a.pool] = p
}

func (c *checker) hold(number uint32, slots, stopping int) {
	h := c.delta.held[number]
	c.delta.held[number] = heldSlots{h.slots + slots, h.stopping + stopping}
}

// in checks that a row is found under a key.
func in[K comparable](c *checker, index table.Index[K], name string, row any, key K) {
	switch got, ok := index.Get(key); {
	case !ok:
		c.differ(row, "index of "+name, fmt.Sprintf("%+v", key), "not there")
	case got != key:
		c.differ(row, "index of "+name, fmt.Sprintf("%+v", key), fmt.Sprintf("%+v", got))
	}
}

func (r *Runner) name() string { return fmt.Sprintf("runner %s (number %d)", r.ID, r.Number) }

func (a *Actor) name() string { return fmt.Sprintf("actor %s (generation %d)", a.ID, a.Generation) }

// row names a row only when there is something to say about it: names are made for errors.
type row[T interface{ name() string }] struct{ of T }

func (r row[T]) String() string { return r.of.name() }

func (c *checker) checkRunner(r *Runner) {
	name := row[*Runner]{r}
	if got := c.runners.Get(r.Number); got != r {
		c.differ(name, "row of its number", fmt.Sprintf("%p", r), fmt.Sprintf("%p", got))
	}
	p := c.pools.Get(r.pool)
	if p == nil {
		c.differ(name, "pool", r.Pool, "not there")
		return
	}
	in(c, c.runnersByID, "runners by id", name, idKey{ID(r.ID), r.Number})
	in(c, c.runnersByKey, "runners by key", name, runnerKeyKey{r.pool, r.Key, r.Seq, r.Number})
	in(c, c.runnersBySeq, "runners by order of registration", name, runnerSeqKey{p.namespace, r.Seq, r.Number})
	c.checkDue(r)
	if r.Placeable() && r.FreeSlots() > 0 {
		in(c, c.candidates, "candidates", name, c.candidateKey(r))
	}
	if r.drainWork() {
		in(c, c.drainWork, "drain work", name, r.Number)
	}
	switch {
	case p.ID != r.Pool:
		c.differ(name, "pool", p.ID, r.Pool)
	case r.Slots < 1 || r.Slots > MaxSlots:
		c.differ(name, "slots", "1 to 1000000", r.Slots)
	case r.ThresholdMs < 1:
		c.differ(name, "lost threshold", "at least 1 ms", r.ThresholdMs)
	case r.Seq < 1 || r.Seq > c.runnerSeq:
		c.differ(name, "order of registration", fmt.Sprint("1 to ", c.runnerSeq), r.Seq)
	case r.End != NotEnded && r.Connected:
		c.wrong(name, "it has ended and is connected")
	case c.seen.Get(r.Number) > c.clockMs:
		c.differ(name, "last heartbeat", fmt.Sprint("at most ", c.clockMs), c.seen.Get(r.Number))
	case r.End != NotEnded && c.anyOrphan(r):
		c.wrong(name, "it has ended and holds orphans")
	}
}

func (c *checker) checkDue(r *Runner) {
	if r == nil {
		return
	}
	in(c, c.agenda, "what falls due", row[*Runner]{r}, c.runnerAgenda(r))
}

// checkVersion compares how many runners of a version are registered.
func (c *checker) checkVersion(r *Runner) {
	if r == nil {
		return
	}
	key := versionKey{pool: r.pool, version: r.Version}
	was, _ := c.before.versions.Get(key)
	is, _ := c.versions.Get(key)
	if want := int(was.registered) + c.delta.versions[key]; want != int(is.registered) {
		c.differ(row[*Runner]{r}, fmt.Sprint("registered runners of version ", r.Version), want, is.registered)
	}
}

func (c *checker) anyOrphan(r *Runner) bool {
	for range c.OrphansOf(r) {
		return true
	}
	return false
}

// checkHeld compares the slots that a runner says it holds with those that actors and orphans hold there.
func (c *checker) checkHeld(old, now *Runner) {
	if now == nil {
		return
	}
	var was heldSlots
	limit := now.Slots
	if old != nil {
		was = heldSlots{int(old.Held), int(old.Stopping)}
		limit = max(limit, old.Slots)
	}
	d := c.delta.held[now.Number]
	if want := (heldSlots{was.slots + d.slots, was.stopping + d.stopping}); want != (heldSlots{int(now.Held), int(now.Stopping)}) {
		c.differ(row[*Runner]{now}, "held slots", fmt.Sprintf("%d (%d stopping)", want.slots, want.stopping), fmt.Sprintf("%d (%d stopping)", now.Held, now.Stopping))
	}
	// Beyond its slots only what nobody placed there: orphans, and what was there before the slots shrank.
	if old == nil || old.ID != now.ID || c.before.orphans.Len() > 0 || c.orphans.Len() > 0 {
		return
	}
	if now.Held > limit && now.Held > old.Held {
		c.differ(row[*Runner]{now}, "held slots", fmt.Sprint("at most ", limit), now.Held)
	}
}

func (c *checker) checkActor(a *Actor) {
	name := row[*Actor]{a}
	if got := c.actors.Get(a.ordinal); got != a {
		c.differ(name, "row of its ordinal", fmt.Sprintf("%p", a), fmt.Sprintf("%p", got))
	}
	p := c.pools.Get(a.pool)
	if p == nil || p.namespace != a.namespace {
		c.wrong(name, "its pool is not there, or in another namespace")
		return
	}
	names, _ := c.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	in(c, c.actorsByID, "actors by id", name, idKey{ID(a.ID), a.ordinal})
	in(c, c.actorsByName, "actors by name", name, actorNameKey{names.hash, a.Seq, a.ordinal})
	k := keysOf(a)
	if k.agenda != (agendaKey{}) {
		in(c, c.agenda, "what falls due", name, k.agenda)
	}
	if k.queue != (queueKey{}) {
		in(c, c.queue, "the queue", name, k.queue)
	}
	if k.assigned != (assignedKey{}) {
		in(c, c.assigned, "what runners have", name, k.assigned)
	}
	if k.alarm != (alarmKey{}) {
		in(c, c.alarms, "alarms", name, k.alarm)
	}
	if k.ended != (endedKey{}) {
		in(c, c.endedActors, "ended actors", name, k.ended)
	}
	if k.key != (actorKeyKey{}) {
		in(c, c.actorsByKey, "keys", name, k.key)
		c.checkKey(a)
	}
	c.checkPhase(a)
	if a.Phase.OnRunner() {
		c.checkOnRunner(a)
	}
}

// checkKey holds G4: at most one live actor per namespace, name and key.
func (c *checker) checkKey(a *Actor) {
	for k := range c.actorsByKey.From(actorKeyKey{hash: a.keyHash}) {
		if k.hash != a.keyHash {
			return
		}
		other := c.actors.Get(k.ordinal)
		if other != nil && other != a && other.namespace == a.namespace && other.Name == a.Name && other.Key == a.Key {
			c.wrong(row[*Actor]{a}, fmt.Sprintf("the live actor %s has its name %q and key %q too", other.ID, a.Name, clip(a.Key, 64)))
		}
	}
}

// dueInPhase tells in which phases something falls due.
var dueInPhase = [phaseCount]bool{Starting: true, Stopping: true, BackingOff: true, Destroyed: true}

func (c *checker) checkPhase(a *Actor) {
	name := row[*Actor]{a}
	if a.Phase < Pending || a.Phase > Destroyed {
		c.differ(name, "phase", "pending to destroyed", a.Phase)
		return
	}
	stopping := a.Phase == Stopping
	switch {
	case a.Phase.OnRunner() != (a.Runner != 0), a.Phase.OnRunner() != (a.RunnerRev != 0):
		c.differ(name, "runner and revision while "+a.Phase.String(), a.Phase.OnRunner(), fmt.Sprint(a.Runner, " and ", a.RunnerRev))
	case a.Phase.OnRunner() && a.Generation < 1:
		c.differ(name, "generation while "+a.Phase.String(), "at least 1", a.Generation)
	case stopping != (a.StopReason != NoStop), stopping != (a.StopLimitMs > 0):
		c.differ(name, "stop reason and limit while "+a.Phase.String(), stopping, fmt.Sprint(a.StopReason, " and ", a.StopLimitMs))
	case a.WakeKept && !stopping:
		c.wrong(name, "a wake is kept while "+a.Phase.String())
	case a.Destroying != (a.StopReason == StopDestroy):
		c.differ(name, "destroying", a.StopReason == StopDestroy, a.Destroying)
	case dueInPhase[a.Phase] != (a.DueMs != 0):
		c.differ(name, "falls due while "+a.Phase.String(), dueInPhase[a.Phase], a.DueMs)
	case a.Phase == Pending && a.QueueSeq < 1, a.QueueSeq > c.queueSeq:
		c.differ(name, "place in the queue while "+a.Phase.String(), fmt.Sprint("1 to ", c.queueSeq), a.QueueSeq)
	case a.Seq < 1 || a.Seq > c.actorSeq:
		c.differ(name, "order of creation", fmt.Sprint("1 to ", c.actorSeq), a.Seq)
	case a.HasKey != (a.Key != ""):
		c.differ(name, "has a key", a.Key != "", a.HasKey)
	case a.Phase == Destroyed && (len(a.Input) > 0 || len(a.Saved) > 0 || a.AlarmMs != 0):
		c.differ(name, "input, saved state and alarm while destroyed", "none", fmt.Sprint(len(a.Input), " B, ", len(a.Saved), " B, ", a.AlarmMs))
	case a.Trouble != nil && *a.Trouble == Trouble{}:
		c.wrong(name, "it remembers an empty trouble")
	}
}

func (c *checker) checkOnRunner(a *Actor) {
	name := row[*Actor]{a}
	r := c.runners.Get(a.Runner)
	switch {
	case r == nil:
		c.differ(name, "runner", fmt.Sprint("number ", a.Runner), "forgotten")
	case r.pool != a.pool:
		c.differ(name, "pool of its runner", a.pool, r.pool)
	case a.RunnerRev > r.Rev:
		c.differ(name, "revision on its runner", fmt.Sprint("at most ", r.Rev), a.RunnerRev)
	case c.IsOrphan(r, a.Ref()):
		c.wrong(name, "the same generation is an orphan on its own runner")
	}
}

// checkLife holds G3: generations only rise, and one generation is on one runner.
func (c *checker) checkLife(old, now *Actor) {
	if old == nil || old.Seq != now.Seq { // another actor's row was here
		return
	}
	switch {
	case now.Generation < old.Generation:
		c.differ(row[*Actor]{now}, "generation", fmt.Sprint("at least ", old.Generation), now.Generation)
	case now.Generation == old.Generation && now.Runner != 0 && now.Runner != old.Runner:
		c.differ(row[*Actor]{now}, "runner of this generation", old.Runner, now.Runner)
	case now.ID != old.ID || now.Name != old.Name || now.Key != old.Key:
		c.differ(row[*Actor]{now}, "id, name and key", fmt.Sprint(old.ID, " ", old.Name, " ", old.Key), fmt.Sprint(now.ID, " ", now.Name, " ", now.Key))
	}
}

// checkCounts compares the counts that a row of an actor is part of.
func (c *checker) checkCounts(a *Actor) {
	if a == nil {
		return
	}
	key := nameCountKey{namespace: a.namespace, name: a.Name}
	was, _ := c.before.actorNames.Get(key)
	is, _ := c.actorNames.Get(key)
	if want := int(was.actors) + c.delta.names[key]; want != int(is.actors) {
		c.differ(fmt.Sprintf("the name %q", clip(a.Name, 64)), "actors", want, is.actors)
	}
	if want, got := int(c.before.endedCount.Get(a.namespace))+c.delta.ended[a.namespace], int(c.endedCount.Get(a.namespace)); want != got {
		c.differ(fmt.Sprint("namespace ordinal ", a.namespace), "ended actors", want, got)
	}
	c.checkPool(a.pool)
}

// checkPool compares what a pool counts with what its rows' change amounts to.
func (c *checker) checkPool(ordinal uint32) {
	p := c.pools.Get(ordinal)
	if p == nil {
		return // said already, of whoever is in it
	}
	was, is, d := c.before.poolStats.Get(ordinal), c.poolStats.Get(ordinal), c.delta.pools[ordinal]
	want := poolTally{
		int(was.Runners) + d.runners, int(was.Connected) + d.connected, int(was.Candidates) + d.candidates,
		int(was.Pending) + d.pending, int(was.Live) + d.live,
	}
	if got := (poolTally{int(is.Runners), int(is.Connected), int(is.Candidates), int(is.Pending), int(is.Live)}); got != want {
		c.differ(fmt.Sprintf("pool %q", p.ID.Name), "counts", fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got))
	}
}

// checkSums compares what is counted over the whole state.
func (c *checker) checkSums() {
	if got, want := c.lens().minus(c.before.lens()), c.delta.lens; got != want {
		c.differ("the state", "growth of the indexes", fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", got))
	}
	for p := range c.phases {
		if got, want := int64(c.phases[p]), int64(c.before.phases[p])+c.delta.phases[p]; got != want {
			c.differ("the state", "actors that are "+Phase(p).String(), want, got)
		}
	}
	if got, want := c.storedBytes, c.before.storedBytes+c.delta.stored; got != want {
		c.differ("the state", "bytes of inputs and saved states", want, got)
	}
	if got, want := c.orphans.Len(), c.before.orphans.Len()+c.delta.orphans; got != want {
		c.differ("the state", "orphans of registered runners", want, got)
	}
}

// checkWorld checks what has no Tx-sized counterpart: namespaces, pools, outcomes.
func (c *checker) checkWorld() {
	for ordinal := range c.namespaceCount {
		ns := c.namespaces.Get(ordinal)
		if ns == nil || ns.ordinal != ordinal {
			c.wrong(fmt.Sprint("namespace ordinal ", ordinal), "there is no row, or one of another ordinal")
			continue
		}
		in(c, c.namespacesByName, "namespaces by name", ns.Name, nameKey{ns.Name, ordinal})
		in(c, c.namespacesByID, "namespaces by id", ns.Name, idKey{ID(ns.ID), ordinal})
	}
	for ordinal := range c.poolCount {
		p := c.pools.Get(ordinal)
		if p == nil || p.ordinal != ordinal || c.namespaces.Get(p.namespace) == nil || c.namespaces.Get(p.namespace).ID != p.ID.Namespace {
			c.wrong(fmt.Sprint("pool ordinal ", ordinal), "there is no row, or one of another ordinal, or in another namespace")
			continue
		}
		in(c, c.poolsByName, "pools by name", p.ID.Name, poolKey{p.namespace, p.ID.Name, ordinal})
	}
	for k := range c.outcomes.All() {
		in(c, c.outcomesByTime, "outcomes by time", k.key, outcomeTimeKey{k.atMs, k.key})
	}
	got := [4]int{c.namespacesByName.Len(), c.namespacesByID.Len(), c.poolsByName.Len(), c.outcomesByTime.Len()}
	if want := [4]int{int(c.namespaceCount), int(c.namespaceCount), int(c.poolCount), c.outcomes.Len()}; got != want {
		c.differ("the state", "lengths of namespaces by name, by id, pools by name, outcomes by time", want, got)
	}
	if c.seenMs > c.clockMs {
		c.differ("the state", "clock of the last heartbeats", fmt.Sprint("at most ", c.clockMs), c.seenMs)
	}
}

// checkNumbers checks that every number is either free or taken by a row.
func (c *checker) checkNumbers(what string, n *numbers, taken func(uint32) bool) {
	free := 0
	for number := uint32(1); number < n.next; number++ {
		_, isFree := n.free.Get(number)
		if isFree == taken(number) {
			c.wrong(fmt.Sprint(what, " ", number), "it is free and has a row, or neither")
		}
		free += count(isFree)
	}
	if free != n.free.Len() {
		c.differ(what, "free ones below the next", free, n.free.Len())
	}
	if taken(0) {
		c.wrong(what+" 0", "it has a row")
	}
}
