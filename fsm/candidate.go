package fsm

import "iter"

// candidateKey orders the runners of a pool that may be given an actor by the names that they handle, then in the order of choice: those of
// last resort behind all others, newest version first, then as the pool's placement says. Those that are silent, and are given none, come
// behind them.
type candidateKey struct {
	pool       uint32
	set        uint64 // of the names that it handles
	silent     bool
	lastResort bool
	versionInv uint32 // ^version
	load       uint32
	freeInv    uint32
	number     uint32
}

func candidateLess(a, b candidateKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	if a.set != b.set {
		return a.set < b.set
	}
	if a.silent != b.silent {
		return b.silent
	}
	if a.lastResort != b.lastResort {
		return b.lastResort
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
	load := uint32(uint64(r.Held+r.Promised) * loadScale / uint64(r.Slots))
	if s.pools.Get(r.pool).Placement() == Binpack {
		load = loadScale - load
	}
	return candidateKey{
		pool: r.pool, set: r.set, silent: s.silent(r), lastResort: r.Draining(), versionInv: ^r.Version, load: load,
		freeInv: ^r.FreeSlots(), number: r.Number,
	}
}

// candidate tells whether it may be given an actor, but for its silence.
func (r *Runner) candidate() bool { return (r.Placeable() || r.LastResort()) && r.FreeSlots() > 0 }

// versionKey counts the runners of one version in a pool that have not ended.
type versionKey struct {
	pool       uint32
	version    uint32
	registered uint32 // they do not drain
	connected  uint32 // of those
	outdated   uint32 // they drain for a newer version
	leaving    uint32 // they shut down, or their request ends
	listing    uint32 // of the registered, those that list the names that they handle
}

// versionCounts is what one runner adds to the counts of its version.
func (r *Runner) versionCounts() versionKey {
	return versionKey{
		pool: r.pool, version: r.Version,
		registered: uint32(count(r.registered())), connected: uint32(count(r.registered() && r.Connected)), outdated: uint32(count(r.versionDrain())),
		leaving: uint32(count(r.leaving())), listing: uint32(count(r.registered() && r.Names != "")),
	}
}

// plus adds counts, or takes them away.
func (k versionKey) plus(o versionKey, by int) versionKey {
	n := uint32(by) // 1, or -1: unsigned numbers wrap around
	return versionKey{
		o.pool, o.version, k.registered + n*o.registered, k.connected + n*o.connected, k.outdated + n*o.outdated, k.leaving + n*o.leaving,
		k.listing + n*o.listing,
	}
}

func (k versionKey) empty() bool { return k.registered+k.connected+k.outdated+k.leaving == 0 }

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
	return s.newestVersion(p, func(k versionKey) bool { return k.registered > 0 })
}

// NewestConnected returns the highest version of the pool's runners that are connected, neither ended nor draining.
func (s *State) NewestConnected(p *Pool) (version uint32, ok bool) {
	return s.newestVersion(p, func(k versionKey) bool { return k.connected > 0 })
}

// NewestOutdated returns the highest version of the pool's runners that drain for a newer one.
func (s *State) NewestOutdated(p *Pool) (version uint32, ok bool) {
	return s.newestVersion(p, func(k versionKey) bool { return k.outdated > 0 })
}

// NewestLeaving returns the highest version of the pool's runners that shut down or whose request ends: others of it may come back.
func (s *State) NewestLeaving(p *Pool) (version uint32, ok bool) {
	return s.newestVersion(p, func(k versionKey) bool { return k.leaving > 0 })
}

func (s *State) newestVersion(p *Pool, counts func(versionKey) bool) (version uint32, ok bool) {
	for k := range s.versions.DownFrom(versionKey{pool: p.ordinal, version: ^uint32(0)}) {
		if k.pool != p.ordinal {
			break
		}
		if counts(k) {
			return k.version, true
		}
	}
	return 0, false
}

// OldestVersion returns the lowest version of the pool's runners that neither ended nor drain.
func (s *State) OldestVersion(p *Pool) (version uint32, ok bool) {
	for k := range s.versions.From(versionKey{pool: p.ordinal}) {
		if k.pool != p.ordinal {
			break
		}
		if k.registered > 0 {
			return k.version, true
		}
	}
	return 0, false
}

// poolRunnerKey lists the runners of a pool that have not ended, oldest version first.
type poolRunnerKey struct {
	pool    uint32
	version uint32
	number  uint32
}

func poolRunnerLess(a, b poolRunnerKey) bool {
	switch {
	case a.pool != b.pool:
		return a.pool < b.pool
	case a.version != b.version:
		return a.version < b.version
	}
	return a.number < b.number
}

// RegisteredBefore tells whether a runner of a version or a newer one had registered before another did, and is there still.
func (s *State) RegisteredBefore(r *Runner, version uint32) bool {
	for k := range s.poolRunners.From(poolRunnerKey{pool: r.pool, version: version}) {
		if k.pool != r.pool {
			break
		}
		if newer := s.runners.Get(k.number); newer.Seq < r.Seq && newer.registered() {
			return true
		}
	}
	return false
}

// PoolRunners yields the runners of a pool that have not ended, oldest version first.
func (s *State) PoolRunners(p *Pool) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.poolRunners.From(poolRunnerKey{pool: p.ordinal}) {
			if k.pool != p.ordinal || !yield(s.runnerAt(k.number)) {
				return
			}
		}
	}
}

// replaceRunner writes a runner's row and keeps everything that is derived from it: nil old adds, nil next removes.
func (tx *Tx) replaceRunner(old, next *Runner) {
	tx.hashRunner(old, next)
	tx.writeRunner(old, next)
}

// writeRunner is replaceRunner without the hash of the row. What stays the same is not touched: most changes are of the slots that are held.
func (tx *Tx) writeRunner(old, next *Runner) {
	row := next
	if row == nil {
		row = old
	}
	was, is := tx.runnerKeysOf(old), tx.runnerKeysOf(next)
	tx.runners.Set(row.Number, next)
	moveKey(tx.poolRunners, was.pool, is.pool)
	moveKey(tx.candidates, was.candidate, is.candidate)
	moveKey(tx.evictables, was.evictable, is.evictable)
	moveKey(tx.delays, was.delay, is.delay)
	moveKey(tx.heard, was.heard, is.heard)
	if was.evictable != is.evictable {
		tx.lookAgain(row.pool)
	}
	moveKey(tx.endedRunners, was.ended, is.ended)
	if by := count(is.ended.seq != 0) - count(was.ended.seq != 0); by != 0 {
		namespace := tx.pools.Get(row.pool).namespace
		tx.endedRunnerCount.Set(namespace, tx.endedRunnerCount.Get(namespace)+uint32(by))
	}
	moveKey(tx.drainWork, was.drainWork, is.drainWork)
	moveKey(tx.idleRunners, was.idle, is.idle)
	moveKey(tx.agenda, was.deadline, is.deadline)
	moveKey(tx.agenda, was.agenda, is.agenda)
	if was.version != is.version {
		tx.countVersion(was.version, -1)
		tx.countVersion(is.version, +1)
	}
	if was.counts != is.counts {
		tx.poolStats.Set(row.pool, tx.poolStats.Get(row.pool).plus(was.counts, -1).plus(is.counts, +1))
	}
	if was.counts.Listing+is.counts.Listing > 0 {
		tx.listHandlers(old, next)
	}
	tx.touchRunner(row.Number)
	tx.dirtyPool(row.pool)
}

// runnerKeys are the keys under which a row is found, and what it adds to counts; the zero value of a key: not there.
type runnerKeys struct {
	pool             poolRunnerKey
	candidate        candidateKey
	evictable        evictableKey
	ended            endedRunnerKey
	idle             idleRunnerKey
	delay            delayKey
	heard            heardKey
	drainWork        drainWorkKey
	deadline, agenda agendaKey
	version          versionKey
	counts           PoolStats
}

func (s *State) runnerKeysOf(r *Runner) (k runnerKeys) {
	if r == nil {
		return k
	}
	k.version, k.counts = r.versionCounts(), r.counts()
	if r.End == NotEnded && !s.silent(r) {
		k.heard = s.heardKey(r)
	} else {
		k.agenda = s.runnerAgenda(r)
	}
	if r.End == NotEnded {
		k.pool = poolRunnerKey{r.pool, r.Version, r.Number}
	} else {
		k.ended = s.endedRunnerKey(r)
	}
	if r.candidate() {
		k.candidate = s.candidateKey(r)
	}
	if r.evictable() {
		k.evictable, k.delay = s.evictableKey(r), r.delayKey()
	}
	if r.drainWork() {
		k.drainWork = s.drainWorkKey(r)
	}
	if r.idle() {
		k.idle = idleRunnerKey{r.pool, r.Seq, r.Number}
	}
	if r.drainDue() {
		k.deadline = r.drainAgenda()
	}
	return k
}

// counts are what one runner adds to the counts of its pool.
func (r *Runner) counts() PoolStats {
	var slots uint64
	if r.registered() && !r.Expiring {
		slots = uint64(r.Slots)
	}
	return PoolStats{
		Slots:       slots,
		Runners:     uint32(count(r.End == NotEnded)),
		Connected:   uint32(count(r.End == NotEnded && r.Connected)),
		Candidates:  uint32(count(r.candidate())),
		Draining:    uint32(count(r.End == NotEnded && r.Draining())),
		Out:         uint32(count(r.End == NotEnded && r.Drain.Cause == DrainOperator)),
		VersionOut:  uint32(count(r.versionDrain())),
		Unfinished:  uint32(count(r.unfinished())),
		Evictable:   uint32(count(r.evictable())) * r.left(),
		Forceful:    uint32(count(r.evictable() && r.Drain.Force)) * r.left(),
		LastResorts: uint32(count(r.candidate() && r.Draining())),
		Listing:     uint32(count(r.End == NotEnded && r.Names != "")),
	}
}

// runnerAgenda says when a runner that has ended or is silent falls due: its silence; after its end at once while actors are left to release; then its forgetting.
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

// drainAgenda says when a drain runs out of time.
func (r *Runner) drainAgenda() agendaKey {
	return agendaKey{atMs: r.drainDueMs(), kind: DueDrain, row: r.Number}
}

// countVersion adds what one runner adds to the counts of its version, or takes it away.
func (tx *Tx) countVersion(is versionKey, by int) {
	if is.empty() {
		return
	}
	was, _ := tx.versions.Get(is)
	if next := was.plus(is, by); next.empty() {
		tx.versions.Delete(next)
	} else {
		tx.versions.Put(next)
	}
}

// Candidates yields the runners of a pool that may be given an actor in the order of choice: newest version first, then as the pool's
// placement says; those that drain for a newer version behind all others. Among equals the seed says who is first.
func (s *State) Candidates(p *Pool, seed uint32) iter.Seq[*Runner] {
	if !s.ListsNames(p) {
		return s.candidatesOf(p, 0, seed)
	}
	return s.mergedCandidates(p, seed, func(*Runner) bool { return true })
}

// candidatesOf yields those of Candidates that list the same names.
func (s *State) candidatesOf(p *Pool, set uint64, seed uint32) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		from := candidateKey{pool: p.ordinal, set: set}
		for {
			head, ok := s.candidates.First(from)
			if !ok || head.pool != p.ordinal || head.set != set || head.silent {
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

// yieldEquals yields the candidates from one key to another, both included.
func (s *State) yieldEquals(from, to candidateKey, yield func(*Runner) bool) bool {
	for k := range s.candidates.From(from) {
		if candidateLess(to, k) {
			return true
		}
		if !yield(s.runnerAt(k.number)) {
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
	if !k.lastResort {
		k.lastResort = true
		return k
	}
	k.silent, k.lastResort = true, false // nobody is behind them who is asked for
	return k
}
