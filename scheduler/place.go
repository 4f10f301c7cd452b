package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Rule says by which rule a runner was chosen. The numbers are kept in the log.
type Rule uint8

// The rules.
const (
	RuleSpread       Rule = 1 // lowest used/total of the newest version
	RuleBinpack      Rule = 2 // highest used/total of the newest version
	RuleReturn       Rule = 3 // back to the runner on which it was fenced
	RuleAvoidedCrash Rule = 4 // the next best: it crashed on the best one lately
)

func (r Rule) String() string {
	switch r {
	case RuleSpread:
		return "spread: lowest used/total"
	case RuleBinpack:
		return "binpack: highest used/total"
	case RuleReturn:
		return "return: the runner on which its lease ran out"
	case RuleAvoidedCrash:
		return "avoided a runner on which it crashed lately"
	}
	return "unknown"
}

// place gives pending actors to runners: in every pool whose queue or capacity changed, oldest first, newest version first.
func (s *step) place() {
	for _, p := range s.tx.TakeDirtyPools() {
		s.placePool(p)
	}
}

func (s *step) placePool(p *fsm.Pool) {
	for s.tx.PoolStats(p).Pending > 0 {
		if s.budget.placed == maxPlacedPerStep || s.full() {
			s.out.Unfinished = true
			return
		}
		best, next := s.best(p)
		if best == nil {
			return
		}
		a := s.tx.FirstPending(p, best.Version)
		if a == nil {
			return // who may not go there has a floor above it, and may go nowhere lower either
		}
		s.budget.placed++
		if !s.assign(p, a, best, next) {
			return
		}
	}
}

// best returns the runners that are first and second in the order of choice; nil: there is none.
func (s *step) best(p *fsm.Pool) (best, next *fsm.Runner) {
	for r := range s.tx.Candidates(p, ^uint32(0), s.drawUint32()) {
		if best != nil {
			return best, r
		}
		best = r
	}
	return best, nil
}

// assign gives an actor to the best runner, unless it may return to its own, or crashed on the best one lately and the next one is of
// the same version. The runner-up is the one that would have been chosen otherwise.
func (s *step) assign(p *fsm.Pool, a *fsm.Actor, best, next *fsm.Runner) bool {
	rule := RuleSpread
	if p.Placement() == fsm.Binpack {
		rule = RuleBinpack
	}
	chosen, runnerUp := best, next
	if own := s.mayReturnTo(a); own != nil {
		if chosen, rule = own, RuleReturn; own.ID != best.ID {
			runnerUp = best
		}
	} else if s.crashedLately(a, best) && next != nil && next.Version == best.Version {
		chosen, runnerUp, rule = next, best, RuleAvoidedCrash
	}
	stats := s.tx.PoolStats(p)
	decision := &logv1.Decision{
		InPool: stats.Runners, Eligible: stats.Candidates, Newest: s.tx.RegisteredAt(p, chosen.Version),
		Rule: uint32(rule), Version: chosen.Version,
	}
	if runnerUp != nil {
		decision.RunnerUp = runnerUp.Number
	}
	return s.do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
		Ref:      &logv1.Ref{ActorId: a.ID[:], Generation: a.NextGeneration()},
		RunnerId: chosen.ID[:], SessionId: chosen.Session[:],
		StartDeadlineMs: s.tx.ClockMs() + s.tx.Setting(fsm.ActorStartThreshold),
		Decision:        decision,
	}}}) == fsm.CodeOK
}

// mayReturnTo returns the runner on which a lease took the actor's life, if it takes actors again; nil: there is none.
func (s *step) mayReturnTo(a *fsm.Actor) *fsm.Runner {
	if a.Trouble == nil {
		return nil
	}
	if own := s.tx.Runner(a.Trouble.Preferred); own != nil && s.tx.Ineligible(own) == "" {
		return own
	}
	return nil
}

// crashedLately tells whether an actor's last trouble was on a runner, and not long ago.
func (s *step) crashedLately(a *fsm.Actor, r *fsm.Runner) bool {
	t := a.Trouble
	return t != nil && t.Code != fsm.ErrorNone && t.Runner == r.ID && s.tx.ClockMs()-t.CrashedMs < s.tx.Setting(fsm.RetryResetDuration)
}
