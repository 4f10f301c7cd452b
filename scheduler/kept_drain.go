package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// An operator's drain outlives its runner: it is kept under the runner's key, and whoever comes back as that runner inherits it. A loss, a
// restart or a suspended process must not undo what somebody decided.

// keepDrain keeps a drain that an operator has begun.
func (s *step) keepDrain(r *fsm.Runner, keep bool) {
	now := s.tx.RunnerByNumber(r.Number)
	s.rememberDrain(s.tx.RunnerPool(now), &logv1.RememberDrain{
		Key: now.Key, InstanceId: now.Instance[:], Version: now.Version, DeadlineMs: now.Drain.DeadlineMs, Reason: now.Drain.Reason, Force: now.Drain.Force, Keep: keep,
	})
}

// rememberDrain writes a kept drain. The one of the pool that was kept first makes room, if there are too many.
func (s *step) rememberDrain(p *fsm.Pool, op *logv1.RememberDrain) {
	if excess := s.tx.ExcessDrain(p); excess != nil && s.tx.KeptDrain(p, op.GetKey()) == nil {
		s.forgetDrain(p, excess.Key)
	}
	op.NamespaceId, op.Pool = p.ID.Namespace[:], p.ID.Name
	s.do(&logv1.Op{Op: &logv1.Op_RememberDrain{RememberDrain: op}})
}

// again keeps a drain that is kept already, with what has changed.
func (s *step) again(d *fsm.KeptDrain, change func(*logv1.RememberDrain)) {
	op := &logv1.RememberDrain{
		Key: d.Key, InstanceId: d.Instance[:], Version: d.Version, DeadlineMs: d.DeadlineMs, Reason: d.Reason, Force: d.Force, Keep: d.Keep, Finished: d.Finished,
	}
	change(op)
	s.rememberDrain(s.tx.DrainPool(d), op)
}

func (s *step) forgetDrain(p *fsm.Pool, key string) {
	if s.tx.KeptDrain(p, key) != nil {
		s.do(&logv1.Op{Op: &logv1.Op_ForgetDrain{ForgetDrain: &logv1.ForgetDrain{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Key: key}}})
	}
}

// keptDrainOf returns the drain that is kept of a runner; nil: there is none, or it is of another process.
func (s *step) keptDrainOf(r *fsm.Runner) *fsm.KeptDrain {
	if d := s.tx.KeptDrain(s.tx.RunnerPool(r), r.Key); d != nil && d.Instance == r.Instance {
		return d
	}
	return nil
}

// inheritDrain has a runner that has just registered drain on, if an operator has taken it out before. A deadline that has passed is not
// inherited: what the runner is given back in error may still move at the pool's pace.
func (s *step) inheritDrain(r *fsm.Runner) {
	d := s.tx.KeptDrain(s.tx.RunnerPool(r), r.Key)
	if d == nil || !d.Inherited(r.Instance, r.Version) {
		return
	}
	deadline := d.DeadlineMs
	if deadline <= s.tx.ClockMs() {
		deadline = 0
	}
	s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{
		RunnerId: r.ID[:], Cause: uint32(fsm.DrainOperator), DeadlineMs: deadline, Reason: d.Reason, Force: d.Force,
	}}})
	s.again(d, func(op *logv1.RememberDrain) {
		op.InstanceId, op.Version, op.DeadlineMs, op.Finished = r.Instance[:], r.Version, deadline, false
	})
}

// finishDrain notes that a runner has given up its last actor.
func (s *step) finishDrain(r *fsm.Runner) {
	s.do(&logv1.Op{Op: &logv1.Op_FinishDrain{FinishDrain: &logv1.FinishDrain{RunnerId: r.ID[:]}}})
	if d := s.keptDrainOf(r); d != nil && r.Drain.Cause == fsm.DrainOperator && !d.Finished {
		s.again(d, func(op *logv1.RememberDrain) { op.Finished = true })
	}
}

// goodbye ends a runner that leaves. A drain that had finished by then has done its work, unless it is kept for whoever comes.
func (s *step) goodbye(r *fsm.Runner) {
	if d := s.keptDrainOf(r); d != nil && d.Finished && !d.Keep {
		s.forgetDrain(s.tx.RunnerPool(r), r.Key)
	}
	s.endRunner(r)
}

// drainForgotten forgets a drain that was kept long enough, unless the runner that it is of is still there and drains.
func (s *step) drainForgotten(d *fsm.KeptDrain) {
	p := s.tx.DrainPool(d)
	for r := range s.tx.RunnersByKey(p, d.Key) {
		if r.Instance == d.Instance && r.End == fsm.NotEnded && r.Drain.Cause == fsm.DrainOperator {
			s.again(d, func(*logv1.RememberDrain) {})
			return
		}
	}
	s.forgetDrain(p, d.Key)
}

// undrainKey calls off the drain that is kept under a key, and that of the runner that has it, if one is there.
func (s *step) undrainKey(namespace, pool, key string) Answer {
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return refuse(namespaceNotFound(namespace))
	}
	p := s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})
	if p == nil {
		return refuse(callboardv1.Refuse("pool", "not_found", "no pool %q in namespace %q", clipText(pool), namespace))
	}
	d := s.tx.KeptDrain(p, key)
	if d == nil {
		return refuse(callboardv1.Refuse("runner", "no_drain", "no drain is kept of a runner with key %q in pool %q: see `callboard runner drains %s`", clipText(key), clipText(pool), clipText(pool)))
	}
	for r := range s.tx.RunnersByKey(p, key) {
		if r.Instance == d.Instance && r.End == fsm.NotEnded && r.Drain.Cause == fsm.DrainOperator {
			return s.undrain(r)
		}
	}
	s.forgetDrain(p, key)
	return done(nil)
}

// endedRunner finds a runner of a namespace that has ended and whose drain is kept; nil: there is none.
func (s *step) endedRunner(namespace, runnerID string) *fsm.Runner {
	id, err := fsm.ParseID(runnerID)
	ns := s.tx.Namespace(namespace)
	if err != nil || ns == nil {
		return nil
	}
	r := s.tx.Runner(fsm.RunnerID(id))
	if r == nil || r.Pool.Namespace != ns.ID || r.End == fsm.NotEnded || s.keptDrainOf(r) == nil {
		return nil
	}
	return r
}
