package fsm

import (
	"iter"
	"math"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// When a runner was heard last, and when it is lost.

// LastSeenMs returns the cluster clock of a runner's last committed heartbeat.
func (s *State) LastSeenMs(r *Runner) int64 { return s.seen.Get(r.Number) }

// SilentMs returns how long a runner has been silent on the cluster clock.
func (s *State) SilentMs(r *Runner) int64 { return s.clockMs - s.seen.Get(r.Number) }

// silent tells whether a runner has been silent for too long to be given actors.
func (s *State) silent(r *Runner) bool { return s.SilentMs(r) >= s.EligibleThresholdMs(r) }

// heardKey orders the runners that are not silent by when they will be if nothing is heard of them.
type heardKey struct {
	atMs   int64
	number uint32
}

func heardLess(a, b heardKey) bool {
	if a.atMs != b.atMs {
		return a.atMs < b.atMs
	}
	return a.number < b.number
}

func (s *State) heardKey(r *Runner) heardKey {
	return heardKey{s.seen.Get(r.Number) + s.EligibleThresholdMs(r), r.Number}
}

// EligibleThresholdMs returns how long a runner may be silent and still get actors.
func (s *State) EligibleThresholdMs(r *Runner) int64 {
	two3 := r.ThresholdMs * 2 / 3
	if set := s.Setting(RunnerEligibleThreshold); set > 0 {
		return min(set, two3)
	}
	return two3
}

// runnersSeen refuses nothing: a number whose runner has ended meanwhile is passed over, as a heartbeat of the dead should be.
func (tx *Tx) runnersSeen(op *logv1.RunnersSeen) Result {
	var number uint32
	for _, delta := range op.GetNumberDeltas() {
		number += delta
		if r := tx.runners.Get(number); r != nil && r.End == NotEnded {
			tx.seenAt(r, tx.clockMs)
			tx.touchRunner(number)
		}
	}
	tx.seenMs = tx.clockMs
	return Result{}
}

// seenAt stamps a heartbeat and moves the runner's place on the agenda.
func (tx *Tx) seenAt(r *Runner, clockMs int64) {
	was := tx.seen.Get(r.Number)
	if was == clockMs {
		return
	}
	if clockMs-was >= tx.EligibleThresholdMs(r) && r.FreeSlots() > 0 {
		tx.dirtyPool(r.pool) // it may be given actors again
	}
	if r.VerdictMs != 0 { // what the brake gave was for the silence that ends here
		next := *r
		next.VerdictMs = 0
		tx.replaceRunner(r, &next)
		r = &next
	}
	if !tx.silent(r) && tx.EligibleThresholdMs(r) > 0 {
		old := tx.heardKey(r)
		tx.setSeen(r.Number, clockMs)
		moveKey(tx.heard, old, tx.heardKey(r))
		return
	}
	tx.rekeyRunner(r, func() { tx.setSeen(r.Number, clockMs) })
}

// rekeyRunner moves a runner in the indexes that something else than its row has a part in, while that changes.
func (tx *Tx) rekeyRunner(r *Runner, change func()) { tx.rekeyRunners([]*Runner{r}, change) }

func (tx *Tx) rekeyRunners(runners []*Runner, change func()) {
	was := make([]runnerKeys, len(runners))
	for i, r := range runners {
		was[i] = tx.runnerKeysOf(r)
	}
	change()
	for i, r := range runners {
		is := tx.runnerKeysOf(r)
		moveKey(tx.candidates, was[i].candidate, is.candidate)
		moveKey(tx.evictables, was[i].evictable, is.evictable)
		moveKey(tx.heard, was[i].heard, is.heard)
		moveKey(tx.agenda, was[i].agenda, is.agenda)
		moveKey(tx.drainWork, was[i].drainWork, is.drainWork)
	}
}

// setSeen writes the cluster clock of a runner's last heartbeat.
func (tx *Tx) setSeen(number uint32, clockMs int64) {
	tx.rehash(seenHash(number, tx.seen.Get(number)), seenHash(number, clockMs))
	tx.seen.Set(number, clockMs)
}

func (tx *Tx) markLost(op *logv1.MarkLost) Result {
	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	if tx.seen.Get(r.Number) != op.GetLastSeenMs() || tx.clockMs < r.lostMs(op.GetLastSeenMs()) {
		return refuse(CodeStale)
	}
	tx.endRunner(r, EndLost)
	return Result{}
}

// lostMs is the cluster clock at which a runner is lost that was heard last at the given one.
func (r *Runner) lostMs(seenMs int64) int64 { return max(seenMs+r.ThresholdMs, r.VerdictMs) }

// VerdictHeld tells whether this silence of a runner has been given more time already.
func (s *State) VerdictHeld(r *Runner) bool { return r.VerdictMs > s.LastSeenMs(r)+r.ThresholdMs }

// SilentUntil yields the silent runners that will be lost by a cluster clock if nothing is heard of them, the longest silent first.
func (s *State) SilentUntil(clockMs int64) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for key := range s.agenda.From(agendaKey{atMs: math.MinInt64}) {
			if key.atMs > clockMs {
				return
			}
			if key.kind != DueLost {
				continue
			}
			if r := s.runners.Get(key.row); r.End == NotEnded && !yield(r) {
				return
			}
		}
	}
}

func (tx *Tx) holdVerdict(op *logv1.HoldVerdict) Result {
	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	if tx.VerdictHeld(r) || op.GetUntilMs() <= tx.seen.Get(r.Number)+r.ThresholdMs {
		return refuse(CodeIllegal)
	}
	next := *r
	next.VerdictMs = op.GetUntilMs()
	tx.replaceRunner(r, &next)
	return Result{}
}

func (tx *Tx) setRunnerThreshold(op *logv1.SetRunnerThreshold) Result {
	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	if op.GetThresholdMs() < 1 {
		return refuse(CodeMalformed)
	}
	next := *r
	next.ThresholdMs = int64(op.GetThresholdMs())
	tx.replaceRunner(r, &next)
	return Result{}
}
