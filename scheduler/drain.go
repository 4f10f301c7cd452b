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
			s.finishDrain(r)
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
	for {
		if s.budget.stops >= maxForcedPerStep || s.full() {
			s.out.Unfinished = true
			return
		}
		due := s.tx.ForcedTurnsDue(r, maxForcedPerStep-s.budget.stops)
		if due == 0 {
			return
		}
		for _, a := range s.unstopped(r, due) {
			if s.full() {
				return
			}
			s.budget.stops++
			if !s.moveNow(r, a) {
				return
			}
		}
		if r = s.tx.RunnerByNumber(r.Number); r.Left() == 0 {
			return
		}
	}
}

func (s *step) moveNow(r *fsm.Runner, a *fsm.Actor) bool {
	return s.do(&logv1.Op{Op: &logv1.Op_EvictActor{EvictActor: &logv1.EvictActor{
		Ref: refOp(a.Ref()), StopDeadlineMs: s.stopByMs(r), Forced: true,
	}}}) == fsm.CodeOK
}

// unstopped returns the first actors of a runner that have not been told to stop, at most limit. Those that are stopping have the newest
// revisions: they are not looked at again and again.
func (s *step) unstopped(r *fsm.Runner, limit int) []*fsm.Actor {
	var actors []*fsm.Actor
	for a := range s.tx.ActorsOf(r, 0) {
		if a.Phase != fsm.Stopping {
			actors = append(actors, a)
		}
		if len(actors) == limit {
			break
		}
	}
	return actors
}
