package fsm

import (
	"fmt"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Code says what became of an op.
type Code uint8

// The codes.
const (
	CodeOK        Code = iota
	CodeMalformed      // a field is missing or out of range: nothing that a leader should ever propose
	CodeNotFound       // what it names does not exist
	CodeExists         // what it makes is there already
	CodeStale          // of an older session, generation or epoch
	CodeIllegal        // not possible in the phase that its subject is in
	CodeFull           // no slot, or a limit is reached
	codeCount
)

var codeNames = [codeCount]string{"ok", "malformed", "not_found", "exists", "stale", "illegal", "full"}

func (c Code) String() string {
	if c < codeCount {
		return codeNames[c]
	}
	return "invalid"
}

// Result is what an op came to. A refused op leaves no trace.
type Result struct {
	Code Code
}

func refuse(c Code) Result { return Result{Code: c} }

// Do applies one op: it validates fully, then writes. It never chooses. An op that this build does not know panics, and so does one with a
// field that it does not know: a node must stop rather than pass over a decision of the cluster.
func (tx *Tx) Do(op *logv1.Op) Result {
	if unknown := opShape.unknown(op.ProtoReflect()); unknown != "" {
		panic("fsm: an op cannot be applied: " + unknown + ": it was written by a newer build; upgrade this node")
	}
	res := tx.apply(op)
	tx.settleLooks()
	return res
}

func (tx *Tx) apply(op *logv1.Op) Result {
	switch o := op.GetOp().(type) {
	case *logv1.Op_LeaderEstablished:
		return tx.leaderEstablished(o.LeaderEstablished)
	case *logv1.Op_PutSettings:
		return tx.putSettings(o.PutSettings)
	case *logv1.Op_PutNamespace:
		return tx.putNamespace(o.PutNamespace)
	case *logv1.Op_PutPool:
		return tx.putPool(o.PutPool)
	case *logv1.Op_DeletePool:
		return tx.deletePool(o.DeletePool)
	case *logv1.Op_ForgetPool:
		return tx.forgetPool(o.ForgetPool)
	case *logv1.Op_RegisterRunner:
		return tx.registerRunner(o.RegisterRunner)
	case *logv1.Op_ResumeRunner:
		return tx.resumeRunner(o.ResumeRunner)
	case *logv1.Op_DisconnectRunner:
		return tx.disconnectRunner(o.DisconnectRunner)
	case *logv1.Op_RunnersSeen:
		return tx.runnersSeen(o.RunnersSeen)
	case *logv1.Op_MarkLost:
		return tx.markLost(o.MarkLost)
	case *logv1.Op_HoldVerdict:
		return tx.holdVerdict(o.HoldVerdict)
	case *logv1.Op_EndRunner:
		return tx.endRunnerOp(o.EndRunner)
	case *logv1.Op_SetRunnerThreshold:
		return tx.setRunnerThreshold(o.SetRunnerThreshold)
	case *logv1.Op_HoldOrphan:
		return tx.holdOrphan(o.HoldOrphan)
	case *logv1.Op_ReleaseOrphan:
		return tx.releaseOrphan(o.ReleaseOrphan)
	case *logv1.Op_ForgetRunner:
		return tx.forgetRunner(o.ForgetRunner)
	case *logv1.Op_StartDrain:
		return tx.startDrain(o.StartDrain)
	case *logv1.Op_CancelDrain:
		return tx.cancelDrain(o.CancelDrain)
	case *logv1.Op_FinishDrain:
		return tx.finishDrain(o.FinishDrain)
	case *logv1.Op_HoldVersion:
		return tx.holdVersion(o.HoldVersion)
	case *logv1.Op_ReleaseVersion:
		return tx.releaseVersion(o.ReleaseVersion)
	case *logv1.Op_RememberDrain:
		return tx.rememberDrain(o.RememberDrain)
	case *logv1.Op_ForgetDrain:
		return tx.forgetDrain(o.ForgetDrain)
	case *logv1.Op_AwaitVersion:
		return tx.awaitVersion(o.AwaitVersion)
	case *logv1.Op_PlanEvictions:
		return tx.planEvictions(o.PlanEvictions)
	case *logv1.Op_EvictActor:
		return tx.evictActor(o.EvictActor)
	case *logv1.Op_EvictionsReceived:
		return tx.evictionsReceived(o.EvictionsReceived)
	case *logv1.Op_EndRolloutWait:
		return tx.endRolloutWait(o.EndRolloutWait)
	case *logv1.Op_OpenRollout:
		return tx.openRollout(o.OpenRollout)
	case *logv1.Op_CloseRollout:
		return tx.closeRollout(o.CloseRollout)
	case *logv1.Op_PauseRollout:
		return tx.pauseRollout(o.PauseRollout)
	case *logv1.Op_ForgetRollout:
		return tx.forgetRollout(o.ForgetRollout)
	case *logv1.Op_CreateActor:
		return tx.createActor(o.CreateActor)
	case *logv1.Op_AssignActor:
		return tx.assignActor(o.AssignActor)
	case *logv1.Op_EnqueueActor:
		return tx.enqueueActor(o.EnqueueActor)
	case *logv1.Op_ActorRunning:
		return tx.actorRunning(o.ActorRunning)
	case *logv1.Op_StopActor:
		return tx.stopActor(o.StopActor)
	case *logv1.Op_ActorStopped:
		return tx.actorStopped(o.ActorStopped)
	case *logv1.Op_SleepActor:
		return tx.sleepActor(o.SleepActor)
	case *logv1.Op_WakeActor:
		return tx.wakeActor(o.WakeActor)
	case *logv1.Op_SetAlarm:
		return tx.setAlarm(o.SetAlarm)
	case *logv1.Op_DestroyActor:
		return tx.destroyActor(o.DestroyActor)
	case *logv1.Op_ForgetActor:
		return tx.forgetActor(o.ForgetActor)
	case *logv1.Op_SaveState:
		return tx.saveState(o.SaveState)
	case *logv1.Op_RaiseGeneration:
		return tx.raiseGeneration(o.RaiseGeneration)
	case *logv1.Op_OpenRequest:
		return tx.openRequest(o.OpenRequest)
	case *logv1.Op_SendRequest:
		return tx.sendRequest(o.SendRequest)
	case *logv1.Op_ClaimRequest:
		return tx.claimRequest(o.ClaimRequest)
	case *logv1.Op_ExpireRequest:
		return tx.expireRequest(o.ExpireRequest)
	case *logv1.Op_RetireRequest:
		return tx.retireRequest(o.RetireRequest)
	case *logv1.Op_EndRequest:
		return tx.endRequest(o.EndRequest)
	case *logv1.Op_ForgetRequest:
		return tx.forgetRequest(o.ForgetRequest)
	case *logv1.Op_PutEndpoint:
		return tx.putEndpoint(o.PutEndpoint)
	case *logv1.Op_RememberOutcome:
		return tx.rememberOutcome(o.RememberOutcome)
	case *logv1.Op_ForgetOutcomes:
		return tx.forgetOutcomes(o.ForgetOutcomes)
	default:
		panic(fmt.Sprintf("fsm: an op of the kind %T: it says nothing that this build knows", op.GetOp()))
	}
}
