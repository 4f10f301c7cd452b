package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// brakeFrom is how many runners must fall silent together for the brake; it also takes more than a third of their pool.
const brakeFrom = 3

// heartbeatsPerThreshold is how many heartbeats a runner sends within its lost threshold.
const heartbeatsPerThreshold = 5

// crowd is the runners of one pool that are due to be lost now or within one heartbeat interval.
type crowd struct {
	pool       fsm.PoolID
	intervalMs int64
	silent     []*fsm.Runner
}

// brake gives a pool more time, once in a silence, when many of its runners are due to be lost at the same time: then it is more
// likely that something between them and the cluster broke than that they all died. Their verdicts wait one more heartbeat interval.
func (s *step) brake(due []fsm.Due) {
	s.held = map[uint32]bool{}
	for _, c := range s.crowds(due) {
		if len(c.silent) >= brakeFrom && 3*len(c.silent) > int(s.tx.PoolStats(s.tx.Pool(c.pool)).Runners) {
			s.hold(c)
		}
	}
}

// crowds finds, for each pool that has a verdict due, everybody who is silent with it. It looks at the silent once, however many pools
// there are.
func (s *step) crowds(due []fsm.Due) (all []*crowd) {
	of, longestMs := map[fsm.PoolID]*crowd{}, int64(0)
	for _, d := range due {
		if d.Kind != fsm.DueLost || d.Runner.End != fsm.NotEnded || of[d.Runner.Pool] != nil || s.tx.VerdictHeld(d.Runner) {
			continue
		}
		c := &crowd{pool: d.Runner.Pool, intervalMs: d.Runner.ThresholdMs / heartbeatsPerThreshold}
		of[c.pool], all, longestMs = c, append(all, c), max(longestMs, c.intervalMs)
	}
	if len(all) == 0 {
		return nil
	}
	for r := range s.tx.SilentUntil(s.tx.ClockMs() + longestMs) {
		c := of[r.Pool]
		if c == nil || s.tx.VerdictHeld(r) || s.tx.LastSeenMs(r)+r.ThresholdMs > s.tx.ClockMs()+c.intervalMs {
			continue
		}
		c.silent = append(c.silent, r)
	}
	return all
}

// hold lets the verdicts of a crowd wait, each for one interval after its own time.
func (s *step) hold(c *crowd) {
	for _, r := range c.silent {
		until := s.tx.LastSeenMs(r) + r.ThresholdMs + c.intervalMs
		if until <= s.tx.ClockMs() {
			continue // it has had its time: nobody decided anything for so long
		}
		code := s.do(&logv1.Op{Op: &logv1.Op_HoldVerdict{HoldVerdict: &logv1.HoldVerdict{RunnerId: r.ID[:], SessionId: r.Session[:], UntilMs: until}}})
		if code == fsm.CodeOK {
			s.held[r.Number] = true
		}
	}
}
