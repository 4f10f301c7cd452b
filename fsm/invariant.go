package fsm

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
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
	c.addRequests(upTo(s.requestOrdinals.next))
	c.checkWorld()
	c.checkNumbers("runner number", &s.runnerNumbers, func(n uint32) bool { return s.runners.Get(n) != nil })
	c.checkNumbers("pool ordinal", &s.poolOrdinals, func(n uint32) bool { return s.pools.Get(n) != nil })
	c.checkNumbers("actor ordinal", &s.actorOrdinals, func(n uint32) bool { return s.actors.Get(n) != "" })
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
				if a := s.actorAt(ordinal); a != nil && !yield(nil, a) {
					return
				}
			}
		})
	idle, looks := 0, 0
	for ordinal := range s.poolOrdinals.next {
		c.checkPool(ordinal)
		c.checkBucket(ordinal)
		looks += c.checkLook(ordinal)
		idle += count(s.pools.Get(ordinal) != nil && s.idle(s.pools.Get(ordinal)))
	}
	if got := s.idlePools.Len(); got != idle {
		c.differ("the state", "index of pools to be forgotten", idle, got)
	}
	if got := s.looks.Len(); got != looks {
		c.differ("the state", "index of pools to be looked at", looks, got)
	}
	if got := s.moved.Len(); got != len(c.delta.moved) {
		c.differ("the state", "index of the actors that rollouts have moved", len(c.delta.moved), got)
	}
	c.checkRollouts(s.rollouts.All())
	c.checkKeptDrains(s.keptDrains.All())
	c.checkHeldVersions()
	for ordinal := range s.namespaceCount {
		c.checkEndedRollouts(ordinal)
	}
	c.checkNumbers("request ordinal", &s.requestOrdinals, func(n uint32) bool { return s.requests.Get(n) != nil })
	c.checkRequests(upTo(s.requestOrdinals.next))
	c.checkServerless()
	c.addEndpoints(upTo(s.poolOrdinals.next))
	c.checkSums()
	if got, want := s.StateHash(), s.RecountHash(); got != want {
		c.differ("the state", "state hash", want, got)
	}
	maps.DeleteFunc(c.delta.versions, func(_, counts versionKey) bool { return counts.empty() })
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
	c.addRequests(slices.Values(tx.touchedRequests))
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
				if !yield(tx.before.actorAt(ordinal), tx.actorAt(ordinal)) {
					return
				}
			}
		})
	for _, ordinal := range tx.touchedBuckets {
		c.checkPool(ordinal)
		c.checkBucket(ordinal)
		c.checkLook(ordinal)
	}
	c.checkRollouts(slices.Values(tx.touchedRolls))
	c.checkRequests(slices.Values(tx.touchedRequests))
	c.addEndpoints(slices.Values(tx.touchedBuckets))
	c.checkKeptDrains(slices.Values(tx.touchedDrains))
	c.checkSums()
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
		held: map[uint32]heldSlots{}, pools: map[uint32]PoolStats{}, versions: map[versionKey]versionKey{}, names: map[nameCountKey]int{}, ended: map[uint32]int{},
		endedRunners: map[uint32]int{}, moving: map[rolloutKey]int{}, moved: map[movedKey]int{}, over: map[uint32]int{}, kept: map[uint32]int{}, orphansOf: map[ActorID]int{},
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
		c.checkEndedRunners(old, now)
		c.checkVersion(old)
		c.checkVersion(now)
	}
	for old, now := range actors {
		c.checkCounts(old)
		c.checkCounts(now)
		c.checkMoving(old)
		c.checkMoving(now)
		c.checkMoved(old)
		c.checkMoved(now)
		c.checkOrphans(now)
	}
	for _, id := range c.delta.waiting {
		c.checkOrphans(c.Actor(id))
	}
}

// checkWorld checks what has no Tx-sized counterpart: namespaces, pools by name, outcomes.
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
	for ordinal := range c.poolOrdinals.next {
		p := c.pools.Get(ordinal)
		if p == nil { // a free one, or said already
			continue
		}
		if p.ordinal != ordinal || c.namespaces.Get(p.namespace) == nil || c.namespaces.Get(p.namespace).ID != p.ID.Namespace {
			c.wrong(fmt.Sprint("pool ordinal ", ordinal), "its row is of another ordinal, or in another namespace")
			continue
		}
		in(c, c.poolsByName, "pools by name", p.ID.Name, poolKey{p.namespace, p.ID.Name, ordinal})
	}
	c.checkOutcomes()
	got := [3]int{c.namespacesByName.Len(), c.namespacesByID.Len(), c.poolsByName.Len()}
	if want := [3]int{int(c.namespaceCount), int(c.namespaceCount), c.PoolCount()}; got != want {
		c.differ("the state", "lengths of namespaces by name, by id, pools by name", want, got)
	}
	if c.seenMs > c.clockMs {
		c.differ("the state", "clock of the last heartbeats", fmt.Sprint("at most ", c.clockMs), c.seenMs)
	}
}

// checkOutcomes checks that every outcome is found by its key, and that what is too long for a row is there once.
func (c *checker) checkOutcomes() {
	long, bytes, last := 0, int64(0), int64(math.MinInt64)
	for row := range c.outcomes.All() {
		what := fmt.Sprintf("outcome %d", row.seq)
		in(c, c.outcomesByKey, "outcomes by key", what, row.byKey())
		if row.atMs < last || row.seq > c.outcomeSeq {
			c.wrong(what, "it is older than the one before it, or newer than the last")
		}
		last = row.atMs
		if row.size == longOutcome {
			k, ok := c.longOutcomes.Get(longOutcomeKey{seq: row.seq})
			if long++; !ok {
				c.wrong(what, "what it led to is lost")
			}
			bytes += int64(len(k.outcome))
		}
	}
	got := [3]int64{int64(c.outcomesByKey.Len()), int64(c.longOutcomes.Len()), c.outcomeLongBytes}
	if want := [3]int64{int64(c.outcomes.Len()), int64(long), bytes}; got != want {
		c.differ("the state", "outcomes by key, long ones, their bytes", want, got)
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
