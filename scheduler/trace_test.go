package scheduler

import (
	"fmt"
	"strings"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// tell writes an entry into the trace: its time, then one line per op. Heartbeats are left out: they would drown the rest.
func (w *world) tell(ops []*logv1.Op) {
	if w.quiet {
		return
	}
	var lines []string
	for _, op := range ops {
		if op.GetRunnersSeen() == nil {
			lines = append(lines, w.opText(op))
		}
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(&w.trace, "@%s\n", seconds(w.clockMs))
	for _, line := range summary(lines) {
		fmt.Fprintf(&w.trace, "  %s\n", line)
	}
}

// summary keeps a story readable that makes thousands of something: it counts lines by their first word.
func summary(lines []string) []string {
	const most = 30
	if len(lines) <= most {
		return lines
	}
	var words []string
	counts := map[string]int{}
	for _, line := range lines {
		word, _, _ := strings.Cut(line, " ")
		if counts[word]++; counts[word] == 1 {
			words = append(words, word)
		}
	}
	for i, word := range words {
		words[i] = fmt.Sprintf("%d times %s", counts[word], word)
	}
	return words
}

// seconds prints whole seconds: what is between them is jitter, or the story shows it otherwise.
func seconds(ms int64) string { return fmt.Sprintf("%ds", ms/1000) }

func (w *world) refText(ref *logv1.Ref) string {
	return fmt.Sprintf("%s/%d", w.label(ref.GetActorId()), ref.GetGeneration())
}

// opText says in a few words what an op does.
func (w *world) opText(op *logv1.Op) string {
	if text := w.runnerOpText(op); text != "" {
		return text
	}
	switch o := op.GetOp().(type) {
	case *logv1.Op_PutSettings:
		var values []string
		for _, v := range o.PutSettings.GetValues() {
			text := fmt.Sprintf("%s=%d", v.GetName(), v.GetValue())
			if v.GetReset_() {
				text = v.GetName() + "=default"
			}
			values = append(values, text)
		}
		return "settings " + strings.Join(values, " ")
	case *logv1.Op_PutNamespace:
		return fmt.Sprintf("namespace %s %q", o.PutNamespace.GetName(), o.PutNamespace.GetDisplayName())
	case *logv1.Op_PutPool:
		return "pool " + o.PutPool.GetName() + poolText(o.PutPool)
	case *logv1.Op_DeletePool:
		return "delete pool " + o.DeletePool.GetName()
	case *logv1.Op_ForgetPool:
		return "forget pool " + o.ForgetPool.GetName()
	case *logv1.Op_RememberOutcome:
		return "remember " + strings.TrimPrefix(o.RememberOutcome.GetKey(), "\x00")
	case *logv1.Op_ForgetOutcomes:
		return fmt.Sprintf("forget outcomes before %s", seconds(o.ForgetOutcomes.GetBeforeMs()))
	}
	return w.actorOpText(op)
}

func poolText(op *logv1.PutPool) string {
	var text string
	if op.GetAutoCreated() {
		text += " auto"
	}
	if op.GetConfig().LostThresholdS != nil {
		text += fmt.Sprintf(" lost=%ds", op.GetConfig().GetLostThresholdS())
	}
	if p := op.GetConfig().GetPlacement(); p != 0 {
		text += fmt.Sprintf(" placement=%d", p)
	}
	return text
}

func (w *world) runnerOpText(op *logv1.Op) string {
	switch o := op.GetOp().(type) {
	case *logv1.Op_RegisterRunner:
		r := o.RegisterRunner
		text := fmt.Sprintf("register %s v%d slots=%d T=%s", w.label(r.GetRunnerId()), r.GetVersion(), r.GetSlots(), seconds(int64(r.GetThresholdMs())))
		if len(r.GetReplaces()) > 0 {
			text += " in place of " + w.label(r.GetReplaces())
		}
		return text
	case *logv1.Op_ResumeRunner:
		return fmt.Sprintf("resume %s v%d slots=%d", w.label(o.ResumeRunner.GetRunnerId()), o.ResumeRunner.GetVersion(), o.ResumeRunner.GetSlots())
	case *logv1.Op_DisconnectRunner:
		return "disconnect " + w.label(o.DisconnectRunner.GetRunnerId())
	case *logv1.Op_RunnersSeen:
		return fmt.Sprintf("seen %v", o.RunnersSeen.GetNumberDeltas())
	case *logv1.Op_HoldVerdict:
		return "brake: " + w.label(o.HoldVerdict.GetRunnerId()) + " has more time"
	case *logv1.Op_MarkLost:
		return "lost " + w.label(o.MarkLost.GetRunnerId())
	case *logv1.Op_EndRunner:
		return "end " + w.label(o.EndRunner.GetRunnerId())
	case *logv1.Op_SetRunnerThreshold:
		return fmt.Sprintf("threshold of %s is %s", w.label(o.SetRunnerThreshold.GetRunnerId()), seconds(int64(o.SetRunnerThreshold.GetThresholdMs())))
	case *logv1.Op_HoldOrphan:
		text := fmt.Sprintf("orphan %s on %s", w.refText(o.HoldOrphan.GetRef()), w.label(o.HoldOrphan.GetRunnerId()))
		if o.HoldOrphan.GetHoldsActor() {
			text += ", its actor waits"
		}
		return text
	case *logv1.Op_ReleaseOrphan:
		return fmt.Sprintf("release %s on %s", w.refText(o.ReleaseOrphan.GetRef()), w.label(o.ReleaseOrphan.GetRunnerId()))
	case *logv1.Op_ForgetRunner:
		return "forget " + w.label(o.ForgetRunner.GetRunnerId())
	case *logv1.Op_HoldVersion:
		return fmt.Sprintf("hold version %d of %s", o.HoldVersion.GetVersion(), o.HoldVersion.GetPool())
	case *logv1.Op_ReleaseVersion:
		return fmt.Sprintf("release version %d of %s", o.ReleaseVersion.GetVersion(), o.ReleaseVersion.GetPool())
	case *logv1.Op_AwaitVersion:
		switch a := o.AwaitVersion; {
		case a.GetVersion() == 0:
			return "no version is awaited in " + a.GetPool()
		case a.GetUntilMs() == 0:
			return fmt.Sprintf("no longer wait for version %d in %s", a.GetVersion(), a.GetPool())
		default:
			return fmt.Sprintf("await version %d in %s until %s", a.GetVersion(), a.GetPool(), seconds(a.GetUntilMs()))
		}
	case *logv1.Op_RememberDrain:
		d := o.RememberDrain
		text := fmt.Sprintf("keep the drain of %s v%d", d.GetKey(), d.GetVersion())
		if d.GetDeadlineMs() != 0 {
			text += fmt.Sprintf(", until %s", seconds(d.GetDeadlineMs()))
		}
		if d.GetKeep() {
			text += ", for whoever comes"
		}
		if d.GetFinished() {
			text += ", finished"
		}
		return text
	case *logv1.Op_ForgetDrain:
		return "forget the drain of " + o.ForgetDrain.GetKey()
	case *logv1.Op_StartDrain:
		d := o.StartDrain
		text := fmt.Sprintf("drain %s: %s", w.label(d.GetRunnerId()), short("DRAIN_CAUSE_", callboardv1.DrainCause(d.GetCause())))
		if d.GetDeadlineMs() > 0 {
			text += fmt.Sprintf(", within %s", seconds(d.GetDeadlineMs()-w.clockMs))
		}
		if d.GetStandby() {
			text += ", stands by"
		}
		if d.GetForce() {
			text += ", by force"
		}
		return text
	case *logv1.Op_CancelDrain:
		return "no drain of " + w.label(o.CancelDrain.GetRunnerId())
	case *logv1.Op_FinishDrain:
		return "drained " + w.label(o.FinishDrain.GetRunnerId())
	}
	if text := w.requestOpText(op); text != "" {
		return text
	}
	return w.rolloutOpText(op)
}

func (w *world) requestOpText(op *logv1.Op) string {
	switch o := op.GetOp().(type) {
	case *logv1.Op_OpenRequest:
		r := o.OpenRequest
		text := fmt.Sprintf("open a request of %s by %s, to drain in %s", r.GetPool(), r.GetNode(), seconds(r.GetDrainMs()-w.clockMs))
		if r.GetProbesVersion() != 0 {
			text += fmt.Sprintf(", to look for version %d", r.GetProbesVersion())
		}
		return text
	case *logv1.Op_SendRequest:
		return "sent " + w.label(o.SendRequest.GetRequestId())
	case *logv1.Op_ClaimRequest:
		return "claimed " + w.label(o.ClaimRequest.GetRequestId())
	case *logv1.Op_ExpireRequest:
		if o.ExpireRequest.GetDrains() {
			return "expire " + w.label(o.ExpireRequest.GetRequestId()) + ", it drains"
		}
		return "expire " + w.label(o.ExpireRequest.GetRequestId())
	case *logv1.Op_RetireRequest:
		if o.RetireRequest.GetRetireMs() == 0 {
			return "keep " + w.label(o.RetireRequest.GetRequestId())
		}
		return fmt.Sprintf("retire %s in %s", w.label(o.RetireRequest.GetRequestId()), seconds(o.RetireRequest.GetRetireMs()-w.clockMs))
	case *logv1.Op_EndRequest:
		text := fmt.Sprintf("end %s: %s", w.label(o.EndRequest.GetRequestId()), short("REQUEST_END_", callboardv1.RequestEnd(o.EndRequest.GetCause())))
		if o.EndRequest.GetCode() != "" {
			text += " (" + o.EndRequest.GetCode() + ")"
		}
		return text
	case *logv1.Op_ForgetRequest:
		return "forget " + w.label(o.ForgetRequest.GetRequestId())
	case *logv1.Op_PutEndpoint:
		return w.endpointText(o.PutEndpoint)
	}
	return ""
}

func (w *world) endpointText(p *logv1.PutEndpoint) string {
	e, text := p.GetEndpoint(), "endpoint of "+p.GetPool()+":"
	if e.GetErrorCode() != "" {
		text += " " + e.GetErrorCode()
	}
	if e.GetFailures() > 0 {
		text += fmt.Sprintf(" failures=%d", e.GetFailures())
	}
	if e.GetRunnerVersion() > 0 {
		text += fmt.Sprintf(" version=%d", e.GetRunnerVersion())
	}
	if e.GetLookMs() > w.clockMs {
		text += " look in " + seconds(e.GetLookMs()-w.clockMs)
	}
	return text
}

func (w *world) rolloutOpText(op *logv1.Op) string {
	switch o := op.GetOp().(type) {
	case *logv1.Op_OpenRollout:
		return fmt.Sprintf("rollout of %s to version %d", o.OpenRollout.GetPool(), o.OpenRollout.GetVersion())
	case *logv1.Op_CloseRollout:
		text := fmt.Sprintf("rollout of %s: %s", o.CloseRollout.GetPool(), short("ROLLOUT_STATE_", callboardv1.RolloutState(o.CloseRollout.GetState())))
		if o.CloseRollout.GetReason() != "" {
			text += " (" + o.CloseRollout.GetReason() + ")"
		}
		return text
	case *logv1.Op_PauseRollout:
		return fmt.Sprintf("rollout of %s paused=%v %s", o.PauseRollout.GetPool(), o.PauseRollout.GetPaused(), o.PauseRollout.GetReason())
	case *logv1.Op_ForgetRollout:
		return fmt.Sprintf("forget a rollout of %s", o.ForgetRollout.GetPool())
	case *logv1.Op_EndRolloutWait:
		return fmt.Sprintf("rollouts of %s may begin again", o.EndRolloutWait.GetPool())
	case *logv1.Op_PlanEvictions:
		return w.planText(o.PlanEvictions)
	case *logv1.Op_EvictActor:
		text := "evict " + w.refText(o.EvictActor.GetRef())
		if o.EvictActor.GetForced() {
			return text + " (forced)"
		}
		if len(o.EvictActor.GetPromisedRunnerId()) > 0 {
			text += ", a slot kept on " + w.label(o.EvictActor.GetPromisedRunnerId())
		}
		return text
	case *logv1.Op_EvictionsReceived:
		return fmt.Sprintf("%d evictions received", len(o.EvictionsReceived.GetRefs()))
	}
	return ""
}

// planText prints a window: how many turns, and who has the first and the last that are given now.
func (w *world) planText(p *logv1.PlanEvictions) string {
	text := fmt.Sprintf("window of %s: %d turns from %s", p.GetPool(), p.GetWindowTurns(), seconds(p.GetWindowFromMs()))
	if p.GetWindowTurns() == 0 {
		text = fmt.Sprintf("no window of %s", p.GetPool())
	}
	of := func(e *logv1.PlannedEviction) string {
		if e.GetAtMs() == 0 {
			return w.refText(e.GetRef()) + " has none"
		}
		return fmt.Sprintf("%s at %s", w.refText(e.GetRef()), seconds(e.GetAtMs()))
	}
	if n := len(p.GetEvictions()); n > 0 {
		text += ": " + of(p.GetEvictions()[0])
		if n > 1 {
			text += fmt.Sprintf(" … %s (%d)", of(p.GetEvictions()[n-1]), n)
		}
	}
	return text
}

func (w *world) actorOpText(op *logv1.Op) string {
	switch o := op.GetOp().(type) {
	case *logv1.Op_CreateActor:
		return "create " + w.label(o.CreateActor.GetActorId())
	case *logv1.Op_AssignActor:
		a := o.AssignActor
		rule, _, _ := strings.Cut(Rule(a.GetDecision().GetRule()).String(), ":")
		return fmt.Sprintf("assign %s to %s (%s)", w.refText(a.GetRef()), w.label(a.GetRunnerId()), rule)
	case *logv1.Op_EnqueueActor:
		return "enqueue " + w.label(o.EnqueueActor.GetActorId())
	case *logv1.Op_ActorRunning:
		return "running " + w.refText(o.ActorRunning.GetRef())
	case *logv1.Op_StopActor:
		s := o.StopActor
		return fmt.Sprintf("stop %s: %s", w.refText(s.GetRef()), short("STOP_REASON_", callboardv1.StopReason(s.GetReason())))
	case *logv1.Op_ActorStopped:
		return w.stoppedText(o.ActorStopped)
	case *logv1.Op_SleepActor:
		return "sleep " + w.label(o.SleepActor.GetActorId())
	case *logv1.Op_WakeActor:
		return "wake " + w.label(o.WakeActor.GetActorId())
	case *logv1.Op_SetAlarm:
		if o.SetAlarm.GetAtUnixMs() == 0 {
			return "no alarm for " + w.label(o.SetAlarm.GetActorId())
		}
		return fmt.Sprintf("alarm of %s in %s", w.label(o.SetAlarm.GetActorId()), seconds(o.SetAlarm.GetAtUnixMs()-w.wallMs()))
	case *logv1.Op_DestroyActor:
		return "destroy " + w.label(o.DestroyActor.GetActorId())
	case *logv1.Op_ForgetActor:
		return "forget " + w.label(o.ForgetActor.GetActorId())
	case *logv1.Op_SaveState:
		return fmt.Sprintf("save %d bytes of %s", len(o.SaveState.GetState()), w.refText(o.SaveState.GetRef()))
	case *logv1.Op_RaiseGeneration:
		return fmt.Sprintf("raise %s to %d", w.label(o.RaiseGeneration.GetActorId()), o.RaiseGeneration.GetGeneration())
	}
	return fmt.Sprintf("%T", op.GetOp())
}

func (w *world) stoppedText(s *logv1.ActorStopped) string {
	how := short("STOP_CAUSE_", s.GetCause())
	if s.GetClean() {
		how += " clean"
	}
	text := fmt.Sprintf("stopped %s %s, now %s", w.refText(s.GetRef()), how, short("NEXT_STATE_", s.GetNext()))
	if s.GetNext() == logv1.NextState_NEXT_STATE_BACKING_OFF {
		text += " for " + w.waitText(s)
	} else if s.GetRescheduleMs() > 0 {
		text += fmt.Sprintf(", its turn at %s", seconds(s.GetRescheduleMs()))
	}
	if s.GetPenalty() {
		text += ", with penalty"
	}
	if s.GetPreferRunner() {
		text += ", may return"
	}
	return text
}

// waitText prints a back-off without its jitter, and holds the jitter to its bound.
func (w *world) waitText(s *logv1.ActorStopped) string {
	waitMs := s.GetRescheduleMs() - w.clockMs
	if jitter := waitMs % 1000; jitter > 500 {
		w.t.Fatalf("a back-off of %d ms: more than 500 ms of jitter", waitMs)
	}
	return seconds(waitMs)
}

// short is the name of an enum value without its prefix.
func short(prefix string, value fmt.Stringer) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

// actorLine describes an actor in the words of a story.
func (w *world) actorLine(name string, a *fsm.Actor) string {
	if a == nil {
		return name + " is not known"
	}
	text := fmt.Sprintf("%s %s", name, a.Phase)
	if a.Generation > 0 {
		text += fmt.Sprintf(" gen=%d", a.Generation)
	}
	if r := w.view.RunnerByNumber(a.Runner); a.Runner != 0 {
		text += " on " + w.label(r.ID[:])
	}
	if a.Phase == fsm.Stopping {
		text += ": " + short("STOP_REASON_", callboardv1.StopReason(a.StopReason))
		if a.WakeKept {
			text += ", wake kept"
		}
	}
	if a.Named() {
		text += fmt.Sprintf(", its turn at %s", seconds(a.EvictMs))
	}
	if a.Orphans > 0 {
		text += fmt.Sprintf(", waits for %d", a.Orphans)
	}
	if a.DueMs != 0 && a.Phase != fsm.Destroyed {
		text += fmt.Sprintf(", due at %s", seconds(a.DueMs))
	}
	if a.AlarmMs != 0 {
		text += fmt.Sprintf(", alarm in %s", seconds(a.AlarmMs-w.wallMs()))
	}
	if len(a.Saved) > 0 {
		text += fmt.Sprintf(", saved %q by v%d", a.Saved, a.SavedVersion)
	}
	if a.Trouble != nil && a.Trouble.Code != fsm.ErrorNone {
		text += fmt.Sprintf(", %s", a.Trouble.Code)
	}
	if n := w.view.Retries(a); n > 0 {
		text += fmt.Sprintf(", retries=%d", n)
	}
	return text
}

// runnerLine describes a runner in the words of a story.
func (w *world) runnerLine(r *fsm.Runner) string {
	text := fmt.Sprintf("%s v%d %d/%d", w.label(r.ID[:]), r.Version, r.Held, r.Slots)
	switch {
	case r.End == fsm.EndLost:
		return text + " lost"
	case r.End == fsm.EndStopped:
		return text + " stopped"
	case r.Draining():
		text += " draining: " + short("DRAIN_CAUSE_", callboardv1.DrainCause(r.Drain.Cause))
		if r.Drain.Standby {
			text += ", stands by"
		}
		if r.SafeToTerminate() {
			text += ", safe to terminate"
		}
	}
	if !r.Connected {
		text += " disconnected"
	}
	for o := range w.view.OrphansOf(r) {
		text += fmt.Sprintf(" orphan=%s/%d", w.label(o.Ref.Actor[:]), o.Ref.Generation)
	}
	return text
}
