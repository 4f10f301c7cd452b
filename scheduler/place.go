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
	upTo := ^uint32(0) // no runner of a newer version has a slot that anybody may use
	for s.tx.PoolStats(p).Pending > 0 {
		if s.budget.placed == maxPlacedPerStep || s.full() {
			s.out.Unfinished = true
			return
		}
		best := s.best(p, upTo, nil)
		if best == nil {
			return
		}
		a := s.tx.FirstPending(p, best.Version)
		if a == nil {
			if best.Version == 0 {
				return
			}
			upTo = best.Version - 1
			continue
		}
		s.budget.placed++
		if !s.assign(p, a, best) {
			return
		}
	}
}

// best returns the runner that is first in the order of choice, other than one; nil: there is none.
func (s *step) best(p *fsm.Pool, upTo uint32, other *fsm.Runner) *fsm.Runner {
	for r := range s.tx.Candidates(p, upTo, s.drawUint32()) {
		if other == nil || r.ID != other.ID {
			return r
		}
	}
	return nil
}

// assign gives an actor to the best runner, unless it may return to its own, or crashed on the best one lately and there is another.
func (s *step) assign(p *fsm.Pool, a *fsm.Actor, best *fsm.Runner) bool {
	rule := RuleSpread
	if p.Placement() == fsm.Binpack {
		rule = RuleBinpack
	}
	chosen := best
	var runnerUp *fsm.Runner
	if t := a.Trouble; t != nil {
		if own := s.tx.Runner(t.Preferred); own != nil && s.tx.Ineligible(own) == "" {
			chosen, rule = own, RuleReturn
		} else if t.Code != fsm.ErrorNone && t.Runner == best.ID && s.tx.Retries(a) > 0 {
			if next := s.best(p, best.Version, best); next != nil && next.Version == best.Version {
				chosen, runnerUp, rule = next, best, RuleAvoidedCrash
			}
		}
	}
	stats := s.tx.PoolStats(p)
	decision := &logv1.Decision{
		InPool: stats.Runners, Eligible: stats.Candidates, Newest: s.tx.RegisteredAt(p, chosen.Version),
		Rule: uint32(rule), Version: chosen.Version,
	}
	if runnerUp != nil {
		decision.RunnerUp = runnerUp.Number
	}
	code := s.do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
		Ref:      &logv1.Ref{ActorId: a.ID[:], Generation: a.Generation + 1},
		RunnerId: chosen.ID[:], SessionId: chosen.Session[:],
		StartDeadlineMs: s.tx.ClockMs() + s.tx.Setting(fsm.ActorStartThreshold),
		Decision:        decision,
	}}})
	return code == fsm.CodeOK
}
