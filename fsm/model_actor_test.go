package fsm

import (
	"fmt"
	"slices"
	"strings"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// find finds an actor in one of some phases; a ref must name its generation.
func (m *model) find(id []byte, ref *logv1.Ref, phases ...string) (string, *modelActor) {
	if ref != nil {
		id = ref.GetActorId()
	}
	name := textOf(padded(id))
	a := m.actors[name]
	if a == nil || !slices.Contains(phases, a.phase) || ref != nil && a.generation != ref.GetGeneration() {
		return name, nil
	}
	return name, a
}

func (m *model) doActor(op *logv1.Op) bool {
	switch o := op.GetOp().(type) {
	case *logv1.Op_CreateActor:
		return m.create(o.CreateActor)
	case *logv1.Op_AssignActor:
		return m.assign(o.AssignActor)
	case *logv1.Op_EnqueueActor:
		_, a := m.find(o.EnqueueActor.GetActorId(), nil, "backing_off", "pending")
		if a == nil || a.phase == "pending" && a.dueMs == 0 {
			return false
		}
		if a.phase == "pending" || a.forced {
			m.pools[a.inPool()].take()
		}
		a.forced = false
		return m.pend(a)
	case *logv1.Op_ActorRunning:
		_, a := m.find(nil, o.ActorRunning.GetRef(), "starting")
		if a != nil {
			a.phase, a.dueMs = "running", 0
			if a.alarmWoke {
				a.alarmMs, a.alarmWoke = 0, false
			}
		}
		return a != nil
	case *logv1.Op_StopActor:
		return m.stop(o.StopActor)
	case *logv1.Op_ActorStopped:
		return m.stopped(o.ActorStopped)
	case *logv1.Op_SleepActor:
		_, a := m.find(o.SleepActor.GetActorId(), nil, "pending", "backing_off")
		if a != nil {
			a.phase, a.dueMs, a.queueSeq, a.trouble.preferred, a.forced, a.alarmWoke = "sleeping", 0, 0, "", false, false
		}
		return a != nil
	case *logv1.Op_WakeActor:
		_, a := m.find(o.WakeActor.GetActorId(), nil, "sleeping", "stopping")
		if a == nil || a.phase == "stopping" && a.reason != uint32(StopSleep) {
			return false
		}
		if a.phase == "stopping" {
			a.wakeKept = true
			return true
		}
		if a.alarmMs != 0 && a.alarmMs <= m.wallMs {
			if a.alarmWoke = o.WakeActor.GetKeepAlarm(); !a.alarmWoke {
				a.alarmMs = 0
			}
		}
		return m.pend(a)
	case *logv1.Op_SetAlarm:
		_, a := m.find(o.SetAlarm.GetActorId(), nil, "pending", "starting", "running", "stopping", "sleeping", "backing_off")
		if a == nil || o.SetAlarm.GetAtUnixMs() < 0 {
			return false
		}
		a.alarmMs, a.alarmWoke = o.SetAlarm.GetAtUnixMs(), false
		return true
	case *logv1.Op_DestroyActor:
		_, a := m.find(o.DestroyActor.GetActorId(), nil, "pending", "sleeping", "backing_off")
		return a != nil && m.bury(a, o.DestroyActor.GetKeepKey())
	case *logv1.Op_ForgetActor:
		id, a := m.find(o.ForgetActor.GetActorId(), nil, "destroyed")
		if a != nil {
			delete(m.actors, id)
		}
		return a != nil
	case *logv1.Op_SaveState:
		_, a := m.find(nil, o.SaveState.GetRef(), "starting", "running", "stopping")
		if a == nil || len(o.SaveState.GetState()) > MaxSaved {
			return false
		}
		if more := len(o.SaveState.GetState()) - len(a.saved); more > 0 && m.stored()+int64(more) > m.storedLimit {
			return false
		}
		a.saved, a.savedVersion = string(o.SaveState.GetState()), m.runners[a.runner].version
		return true
	case *logv1.Op_RaiseGeneration:
		_, a := m.find(o.RaiseGeneration.GetActorId(), nil, "pending", "starting", "running", "stopping", "sleeping", "backing_off")
		if a == nil || o.RaiseGeneration.GetGeneration() < a.nextGeneration() || o.RaiseGeneration.GetGeneration() > MaxRaised {
			return false
		}
		a.claimed = o.RaiseGeneration.GetGeneration()
		return true
	}
	panic(fmt.Sprintf("the model does not know %T", op.GetOp()))
}

func (m *model) create(op *logv1.CreateActor) bool {
	id, namespace := textOf(padded(op.GetActorId())), textOf(padded(op.GetNamespaceId()))
	p := m.pools[namespace+"/"+op.GetPool()]
	usable := p != nil && p.written
	for _, r := range m.runners {
		usable = usable || r.namespace == namespace && r.pool == op.GetPool() && r.end == ""
	}
	if !usable || m.actors[id] != nil || m.byKey(namespace, op.GetName(), op.GetKey()) != "" || len(op.GetName()) == 0 || len(op.GetName()) > MaxActorName ||
		op.Key != nil && (len(op.GetKey()) == 0 || len(op.GetKey()) > MaxActorKey) || op.GetCrashPolicy() < 1 || op.GetCrashPolicy() > 3 ||
		len(op.GetInput()) > MaxInput || len(op.GetInput()) > 0 && m.stored()+int64(len(op.GetInput())) > m.storedLimit {
		return false
	}
	m.seqs++
	a := &modelActor{
		namespace: namespace, pool: op.GetPool(), name: op.GetName(), key: op.GetKey(), policy: op.GetCrashPolicy(), seq: m.seqs, input: string(op.GetInput()),
	}
	m.actors[id] = a
	return m.pend(a)
}

// pend makes an actor wait at the end of the queue.
func (m *model) pend(a *modelActor) bool {
	m.queueSeq++
	a.phase, a.dueMs, a.queueSeq = "pending", 0, m.queueSeq
	return true
}

// bury ends an actor for good.
func (m *model) bury(a *modelActor, keepKey bool) bool {
	a.keepsKey = keepKey // if it waits for a body: see do

	a.phase, a.dueMs, a.input, a.saved, a.alarmMs, a.queueSeq, a.alarmWoke = "destroyed", m.clockMs+3_600_000, "", "", 0, 0, false
	a.destroying, a.claimed, a.forced = false, 0, false
	return true
}

func (m *model) assign(op *logv1.AssignActor) bool {
	id, a := m.find(op.GetRef().GetActorId(), nil, "pending")
	rid, r := m.live(op.GetRunnerId(), op.GetSessionId())
	if a == nil || r == nil || a.dueMs != 0 || op.GetRef().GetGeneration() != a.nextGeneration() || !r.placeable() && !r.lastResort() || r.namespace != a.namespace || r.pool != a.pool ||
		m.free(rid) == 0 || m.waitsFor(id) > 0 || r.isOrphan(fmt.Sprint(id, "/", a.nextGeneration())) || op.GetStartDeadlineMs() <= m.clockMs {
		return false
	}
	if r.drain.cause != 0 {
		r.drain.standby = false
		r.drain.total++
	}
	a.phase, a.generation, a.claimed, a.runner, a.floor, a.dueMs = "starting", a.nextGeneration(), 0, rid, r.version, op.GetStartDeadlineMs()
	return true
}

func (m *model) stop(op *logv1.StopActor) bool {
	_, a := m.find(nil, op.GetRef(), "starting", "running", "stopping")
	reason := op.GetReason()
	if a == nil || reason < 1 || reason > uint32(StopShutdown) || reason == uint32(StopOrphan) || op.GetDeadlineMs() <= m.clockMs {
		return false
	}
	if a.phase == "stopping" {
		// Only what follows the stop may still change: a sleep (which takes back a wake) or a destroy, and nothing in place of a destroy.
		if a.destroying || reason == a.reason && !a.wakeKept || reason != uint32(StopDestroy) && reason != uint32(StopSleep) {
			return false
		}
		a.promise = ""
	} else {
		a.evictMs = 0
		a.phase, a.limitMs = "stopping", op.GetDeadlineMs()-m.clockMs
		a.dueMs = op.GetDeadlineMs() + m.runners[a.runner].thresholdMs + a.limitMs/10
	}
	if a.reason = reason; reason == uint32(StopSleep) {
		a.wakeKept = false
	}
	a.destroying = reason == uint32(StopDestroy)
	return true
}

func (m *model) stopped(op *logv1.ActorStopped) bool {
	_, a := m.find(nil, op.GetRef(), "starting", "running", "stopping")
	next := map[logv1.NextState]string{1: "pending", 2: "backing_off", 3: "sleeping", 4: "destroyed"}[op.GetNext()]
	paced := next == "pending" && op.GetRescheduleMs() != 0
	if a == nil || next == "" || op.GetCause() == 0 || a.destroying && next != "destroyed" || a.wakeKept && next == "sleeping" ||
		(paced || next == "backing_off") && op.GetRescheduleMs() <= m.clockMs || op.GetForced() && next != "pending" && next != "backing_off" {
		return false
	}
	if op.GetForced() {
		m.countMove(a.runner)
		if next == "pending" && !paced {
			m.pools[a.inPool()].take()
		}
	}
	m.countLeft(a, op.GetCause() == logv1.StopCause_STOP_CAUSE_LOST)
	a.evictMs, a.unreceived, a.byRollout, a.promise = 0, false, false, ""
	m.remember(a, op)
	a.runner, a.reason, a.limitMs, a.wakeKept = "", 0, 0, false
	switch next {
	case "pending":
		if m.pend(a); paced {
			a.dueMs, a.queueSeq = op.GetRescheduleMs(), 0
		}
	case "backing_off":
		a.phase, a.dueMs, a.forced = next, op.GetRescheduleMs(), op.GetForced()
	case "sleeping":
		a.alarmWoke = false
		a.phase, a.dueMs = next, 0
	case "destroyed":
		m.bury(a, op.GetKeepKey())
	}
	return true
}

func (m *model) remember(a *modelActor, op *logv1.ActorStopped) {
	t := &a.trouble
	if m.clockMs-t.retryMs >= m.retryResetMs {
		t.retries = 0
	}
	t.preferred = ""
	if op.GetPreferRunner() {
		t.preferred = a.runner
	}
	code := map[logv1.StopCause]ErrorCode{1: ErrorCrashed, 2: ErrorAbandoned, 4: ErrorLost, 5: ErrorStopTimeout, 6: ErrorVanished, 8: ErrorRefused}[op.GetCause()]
	refused := op.GetCause() == 8
	if a.reason == uint32(StopNoResponse) && op.GetCause() != 7 {
		code = ErrorNoResponse
	}
	if refused && !op.GetPenalty() {
		code = ErrorNone // nothing ran
	}
	if op.GetClean() && !refused && (a.reason != uint32(StopNoResponse) || op.GetCause() == 7) {
		*t = modelTrouble{preferred: t.preferred}
	} else if code != ErrorNone {
		if op.GetRememberEarlier() && t.runner != "" && t.runner != a.runner {
			earlier := []string{t.runner}
			for _, name := range strings.Fields(t.earlier) {
				if name != a.runner {
					earlier = append(earlier, name)
				}
			}
			t.earlier = " " + strings.Join(earlier[:min(len(earlier), 3)], " ")
		}
		t.code, t.runner, t.crashedMs = code, a.runner, m.clockMs
	}
	if op.GetPenalty() {
		t.retries++
		t.retryMs = max(m.clockMs, op.GetRescheduleMs())
	}
}
