package scheduler

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A version that a rollback has left is held back in its pool: its runners drain for an operator, whoever brings it and when. So it is for
// everything that asks whether a runner drains: placement, the floor, the rule of versions, the end of a rollout.

// holdVersion rolls a version of a pool back.
func (s *step) holdVersion(r *callboardv1.HoldRequest) Answer {
	if refusal := badReason(r.GetReason()); refusal != nil {
		return refuse(refusal)
	}
	p, refusal := s.poolNamed(r.GetNamespace(), r.GetPool())
	if refusal != nil {
		return refuse(refusal)
	}
	switch s.do(&logv1.Op{Op: &logv1.Op_HoldVersion{HoldVersion: &logv1.HoldVersion{
		NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Version: r.GetVersion(), Reason: r.GetReason(),
	}}}) {
	case fsm.CodeOK, fsm.CodeExists: // it is as the caller wants it
		s.drainHeld(p)
		return done(nil)
	default:
		return refuse(callboardv1.Refuse("pool", "limit_reached",
			"pool %q holds %d versions back, the most there can be: `callboard rollout release` lets some go", p.ID.Name, fsm.MaxHeldVersions))
	}
}

// releaseVersion lets a version get actors again.
func (s *step) releaseVersion(r *callboardv1.ReleaseRequest) Answer {
	p, refusal := s.poolNamed(r.GetNamespace(), r.GetPool())
	if refusal != nil {
		return refuse(refusal)
	}
	if !s.release(p, r.GetVersion()) {
		return refuse(callboardv1.Refuse("pool", "version_not_held", "pool %q does not hold version %d back: see `callboard pool show %s`", p.ID.Name, r.GetVersion(), p.ID.Name))
	}
	return done(nil)
}

func (s *step) poolNamed(namespace, pool string) (*fsm.Pool, *callboardv1.Error) {
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return nil, namespaceNotFound(namespace)
	}
	p := s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})
	if p == nil {
		return nil, callboardv1.Refuse("pool", "not_found", "no pool %q in namespace %q", clipText(pool), namespace)
	}
	return p, nil
}

// release ends a hold and the drains that it caused; a drain that an operator had begun before stays. It reports whether there was one.
func (s *step) release(p *fsm.Pool, version uint32) bool {
	if s.do(&logv1.Op{Op: &logv1.Op_ReleaseVersion{ReleaseVersion: &logv1.ReleaseVersion{
		NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Version: version,
	}}}) != fsm.CodeOK {
		return false
	}
	for _, r := range s.tx.RunnersHeld(p, version) {
		if r.Drain.Cause == fsm.DrainOperator {
			s.cancelDrain(r)
		}
	}
	return true
}

// drainHeld has the runners of the versions that a pool holds back drain.
func (s *step) drainHeld(p *fsm.Pool) {
	for held := range s.tx.HeldVersions(p) {
		for _, r := range s.tx.UnheldRunners(p, held.Version) {
			s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{
				RunnerId: r.ID[:], Cause: uint32(fsm.DrainOperator), Held: true, Reason: heldReason(held),
			}}})
		}
	}
}

func heldReason(h *fsm.HeldVersion) string {
	if h.Reason != "" {
		return h.Reason
	}
	return fmt.Sprintf("version %d is held back", h.Version)
}

// releaseBelow ends the holds of versions that a rollout which is done has left behind for good.
func (s *step) releaseBelow(p *fsm.Pool, version uint32) {
	var left []uint32
	for held := range s.tx.HeldVersions(p) {
		if held.Version < version {
			left = append(left, held.Version)
		}
	}
	for _, v := range left {
		s.release(p, v)
	}
	if len(left) > 0 {
		s.rollOut(p) // they are merely outdated now
	}
}

// noLongerHeld ends the drain of a runner that has come back with another version than the one that was held back.
func (s *step) noLongerHeld(r *fsm.Runner) {
	if r.Drain.Held && !s.tx.Holds(s.tx.RunnerPool(r), r.Version) {
		s.cancelDrain(r)
	}
}

// warnAllOut says that an operator has taken out all that a pool has: nothing in it takes actors any more.
func (s *step) warnAllOut(p *fsm.Pool) {
	if !allOut(s.tx.PoolStats(p)) || allOut(s.tx.Before().PoolStats(p)) {
		return
	}
	command := fmt.Sprintf("`callboard runner undrain RUNNER_ID` takes one back (`callboard runner list --pool %s`)", p.ID.Name)
	for held := range s.tx.HeldVersions(p) {
		command = fmt.Sprintf("`callboard rollout release %s %d` lets version %d get actors again", p.ID.Name, held.Version, held.Version)
	}
	s.warn(WarnAllOut, "all %s of pool %q are drained by an operator or of a version that is held back, so none takes actors: start runners of another version, or %s",
		counted(int(s.tx.PoolStats(p).Runners), "runner"), p.ID.Name, command)
}

func allOut(stats fsm.PoolStats) bool { return stats.Out > 0 && stats.Out == stats.Runners }
