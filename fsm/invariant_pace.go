package fsm

import (
	"fmt"
	"iter"
)

// What must hold of buckets and rollouts.

// checkBucket holds that a pool saves up and owes no more than its rate allows, and that it empties a runner of its own.
func (c *checker) checkBucket(ordinal uint32) {
	p := c.pools.Get(ordinal)
	if p == nil {
		if left := c.buckets.Get(ordinal); left != (Bucket{}) {
			c.differ(fmt.Sprint("pool ordinal ", ordinal), "bucket of no pool", Bucket{}, left)
		}
		if left := c.awaits.Get(ordinal); left != (Await{}) {
			c.differ(fmt.Sprint("pool ordinal ", ordinal), "version that no pool awaits", Await{}, left)
		}
		return
	}
	c.checkEndpoint(p)
	c.checkAwait(p)
	name, rate, b := fmt.Sprintf("bucket of the pool %q", p.ID.Name), p.EvictionRateMicros(), c.buckets.Get(ordinal)
	least, most := -int64(rate)*debtMs, bucketCap(rate)
	emptying := c.runners.Get(b.Emptying)
	switch {
	case b.Nanos < least || b.Nanos > most:
		c.differ(name, "nano-actors", fmt.Sprint(least, " to ", most), b.Nanos)
	case b.AtMs < 0 || b.AtMs > c.clockMs:
		c.differ(name, "clock", fmt.Sprint("0 to ", c.clockMs), b.AtMs)
	case b.WindowTurns > MaxWindowTurns || (b.WindowTurns > 0) != (b.WindowRateMicros > 0):
		c.differ(name, "window", "at most 10000 turns, and a rate if there are any", fmt.Sprint(b.WindowTurns, " and ", b.WindowRateMicros))
	case b.Emptying != 0 && (emptying == nil || emptying.pool != ordinal):
		c.differ(name, "runner that is being emptied", "one of the pool", b.Emptying)
	}
}

// checkLook holds that a pool is on the agenda at the next time at which its pace is to be looked at, and counts it there.
func (c *checker) checkLook(ordinal uint32) int {
	p, want := c.pools.Get(ordinal), int64(0)
	if p != nil {
		want = c.nextLookMs(p)
	}
	name := fmt.Sprint("pool ordinal ", ordinal)
	if got := c.lookAt.Get(ordinal); got != want {
		c.differ(name, "when it is to be looked at", want, got)
	}
	if want == 0 {
		return 0
	}
	in(c, c.looks, "pools to be looked at", name, lookKey{want, ordinal})
	return 1
}

// checkMoving compares how many actors a rollout says it is moving. It may be forgotten while they stop.
func (c *checker) checkMoving(a *Actor) {
	if a != nil && a.Eviction&evictionByRollout != 0 {
		c.checkMovingOf(rolloutKey{pool: a.pool, id: a.MovedIn})
	}
}

func (c *checker) checkMovingOf(k rolloutKey) {
	now := c.rollout(k.pool, k.id)
	if now == nil {
		return
	}
	want := c.delta.moving[k]
	if old := c.before.rollout(k.pool, k.id); old != nil {
		want += int(old.Moving)
	}
	if want != int(now.Moving) {
		c.differ(fmt.Sprint("rollout ", k.id), "actors on the move", want, now.Moving)
	}
}

// checkRollouts checks changed rollouts, then what they add up to: of a pool at most the last one is open, and ended ones are found and
// counted.
func (c *checker) checkRollouts(keys iter.Seq[rolloutKey]) {
	seen := map[rolloutKey]bool{}
	for k := range keys {
		if k.row = nil; seen[k] {
			continue
		}
		seen[k] = true
		c.addRollout(c.before, c.before.rollout(k.pool, k.id), -1)
		now := c.rollout(k.pool, k.id)
		c.addRollout(c.State, now, +1)
		if now != nil {
			c.checkRollout(k, now)
			c.checkMovingOf(k)
		}
	}
	for k := range keys {
		c.checkPool(k.pool)
		for _, s := range []*State{c.before, c.State} { // the pool may have been forgotten with it
			if p := s.pools.Get(k.pool); p != nil {
				c.checkEndedRollouts(p.namespace)
			}
		}
	}
}

// checkEndedRollouts compares how many rollouts of a namespace have ended.
func (c *checker) checkEndedRollouts(namespace uint32) {
	if want, got := int(c.before.endedRolloutCount.Get(namespace))+c.delta.over[namespace], int(c.endedRolloutCount.Get(namespace)); want != got {
		c.differ(fmt.Sprint("namespace ordinal ", namespace), "ended rollouts", want, got)
	}
}

func (c *checker) addRollout(s *State, r *Rollout, by int) {
	if r == nil {
		return
	}
	d := &c.delta
	d.lens.rollouts += by
	if r.State == RolloutOpen {
		return
	}
	d.lens.endedRollouts += by
	d.lens.agenda += by * (1 + count(r.WaitMs != 0))
	if p := s.pools.Get(r.pool); p != nil {
		d.over[p.namespace] += by
	}
}

func (c *checker) checkRollout(k rolloutKey, r *Rollout) {
	name := fmt.Sprint("rollout ", k.id)
	p := c.pools.Get(k.pool)
	if p == nil || r.ID != k.id || r.pool != k.pool || k.id < 1 || k.id > c.rolloutSeq {
		c.wrong(name, "its pool is not there, or the row is of another id or pool, or of an id that was not given out")
		return
	}
	open := r.State == RolloutOpen
	switch {
	case r.State < RolloutOpen || r.State > RolloutSuperseded:
		c.differ(name, "state", "open to superseded", r.State)
	case open && c.lastRollout(p) != r:
		c.wrong(name, fmt.Sprintf("it is open, and the rollout %d of its pool came later", c.lastRollout(p).ID))
	case r.Paused && !open, r.PauseReason != "" && !r.Paused, open && (r.EndMs != 0 || r.EndReason != ""):
		c.differ(name, "pause and end while "+r.State.String(), "none", fmt.Sprintf("%v %q, %d %q", r.Paused, r.PauseReason, r.EndMs, r.EndReason))
	case r.WaitMs != 0 && (r.State != RolloutCalledOff || c.lastRollout(p) != r):
		c.differ(name, "wait for the next while "+r.State.String(), "only after the last one that was called off", r.WaitMs)
	case r.StartMs > c.clockMs || r.EndMs > c.clockMs || !open && r.EndMs < r.StartMs:
		c.differ(name, "start and end", fmt.Sprint("in order, at most ", c.clockMs), fmt.Sprint(r.StartMs, " and ", r.EndMs))
	}
	if open {
		return
	}
	in(c, c.agenda, "what falls due", name, r.agendaKey())
	if r.WaitMs != 0 {
		in(c, c.agenda, "what falls due", name, r.waitKey())
	}
	in(c, c.endedRollouts, "ended rollouts", name, c.endedRolloutKey(r))
}
