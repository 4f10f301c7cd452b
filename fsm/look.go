package fsm

import (
	"iter"
	"math"
)

// When the pace of a pool has to be looked at. A pool whose evictions wait for a time is on an agenda; one that waits for anything else
// is looked at when an op changes it. So a pool that waits costs nothing, however many do, and however many runners it has.
//
// What depends on the clock is moved when a Tx begins, by those whose time has come alone: equal rows and an equal clock give equal
// indexes, on a node that was restored too.

// PortionEveryMs is how far portions of evictions are apart in a pool that is Portioned.
const PortionEveryMs = 25

// portionsAboveMicros is about what a cluster moves in a second anyway.
const portionsAboveMicros = 10_000_000_000

// Portioned tells whether a pool's rate is so high ("unlimited") that its actors are evicted a portion at a time: each is away for its own
// move, not for everybody's.
func (p *Pool) Portioned() bool { return p.EvictionRateMicros() > portionsAboveMicros }

// lookKey orders pools by when they are to be looked at.
type lookKey struct {
	atMs int64
	pool uint32
}

func lookLess(a, b lookKey) bool {
	if a.atMs != b.atMs {
		return a.atMs < b.atMs
	}
	return a.pool < b.pool
}

// delayKey orders the evictable runners of a pool by the beginning of their drains.
type delayKey struct {
	pool    uint32
	startMs int64
	number  uint32
}

func delayLess(a, b delayKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.startMs != b.startMs:
		return a.startMs < b.startMs
	}
	return a.number < b.number
}

func (r *Runner) delayKey() delayKey { return delayKey{r.pool, r.Drain.StartMs, r.Number} }

// Delayed yields the evictable runners of a pool whose eviction delay is not over, the first to be over first.
func (s *State) Delayed(p *Pool) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.delays.From(delayKey{pool: p.ordinal, startMs: s.clockMs - p.EvictionDelayMs() + 1}) {
			if k.pool != p.ordinal || !yield(s.runnerAt(k.number)) {
				return
			}
		}
	}
}

// EvictionBeginsMs returns the cluster clock from which a draining runner's actors are evicted.
func (p *Pool) EvictionBeginsMs(r *Runner) int64 { return r.Drain.StartMs + p.EvictionDelayMs() }

// nextLookMs returns the next time after the state's clock at which the clock alone may change what a pool's pace allows; 0: there is none.
func (s *State) nextLookMs(p *Pool) int64 {
	if s.PoolStats(p).Evictable == 0 {
		return 0
	}
	next := int64(math.MaxInt64)
	at := func(ms int64) {
		if ms > s.clockMs {
			next = min(next, ms)
		}
	}
	bucket, drawnMs := s.Bucket(p), s.DrawnMs(p)
	if bucket.HasToken() || p.WindowSize() > 0 && s.PoolStats(p).Named == 0 {
		at(drawnMs + 1) // no more than a portion is taken at once; the next window is named when the last one is empty
	}
	if p.Portioned() {
		at(drawnMs + PortionEveryMs)
	}
	at(bucket.TokenMs(p.EvictionRateMicros()))
	if bucket.WindowTurns > 0 && bucket.WindowRateMicros > 0 {
		at(bucket.TurnMs(bucket.WindowTurns - 1))
	}
	if k, ok := s.named.First(namedKey{pool: p.ordinal, atMs: math.MinInt64}); ok && k.pool == p.ordinal {
		at(k.atMs)
	}
	delayMs := p.EvictionDelayMs()
	if k, ok := s.delays.First(delayKey{pool: p.ordinal, startMs: s.clockMs - delayMs + 1}); ok && k.pool == p.ordinal {
		at(k.startMs + delayMs)
	}
	if next == math.MaxInt64 {
		return 0
	}
	return next
}

// NextLookMs returns the next time at which a pool is to be looked at.
func (s *State) NextLookMs() (atMs int64, ok bool) {
	k, ok := s.looks.First(lookKey{})
	return k.atMs, ok
}

// lookAgain notes that the op at hand may have changed when a pool is to be looked at.
func (tx *Tx) lookAgain(pool uint32) {
	if n := len(tx.unsettled); n == 0 || tx.unsettled[n-1] != pool {
		tx.unsettled = append(tx.unsettled, pool)
	}
}

// settleLooks puts the pools that an op has changed in their places on the agenda.
func (tx *Tx) settleLooks() {
	for _, pool := range tx.unsettled {
		tx.settleLook(pool)
	}
	tx.unsettled = tx.unsettled[:0]
}

func (tx *Tx) settleLook(pool uint32) {
	was, is := tx.lookAt.Get(pool), int64(0)
	if p := tx.pools.Get(pool); p != nil {
		is = tx.nextLookMs(p)
	}
	if was == is {
		return
	}
	tx.lookAt.Set(pool, is)
	if was != 0 {
		tx.looks.Delete(lookKey{was, pool})
	}
	if is != 0 {
		tx.looks.Put(lookKey{is, pool})
	}
}

// passTime does what follows from the clock alone: pools are to be looked at, delays are over, runners have become silent.
func (tx *Tx) passTime() {
	for {
		k, ok := tx.looks.First(lookKey{})
		if !ok || k.atMs > tx.clockMs {
			break
		}
		tx.endDelays(tx.pools.Get(k.pool))
		tx.dirtyPool(k.pool)
		tx.settleLook(k.pool)
	}
	for {
		k, ok := tx.heard.First(heardKey{})
		if !ok || k.atMs > tx.clockMs {
			return
		}
		tx.heard.Delete(k)
		r := tx.runners.Get(k.number)
		tx.agenda.Put(tx.runnerAgenda(r))
		if r.candidate() {
			is := tx.candidateKey(r)
			was := is
			was.silent = false
			moveKey(tx.candidates, was, is)
		}
	}
}

// endDelays moves the runners of a pool whose delay has ended since the Tx began to those that are ready.
func (tx *Tx) endDelays(p *Pool) {
	var over []*Runner
	delayMs := p.EvictionDelayMs()
	for k := range tx.delays.From(delayKey{pool: p.ordinal, startMs: tx.before.clockMs - delayMs + 1}) {
		if k.pool != p.ordinal || k.startMs+delayMs > tx.clockMs {
			break
		}
		over = append(over, tx.runners.Get(k.number))
	}
	for _, r := range over {
		is := tx.evictableKey(r)
		was := is
		was.delayed = true
		moveKey(tx.evictables, was, is)
	}
}
