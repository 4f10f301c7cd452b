package fsm

import (
	"slices"
)

// The model of turns that move with the pace of their pool.

// paceOf returns how long after the first of n forced moves the k-th one behind it comes.
func (p *modelPool) paceOf(n int64) func(k int64) int64 {
	rate, periodMs := int64(p.rate), p.periodMs
	return func(k int64) int64 { return min(k*1_000_000_000/rate, k*periodMs/n) }
}

// movesOf is the same for the forced moves of a runner that is there still.
func (m *model) movesOf(p *modelPool, r *modelRunner) func(k int64) int64 {
	n := int64(r.moves.Total)
	pace, leftMs := p.paceOf(n), r.drain.deadlineMs-30_000-r.moves.FromMs
	return func(k int64) int64 {
		if r.drain.deadlineMs == 0 || r.drain.cause == uint32(DrainOperator) {
			return pace(k)
		}
		return min(pace(k), k*max(0, leftMs)/n)
	}
}

// repace changes the pace of a pool. Every row of turns goes on as if the new pace had been in force since its last one.
func (m *model) repace(pool string, change func()) {
	p := m.pools[pool]
	type rule struct{ was, is func(k int64) int64 }
	rate, periodMs := p.rate, p.periodMs
	runners, rows := map[string]*rule{}, map[string]*rule{}
	waiting := map[string][]string{}
	for id, r := range m.runners {
		if r.inPool() == pool && r.end == "" && r.moves.Total > 0 && m.left(id) > 0 {
			runners[id] = &rule{was: m.movesOf(p, r)}
		}
	}
	for id, a := range m.actors {
		if a.inPool() == pool && (a.forced || a.phase == "pending" && a.dueMs != 0) {
			waiting[a.trouble.runner] = append(waiting[a.trouble.runner], id)
		}
	}
	total := func(from string) int64 {
		if r := m.runners[from]; r != nil && r.moves.Total > 0 {
			return int64(r.moves.Total)
		}
		return int64(len(waiting[from]))
	}
	for from := range waiting {
		rows[from] = &rule{was: p.paceOf(total(from))}
	}
	change()
	if p.rate == rate && p.periodMs == periodMs {
		return
	}
	for id, rule := range runners {
		r := m.runners[id]
		rule.is = m.movesOf(p, r)
		done := int64(r.moves.Done)
		last := r.moves.FromMs + rule.was(done) - (rule.was(done+1) - rule.was(done))
		r.moves.FromMs = max(m.clockMs, last+rule.is(done+1)-rule.is(done)) - rule.is(done)
	}
	for from, ids := range waiting {
		slices.SortFunc(ids, func(a, b string) int {
			x, y := m.actors[a], m.actors[b]
			if x.dueMs != y.dueMs {
				return int(x.dueMs - y.dueMs)
			}
			return x.seq - y.seq
		})
		is := p.paceOf(total(from))
		first := max(m.clockMs, m.actors[ids[0]].dueMs-rows[from].was(1)+is(1))
		for k, id := range ids {
			a := m.actors[id]
			backOffMs := int64(0)
			if t := a.trouble; t.retries > 1 {
				backOffMs = t.crashedMs + 2000<<min(t.retries-2, 8)
			} else if t.retries == 1 {
				backOffMs = t.crashedMs
			}
			a.dueMs = max(first+is(int64(k)), backOffMs, 1)
		}
	}
}
