package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// drain does what drains have to do whatever the pool's pace: runners that must give up their actors, and the ends of drains.
func (s *step) drain() {
	var runners []*fsm.Runner
	for r := range s.tx.DrainWork() {
		runners = append(runners, r)
	}
	for _, r := range runners {
		switch {
		case r.Held > 0:
			s.moveAll(r)
		case r.Drain.Cause == fsm.DrainReplaced:
			s.endRunner(r)
		default:
			s.do(&logv1.Op{Op: &logv1.Op_FinishDrain{FinishDrain: &logv1.FinishDrain{RunnerId: r.ID[:]}}})
		}
	}
	s.closeRollouts()
}

// stopByMs returns until when an actor of a runner may take to stop. What is left of a request bounds it.
func (s *step) stopByMs(r *fsm.Runner) int64 {
	by := s.tx.ClockMs() + s.tx.Setting(fsm.ActorStopThreshold)
	if r.Drain.Cause == fsm.DrainRequestEnd {
		by = max(s.tx.ClockMs()+endMarginMs, min(by, r.Drain.DeadlineMs-endMarginMs))
	}
	return by
}

// moveAll has a runner give up the actors whose turn has come.
func (s *step) moveAll(r *fsm.Runner) {
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
		if at := s.tx.ForcedTurnMs(s.tx.RunnerByNumber(r.Number)); at > s.tx.ClockMs() {
			s.wakeAt(at)
			return
		}
		s.budget.stops++
		s.do(&logv1.Op{Op: &logv1.Op_EvictActor{EvictActor: &logv1.EvictActor{
			Ref: refOp(a.Ref()), StopDeadlineMs: s.stopByMs(r), Forced: true,
		}}})
	}
}
