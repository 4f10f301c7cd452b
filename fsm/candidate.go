package fsm

import "iter"

// candidateKey orders the runners of a pool that may be given an actor in the order of choice: newest version first, then as the
// pool's placement says.
type candidateKey struct {
	pool       uint32
	versionInv uint32 // ^version
	load       uint32
	freeInv    uint32
	number     uint32
}

func candidateLess(a, b candidateKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	if a.versionInv != b.versionInv {
		return a.versionInv < b.versionInv
	}
	if a.load != b.load {
		return a.load < b.load
	}
	if a.freeInv != b.freeInv {
		return a.freeInv < b.freeInv
	}
	return a.number < b.number
}

// loadScale is the resolution of used/total.
const loadScale = 1 << 30

func (s *State) candidateKey(r *Runner) candidateKey {
	load := uint32(uint64(r.Held) * loadScale / uint64(r.Slots))
	if s.pools.Get(r.pool).Placement() == Binpack {
		load = loadScale - load
	}
	return candidateKey{pool: r.pool, versionInv: ^r.Version, load: load, freeInv: ^r.FreeSlots(), number: r.Number}
}

// versionKey counts the runners of one version in a pool that neither ended nor drain.
type versionKey struct {
	pool       uint32
	version    uint32
	registered uint32
}

func versionLess(a, b versionKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.version < b.version
}

// RegisteredAt returns how many runners of a version in a pool neither ended nor drain.
func (s *State) RegisteredAt(p *Pool, version uint32) uint32 {
	k, _ := s.versions.Get(versionKey{pool: p.ordinal, version: version})
	return k.registered
}

// NewestVersion returns the highest version of the pool's runners that neither ended nor drain.
func (s *State) NewestVersion(p *Pool) (version uint32, ok bool) {
	for k := range s.versions.DownFrom(versionKey{pool: p.ordinal, version: ^uint32(0)}) {
		return k.version, k.pool == p.ordinal
	}
	return 0, false
}

// replaceRunner writes a runner's row and keeps everything that is derived from it: nil old adds, nil next removes.
func (tx *Tx) replaceRunner(old, next *Runner) {
	row := next
	if row == nil {
		row = old
	}
	tx.unindexRunner(old)
	tx.runners.Set(row.Number, next)
	tx.indexRunner(next)
	tx.touchRunner(row.Number)
	tx.dirtyPool(row.pool)
}

func (tx *Tx) unindexRunner(r *Runner) {
	if r == nil {
		return
	}
	stats := tx.poolStats.Get(r.pool)
	if r.End == NotEnded {
		stats.Runners--
		if r.Connected {
			stats.Connected--
		}
	}
	if r.registered() {
		tx.countVersion(r, -1)
	}
	if r.Placeable() && r.FreeSlots() > 0 {
		stats.Candidates--
		tx.candidates.Delete(tx.candidateKey(r))
	}
	tx.poolStats.Set(r.pool, stats)
	if r.drainWork() {
		tx.drainWork.Delete(r.Number)
	}
	tx.agenda.Delete(tx.runnerAgenda(r))
}

func (tx *Tx) indexRunner(r *Runner) {
	if r == nil {
		return
	}
	stats := tx.poolStats.Get(r.pool)
	if r.End == NotEnded {
		stats.Runners++
		if r.Connected {
			stats.Connected++
		}
	}
	if r.registered() {
		tx.countVersion(r, +1)
	}
	if r.Placeable() && r.FreeSlots() > 0 {
		stats.Candidates++
		tx.candidates.Put(tx.candidateKey(r))
	}
	tx.poolStats.Set(r.pool, stats)
	if r.drainWork() {
		tx.drainWork.Put(r.Number)
	}
	tx.agenda.Put(tx.runnerAgenda(r))
}

// runnerAgenda says when a runner falls due: its silence; after its end at once while actors are left to release; then its forgetting.
func (s *State) runnerAgenda(r *Runner) agendaKey {
	switch {
	case r.End == NotEnded:
		return agendaKey{atMs: r.lostMs(s.seen.Get(r.Number)), kind: DueLost, row: r.Number}
	case r.Held > 0:
		return agendaKey{atMs: r.EndedMs, kind: DueLost, row: r.Number}
	default:
		return agendaKey{atMs: r.EndedMs + endedKeptMs, kind: DueForgetRunner, row: r.Number}
	}
}

func (tx *Tx) countVersion(r *Runner, by int) {
	k, _ := tx.versions.Get(versionKey{pool: r.pool, version: r.Version})
	k.pool, k.version = r.pool, r.Version
	k.registered = uint32(int(k.registered) + by)
	if k.registered == 0 {
		tx.versions.Delete(k)
		return
	}
	tx.versions.Put(k)
}

// poolCandidates yields the runners of a pool with a free slot, in the order of choice.
func (s *State) poolCandidates(p *Pool) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.candidates.From(candidateKey{pool: p.ordinal}) {
			if k.pool != p.ordinal || !yield(s.runners.Get(k.number)) {
				return
			}
		}
	}
}

// Candidates yields the runners of a pool that may be given an actor, up to a version, in the order of choice: newest version
// first, then as the pool's placement says. Among equals the seed says who is first.
func (s *State) Candidates(p *Pool, upTo, seed uint32) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		from := candidateKey{pool: p.ordinal, versionInv: ^upTo}
		for {
			head, ok := s.candidates.First(from)
			if !ok || head.pool != p.ordinal {
				return
			}
			// All that differ only in their number are equals: begin among them where the seed points, and wrap around.
			first, last := head, head
			first.number, last.number = 0, ^uint32(0)
			pivot := head
			pivot.number = 1 + seed%max(1, s.runnerNumbers.next)
			if !s.yieldEquals(pivot, last, yield) {
				return
			}
			before := pivot
			before.number--
			if !s.yieldEquals(first, before, yield) {
				return
			}
			from = successor(last)
		}
	}
}

// yieldEquals yields the candidates from one key to another, both included, that are not silent.
func (s *State) yieldEquals(from, to candidateKey, yield func(*Runner) bool) bool {
	for k := range s.candidates.From(from) {
		if candidateLess(to, k) {
			return true
		}
		r := s.runners.Get(k.number)
		if s.SilentMs(r) < s.EligibleThresholdMs(r) && !yield(r) {
			return false
		}
	}
	return true
}

// successor returns a key that orders right behind one with the greatest number.
func successor(k candidateKey) candidateKey {
	k.number = 0
	if k.freeInv++; k.freeInv != 0 {
		return k
	}
	if k.load++; k.load != 0 {
		return k
	}
	if k.versionInv++; k.versionInv != 0 {
		return k
	}
	k.pool++
	return k
}
