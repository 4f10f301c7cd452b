package fsm

import (
	"fmt"

	"github.com/callboard/callboard/fsm/table"
)

// What must hold of one row, and the keys that it must be found under.

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
	if r.End == NotEnded {
		in(c, c.poolRunners, "runners of the pool", name, poolRunnerKey{r.pool, r.Version, r.Number})
	} else {
		in(c, c.endedRunners, "ended runners", name, c.endedRunnerKey(r))
	}
	if r.evictable() {
		in(c, c.evictables, "runners to be emptied", name, c.evictableKey(r))
		in(c, c.delays, "delays", name, r.delayKey())
	}
	if r.drainDue() {
		in(c, c.agenda, "what falls due", name, r.drainAgenda())
	}
	if r.registered() {
		for n := range r.Names.All() {
			in(c, c.handlers, "runners by the names that they handle", name, handlerKey{r.pool, n, r.Version, r.Number})
		}
	}
	if r.candidate() {
		in(c, c.candidates, "candidates", name, c.candidateKey(r))
	}
	if r.idle() {
		in(c, c.idleRunners, "idle runners", name, idleRunnerKey{r.pool, r.Seq, r.Number})
	}
	if r.drainWork() {
		in(c, c.drainWork, "drain work", name, c.drainWorkKey(r))
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
	case !r.Draining() && r.Drain != Drain{}:
		c.differ(name, "drain while it does not drain", Drain{}, r.Drain)
	case r.SafeToTerminate() && r.Held > 0 && r.End == NotEnded && r.Held > r.Stopping:
		c.differ(name, "slots held after the end of its drain", 0, r.Held)
	case r.Drain.Standby && (r.Drain.Cause != DrainNewerVersion || r.SafeToTerminate()):
		c.wrong(name, "it stands by, and its drain has another cause or has ended")
	case r.Drain.Held && r.Drain.Cause != DrainOperator:
		c.wrong(name, "its version is held back, and its drain is not an operator's")
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
	if r.End == NotEnded && !c.silent(r) {
		in(c, c.heard, "runners that are not silent", row[*Runner]{r}, c.heardKey(r))
		return
	}
	in(c, c.agenda, "what falls due", row[*Runner]{r}, c.runnerAgenda(r))
}

func (c *checker) anyOrphan(r *Runner) bool {
	for range c.OrphansOf(r) {
		return true
	}
	return false
}

func (c *checker) checkActor(a *Actor) {
	name := row[*Actor]{a}
	p := c.pools.Get(a.pool)
	if p == nil || p.namespace != a.namespace {
		c.wrong(name, "its pool is not there, or in another namespace")
		return
	}
	names, _ := c.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	in(c, c.actorsByID, "actors by id", name, idKey{ID(a.ID), a.ordinal})
	in(c, c.actorsByName, "actors by name", name, actorNameKey{names.hash, halve(a.Seq), a.ordinal})
	k := keysOf(a)
	if k.agenda != (agendaKey{}) {
		in(c, c.agenda, "what falls due", name, k.agenda)
	}
	if k.backoff != (agendaKey{}) {
		in(c, c.backoffs, "back-offs", name, k.backoff)
	}
	if k.queue != (queueKey{}) {
		in(c, c.queue, "the queue", name, k.queue)
		in(c, c.nameQueue, "the queue by name", name, k.nameQueue)
	}
	if k.assigned != (assignedKey{}) {
		in(c, c.assigned, "what runners have", name, k.assigned)
	}
	if k.nameOn != (nameOnKey{}) {
		in(c, c.nameOn, "what runners have by name", name, k.nameOn)
	}
	if k.alarm != (alarmKey{}) {
		in(c, c.alarms, "alarms", name, k.alarm)
	}
	if k.ended != (endedKey{}) {
		in(c, c.endedActors, "ended actors", name, k.ended)
	}
	if k.named != (namedKey{}) {
		in(c, c.named, "turns", name, k.named)
	}
	if k.turn != (namedKey{}) {
		in(c, c.turns, "turns of forced moves", name, k.turn)
	}
	if k.unreceived != (unreceivedKey{}) {
		in(c, c.unreceived, "missing receipts", name, k.unreceived)
	}
	if a.holdsKey() {
		c.checkKey(a)
	}
	c.checkPhase(a)
	if a.Phase.OnRunner() {
		c.checkOnRunner(a)
	}
}

// checkKey finds an actor by its key, and holds G4: at most one live actor per namespace, name and key.
func (c *checker) checkKey(a *Actor) {
	key := a.liveKey()
	in(c, c.actorsByKey, "keys", row[*Actor]{a}, key)
	for k := range c.actorsByKey.From(actorKeyKey{hash: key.hash}) {
		if k.hash != key.hash {
			return
		}
		if k.ordinal == a.ordinal {
			continue
		}
		other := c.actorAt(k.ordinal)
		if other != nil && other.namespace == a.namespace && other.Name == a.Name && other.Key == a.Key {
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
	case a.Claimed != 0 && (a.Claimed <= a.Generation || a.Phase == Destroyed):
		c.differ(name, "generation claimed while "+a.Phase.String(), fmt.Sprint("none, or above ", a.Generation), a.Claimed)
	case a.Phase.OnRunner() && a.Generation < 1:
		c.differ(name, "generation while "+a.Phase.String(), "at least 1", a.Generation)
	case stopping != (a.StopReason != NoStop), stopping != (a.StopLimitMs > 0):
		c.differ(name, "stop reason and limit while "+a.Phase.String(), stopping, fmt.Sprint(a.StopReason, " and ", a.StopLimitMs))
	case a.WakeKept && !stopping:
		c.wrong(name, "a wake is kept while "+a.Phase.String())
	case a.Destroying != (a.StopReason == StopDestroy):
		c.differ(name, "destroying", a.StopReason == StopDestroy, a.Destroying)
	case a.Phase != Pending && dueInPhase[a.Phase] != (a.DueMs != 0):
		c.differ(name, "falls due while "+a.Phase.String(), dueInPhase[a.Phase], a.DueMs)
	case a.Phase == Pending && a.Paced() != (a.QueueSeq == 0), a.QueueSeq > c.queueSeq:
		c.differ(name, "place in the queue while "+a.Phase.String(), fmt.Sprint("1 to ", c.queueSeq, ", none while it waits for its turn"), a.QueueSeq)
	case a.EvictMs != 0 && !a.Phase.OnRunner(), a.EvictMs < 0:
		c.differ(name, "turn or time of its eviction while "+a.Phase.String(), 0, a.EvictMs)
	case a.Eviction&^evictionForced != 0 && !a.Evicting(), a.Eviction&evictionForced != 0 && a.Phase != BackingOff, a.Eviction&evictionByRollout != 0 && a.MovedIn == 0, a.MovedIn > c.rolloutSeq:
		c.differ(name, "eviction flags and rollout while "+a.Phase.String(), "none", fmt.Sprint(a.Eviction, " and ", a.MovedIn))
	case a.Promise != 0 && !a.Evicting():
		c.differ(name, "slot promised while "+a.Phase.String(), 0, a.Promise)
	case a.Seq < 1 || a.Seq > c.actorSeq:
		c.differ(name, "order of creation", fmt.Sprint("1 to ", c.actorSeq), a.Seq)
	case a.HasKey != (a.Key != ""):
		c.differ(name, "has a key", a.Key != "", a.HasKey)
	case a.Phase == Destroyed && (len(a.Input) > 0 || len(a.Saved) > 0 || a.AlarmMs != 0):
		c.differ(name, "input, saved state and alarm while destroyed", "none", fmt.Sprint(len(a.Input), " B, ", len(a.Saved), " B, ", a.AlarmMs))
	case a.KeepsKey && (a.Phase != Destroyed || a.Orphans == 0):
		c.differ(name, "keeps its key while "+a.Phase.String(), "only when it is destroyed and waits for bodies", fmt.Sprint(a.Orphans, " bodies"))
	case a.AlarmWoke && (a.AlarmMs == 0 || a.Phase == Sleeping):
		c.differ(name, "its alarm has woken it while "+a.Phase.String(), "only with an alarm, and not while it sleeps", a.AlarmMs)
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
	case a.Promise == a.Runner && a.Runner != 0:
		c.wrong(name, "its own runner has promised a slot for it")
	case a.Promise != 0 && c.runners.Get(a.Promise) == nil:
		c.differ(name, "runner that keeps a slot for it", fmt.Sprint("number ", a.Promise), "forgotten")
	case a.Promise != 0 && c.runners.Get(a.Promise).pool != a.pool:
		c.differ(name, "pool of the runner that keeps a slot for it", a.pool, c.runners.Get(a.Promise).pool)
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
	case now.Phase != Destroyed && now.NextGeneration() < old.NextGeneration():
		c.differ(row[*Actor]{now}, "next generation", fmt.Sprint("at least ", old.NextGeneration()), now.NextGeneration())
	case now.Generation < old.Generation:
		c.differ(row[*Actor]{now}, "generation", fmt.Sprint("at least ", old.Generation), now.Generation)
	case now.Generation == old.Generation && now.Runner != 0 && now.Runner != old.Runner:
		c.differ(row[*Actor]{now}, "runner of this generation", old.Runner, now.Runner)
	case now.ID != old.ID || now.Name != old.Name || now.Key != old.Key:
		c.differ(row[*Actor]{now}, "id, name and key", fmt.Sprint(old.ID, " ", old.Name, " ", old.Key), fmt.Sprint(now.ID, " ", now.Name, " ", now.Key))
	}
}
