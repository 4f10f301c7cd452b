package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// RolloutState says what became of a rollout, numbered as callboard.v1.RolloutState.
type RolloutState uint8

// The states.
const (
	RolloutOpen       RolloutState = 1
	RolloutDone       RolloutState = 2
	RolloutCalledOff  RolloutState = 3
	RolloutSuperseded RolloutState = 4
)

var rolloutStateNames = [...]string{"none", "open", "done", "called_off", "superseded"}

func (s RolloutState) String() string {
	if int(s) < len(rolloutStateNames) {
		return rolloutStateNames[s]
	}
	return "invalid"
}

// Rollout is all the drains that one newer version in a pool has caused. A row is never changed: it is replaced.
type Rollout struct {
	ID             uint64
	Version        uint32
	State          RolloutState
	EndReason      string
	Paused         bool
	PauseReason    string
	StartMs, EndMs int64 // cluster clock; EndMs 0: not yet
	StartWall      int64
	EndWall        int64
	Moved          uint32 // evicted, and their stop is confirmed
	Moving         uint32 // evicted, and still stopping
	Lost           uint32 // lost with an older runner
	Left           uint32 // left an older runner of their own accord
	WaitMs         int64  // cluster clock until which the next one of the pool waits; 0: it need not

	pool uint32
}

// rolloutKey holds its row. Of each pool at most the last rollout is open.
type rolloutKey struct {
	pool uint32
	id   uint64
	row  *Rollout
}

func rolloutLess(a, b rolloutKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.id < b.id
}

// Rollouts yields the rollouts of a pool, newest first, beginning below an id; 0: from the newest.
func (s *State) Rollouts(p *Pool, before uint64) iter.Seq[*Rollout] {
	return func(yield func(*Rollout) bool) {
		for k := range s.rollouts.DownFrom(rolloutKey{pool: p.ordinal, id: before - 1}) { // 0 - 1: the greatest
			if k.pool != p.ordinal || !yield(k.row) {
				return
			}
		}
	}
}

// OpenRollout returns the open rollout of a pool; nil: there is none.
func (s *State) OpenRollout(p *Pool) *Rollout {
	if r := s.lastRollout(p); r != nil && r.State == RolloutOpen {
		return r
	}
	return nil
}

func (s *State) lastRollout(p *Pool) *Rollout {
	for r := range s.Rollouts(p, 0) {
		return r
	}
	return nil
}

// RolloutPool returns the pool of a rollout.
func (s *State) RolloutPool(r *Rollout) *Pool { return s.pools.Get(r.pool) }

// rollout finds a rollout of a pool by id; nil: it is forgotten.
func (s *State) rollout(pool uint32, id uint64) *Rollout {
	k, _ := s.rollouts.Get(rolloutKey{pool: pool, id: id})
	return k.row
}

// After a rollout was called off the next one of its pool waits, longer when it happens again and again: a version that comes and goes
// must not move actors each time.
const (
	callOffWaitMs   = 30_000
	callOffWindowMs = 10 * minuteMs
	maxCallOffs     = 8 // more do not fit into the window, given the waits between them
)

// RolloutWaitMs returns the cluster clock until which the next rollout of a pool waits, because the last one was called off; 0: it need
// not wait.
func (s *State) RolloutWaitMs(p *Pool) int64 {
	if last := s.lastRollout(p); last != nil {
		return last.WaitMs
	}
	return 0
}

// callOffs returns how many rollouts of a pool were called off within ten minutes before the state's clock.
func (s *State) callOffs(p *Pool) int {
	n := 0
	for r := range s.Rollouts(p, 0) { // in the order of their ends, too
		if r.State == RolloutOpen {
			continue
		}
		if r.EndMs <= s.clockMs-callOffWindowMs || n == maxCallOffs {
			break
		}
		n += count(r.State == RolloutCalledOff)
	}
	return n
}

func (tx *Tx) openRollout(op *logv1.OpenRollout) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	open := tx.OpenRollout(p)
	if open != nil && open.Version >= op.GetVersion() {
		return refuse(CodeExists)
	}
	if tx.RolloutWaitMs(p) != 0 {
		return refuse(CodeIllegal)
	}
	tx.rolloutSeq++
	next := &Rollout{ID: tx.rolloutSeq, Version: op.GetVersion(), State: RolloutOpen, StartMs: tx.clockMs, StartWall: tx.wallMs, pool: p.ordinal}
	if open != nil {
		next.Paused, next.PauseReason = open.Paused, open.PauseReason // somebody wanted the pool to be left alone
		tx.closeAs(open, RolloutSuperseded, "a newer version has come")
	}
	tx.replaceRollout(nil, next)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) closeRollout(op *logv1.CloseRollout) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	state := RolloutState(op.GetState())
	if op.GetState() != uint32(RolloutDone) && op.GetState() != uint32(RolloutCalledOff) {
		return refuse(CodeMalformed)
	}
	open := tx.OpenRollout(p)
	if open == nil {
		return refuse(CodeNotFound)
	}
	if state == RolloutDone && tx.PoolStats(p).Unfinished > 0 {
		return refuse(CodeIllegal)
	}
	tx.closeAs(open, state, op.GetReason())
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) closeAs(r *Rollout, state RolloutState, reason string) {
	next := *r
	next.State, next.EndReason, next.EndMs, next.EndWall, next.Paused, next.PauseReason = state, reason, tx.clockMs, tx.wallMs, false, ""
	if state == RolloutCalledOff {
		next.WaitMs = tx.clockMs + callOffWaitMs<<min(tx.callOffs(tx.pools.Get(r.pool))+1, maxCallOffs)
	}
	tx.replaceRollout(r, &next)
}

func (tx *Tx) endRolloutWait(op *logv1.EndRolloutWait) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	last := tx.lastRollout(p)
	if last == nil || last.WaitMs == 0 || last.WaitMs > tx.clockMs {
		return refuse(CodeIllegal)
	}
	next := *last
	next.WaitMs = 0
	tx.replaceRollout(last, &next)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) pauseRollout(op *logv1.PauseRollout) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	open := tx.OpenRollout(p)
	if open == nil {
		return refuse(CodeNotFound)
	}
	reason := op.GetReason()
	if !op.GetPaused() {
		reason = "" // it says why a rollout is paused, not why it goes on
	}
	if open.Paused == op.GetPaused() && open.PauseReason == reason {
		return refuse(CodeIllegal)
	}
	next := *open
	next.Paused, next.PauseReason = op.GetPaused(), reason
	tx.replaceRollout(open, &next)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) forgetRollout(op *logv1.ForgetRollout) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	r := tx.rollout(p.ordinal, op.GetId())
	if r == nil {
		return refuse(CodeNotFound)
	}
	if r.State == RolloutOpen {
		return refuse(CodeIllegal)
	}
	tx.replaceRollout(r, nil)
	return Result{}
}

// replaceRollout writes a row and what is derived from it: nil old adds, nil next removes.
func (tx *Tx) replaceRollout(old, next *Rollout) {
	row := next
	if row == nil {
		row = old
	}
	seed := tx.poolSeed(row.pool)
	tx.rehash(old.hash(seed), next.hash(seed))
	if old != nil {
		tx.rollouts.Delete(rolloutKey{pool: old.pool, id: old.ID})
		tx.indexEnded(old, -1)
	}
	if next != nil {
		tx.rollouts.Put(rolloutKey{pool: next.pool, id: next.ID, row: next})
		tx.indexEnded(next, +1)
	}
	tx.touchedRolls = append(tx.touchedRolls, rolloutKey{pool: row.pool, id: row.ID})
	tx.settleDeleted(row.pool)
}

// indexEnded puts what follows from the end of a rollout, or takes it away; an open one has nothing of that.
func (tx *Tx) indexEnded(r *Rollout, by int) {
	if r.State == RolloutOpen {
		return
	}
	change := func(k agendaKey) { tx.agenda.Put(k) }
	if by < 0 {
		change = func(k agendaKey) { tx.agenda.Delete(k) }
	}
	change(r.agendaKey())
	if r.WaitMs != 0 {
		change(r.waitKey())
	}
	tx.countEndedRollout(r, by)
}

// agendaKey says when an ended rollout is forgotten.
func (r *Rollout) agendaKey() agendaKey {
	return agendaKey{atMs: r.EndMs + endedKeptMs, kind: DueForgetRollout, seq: r.ID, row: r.pool}
}

// waitKey says when the next rollout of its pool may begin.
func (r *Rollout) waitKey() agendaKey {
	return agendaKey{atMs: r.WaitMs, kind: DueRolloutWait, seq: r.ID, row: r.pool}
}

// endedRolloutKey lists the ended rollouts of a namespace, oldest first.
type endedRolloutKey struct {
	namespace uint32
	id        uint64
	pool      uint32
}

func endedRolloutLess(a, b endedRolloutKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	return a.id < b.id
}

func (s *State) endedRolloutKey(r *Rollout) endedRolloutKey {
	return endedRolloutKey{namespace: s.pools.Get(r.pool).namespace, id: r.ID, pool: r.pool}
}

func (tx *Tx) countEndedRollout(r *Rollout, by int) {
	k := tx.endedRolloutKey(r)
	if by > 0 {
		tx.endedRollouts.Put(k)
	} else {
		tx.endedRollouts.Delete(k)
	}
	tx.endedRolloutCount.Set(k.namespace, tx.endedRolloutCount.Get(k.namespace)+uint32(by))
}

// ExcessRollout returns the oldest ended rollout of a pool's namespace if there are more than are remembered; nil: there are not.
func (s *State) ExcessRollout(p *Pool) *Rollout {
	if s.endedRolloutCount.Get(p.namespace) <= MaxEnded {
		return nil
	}
	k, _ := s.endedRollouts.First(endedRolloutKey{namespace: p.namespace})
	return s.rollout(k.pool, k.id)
}

// poolOf finds a pool by what an op says of it.
func (tx *Tx) poolOf(namespace []byte, name string) (*Pool, Result) {
	id, ok := idFrom(namespace)
	if !ok {
		return nil, refuse(CodeMalformed)
	}
	p := tx.Pool(PoolID{NamespaceID(id), name})
	if p == nil {
		return nil, refuse(CodeNotFound)
	}
	return p, Result{}
}
