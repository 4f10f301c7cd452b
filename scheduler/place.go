package scheduler

import (
	"iter"
	"slices"

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
	RulePromised     Rule = 5 // the slot that was kept for it when its move began
	RuleLastResort   Rule = 6 // a runner that drains for a newer version: no other has room
)

func (r Rule) String() string {
	switch r {
	case RuleSpread:
		return "spread: lowest used/total"
	case RuleBinpack:
		return "binpack: highest used/total"
	case RuleReturn:
		return "return: the runner on which its lease ran out"
	case RulePromised:
		return "promised: the slot that was kept for it when its move began"
	case RuleLastResort:
		return "last resort: no runner of the newest version has room, and this one drains only because of it"
	case RuleAvoidedCrash:
		return "avoided a runner on which it crashed lately"
	}
	return "unknown"
}

// place gives pending actors to runners: in every pool whose queue or capacity changed, oldest first, newest version first. Pools take
// turns, so that one with a long queue holds up no other; who begins is drawn, in case not even one turn for each fits in.
func (s *step) place() {
	pools := s.tx.TakeDirtyPools()
	for _, p := range pools {
		s.look(p)
	}
	s.placeInTurns(pools)
	for _, p := range pools {
		s.awaitRoom(p)
	}
}

func (s *step) placeInTurns(pools []*fsm.Pool) {
	if n := uint32(len(pools)); n > maxPlacedPerStep/placedPerTurn {
		first := s.drawUint32() % n
		pools = append(slices.Clone(pools[first:]), pools[:first]...)
	}
	for len(pools) > 0 {
		var more []*fsm.Pool
		for _, p := range pools {
			if s.placeSome(p) {
				more = append(more, p)
			}
			if s.out.Unfinished && s.placedEnough() {
				return
			}
		}
		pools = more
	}
}

// placeSome gives a pool its turn, and tells whether it may need another.
func (s *step) placeSome(p *fsm.Pool) (more bool) {
	if s.tx.ListsNames(p) {
		return s.placeByName(p)
	}
	for n := 0; s.tx.PoolStats(p).Pending > 0; n++ {
		if n == placedPerTurn {
			return true
		}
		if AtConcurrencyLimit(&s.tx.State, p) {
			return false
		}
		best, next := s.best(p)
		if best == nil {
			return false
		}
		a := s.tx.FirstPending(p, best.Version)
		if a == nil {
			return false // who may not go there has a floor above it, and may go nowhere lower either
		}
		if s.placedEnough() {
			s.out.Unfinished = true
			return false
		}
		s.budget.placed++
		if !s.assign(p, a, best, next) {
			return false
		}
	}
	return false
}

// placedEnough tells that no more actors should be placed in this Step.
func (s *step) placedEnough() bool { return s.budget.placed >= maxPlacedPerStep || s.full() }

// best returns the runners that are first and second in the order of choice; nil: there is none.
func (s *step) best(p *fsm.Pool) (best, next *fsm.Runner) {
	return firstTwo(s.tx.Candidates(p, s.drawUint32()))
}

// bestFor is best among the runners that handle a name.
func (s *step) bestFor(p *fsm.Pool, name string) (best, next *fsm.Runner) {
	return firstTwo(s.tx.CandidatesFor(p, name, s.drawUint32()))
}

func firstTwo(candidates iter.Seq[*fsm.Runner]) (first, second *fsm.Runner) {
	for r := range candidates {
		if first != nil {
			return first, r
		}
		first = r
	}
	return first, nil
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
	} else if other := s.insteadOf(p, a, best, next); other != nil {
		chosen, runnerUp, rule = other, best, RuleAvoidedCrash
	} else if best.Draining() {
		rule = RuleLastResort
	}
	return s.give(p, a, chosen, runnerUp, rule)
}

// arrive gives an actor that was moved to the runner that kept a slot for it. It goes to the queue like everybody else if that runner
// does not take actors of its name any more, if one of a newer version has come that does, or if its floor binds it again.
func (s *step) arrive(a *fsm.Actor, number uint32) {
	to, p := s.tx.RunnerByNumber(number), s.tx.ActorPool(a)
	if to == nil || !to.Placeable() || !to.Handles(a.Name) || s.tx.Ineligible(to) != "" || s.tx.FloorBinds(p, a.Name, a.FloorVersion, to.Version) {
		return
	}
	if best, next := s.bestFor(p, a.Name); best.Version == to.Version { // to is a candidate: there is a best one
		runnerUp := best
		if best.Number == to.Number {
			runnerUp = next
		}
		s.give(p, a, to, runnerUp, RulePromised)
	}
}

// give assigns an actor to a runner, with the record of why.
func (s *step) give(p *fsm.Pool, a *fsm.Actor, chosen, runnerUp *fsm.Runner, rule Rule) bool {
	stats := s.tx.PoolStats(p)
	if chosen.Draining() && p.WindowSize() > 0 {
		s.out.Unfinished = true // as a last resort: it has to be given a turn
	}
	s.noteBelow(a, chosen)
	if await := s.tx.Await(p); await.Version != 0 && chosen.Version >= await.Version {
		if s.tookNewer == nil {
			s.tookNewer = map[fsm.PoolID]bool{}
		}
		s.tookNewer[p.ID] = true
	}
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
	if own := s.tx.Runner(a.Trouble.Preferred); own != nil && own.Handles(a.Name) && s.tx.Ineligible(own) == "" {
		return own
	}
	return nil
}

// insteadOf returns the runner that an actor goes to in place of the best one, of the same version, as it had trouble on that lately: the
// first that it had none on, or else the one on which that is longest ago. nil: it goes to the best one.
func (s *step) insteadOf(p *fsm.Pool, a *fsm.Actor, best, next *fsm.Runner) *fsm.Runner {
	since, avoided := s.troubleOn(a, best)
	if !avoided || next == nil || next.Version != best.Version {
		return nil
	}
	if _, too := s.troubleOn(a, next); !too {
		return next
	}
	var oldest *fsm.Runner
	for r := range s.tx.CandidatesFor(p, a.Name, s.drawUint32()) { // it passes over those that are remembered, which are few
		if r.Version != best.Version || r.Draining() != best.Draining() {
			break
		}
		ago, too := s.troubleOn(a, r)
		if !too {
			return r
		}
		if ago > since {
			oldest, since = r, ago
		}
	}
	return oldest
}

// troubleOn tells whether an actor had trouble on a runner not long ago, and how many it had trouble on since.
func (s *step) troubleOn(a *fsm.Actor, r *fsm.Runner) (since int, lately bool) {
	since, remembered := a.Trouble.On(r.ID)
	return since, remembered && s.tx.ClockMs()-a.Trouble.CrashedMs < s.tx.Setting(fsm.RetryResetDuration)
}
