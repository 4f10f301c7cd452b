package fsm

import (
	"math"
	"sort"
)

// The turns of forced moves. They are counted from the first one, by the pool's pace; a change of the pace moves those that are still to come.

// forcedOffsetMs returns how long after the first of total forced moves of a runner the one comes that so many went before: as fast as the
// rate; faster, so that all are made within the period.
func (p *Pool) forcedOffsetMs(before, total int64) int64 {
	return min(before*tokenNanos/int64(p.EvictionRateMicros()), before*p.EvictionPeriodMs()/total)
}

// forcedOffsetMs is the same for the moves of a runner, which also have to be made within the time that it has left, less what a stop may
// take.
func (s *State) forcedOffsetMs(p *Pool, r *Runner, before int64) int64 {
	total := int64(r.Moves.Total)
	offset := p.forcedOffsetMs(before, total)
	if r.End == NotEnded && r.Drain.DeadlineMs != 0 && r.Drain.Cause != DrainOperator {
		left := r.Drain.DeadlineMs - s.Setting(ActorStopThreshold) - r.Moves.FromMs
		offset = min(offset, before*max(0, left)/total)
	}
	return offset
}

// ForcedTurnMs returns the cluster clock at which the next forced move of a runner is due.
func (s *State) ForcedTurnMs(r *Runner) int64 {
	if r.Moves.Total == 0 {
		return s.clockMs // the first one begins them
	}
	return r.Moves.FromMs + s.forcedOffsetMs(s.RunnerPool(r), r, int64(r.Moves.Done))
}

// ForcedTurnsDue returns how many forced moves of a runner are due, at most limit. Of those that have not begun it is the first: with it
// they begin.
func (s *State) ForcedTurnsDue(r *Runner, limit int) int {
	if r.Moves.Total == 0 {
		return min(1, limit)
	}
	p := s.RunnerPool(r)
	return sort.Search(limit, func(n int) bool {
		return r.Moves.FromMs+s.forcedOffsetMs(p, r, int64(r.Moves.Done)+int64(n)) > s.clockMs
	})
}

// awaitsTurn tells whether an actor was moved off a lost runner and its turn has not come: it is pending, or backs off until then.
func (a *Actor) awaitsTurn() bool { return a.Paced() || a.Eviction&evictionForced != 0 }

// sinceLastMs returns when the first of the turns to come is due when the pace changes: as if the new one had been in force since the last
// turn, but not before now. What a faster pace would have moved meanwhile is not made up for.
func (tx *Tx) sinceLastMs(dueMs, intervalMs, nextIntervalMs int64) int64 {
	return max(tx.clockMs, dueMs-intervalMs+nextIntervalMs)
}

// paceChanges tells whether forced moves come at other times by another config.
func (p *Pool) paceChanges(next *Pool) bool {
	return p.EvictionRateMicros() != next.EvictionRateMicros() || p.EvictionPeriodMs() != next.EvictionPeriodMs()
}

// repace moves the turns of a pool's forced moves when its pace has changed.
func (tx *Tx) repace(old, next *Pool) {
	if !old.paceChanges(next) {
		return
	}
	var moving []*Runner
	for r := range tx.PoolRunners(next) {
		if r.Moves.Total > 0 && r.left() > 0 {
			moving = append(moving, r)
		}
	}
	for _, r := range moving {
		tx.repaceRunner(old, next, r)
	}
	var runners []RunnerID
	waiting := map[RunnerID][]*Actor{} // by the runner that they were on; in the order of their turns
	for k := range tx.turns.From(namedKey{pool: next.ordinal, atMs: math.MinInt64}) {
		if k.pool != next.ordinal {
			break
		}
		a := tx.actorAt(k.ordinal)
		from := a.troubleOrZero().Runner
		if waiting[from] == nil {
			runners = append(runners, from)
		}
		waiting[from] = append(waiting[from], a)
	}
	for _, from := range runners {
		tx.repaceActors(old, next, from, waiting[from])
	}
}

// repaceRunner moves the turns of the actors that a runner still has to give up: they count from another beginning.
func (tx *Tx) repaceRunner(old, next *Pool, r *Runner) {
	done := int64(r.Moves.Done)
	offset := tx.forcedOffsetMs(old, r, done)
	interval := tx.forcedOffsetMs(old, r, done+1) - offset
	nextOffset := tx.forcedOffsetMs(next, r, done)
	nextInterval := tx.forcedOffsetMs(next, r, done+1) - nextOffset
	row := *r
	row.Moves.FromMs = tx.sinceLastMs(r.Moves.FromMs+offset, interval, nextInterval) - nextOffset
	tx.replaceRunner(r, &row)
}

// repaceActors gives new turns to those that were on one runner. Nobody's back-off ends sooner for it.
func (tx *Tx) repaceActors(old, next *Pool, from RunnerID, waiting []*Actor) {
	total := int64(len(waiting))
	if r := tx.Runner(from); r != nil && r.Moves.Total > 0 {
		total = int64(r.Moves.Total)
	}
	first := tx.sinceLastMs(waiting[0].DueMs, old.forcedOffsetMs(1, total), next.forcedOffsetMs(1, total))
	for i, a := range waiting {
		row := *a
		row.DueMs = max(first+next.forcedOffsetMs(int64(i), total), tx.backOffEndMs(a), 1)
		row.RescheduleMs = tx.wallAt(row.DueMs)
		tx.replaceActor(a, &row)
	}
}

// backOffEndMs is when the back-off of an actor that crashed is over, without its jitter.
func (tx *Tx) backOffEndMs(a *Actor) int64 {
	if t := a.troubleOrZero(); t.Retries > 0 {
		return t.CrashedMs + tx.BackOffMs(t.Retries-1)
	}
	return 0
}

// BackOffMs is how long an actor waits before its next life that was placed again so often, without jitter: 0, then base · 2^n.
func (s *State) BackOffMs(retries uint32) int64 {
	if retries == 0 {
		return 0
	}
	return s.Setting(BaseRetryTimeout) << min(int64(retries)-1, s.Setting(RescheduleBackoffMaxExponent))
}
