package scheduler

import (
	"strings"
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// ending is how one life of an actor ended.
type ending struct {
	clean   bool
	message string
	cause   logv1.StopCause
}

// after is what follows the end of a life.
type after struct {
	next    logv1.NextState
	penalty bool // it counts as a retry, and waits longer each time
	prefer  bool // it may go back to the runner that it was on
}

const (
	toPending   = logv1.NextState_NEXT_STATE_PENDING
	toBackOff   = logv1.NextState_NEXT_STATE_BACKING_OFF
	toSleep     = logv1.NextState_NEXT_STATE_SLEEPING
	toDestroyed = logv1.NextState_NEXT_STATE_DESTROYED
)

// afterEnd decides what follows the end of a life: the one place where crash policies, evictions and sleeps are told apart.
func afterEnd(a *fsm.Actor, r *fsm.Runner, e ending) after {
	fenced, refused := e.cause == logv1.StopCause_STOP_CAUSE_FENCED, e.cause == logv1.StopCause_STOP_CAUSE_REFUSED
	switch {
	case a.Destroying, e.cause == logv1.StopCause_STOP_CAUSE_FINISHED:
		return after{next: toDestroyed} // finished: what it was asked meanwhile found nobody
	case a.Phase == fsm.Stopping && a.StopReason == fsm.StopSleep:
		if !a.WakeKept {
			return after{next: toSleep}
		}
		return moved(e.clean || fenced || refused)
	case fenced:
		// An eviction for want of a lease: nothing went wrong with the actor. It may return, unless it was on its way elsewhere.
		return after{next: toPending, prefer: a.Phase != fsm.Stopping}
	case a.Phase == fsm.Stopping:
		return moved((e.clean || refused) && a.StopReason != fsm.StopNoResponse)
	case refused:
		// Nothing went wrong with the actor. But whoever refuses once may refuse again: it goes elsewhere if it can, and not at once
		// each time.
		return moved(e.clean)
	case e.clean && r.Drain.Cause != fsm.DrainShutdown && r.Drain.Cause != fsm.DrainRequestEnd:
		return after{next: toDestroyed} // it ended of its own accord
	case r.Drain.Cause == fsm.DrainShutdown, r.Drain.Cause == fsm.DrainRequestEnd, r.Drain.Cause == fsm.DrainReplaced:
		return moved(e.clean) // it is on its way out under every policy
	}
	switch a.Policy {
	case fsm.PolicySleep:
		if a.Phase == fsm.Starting && (e.cause == logv1.StopCause_STOP_CAUSE_LOST || a.AlarmWoke) {
			return after{next: toBackOff, penalty: true} // it was woken, and the life that was to begin did not: nothing has woken
		}
		return after{next: toSleep}
	case fsm.PolicyDestroy:
		return after{next: toDestroyed}
	default:
		return after{next: toBackOff, penalty: true}
	}
}

// moved is what follows a move under every policy: at once after a clean stop, otherwise after the back-off.
func moved(clean bool) after {
	if clean {
		return after{next: toPending}
	}
	return after{next: toBackOff, penalty: true}
}

// endLife ends the current life of an actor, and tells whether it was not over yet.
func (s *step) endLife(a *fsm.Actor, e ending) bool {
	r := s.tx.RunnerByNumber(a.Runner)
	what := afterEnd(a, r, e)
	op := &logv1.ActorStopped{
		Ref: refOp(a.Ref()), Clean: e.clean, Message: clipText(e.message), Cause: e.cause,
		Next: what.next, Penalty: what.penalty, PreferRunner: what.prefer, RememberEarlier: what.penalty,
	}
	if what.next == toBackOff {
		if waitMs := s.backOffMs(s.tx.Retries(a)); waitMs > 0 {
			op.RescheduleMs = s.tx.ClockMs() + waitMs
		} else {
			op.Next = toPending
		}
	}
	op.KeepKey = op.Next == toDestroyed && a.Orphans > 0
	lost := e.cause == logv1.StopCause_STOP_CAUSE_LOST && a.Phase != fsm.Stopping
	if what.penalty && op.Next == toPending && !lost && a.Promise == 0 && !s.mayRetryAtOnce() {
		op.Next, op.RescheduleMs = toBackOff, s.tx.ClockMs()+1
	}
	if lost && (op.Next == toPending || op.Next == toBackOff) {
		op.Forced = true // its runner's actors are placed again one after the other; those on their way have had their turn
		if turn := s.tx.ForcedTurnMs(r); turn > s.tx.ClockMs() {
			op.RescheduleMs = max(op.RescheduleMs, turn)
		}
	}
	if s.do(&logv1.Op{Op: &logv1.Op_ActorStopped{ActorStopped: op}}) != fsm.CodeOK {
		return false
	}
	if op.Next == toDestroyed {
		s.ended = append(s.ended, s.tx.ActorNamespace(a))
	}
	if a.Promise != 0 && op.Next == toPending && op.RescheduleMs == 0 {
		s.arrive(s.tx.Actor(a.ID), a.Promise)
	}
	return true
}

// giveUp ends a life whose stop was never reported. Nobody has confirmed that it has ended: if its runner is there still, its slot is
// held until it does. The actor waits no longer: this life counts as lost.
func (s *step) giveUp(a *fsm.Actor) {
	r := s.tx.RunnerByNumber(a.Runner)
	if s.endLife(a, ending{cause: logv1.StopCause_STOP_CAUSE_NO_RESPONSE, message: "its runner did not report the end of the stop"}) {
		s.do(&logv1.Op{Op: &logv1.Op_HoldOrphan{HoldOrphan: &logv1.HoldOrphan{RunnerId: r.ID[:], Ref: refOp(a.Ref())}}})
	}
}

// backOffMs is how long an actor waits before its next life: 0, then base · 2^n with a little jitter, so that those that crashed
// together do not come back together.
func (s *step) backOffMs(retries uint32) int64 {
	const jitterMs = 500
	wait := s.tx.BackOffMs(retries)
	if wait > 0 {
		wait += int64(s.drawUint32() % (jitterMs + 1))
	}
	return wait
}

// stop asks the runner of an actor to stop it.
func (s *step) stop(a *fsm.Actor, reason fsm.StopReason) {
	s.do(&logv1.Op{Op: &logv1.Op_StopActor{StopActor: &logv1.StopActor{
		Ref: refOp(a.Ref()), Reason: uint32(reason), DeadlineMs: s.tx.ClockMs() + s.tx.Setting(fsm.ActorStopThreshold),
	}}})
}

// clipText makes a runner's text fit for the log: bounded, valid UTF-8.
func clipText(text string) string {
	if len(text) > maxMessage {
		text = text[:maxMessage]
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	return text
}
