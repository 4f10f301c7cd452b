package fsm

import (
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// How a life ends, and what is remembered of it.

// ErrorCode says what went wrong with an actor last.
type ErrorCode uint8

// The codes. ErrorNone: nothing.
const (
	ErrorNone ErrorCode = iota
	ErrorCrashed
	ErrorLost
	ErrorNoResponse
	ErrorStopTimeout
	ErrorAbandoned
	ErrorVanished
	ErrorRefused
	errorCodeCount
)

var errorNames = [errorCodeCount]string{"", "crashed", "runner_connection_lost", "runner_no_response", "stop_timeout", "abandoned", "vanished", "start_refused"}

func (c ErrorCode) String() string {
	if c < errorCodeCount {
		return errorNames[c]
	}
	return "invalid"
}

// Trouble remembers what went wrong with an actor.
type Trouble struct {
	Code      ErrorCode
	Message   string
	Runner    RunnerID                    // where
	Retries   uint32                      // starts over by a clean stop or after retry_reset_duration
	RetryMs   int64                       // cluster clock of the last retry: the end of its back-off
	CrashedMs int64                       // cluster clock; the runner above is avoided for a while
	Preferred RunnerID                    // where it was fenced and may return to
	Earlier   [MaxRemembered - 1]RunnerID // where it had trouble before, the latest first; avoided as well
}

// MaxRemembered bounds how many runners an actor remembers that it had trouble on.
const MaxRemembered = 4

// On returns how many runners it had trouble on after the given one: 0 for the latest; ok is false when that is not remembered.
func (t *Trouble) On(r RunnerID) (since int, ok bool) {
	if t == nil || t.Code == ErrorNone {
		return 0, false
	}
	if t.Runner == r {
		return 0, true
	}
	i := slices.Index(t.Earlier[:], r)
	return i + 1, i >= 0
}

// earlierIDs are the earlier runners as a record has them.
func (t *Trouble) earlierIDs() (ids [][]byte) {
	for i := range t.Earlier {
		if ID(t.Earlier[i]).IsZero() {
			break
		}
		ids = append(ids, t.Earlier[i][:])
	}
	return ids
}

// remember puts the runner of the trouble before among the earlier ones, if the next trouble is on another.
func (t *Trouble) remember(next RunnerID) {
	if t.Runner == next || ID(t.Runner).IsZero() {
		return
	}
	at := slices.Index(t.Earlier[:], next)
	if at < 0 {
		at = len(t.Earlier) - 1 // the oldest is forgotten
	}
	copy(t.Earlier[1:at+1], t.Earlier[:at])
	t.Earlier[0] = t.Runner
}

// troubleOrZero returns a copy of what went wrong, to be changed.
func (a *Actor) troubleOrZero() Trouble {
	if a.Trouble == nil {
		return Trouble{}
	}
	return *a.Trouble
}

func (tx *Tx) actorStopped(op *logv1.ActorStopped) Result {
	to, ok := nextPhase(op.GetNext())
	if !ok || op.GetCause() == logv1.StopCause_STOP_CAUSE_UNSPECIFIED {
		return refuse(CodeMalformed)
	}
	a, next, res := tx.stepRef(op.GetRef(), EventStopped, to)
	if res.Code != CodeOK {
		return res
	}
	if a.Destroying && to != Destroyed || a.WakeKept && to == Sleeping {
		return refuse(CodeIllegal)
	}
	paced := to == Pending && op.GetRescheduleMs() != 0
	if (to == BackingOff || paced) && op.GetRescheduleMs() <= tx.clockMs || op.GetForced() && to != Pending && to != BackingOff {
		return refuse(CodeMalformed)
	}
	if op.GetForced() {
		tx.countForced(a, to == Pending && !paced)
	}
	tx.countLeft(a, op.GetCause() == logv1.StopCause_STOP_CAUSE_LOST)
	tx.recordTrouble(a, next, op)
	next.Runner, next.RunnerRev, next.StopReason, next.StopLimitMs, next.WakeKept, next.ConnectableMs = 0, 0, NoStop, 0, false, 0
	next.EvictMs, next.Eviction, next.Promise = 0, 0, 0
	switch to {
	case Pending:
		tx.makePending(next)
		if paced {
			next.DueMs, next.QueueSeq, next.RescheduleMs = op.GetRescheduleMs(), 0, tx.wallAt(op.GetRescheduleMs())
		}
	case BackingOff:
		next.DueMs, next.RescheduleMs = op.GetRescheduleMs(), tx.wallAt(op.GetRescheduleMs())
		next.SleepMs = 0
		if op.GetForced() {
			next.Eviction = evictionForced
		}
	case Sleeping:
		next.DueMs, next.SleepMs, next.AlarmWoke = 0, tx.wallMs, false
	case Destroyed:
		tx.markDestroyed(next, op.GetKeepKey())
	default: // nextPhase knows no other
	}
	tx.replaceActor(a, next)
	return Result{}
}

// countForced counts a forced move of the actor's runner. One that waits for its turn draws its token when the turn comes.
func (tx *Tx) countForced(a *Actor, now bool) {
	tx.countMove(tx.runners.Get(a.Runner))
	if p := tx.pools.Get(a.pool); now {
		tx.putBucket(p, tx.Bucket(p).owe(p.EvictionRateMicros()))
	}
}

func nextPhase(n logv1.NextState) (Phase, bool) {
	switch n {
	case logv1.NextState_NEXT_STATE_PENDING:
		return Pending, true
	case logv1.NextState_NEXT_STATE_BACKING_OFF:
		return BackingOff, true
	case logv1.NextState_NEXT_STATE_SLEEPING:
		return Sleeping, true
	case logv1.NextState_NEXT_STATE_DESTROYED:
		return Destroyed, true
	default:
		return NoPhase, false
	}
}

// recordTrouble keeps what went wrong, and forgets it after a clean stop.
func (tx *Tx) recordTrouble(a, next *Actor, op *logv1.ActorStopped) {
	t := a.troubleOrZero()
	t.Retries = tx.Retries(a)
	runner := tx.runners.Get(a.Runner).ID
	t.Preferred = RunnerID{}
	if op.GetPreferRunner() {
		t.Preferred = runner
	}
	refused := op.GetCause() == logv1.StopCause_STOP_CAUSE_REFUSED // nothing ran: that says nothing about the actor
	// A start without an answer stays one, however clean its stop.
	answered := a.StopReason != StopNoResponse || op.GetCause() == logv1.StopCause_STOP_CAUSE_FINISHED
	if op.GetClean() && !refused && answered {
		t.Code, t.Message, t.Runner, t.Retries, t.RetryMs, t.CrashedMs = ErrorNone, "", RunnerID{}, 0, 0, 0
		t.Earlier = [MaxRemembered - 1]RunnerID{}
	} else if code := troubleOf(op.GetCause(), a.StopReason); code != ErrorNone && (!refused || op.GetPenalty()) {
		if op.GetRememberEarlier() {
			t.remember(runner)
		}
		t.Code, t.Message, t.Runner, t.CrashedMs = code, op.GetMessage(), runner, tx.clockMs
	}
	if op.GetPenalty() {
		t.Retries, t.RetryMs = t.Retries+1, max(tx.clockMs, op.GetRescheduleMs())
	}
	next.Trouble = &t
	if t == (Trouble{}) {
		next.Trouble = nil
	}
}

// Retries returns how often an actor was placed again after a crash; it starts over after retry_reset_duration without one.
func (s *State) Retries(a *Actor) uint32 {
	if a.Trouble == nil || s.clockMs-a.Trouble.RetryMs >= s.Setting(RetryResetDuration) {
		return 0
	}
	return a.Trouble.Retries
}

func troubleOf(cause logv1.StopCause, reason StopReason) ErrorCode {
	if reason == StopNoResponse && cause != logv1.StopCause_STOP_CAUSE_FINISHED {
		return ErrorNoResponse
	}
	switch cause {
	case logv1.StopCause_STOP_CAUSE_ABANDONED:
		return ErrorAbandoned
	case logv1.StopCause_STOP_CAUSE_LOST:
		return ErrorLost
	case logv1.StopCause_STOP_CAUSE_NO_RESPONSE:
		return ErrorStopTimeout
	case logv1.StopCause_STOP_CAUSE_VANISHED:
		return ErrorVanished
	case logv1.StopCause_STOP_CAUSE_CONFIRMED:
		return ErrorCrashed
	case logv1.StopCause_STOP_CAUSE_REFUSED:
		return ErrorRefused
	default: // fenced: an eviction, nothing went wrong with the actor
		return ErrorNone
	}
}
