package fsm

import (
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Sleep, and what ends it.

func (tx *Tx) sleepActor(op *logv1.SleepActor) Result {
	a, next, res := tx.step(op.GetActorId(), EventSleep, Sleeping)
	if res.Code != CodeOK {
		return res
	}
	next.DueMs, next.QueueSeq, next.PendingMs, next.RescheduleMs, next.SleepMs = 0, 0, 0, 0, tx.wallMs
	next.Eviction, next.AlarmWoke = 0, false
	if a.Trouble != nil { // it was to return to its runner at once; when it wakes it goes where everybody goes
		t := *a.Trouble
		t.Preferred = RunnerID{}
		if next.Trouble = &t; t == (Trouble{}) {
			next.Trouble = nil
		}
	}
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) wakeActor(op *logv1.WakeActor) Result {
	a := tx.actorFrom(op.GetActorId())
	if a != nil && a.Phase == Stopping {
		if a.StopReason != StopSleep {
			return refuse(CodeIllegal)
		}
		next := *a
		next.WakeKept = true
		tx.replaceActor(a, &next)
		return Result{}
	}
	a, next, res := tx.step(op.GetActorId(), EventWake, Pending)
	if res.Code != CodeOK {
		return res
	}
	if a.AlarmMs != 0 && a.AlarmMs <= tx.wallMs {
		if next.AlarmWoke = op.GetKeepAlarm(); !next.AlarmWoke {
			next.AlarmMs = 0 // it has done its work
		}
	}
	tx.makePending(next)
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) setAlarm(op *logv1.SetAlarm) Result {
	a := tx.actorFrom(op.GetActorId())
	if a == nil || a.Phase == Destroyed {
		return refuse(CodeNotFound)
	}
	if op.GetAtUnixMs() < 0 {
		return refuse(CodeMalformed)
	}
	next := *a
	next.AlarmMs, next.AlarmWoke = op.GetAtUnixMs(), false
	tx.replaceActor(a, &next)
	return Result{}
}
