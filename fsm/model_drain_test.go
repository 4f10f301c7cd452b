package fsm

import (
	"cmp"
	"math/big"
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The naive model of drains, rollouts and the pace of evictions. The bucket is filled whenever the clock moves, in whole numbers that
// cannot overflow; everything that the state counts is counted anew by looking at every actor.

type modelDrain struct {
	cause                             uint32
	startMs, deadlineMs               int64
	reason                            string
	force, overdue, standby, finished bool
	held                              bool
	total                             uint32
}

type modelRollout struct {
	id, version      int
	state, endReason string
	paused           bool
	pauseReason      string
	startMs, endMs   int64
	moved            int
	lost, left       int
	waitMs           int64
}

type modelBucket struct {
	nanos    *big.Int
	emptying string // runner
	from     int64
	turns    uint32
	rate     uint64 // of the window
}

func (r *modelRunner) inPool() string { return r.namespace + "/" + r.pool }

func (a *modelActor) inPool() string { return a.namespace + "/" + a.pool }

func (d *modelDrain) plannedCause() bool { return d.cause == 1 || d.cause == 2 || d.cause == 6 }

func (d *modelDrain) finishes() bool { return d.plannedCause() || d.cause == 7 }

// planned tells whether its actors are moved at the pool's pace, forced whether they are moved whatever the pace.
func (r *modelRunner) planned() bool { return r.drain.plannedCause() && !r.drain.overdue }

func (r *modelRunner) forced() bool { return r.drain.cause != 0 && !r.planned() }

// left counts its actors that have not been told to stop.
func (m *model) left(id string) int {
	slots, stopping := m.held(id)
	return slots - stopping
}

func (m *model) evictable(id string) bool {
	r := m.runners[id]
	return r.end == "" && r.connected && r.planned() && m.left(id) > 0
}

func (m *model) unfinished(r *modelRunner) bool {
	return r.end == "" && r.drain.cause == 1 && !r.drain.finished && !r.drain.standby
}

func (m *model) drainWork(id string) bool {
	r := m.runners[id]
	if r.end != "" || r.drain.cause == 0 {
		return false
	}
	if slots, _ := m.held(id); slots == 0 {
		return r.drain.cause == 4 || r.drain.finishes() && !r.drain.finished && !r.drain.standby
	}
	return r.forced() && m.left(id) > 0
}

// drainWorkMs is when it is to be done: at once, or at the turn of the next forced move.
func (m *model) drainWorkMs(id string) int64 {
	r := m.runners[id]
	if slots, _ := m.held(id); slots == 0 || r.moves.Total == 0 {
		return 0
	}
	return r.moves.FromMs + m.movesOf(m.pools[r.inPool()], r)(int64(r.moves.Done))
}

func (m *model) drainDue(id string) bool {
	r := m.runners[id]
	if r.end != "" || r.drain.deadlineMs == 0 {
		return false
	}
	return r.drain.cause == uint32(DrainShutdown) || r.drain.cause == uint32(DrainOperator) && !r.drain.overdue && m.left(id) > 0
}

// evictables lists the runners of a pool in the order in which they are emptied.
func (m *model) evictables(pool string) []string {
	var ids []string
	for id, r := range m.runners {
		if r.inPool() == pool && m.evictable(id) {
			ids = append(ids, id)
		}
	}
	emptying := m.pools[pool].bucket.emptying
	slices.SortFunc(ids, func(a, b string) int {
		ra, rb := m.runners[a], m.runners[b]
		switch {
		case a == emptying:
			return -1
		case b == emptying:
			return 1
		case m.delayed(a) != m.delayed(b):
			return count(m.delayed(a)) - count(m.delayed(b))
		case (ra.drain.deadlineMs == 0) != (rb.drain.deadlineMs == 0):
			return cmp.Compare(rb.drain.deadlineMs, ra.drain.deadlineMs)
		}
		return cmp.Or(cmp.Compare(ra.drain.deadlineMs, rb.drain.deadlineMs), cmp.Compare(ra.version, rb.version), m.left(a)-m.left(b), ra.number-rb.number)
	})
	return ids
}

// delayed tells whether the eviction delay of a runner is not over.
func (m *model) delayed(id string) bool {
	r := m.runners[id]
	return r.drain.startMs+m.pools[r.inPool()].delayMs > m.clockMs
}

// named lists the actors of a pool that have a turn, in the order of their turns.
func (m *model) named(pool string) []string {
	var ids []string
	for id, a := range m.actors {
		if a.inPool() == pool && a.evictMs != 0 && a.phase != "stopping" {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.actors[a].evictMs, m.actors[b].evictMs), m.actors[a].seq-m.actors[b].seq)
	})
	return ids
}

// unreceived counts planned evictions of a pool, or of one of its runners, without a receipt, and tells when the first was decided.
func (m *model) unreceived(pool, runner string) (n int, sinceMs int64) {
	for _, a := range m.actors {
		if a.unreceived && a.inPool() == pool && (runner == "" || a.runner == runner) {
			if n++; n == 1 || a.evictMs < sinceMs {
				sinceMs = a.evictMs
			}
		}
	}
	return n, sinceMs
}

const modelToken = 1_000_000_000

// fill lets time pass in every bucket.
func (m *model) fill(ms int64) {
	for _, p := range m.pools {
		grown := new(big.Int).Mul(big.NewInt(ms), new(big.Int).SetUint64(p.rate))
		p.bucket.nanos.Add(p.bucket.nanos, grown)
		p.clamp()
	}
}

// clamp keeps what is saved up below a token and a tenth of a second of the rate, and what is owed above ten seconds of it.
func (p *modelPool) clamp() {
	full := big.NewInt(modelToken + int64(p.rate)*100)
	debt := big.NewInt(-int64(p.rate) * 10_000)
	if p.bucket.nanos.Cmp(full) > 0 {
		p.bucket.nanos = full
	}
	if p.bucket.nanos.Cmp(debt) < 0 {
		p.bucket.nanos = debt
	}
}

func (p *modelPool) take() {
	p.bucket.nanos.Sub(p.bucket.nanos, big.NewInt(modelToken))
	p.clamp()
}

// configure sets what a config says of the pace.
func (p *modelPool) configure(config *logv1.PoolConfig) {
	p.rate, p.delayMs, p.periodMs = 1_000_000, int64(config.GetEvictionDelayS())*1000, int64(config.GetEvictionPeriodS())*1000
	if config != nil && config.EvictionRateMicrosPerS != nil {
		p.rate = min(max(config.GetEvictionRateMicrosPerS(), 1), 100_000_000_000)
	}
	if p.bucket.nanos == nil {
		p.bucket.nanos = big.NewInt(modelToken + int64(p.rate)*100)
	}
	p.clamp()
}

func (p *modelPool) open() *modelRollout {
	if last := p.last(); last != nil && last.state == "open" {
		return last
	}
	return nil
}

func (p *modelPool) last() *modelRollout {
	if len(p.rollouts) == 0 {
		return nil
	}
	return p.rollouts[len(p.rollouts)-1]
}

func (p *modelPool) rollout(id int) *modelRollout {
	for _, r := range p.rollouts {
		if r.id == id {
			return r
		}
	}
	return nil
}

// moving counts the actors that a rollout has evicted and that still stop.
func (m *model) moving(id int) (n int) {
	for _, a := range m.actors {
		if a.byRollout && a.movedIn == id {
			n++
		}
	}
	return n
}

type ofPool interface {
	GetNamespaceId() []byte
	GetPool() string
}

func (m *model) poolNamed(op ofPool) *modelPool {
	return m.pools[textOf(padded(op.GetNamespaceId()))+"/"+op.GetPool()]
}

func (m *model) doDrain(op *logv1.Op) (legal, known bool) {
	switch o := op.GetOp().(type) {
	case *logv1.Op_StartDrain:
		return m.startDrain(o.StartDrain), true
	case *logv1.Op_CancelDrain:
		_, r := m.live(o.CancelDrain.GetRunnerId(), nil)
		if r == nil || !r.drain.plannedCause() {
			return false, true
		}
		r.drain, r.moves = modelDrain{}, Moves{}
		return true, true
	case *logv1.Op_FinishDrain:
		id, r := m.live(o.FinishDrain.GetRunnerId(), nil)
		if r == nil || !r.drain.finishes() || r.drain.finished || r.drain.standby {
			return false, true
		}
		if slots, _ := m.held(id); slots > 0 {
			return false, true
		}
		r.drain.finished = true
		return true, true
	case *logv1.Op_EvictActor:
		return m.evict(o.EvictActor), true
	case *logv1.Op_PlanEvictions:
		return m.plan(o.PlanEvictions), true
	case *logv1.Op_EvictionsReceived:
		for _, ref := range o.EvictionsReceived.GetRefs() {
			if a := m.actors[textOf(padded(ref.GetActorId()))]; a != nil && a.generation == ref.GetGeneration() {
				a.unreceived = false
			}
		}
		return true, true
	}
	if legal, known := m.doKept(op); known {
		return legal, true
	}
	return m.doRollout(op)
}

// doKept does what outlives a runner: drains under its key, and versions that are held back.
func (m *model) doKept(op *logv1.Op) (legal, known bool) {
	switch o := op.GetOp().(type) {
	case *logv1.Op_HoldVersion:
		p := m.poolNamed(o.HoldVersion)
		if p == nil || len(p.held) >= MaxHeldVersions {
			return false, true
		}
		if _, held := p.held[o.HoldVersion.GetVersion()]; held {
			return false, true
		}
		p.held[o.HoldVersion.GetVersion()] = o.HoldVersion.GetReason()
		return true, true
	case *logv1.Op_ReleaseVersion:
		p := m.poolNamed(o.ReleaseVersion)
		if p == nil {
			return false, true
		}
		_, held := p.held[o.ReleaseVersion.GetVersion()]
		delete(p.held, o.ReleaseVersion.GetVersion())
		return held, true
	case *logv1.Op_AwaitVersion:
		p, until := m.poolNamed(o.AwaitVersion), o.AwaitVersion.GetUntilMs()
		if p == nil || until != 0 && (o.AwaitVersion.GetVersion() == 0 || until <= m.clockMs) {
			return false, true
		}
		p.await = Await{o.AwaitVersion.GetVersion(), until}
		return true, true
	case *logv1.Op_RememberDrain:
		p, d := m.poolNamed(o.RememberDrain), o.RememberDrain
		if p == nil || d.GetKey() == "" {
			return false, true
		}
		m.drainSeq++
		p.kept[d.GetKey()] = &modelKept{
			m.drainSeq, textOf(padded(d.GetInstanceId())), d.GetReason(), d.GetVersion(), d.GetDeadlineMs(), m.clockMs, d.GetForce(), d.GetKeep(), d.GetFinished(),
		}
		return true, true
	case *logv1.Op_ForgetDrain:
		p := m.poolNamed(o.ForgetDrain)
		if p == nil || p.kept[o.ForgetDrain.GetKey()] == nil {
			return false, true
		}
		delete(p.kept, o.ForgetDrain.GetKey())
		return true, true
	}
	return false, false
}

func (m *model) startDrain(op *logv1.StartDrain) bool {
	id, r := m.live(op.GetRunnerId(), nil)
	cause := op.GetCause()
	if r == nil || cause < 1 || cause > 7 || cause == 5 || op.GetStandby() && cause != 1 || op.GetHeld() && cause != 2 || drainWeights[cause] < drainWeights[r.drain.cause] {
		return false
	}
	slots, _ := m.held(id)
	was := r.drain
	r.drain = modelDrain{
		cause: cause, startMs: m.clockMs, deadlineMs: op.GetDeadlineMs(), reason: op.GetReason(), force: op.GetForce(),
		held: op.GetHeld(), overdue: cause == 2 && op.GetDeadlineMs() != 0 && op.GetDeadlineMs() <= m.clockMs, standby: op.GetStandby() && slots == 0, total: uint32(slots),
	}
	if was.cause != 0 {
		r.drain.startMs, r.drain.total = was.startMs, was.total
	}
	if !r.forced() {
		r.moves = Moves{}
	}
	return true
}

func (m *model) doRollout(op *logv1.Op) (legal, known bool) {
	switch o := op.GetOp().(type) {
	case *logv1.Op_OpenRollout:
		p, version := m.poolNamed(o.OpenRollout), int(o.OpenRollout.GetVersion())
		if p == nil || p.last() != nil && p.last().waitMs != 0 || p.open() != nil && p.open().version >= version {
			return false, true
		}
		m.rolloutSeq++
		next := &modelRollout{id: m.rolloutSeq, version: version, state: "open", startMs: m.clockMs}
		if open := p.open(); open != nil {
			next.paused, next.pauseReason = open.paused, open.pauseReason
			m.close(p, "superseded", "a newer version has come")
		}
		p.rollouts = append(p.rollouts, next)
		return true, true
	case *logv1.Op_CloseRollout:
		p, state := m.poolNamed(o.CloseRollout), o.CloseRollout.GetState()
		if p == nil || p.open() == nil || state != 2 && state != 3 {
			return false, true
		}
		for _, r := range m.runners {
			if state == 2 && m.pools[r.inPool()] == p && m.unfinished(r) {
				return false, true
			}
		}
		m.close(p, []string{"", "", "done", "called_off"}[state], o.CloseRollout.GetReason())
		return true, true
	case *logv1.Op_PauseRollout:
		p, paused, reason := m.poolNamed(o.PauseRollout), o.PauseRollout.GetPaused(), o.PauseRollout.GetReason()
		if !paused {
			reason = ""
		}
		if p == nil || p.open() == nil || p.open().paused == paused && p.open().pauseReason == reason {
			return false, true
		}
		p.open().paused, p.open().pauseReason = paused, reason
		return true, true
	case *logv1.Op_EndRolloutWait:
		p := m.poolNamed(o.EndRolloutWait)
		if p == nil || p.last() == nil || p.last().waitMs == 0 || p.last().waitMs > m.clockMs {
			return false, true
		}
		p.last().waitMs = 0
		return true, true
	case *logv1.Op_ForgetRollout:
		p, id := m.poolNamed(o.ForgetRollout), int(o.ForgetRollout.GetId())
		if p == nil || p.rollout(id) == nil || p.rollout(id).state == "open" {
			return false, true
		}
		p.rollouts = slices.DeleteFunc(p.rollouts, func(r *modelRollout) bool { return r.id == id })
		return true, true
	}
	return false, false
}

func (m *model) close(p *modelPool, state, reason string) {
	r := p.open()
	r.state, r.endReason, r.endMs, r.paused, r.pauseReason = state, reason, m.clockMs, false, ""
	if state != "called_off" {
		return
	}
	wait := int64(30_000)
	for _, other := range p.rollouts { // this one too
		if other.state == "called_off" && other.endMs > m.clockMs-600_000 {
			wait = min(2*wait, 30_000<<8)
		}
	}
	r.waitMs = m.clockMs + wait
}

func (m *model) plan(op *logv1.PlanEvictions) bool {
	p := m.poolNamed(op)
	if p == nil || op.GetWindowTurns() > 10_000 || len(op.GetEvictions()) > 20_000 {
		return false
	}
	seen := map[*modelActor]bool{}
	for _, e := range op.GetEvictions() {
		_, a := m.find(nil, e.GetRef(), "starting", "running")
		if a == nil || seen[a] || m.pools[a.inPool()] != p || e.GetAtMs() < 0 || e.GetAtMs() != 0 && !m.runners[a.runner].planned() {
			return false
		}
		seen[a] = true
	}
	for a := range seen {
		for _, e := range op.GetEvictions() {
			if m.actors[textOf(padded(e.GetRef().GetActorId()))] == a {
				a.evictMs = e.GetAtMs()
			}
		}
	}
	p.bucket.from, p.bucket.turns, p.bucket.rate = op.GetWindowFromMs(), op.GetWindowTurns(), p.rate
	if op.GetWindowTurns() == 0 {
		p.bucket.from, p.bucket.rate = 0, 0
	}
	return true
}

func (m *model) evict(op *logv1.EvictActor) bool {
	_, a := m.find(nil, op.GetRef(), "starting", "running")
	if a == nil || op.GetStopDeadlineMs() <= m.clockMs {
		return false
	}
	r, p := m.runners[a.runner], m.pools[a.inPool()]
	if op.GetForced() {
		if r.end != "" || !r.forced() {
			return false
		}
		p.take()
		m.countMove(a.runner)
		a.reason, a.evictMs = map[uint32]uint32{3: uint32(StopShutdown), 4: uint32(StopReplaced)}[r.drain.cause], 0
		if a.reason == 0 {
			a.reason = uint32(StopEvict)
		}
	} else {
		if !m.mayEvict(p, r, a) || !m.promise(op.GetPromisedRunnerId(), a) {
			return false
		}
		p.take()
		p.bucket.emptying, a.reason, a.evictMs, a.unreceived = a.runner, uint32(StopEvict), max(m.clockMs, 1), true
		if r.drain.cause == 1 {
			a.byRollout, a.movedIn, a.floor = true, p.open().id, max(a.floor, uint32(p.open().version))
		}
	}
	a.phase, a.limitMs = "stopping", op.GetStopDeadlineMs()-m.clockMs
	a.dueMs = op.GetStopDeadlineMs() + r.thresholdMs + a.limitMs/10
	return true
}

func (m *model) mayEvict(p *modelPool, r *modelRunner, a *modelActor) bool {
	missing, _ := m.unreceived(a.inPool(), "")
	if r.end != "" || !r.connected || !r.planned() || m.clockMs < r.drain.startMs+p.delayMs || p.bucket.nanos.Cmp(big.NewInt(modelToken)) < 0 ||
		uint64(missing)*1_000_000 >= p.rate {
		return false
	}
	open := p.open()
	return r.drain.cause != 1 || open != nil && !open.paused && open.version > int(r.version) && a.movedIn != open.id
}

func (m *model) promise(id []byte, a *modelActor) bool {
	from := m.runners[a.runner]
	if len(id) == 0 {
		return from.drain.force
	}
	name, to := m.live(id, nil)
	if to == nil || to == from || to.inPool() != from.inPool() || !to.placeable() || m.free(name) == 0 {
		return false
	}
	a.promise = name
	return true
}

// countMove counts a forced move of a runner.
func (m *model) countMove(id string) {
	r := m.runners[id]
	if r.moves.Total == 0 {
		total := m.left(id)
		if r.end != "" {
			total, _ = m.held(id)
		}
		r.moves = Moves{FromMs: m.clockMs, Total: uint32(max(total, 1))}
	}
	r.moves.Done++
}

// countLeft counts the end of a life for the rollout that evicted it, or that its runner drains for.
func (m *model) countLeft(a *modelActor, lost bool) {
	r, p := m.runners[a.runner], m.pools[a.inPool()]
	if a.byRollout {
		if of := p.rollout(a.movedIn); of != nil {
			of.moved += count(!lost)
			of.lost += count(lost)
		}
		return
	}
	if open := p.open(); open != nil && r.drain.cause == 1 && int(r.version) < open.version {
		open.left += count(!lost)
		open.lost += count(lost)
	}
}
