package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// brakeFrom is how many runners must fall silent together for the brake; it also takes more than a third of their pool.
const brakeFrom = 3

// brake gives a pool more time, once in a silence, when many of its runners are due to be lost at the same time: then it is more
// likely that something between them and the cluster broke than that they all died. Their verdicts wait one more heartbeat interval.
func (s *step) brake(due []fsm.Due) {
	s.held = map[uint32]bool{}
	looked := map[fsm.PoolID]bool{}
	for _, d := range due {
		if d.Kind != fsm.DueLost || d.Runner.End != fsm.NotEnded || looked[d.Runner.Pool] || s.tx.VerdictHeld(d.Runner) {
			continue
		}
		looked[d.Runner.Pool] = true
		s.brakePool(s.tx.RunnerPool(d.Runner), d.Runner.ThresholdMs/heartbeatsPerThreshold)
	}
}

// heartbeatsPerThreshold is how many heartbeats a runner sends within its lost threshold.
const heartbeatsPerThreshold = 5

func (s *step) brakePool(p *fsm.Pool, intervalMs int64) {
	var silent []*fsm.Runner
	for r := range s.tx.SilentUntil(s.tx.ClockMs() + intervalMs) {
		if r.Pool == p.ID && !s.tx.VerdictHeld(r) {
			silent = append(silent, r)
		}
	}
	if len(silent) < brakeFrom || 3*len(silent) <= int(s.tx.PoolStats(p).Runners) {
		return
	}
	for _, r := range silent {
		until := s.tx.LastSeenMs(r) + r.ThresholdMs + intervalMs
		if until <= s.tx.ClockMs() {
			continue // it has had its time: nobody decided anything for so long
		}
		code := s.do(&logv1.Op{Op: &logv1.Op_HoldVerdict{HoldVerdict: &logv1.HoldVerdict{RunnerId: r.ID[:], SessionId: r.Session[:], UntilMs: until}}})
		if code == fsm.CodeOK {
			s.held[r.Number] = true
		}
	}
}
