package scheduler

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The standing rule of versions: in a pool that drains, every runner drains that is older than the highest version among its connected
// runners that do not drain themselves. The drains that one version causes are its rollout. It is called off when no runner of the
// version is left, or when the drain is switched off; one that is merely disconnected still counts.

// rollouts holds the rule in every pool whose runners or config changed.
func (s *step) rollouts() {
	for _, p := range s.tx.DirtyPools() {
		s.drainHeld(p)
		s.callOff(p)
		s.awaitLeft(p)
		s.rollOut(p)
		s.warnAllOut(p)
	}
}

// callOff ends what no newer version is left for.
func (s *step) callOff(p *fsm.Pool) {
	open := s.tx.OpenRollout(p)
	newest, some := s.tx.NewestVersion(p)
	switch {
	case open == nil:
	case !p.DrainOn():
		s.closeRollout(p, fsm.RolloutCalledOff, "drain_on_version_upgrade was switched off")
	case !some || newest < open.Version:
		why := "no runner of version %d or newer is left"
		if s.tx.Holds(p, open.Version) {
			why = "version %d was rolled back"
		}
		s.closeRollout(p, fsm.RolloutCalledOff, fmt.Sprintf(why, open.Version))
	}
	outdated, any := s.tx.NewestOutdated(p)
	if !any || p.DrainOn() && some && newest > outdated {
		return
	}
	// The newest of the outdated are outdated no more. Those that are older than they are still have a newer one, and drain on.
	var back []*fsm.Runner
	for r := range s.tx.PoolRunners(p) {
		if r.Drain.Cause == fsm.DrainNewerVersion && (!p.DrainOn() || r.Version == outdated) {
			back = append(back, r)
		}
	}
	for _, r := range back {
		s.cancelDrain(r)
	}
}

// rollOut drains what is outdated.
func (s *step) rollOut(p *fsm.Pool) {
	open := s.tx.OpenRollout(p)
	target, some := s.tx.NewestConnected(p)
	if open != nil && (!some || open.Version > target) {
		target, some = open.Version, true // while it is open its version counts as connected
	}
	if !p.DrainOn() || !some {
		return
	}
	oldest, any := s.tx.OldestVersion(p)
	outdated := any && oldest < target
	unled := s.unled(p, target)
	if !outdated && !unled || s.tx.RolloutWaitMs(p) != 0 {
		return
	}
	var older []*fsm.Runner
	begin := unled || open != nil && open.Version < target
	for r := range s.tx.PoolRunners(p) {
		if r.Version >= target {
			break
		}
		if !r.Draining() {
			if len(older) == maxDrainsPerStep {
				s.out.Unfinished = true // the others drain in the next Steps
				break
			}
			older = append(older, r)
			begin = begin || open == nil && !s.standsBy(r, target)
		}
	}
	if begin {
		s.do(&logv1.Op{Op: &logv1.Op_OpenRollout{OpenRollout: &logv1.OpenRollout{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Version: target}}})
		s.forgetRollouts(p) // the one before may have been superseded
		s.warnRising(p, target)
	}
	for _, r := range older {
		s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{
			RunnerId: r.ID[:], Cause: uint32(fsm.DrainNewerVersion), Standby: s.standsBy(r, target), Reason: fmt.Sprintf("version %d is there", target),
		}}})
	}
}

// unled tells whether a pool has runners with actors that are outdated by a version, and no rollout: one that stood by was given actors as
// a last resort. Those that no connected version is newer than wait for the one that they drain for.
func (s *step) unled(p *fsm.Pool, target uint32) bool {
	if s.tx.OpenRollout(p) != nil || s.tx.PoolStats(p).Unfinished == 0 {
		return false
	}
	for r := range s.tx.PoolRunners(p) {
		if r.Version >= target {
			break
		}
		if r.Unfinished() {
			return true
		}
	}
	return false
}

// lead asks for another Step where this one made that so: what happens to the pool next may be long in coming.
func (s *step) lead() {
	for _, p := range s.tx.DirtyPools() {
		if target, some := s.tx.NewestConnected(p); some && p.DrainOn() && s.unled(p, target) && s.tx.RolloutWaitMs(p) == 0 {
			s.out.Unfinished = true
		}
	}
}

// standsBy tells whether a runner came when it was outdated already and has had no actor: it has nothing to give up, and waits in case it
// is needed. It may have come while the pool waited after a rollout was called off.
func (s *step) standsBy(r *fsm.Runner, target uint32) bool {
	return r.Held == 0 && (s.newcomers[r.Number] || r.Unused() && s.tx.RegisteredBefore(r, target))
}

// closeRollouts ends the rollouts that nothing is left of.
func (s *step) closeRollouts() {
	for _, p := range s.tx.DirtyPools() {
		open := s.tx.OpenRollout(p)
		if oldest, some := s.tx.OldestVersion(p); open != nil && s.tx.PoolStats(p).Unfinished == 0 && (!some || oldest >= open.Version) {
			s.closeRollout(p, fsm.RolloutDone, "")
			s.releaseBelow(p, open.Version)
		}
	}
}

func (s *step) closeRollout(p *fsm.Pool, state fsm.RolloutState, reason string) {
	s.do(&logv1.Op{Op: &logv1.Op_CloseRollout{CloseRollout: &logv1.CloseRollout{
		NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, State: uint32(state), Reason: reason,
	}}})
	s.forgetRollouts(p)
}

// forgetRollouts drops the oldest ended rollouts of a pool's namespace that are too many to be remembered.
func (s *step) forgetRollouts(p *fsm.Pool) {
	for {
		old := s.tx.ExcessRollout(p)
		if old == nil || !s.forgetRollout(old) {
			return
		}
	}
}

func (s *step) forgetRollout(r *fsm.Rollout) bool {
	p := s.tx.RolloutPool(r)
	return s.do(&logv1.Op{Op: &logv1.Op_ForgetRollout{ForgetRollout: &logv1.ForgetRollout{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Id: r.ID}}}) == fsm.CodeOK
}

// cancelDrain calls a drain off. Nobody is named to be moved any more; what has been told to stop goes on stopping. A runner that an
// endpoint of former days started drains on for that: the drain that is called off had taken its place.
func (s *step) cancelDrain(r *fsm.Runner) {
	p := s.tx.RunnerPool(r)
	s.unname(p, s.namedOn(r))
	s.do(&logv1.Op{Op: &logv1.Op_CancelDrain{CancelDrain: &logv1.CancelDrain{RunnerId: r.ID[:]}}})
	if q := s.tx.RunnerRequest(r); q != nil && q.Endpoint != p.EndpointFingerprint() {
		s.startDrain(r, fsm.DrainURLChanged, 0, endpointChangedReason)
	}
}
