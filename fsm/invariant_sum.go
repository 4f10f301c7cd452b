package fsm

import (
	"fmt"
)

// What rows add up to, against what the state counts.

// tally is what rows add up to.
type tally struct {
	lens    lens
	phases  [phaseCount]int64
	stored  int64
	orphans int
	bodies  int

	held     map[uint32]heldSlots      // by runner number
	pools    map[uint32]PoolStats      // by pool ordinal; what was taken away wraps around
	versions map[versionKey]versionKey // by pool and version alone
	names    map[nameCountKey]int      // without hash and count
	ended    map[uint32]int            // by namespace ordinal
	moving   map[rolloutKey]int        // without rows
	moved    map[movedKey]int          // without counts
	over     map[uint32]int            // ended rollouts by namespace ordinal
	kept     map[uint32]int            // drains by pool ordinal

	endedRunners map[uint32]int // by namespace ordinal

	orphansOf map[ActorID]int // those that actors wait for
	waiting   []ActorID       // the keys of orphansOf, some of them twice
}

// lens are the lengths of the indexes that rows of actors and runners are found under.
type lens struct {
	runnersByID, runnersByKey, runnersBySeq, candidates, drainWork, poolRunners, evictables, delays, endedRunners           int
	actorsByID, actorsByName, actorsByKey, queue, assigned, alarms, backoffs, endedActors, agenda, named, turns, unreceived int
	rollouts, endedRollouts, requestsByID, poolRequests, idleRunners, keptDrains, keptDrainsBySeq                           int
	handlers, nameQueue, nameOn                                                                                             int
}

func (s *State) lens() lens {
	return lens{
		runnersByID: s.runnersByID.Len(), runnersByKey: s.runnersByKey.Len(), runnersBySeq: s.runnersBySeq.Len(),
		candidates: s.candidates.Len(), drainWork: s.drainWork.Len(), poolRunners: s.poolRunners.Len(), evictables: s.evictables.Len(),
		delays:       s.delays.Len(),
		endedRunners: s.endedRunners.Len(),
		actorsByID:   s.actorsByID.Len(), actorsByName: s.actorsByName.Len(), actorsByKey: s.actorsByKey.Len(), queue: s.queue.Len(),
		assigned: s.assigned.Len(), alarms: s.alarms.Len(), backoffs: s.backoffs.Len(), endedActors: s.endedActors.Len(),
		agenda: s.agenda.Len() + s.heard.Len(), // time alone moves runners from one to the other
		named:  s.named.Len(), turns: s.turns.Len(), unreceived: s.unreceived.Len(), rollouts: s.rollouts.Len(), endedRollouts: s.endedRollouts.Len(),
		requestsByID: s.requestsByID.Len(), poolRequests: s.poolRequests.Len(), idleRunners: s.idleRunners.Len(),
		keptDrains: s.keptDrains.Len(), keptDrainsBySeq: s.keptDrainsBySeq.Len(),
		handlers: s.handlers.Len(), nameQueue: s.nameQueue.Len(), nameOn: s.nameOn.Len(),
	}
}

// minus returns by how much the lengths differ.
func (l lens) minus(o lens) lens {
	return lens{
		l.runnersByID - o.runnersByID, l.runnersByKey - o.runnersByKey, l.runnersBySeq - o.runnersBySeq, l.candidates - o.candidates,
		l.drainWork - o.drainWork, l.poolRunners - o.poolRunners, l.evictables - o.evictables, l.delays - o.delays, l.endedRunners - o.endedRunners, l.actorsByID - o.actorsByID, l.actorsByName - o.actorsByName, l.actorsByKey - o.actorsByKey,
		l.queue - o.queue, l.assigned - o.assigned, l.alarms - o.alarms, l.backoffs - o.backoffs, l.endedActors - o.endedActors, l.agenda - o.agenda,
		l.named - o.named, l.turns - o.turns, l.unreceived - o.unreceived, l.rollouts - o.rollouts, l.endedRollouts - o.endedRollouts,
		l.requestsByID - o.requestsByID, l.poolRequests - o.poolRequests, l.idleRunners - o.idleRunners,
		l.keptDrains - o.keptDrains, l.keptDrainsBySeq - o.keptDrainsBySeq,
		l.handlers - o.handlers, l.nameQueue - o.nameQueue, l.nameOn - o.nameOn,
	}
}

func (c *checker) addRunner(s *State, r *Runner, by int) {
	d := &c.delta
	d.lens.runnersByID += by
	d.lens.runnersByKey += by
	d.lens.runnersBySeq += by
	d.lens.agenda += by
	d.lens.poolRunners += by * count(r.End == NotEnded)
	d.lens.endedRunners += by * count(r.End != NotEnded)
	if p := s.pools.Get(r.pool); p != nil { // checkRunner says it otherwise
		d.endedRunners[p.namespace] += by * count(r.End != NotEnded)
	}
	d.lens.candidates += by * count(r.candidate())
	d.lens.handlers += by * len(r.Names.Names()) * count(r.registered())
	d.lens.evictables += by * count(r.evictable())
	d.lens.delays += by * count(r.evictable())
	d.lens.drainWork += by * count(r.drainWork())
	d.lens.idleRunners += by * count(r.idle())
	d.lens.agenda += by * count(r.drainDue())
	d.pools[r.pool] = d.pools[r.pool].plus(r.counts(), by)
	key := versionKey{pool: r.pool, version: r.Version}
	d.versions[key] = d.versions[key].plus(r.versionCounts(), by)
	for o := range s.OrphansOf(r) {
		c.hold(r.Number, heldSlots{slots: by, stopping: by})
		d.orphans += by
		if o.HoldsActor {
			d.orphansOf[o.Ref.Actor] += by
			d.waiting = append(d.waiting, o.Ref.Actor)
			d.bodies += by
		}
	}
}

func (c *checker) addActor(a *Actor, by int) {
	d := &c.delta
	d.lens.actorsByID += by
	d.lens.actorsByName += by
	d.phases[a.Phase] += int64(by)
	d.stored += int64(by * (len(a.Input) + len(a.Saved)))
	d.names[nameCountKey{namespace: a.namespace, name: a.Name}] += by
	switch {
	case a.DueMs == 0:
	case a.Phase == BackingOff:
		d.lens.backoffs += by
	default:
		d.lens.agenda += by
	}
	d.pools[a.pool] = d.pools[a.pool].plus(a.counts(), by)
	d.lens.actorsByKey += by * count(a.holdsKey())
	if a.Phase == Destroyed {
		d.lens.endedActors += by
		d.ended[a.namespace] += by
		return
	}
	d.lens.named += by * count(a.Named())
	if k := a.movedKey(); k != (movedKey{}) {
		d.moved[k] += by
	}
	d.lens.turns += by * count(a.awaitsTurn())
	d.lens.unreceived += by * count(a.Eviction&evictionUnreceived != 0)
	if a.Eviction&evictionByRollout != 0 {
		d.moving[rolloutKey{pool: a.pool, id: a.MovedIn}] += by
	}
	if a.Promise != 0 {
		c.hold(a.Promise, heldSlots{promised: by})
	}
	switch {
	case a.Phase == Pending:
		d.lens.queue += by * count(a.queued())
		d.lens.nameQueue += by * count(a.queued())
	case a.Phase == Sleeping && a.AlarmMs != 0:
		d.lens.alarms += by
	case a.Phase.OnRunner():
		d.lens.assigned += by
		d.lens.nameOn += by * count(a.Phase != Stopping)
		c.hold(a.Runner, heldSlots{slots: by, stopping: by * count(a.Phase == Stopping)})
	}
}

func (c *checker) hold(number uint32, by heldSlots) {
	h := c.delta.held[number]
	c.delta.held[number] = heldSlots{h.slots + by.slots, h.stopping + by.stopping, h.promised + by.promised}
}

// checkVersion compares how many runners of a version are registered.
func (c *checker) checkVersion(r *Runner) {
	if r == nil {
		return
	}
	key := versionKey{pool: r.pool, version: r.Version}
	was, _ := c.before.versions.Get(key)
	is, _ := c.versions.Get(key)
	want := was.plus(c.delta.versions[key], 1)
	want.pool, want.version, is.pool, is.version = r.pool, r.Version, r.pool, r.Version
	if want != is {
		c.differ(row[*Runner]{r}, "counts of its version", fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", is))
	}
}

// checkHeld compares the slots that a runner says it holds with those that actors and orphans hold there.
func (c *checker) checkHeld(old, now *Runner) {
	if now == nil {
		return
	}
	var was heldSlots
	limit := now.Slots
	if old != nil {
		was = heldSlots{int(old.Held), int(old.Stopping), int(old.Promised)}
		limit = max(limit, old.Slots)
	}
	d := c.delta.held[now.Number]
	want, got := heldSlots{was.slots + d.slots, was.stopping + d.stopping, was.promised + d.promised}, heldSlots{int(now.Held), int(now.Stopping), int(now.Promised)}
	if want != got {
		c.differ(row[*Runner]{now}, "slots that are held, of those stopping, and promised ones", want, got)
	}
	// Beyond its slots only what nobody placed there: orphans, and what was there before the slots shrank.
	if old == nil || old.ID != now.ID || c.before.orphans.Len() > 0 || c.orphans.Len() > 0 {
		return
	}
	if now.Held > limit && now.Held > old.Held {
		c.differ(row[*Runner]{now}, "held slots", fmt.Sprint("at most ", limit), now.Held)
	}
}

// checkEndedRunners compares how many runners of a namespace have ended.
func (c *checker) checkEndedRunners(old, now *Runner) {
	for _, row := range []struct {
		in *State
		r  *Runner
	}{{c.before, old}, {c.State, now}} {
		if row.r == nil || row.in.pools.Get(row.r.pool) == nil {
			continue
		}
		c.checkPool(row.r.pool)
		ordinal := row.in.pools.Get(row.r.pool).namespace
		if want, got := int(c.before.endedRunnerCount.Get(ordinal))+c.delta.endedRunners[ordinal], int(c.endedRunnerCount.Get(ordinal)); want != got {
			c.differ(fmt.Sprint("namespace ordinal ", ordinal), "ended runners", want, got)
		}
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

// checkOrphans compares how many orphans an actor says it waits for with how many there are.
func (c *checker) checkOrphans(a *Actor) {
	if a == nil {
		return
	}
	if want := int(c.before.bodiesOf(a.ID)) + c.delta.orphansOf[a.ID]; want != int(a.Orphans) || want != int(c.bodiesOf(a.ID)) {
		c.differ(row[*Actor]{a}, "orphans", want, fmt.Sprint(a.Orphans, ", in the index ", c.bodiesOf(a.ID)))
	}
}

// checkPool compares what a pool counts with what its rows' change amounts to.
func (c *checker) checkPool(ordinal uint32) {
	p := c.pools.Get(ordinal)
	if p == nil {
		return // said already, of whoever is in it
	}
	if _, known := c.idlePools.Get(p.idleKey()); known != c.idle(p) {
		c.differ(fmt.Sprintf("pool %q", p.ID.Name), "to be forgotten", c.idle(p), known)
	}
	is, want := c.poolStats.Get(ordinal), c.before.poolStats.Get(ordinal).plus(c.delta.pools[ordinal], 1)
	if is != want {
		c.differ(fmt.Sprintf("pool %q", p.ID.Name), "counts", fmt.Sprintf("%+v", want), fmt.Sprintf("%+v", is))
	}
}

// checkMoved compares how many actors of a runner a rollout has moved already.
func (c *checker) checkMoved(a *Actor) {
	k := a.movedKey()
	if k == (movedKey{}) {
		return
	}
	was, _ := c.before.moved.Get(k)
	is, found := c.moved.Get(k)
	if want := int(was.actors) + c.delta.moved[k]; want != int(is.actors) || found != (want > 0) {
		c.differ(fmt.Sprintf("runner number %d", k.runner), fmt.Sprint("actors that the rollout ", k.rollout, " has moved"), want, is.actors)
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
	if got, want := c.bodies.Len(), c.before.bodies.Len()+c.delta.bodies; got != want {
		c.differ("the state", "orphans that actors wait for", want, got)
	}
}
