package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// judge acts on what fell due: silent runners, starts and stops without an answer, back-offs, alarms.
func (s *step) judge() {
	due := s.tx.Due(maxDuePerStep)
	if len(due) == maxDuePerStep {
		s.out.Unfinished = true
	}
	s.brake(due)
	for _, d := range due {
		if s.judgedEnough() {
			break
		}
		switch d.Kind {
		case fsm.DueLost:
			s.lost(d.Runner)
		case fsm.DueStart:
			s.stop(d.Actor, fsm.StopNoResponse)
		case fsm.DueStop:
			s.giveUp(d.Actor)
		case fsm.DueTurn:
			s.do(&logv1.Op{Op: &logv1.Op_EnqueueActor{EnqueueActor: &logv1.EnqueueActor{ActorId: d.Actor.ID[:]}}})
		case fsm.DueDrain:
			s.drainDue(d.Runner)
		case fsm.DueRolloutWait:
			p := s.tx.RolloutPool(d.Rollout)
			s.do(&logv1.Op{Op: &logv1.Op_EndRolloutWait{EndRolloutWait: &logv1.EndRolloutWait{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name}}})
		case fsm.DueForgetRollout:
			s.forgetRollout(d.Rollout)
		case fsm.DueForgetDrain:
			s.drainForgotten(d.Drain)
		case fsm.DueForgetActor:
			s.do(&logv1.Op{Op: &logv1.Op_ForgetActor{ForgetActor: &logv1.ForgetActor{ActorId: d.Actor.ID[:]}}})
		case fsm.DueRequest:
			s.requestDue(d.Request)
		case fsm.DueEndpoint:
			s.endpointDue(d.Pool)
		case fsm.DueAwait:
			s.awaitOver(d.Pool)
		case fsm.DueForgetRunner:
			s.forgetRunner(d.Runner)
		}
	}
	s.retry()
	for _, a := range s.tx.DueAlarms(maxAlarmsPerStep) {
		if s.full() {
			return
		}
		s.do(&logv1.Op{Op: &logv1.Op_WakeActor{WakeActor: &logv1.WakeActor{ActorId: a.ID[:], KeepAlarm: true}}})
	}
}

// judgedEnough tells that no more verdicts should be made in this Step: one may be followed by as many ops as the runner has actors.
func (s *step) judgedEnough() bool {
	if len(s.out.Ops)-s.admitted < maxDuePerStep {
		return s.full()
	}
	s.out.Unfinished = true
	return true
}

// drainDue acts on a drain that has run out of time. An operator's: what is left moves at once. A runner's own shutdown: it said that it
// would be gone by now, and has not said goodbye. It is taken at its word, and what it still has counts as lost.
func (s *step) drainDue(r *fsm.Runner) {
	if r.Drain.Cause == fsm.DrainShutdown {
		s.endRunner(r)
		return
	}
	s.unname(s.tx.RunnerPool(r), s.namedOn(r))
	s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{ // again, with its time over: what is left moves at once
		RunnerId: r.ID[:], Cause: uint32(fsm.DrainOperator), DeadlineMs: r.Drain.DeadlineMs, Reason: r.Drain.Reason, Force: r.Drain.Force,
	}}})
}

// retriesPerSecond bounds how many back-offs end in a second of the cluster clock, in the whole cluster, those of no length included.
// Actors that crash again and again by the ten thousand must not keep the engine from the others; they wait a little longer, in the
// order in which they fell due.
const retriesPerSecond = 1_000

// retryEveryMs is how long those above the bound wait until more of them are taken.
const retryEveryMs = 50

// freeRetriesPerStep bounds how many actors whose first crash costs no wait are placed again in the Step that hears of it. The others
// stand behind those whose back-off is over.
const freeRetriesPerStep = 100

// retriesAllowed is how many back-offs may end in this Step: as many as the time since the last entry allows, and at least one, so that
// one that falls due alone never waits.
func (s *step) retriesAllowed() int {
	return int(min(max(1, s.tx.ElapsedMs()*retriesPerSecond/1000), maxDuePerStep))
}

// mayRetryAtOnce tells whether an actor that has crashed and need not wait may be placed again at once: in a crowd it stands in line.
func (s *step) mayRetryAtOnce() bool {
	if s.freeRetries == 0 && len(s.tx.DueBackoffs(s.retriesAllowed()+1)) > s.retriesAllowed() {
		s.freeRetries = freeRetriesPerStep // others stand there already
	}
	s.freeRetries++
	return s.freeRetries <= freeRetriesPerStep
}

// retry places actors again whose back-off is over.
func (s *step) retry() {
	for _, a := range s.tx.DueBackoffs(s.retriesAllowed()) {
		if s.full() {
			return
		}
		s.do(&logv1.Op{Op: &logv1.Op_EnqueueActor{EnqueueActor: &logv1.EnqueueActor{ActorId: a.ID[:]}}})
	}
}

// lost declares a silent runner lost and ends the lives of its actors. One that has many is emptied in several Steps.
func (s *step) lost(r *fsm.Runner) {
	if r.End == fsm.NotEnded {
		if s.held[r.Number] {
			return
		}
		s.do(&logv1.Op{Op: &logv1.Op_MarkLost{MarkLost: &logv1.MarkLost{
			RunnerId: r.ID[:], SessionId: r.Session[:], LastSeenMs: s.tx.LastSeenMs(r),
		}}})
		s.endedRunners = append(s.endedRunners, s.tx.RunnerNamespace(r))
		s.runnerLeft(r)
	}
	var left []*fsm.Actor
	for a := range s.tx.ActorsOf(r, 0) {
		if len(left) == maxStopsPerStep {
			s.out.Unfinished = true
			break
		}
		left = append(left, a)
	}
	for _, a := range left {
		if s.judgedEnough() {
			return
		}
		s.endLife(a, leftBehind(r, a))
	}
}

// endRunner ends a runner that has given up everything, or will never say so.
func (s *step) endRunner(r *fsm.Runner) {
	s.noteLeft(r)
	s.do(&logv1.Op{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: r.ID[:]}}})
	s.endedRunners = append(s.endedRunners, s.tx.RunnerNamespace(r))
	s.runnerLeft(r)
}

// leftBehind is how an actor ends that its runner still had when it ended. What a runner that said goodbye had not started is nobody's
// fault.
func leftBehind(r *fsm.Runner, a *fsm.Actor) ending {
	if r.End == fsm.EndStopped && a.Phase == fsm.Starting {
		return ending{clean: true, cause: logv1.StopCause_STOP_CAUSE_REFUSED, message: "its runner left before it could start it"}
	}
	return ending{cause: logv1.StopCause_STOP_CAUSE_LOST, message: "its runner was lost"}
}

func (s *step) forgetRunner(r *fsm.Runner) {
	s.do(&logv1.Op{Op: &logv1.Op_ForgetRunner{ForgetRunner: &logv1.ForgetRunner{RunnerId: r.ID[:]}}})
}

// forgetRounds is how many thousand outcomes are forgotten at once: more than an entry may bring, so that they do not pile up.
const forgetRounds = 2

// forget drops what has been kept long enough, or is too much to keep.
func (s *step) forget() {
	for _, ns := range s.ended {
		for _, a := range s.tx.ExcessEnded(ns, 2) { // two for each that ended: the excess shrinks
			s.do(&logv1.Op{Op: &logv1.Op_ForgetActor{ForgetActor: &logv1.ForgetActor{ActorId: a.ID[:]}}})
		}
	}
	for _, ns := range s.endedRunners {
		for _, r := range s.tx.ExcessRunners(ns, 2) {
			s.forgetRunner(r)
		}
	}
	idle := s.tx.IdlePools(maxDuePerStep)
	if len(idle) == maxDuePerStep {
		s.out.Unfinished = true
	}
	for _, p := range idle {
		s.do(&logv1.Op{Op: &logv1.Op_ForgetPool{ForgetPool: &logv1.ForgetPool{NamespaceId: p.ID.Namespace[:], Name: p.ID.Name}}})
	}
	for range forgetRounds {
		if oldest, ok := s.tx.OldestOutcomeMs(); !ok || s.tx.ClockMs()-oldest <= fsm.OutcomeKeptMs {
			break
		}
		s.do(&logv1.Op{Op: &logv1.Op_ForgetOutcomes{ForgetOutcomes: &logv1.ForgetOutcomes{BeforeMs: s.tx.ClockMs() - fsm.OutcomeKeptMs}}})
	}
}
