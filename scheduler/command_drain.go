package scheduler

import (
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// MaxReason bounds what an operator may say of a drain or a pause.
const MaxReason = 256

// maxDrainDeadlineMs bounds how far ahead the deadline of an operator's drain may be: 30 days.
const maxDrainDeadlineMs = 30 * 24 * 3_600_000

func badReason(reason string) *callboardv1.Error {
	if len(reason) > MaxReason || !utf8.ValidString(reason) {
		return callboardv1.Refuse("api", "bad_request", "reason: at most %d bytes of UTF-8, got %d", MaxReason, len(reason)).With("field", "reason")
	}
	return nil
}

// drainRunner has an operator take a runner out.
func (s *step) drainRunner(r *callboardv1.DrainRequest) Answer {
	if refusal := badReason(r.GetReason()); refusal != nil {
		return refuse(refusal)
	}
	if r.GetDeadlineMs() > maxDrainDeadlineMs {
		return refuse(callboardv1.Refuse("api", "bad_request", "deadline_ms: at most %d (30 days), got %d", maxDrainDeadlineMs, r.GetDeadlineMs()).With("field", "deadline_ms"))
	}
	runner, refusal := s.liveRunner(r.GetNamespace(), r.GetRunnerId())
	if refusal != nil {
		return refuse(refusal)
	}
	if runner.Draining() && runner.Drain.Cause != fsm.DrainOperator && !fsm.DrainOperator.Outweighs(runner.Drain.Cause) {
		return refuse(callboardv1.Refuse("runner", "draining", "runner %s is on its way out already and gives up its actors at once: nothing is left to be asked of it", runner.ID))
	}
	op := &logv1.StartDrain{RunnerId: runner.ID[:], Cause: uint32(fsm.DrainOperator), Reason: r.GetReason(), Force: r.GetForce()}
	if r.GetDeadlineMs() > 0 {
		op.DeadlineMs = s.tx.ClockMs() + int64(r.GetDeadlineMs())
	}
	s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: op}})
	s.keepDrain(runner, r.GetKeep())
	return done(runner.ID[:])
}

// undrainRunner calls an operator's drain off. If the runner is outdated it drains on for that.
func (s *step) undrainRunner(r *callboardv1.UndrainRequest) Answer {
	if r.GetRunnerId() == "" {
		return s.undrainKey(r.GetNamespace(), r.GetPool(), r.GetKey())
	}
	if ended := s.endedRunner(r.GetNamespace(), r.GetRunnerId()); ended != nil {
		return s.undrainKey(r.GetNamespace(), ended.Pool.Name, ended.Key)
	}
	runner, refusal := s.liveRunner(r.GetNamespace(), r.GetRunnerId())
	if refusal != nil {
		return refuse(refusal)
	}
	return s.undrain(runner)
}

func (s *step) undrain(runner *fsm.Runner) Answer {
	p := s.tx.RunnerPool(runner)
	if runner.Drain.Cause == fsm.DrainOperator && s.tx.Holds(p, runner.Version) {
		return refuse(callboardv1.Refuse("runner", "version_held",
			"runner %s drains because a rollback holds version %d back: `callboard rollout release %s %d` lets it get actors again", runner.ID, runner.Version, p.ID.Name, runner.Version))
	}
	switch runner.Drain.Cause {
	case fsm.NotDraining: // it is as the caller wants it
	case fsm.DrainOperator:
		s.forgetDrain(p, runner.Key)
		s.cancelDrain(runner)
	case fsm.DrainNewerVersion:
		return refuse(callboardv1.Refuse("runner", "outdated",
			"runner %s drains because a newer version is in its pool: pause the rollout with `callboard rollout pause %s`, or switch drain_on_version_upgrade off",
			runner.ID, runner.Pool.Name))
	default:
		return refuse(callboardv1.Refuse("runner", "draining", "runner %s is on its way out by itself: that cannot be called off", runner.ID))
	}
	return done(runner.ID[:])
}

// liveRunner finds a runner of a namespace that has not ended.
func (s *step) liveRunner(namespace, runnerID string) (*fsm.Runner, *callboardv1.Error) {
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return nil, namespaceNotFound(namespace)
	}
	id, err := fsm.ParseID(runnerID)
	if err != nil {
		return nil, callboardv1.Refuse("api", "bad_request", "runner_id: %v", err)
	}
	r := s.tx.Runner(fsm.RunnerID(id))
	switch {
	case r == nil || r.Pool.Namespace != ns.ID:
		return nil, callboardv1.Refuse("runner", "not_found", "no runner %s in namespace %q; ended runners are forgotten after an hour", runnerID, namespace)
	case r.End != fsm.NotEnded:
		return nil, callboardv1.Refuse("runner", "ended", "runner %s has ended", runnerID)
	}
	return r, nil
}

// pauseRollout holds the open rollout of a pool, or lets it go on. Evictions that are decided already go on either way.
func (s *step) pauseRollout(namespace, pool string, paused bool, reason string) Answer {
	if refusal := badReason(reason); refusal != nil {
		return refuse(refusal)
	}
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return refuse(namespaceNotFound(namespace))
	}
	p := s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})
	if p == nil {
		return refuse(callboardv1.Refuse("pool", "not_found", "no pool %q in namespace %q", clipText(pool), namespace))
	}
	open := s.tx.OpenRollout(p)
	if open == nil {
		return refuse(callboardv1.Refuse("pool", "no_rollout", "no rollout is open in pool %q: `callboard rollout history %s` lists those that have ended", pool, pool))
	}
	s.do(&logv1.Op{Op: &logv1.Op_PauseRollout{PauseRollout: &logv1.PauseRollout{NamespaceId: ns.ID[:], Pool: pool, Paused: paused, Reason: reason}}})
	if paused {
		s.unname(p, s.namedFor(p, fsm.DrainNewerVersion))
	}
	return done(nil)
}

// rescheduleActor moves an actor now, outside the pool's pace.
func (s *step) rescheduleActor(a *fsm.Actor) *callboardv1.Error {
	switch {
	case a.Phase == fsm.Destroyed || a.Destroying:
		return destroyed(a)
	case a.Phase == fsm.Starting || a.Phase == fsm.Running:
		s.stop(a, fsm.StopReschedule)
	case a.Phase == fsm.Sleeping || a.Phase == fsm.Stopping && a.StopReason == fsm.StopSleep && !a.WakeKept:
		return callboardv1.Refuse("actor", "not_running", "actor %s is asleep, or going to sleep: wake it, and it is placed anew", a.ID)
	case a.Phase == fsm.BackingOff:
		return callboardv1.Refuse("actor", "not_running", "actor %s waits in back-off after a crash and will be placed anew: see `callboard actor explain %s`", a.ID, a.ID)
	}
	return nil // it is on its way already
}
