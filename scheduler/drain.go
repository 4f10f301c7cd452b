package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// drain has runners that are on their way out give up their actors, and ends replaced ones when the last stop is confirmed.
func (s *step) drain() {
	var runners []*fsm.Runner
	for r := range s.tx.DrainWork() {
		runners = append(runners, r)
	}
	for _, r := range runners {
		if r.Held == 0 {
			s.do(&logv1.Op{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: r.ID[:]}}})
			continue
		}
		s.stopAll(r)
	}
}

func (s *step) stopAll(r *fsm.Runner) {
	reason := fsm.StopShutdown
	if r.DrainCause == fsm.DrainReplaced {
		reason = fsm.StopReplaced
	}
	var left []*fsm.Actor
	for a := range s.tx.ActorsOf(r, 0) { // those that are stopping have the newest revisions: they are not looked at again and again
		if a.Phase != fsm.Stopping {
			left = append(left, a)
		}
		if len(left) > maxStopsPerStep {
			break
		}
	}
	for _, a := range left {
		if s.budget.stops == maxStopsPerStep || s.full() {
			s.out.Unfinished = true
			return
		}
		s.budget.stops++
		s.stop(a, reason)
	}
}
