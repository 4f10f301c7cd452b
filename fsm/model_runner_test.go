package fsm

import (
	"fmt"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// live finds a runner that has not ended; session is compared when it is not nil.
func (m *model) live(id, session []byte) (string, *modelRunner) {
	name := textOf(padded(id))
	r := m.runners[name]
	if r == nil || r.end != "" || session != nil && textOf(padded(session)) != r.session {
		return name, nil
	}
	return name, r
}

func (m *model) doRunner(op *logv1.Op) (legal, known bool) {
	switch o := op.GetOp().(type) {
	case *logv1.Op_RegisterRunner:
		return m.register(o.RegisterRunner), true
	case *logv1.Op_ResumeRunner:
		_, r := m.live(o.ResumeRunner.GetRunnerId(), nil)
		if r == nil || o.ResumeRunner.GetSlots() < 1 || o.ResumeRunner.GetSlots() > MaxSlots || !namesInOrder(o.ResumeRunner.GetActorNames()) || o.ResumeRunner.GetAttempt() <= r.attempt {
			return false, true
		}
		r.attempt = o.ResumeRunner.GetAttempt()
		r.session, r.version, r.slots = textOf(padded(o.ResumeRunner.GetSessionId())), o.ResumeRunner.GetVersion(), o.ResumeRunner.GetSlots()
		r.connected, r.names = true, o.ResumeRunner.GetActorNames()
		m.hear(r)
		return true, true
	case *logv1.Op_DisconnectRunner:
		_, r := m.live(o.DisconnectRunner.GetRunnerId(), o.DisconnectRunner.GetSessionId())
		if r != nil {
			r.connected = false
		}
		return r != nil, true
	case *logv1.Op_RunnersSeen:
		number := 0
		for _, delta := range o.RunnersSeen.GetNumberDeltas() {
			number += int(delta)
			for _, r := range m.runners {
				if r.number == number && r.end == "" {
					m.hear(r)
				}
			}
		}
		m.seenMs = m.clockMs
		return true, true
	case *logv1.Op_MarkLost:
		_, r := m.live(o.MarkLost.GetRunnerId(), o.MarkLost.GetSessionId())
		if r == nil || r.seenMs != o.MarkLost.GetLastSeenMs() || m.clockMs < r.lostMs() {
			return false, true
		}
		m.end(r, "lost")
		return true, true
	case *logv1.Op_HoldVerdict:
		_, r := m.live(o.HoldVerdict.GetRunnerId(), o.HoldVerdict.GetSessionId())
		if r == nil || r.verdictMs > r.seenMs+r.thresholdMs || o.HoldVerdict.GetUntilMs() <= r.seenMs+r.thresholdMs {
			return false, true
		}
		r.verdictMs = o.HoldVerdict.GetUntilMs()
		return true, true
	case *logv1.Op_EndRunner:
		_, r := m.live(o.EndRunner.GetRunnerId(), nil)
		if r != nil {
			m.end(r, "stopped")
		}
		return r != nil, true
	case *logv1.Op_SetRunnerThreshold:
		_, r := m.live(o.SetRunnerThreshold.GetRunnerId(), o.SetRunnerThreshold.GetSessionId())
		if r == nil || o.SetRunnerThreshold.GetThresholdMs() < 1 {
			return false, true
		}
		r.thresholdMs = int64(o.SetRunnerThreshold.GetThresholdMs())
		return true, true
	case *logv1.Op_HoldOrphan:
		id, r := m.live(o.HoldOrphan.GetRunnerId(), nil)
		ref := refText(o.HoldOrphan.GetRef())
		if r == nil || r.isOrphan(ref) {
			return false, true
		}
		if a := m.actors[textOf(padded(o.HoldOrphan.GetRef().GetActorId()))]; a != nil && a.runner == id && a.generation == o.HoldOrphan.GetRef().GetGeneration() {
			return false, true
		}
		r.orphans[ref] = o.HoldOrphan.GetHoldsActor()
		return true, true
	case *logv1.Op_ReleaseOrphan:
		_, r := m.live(o.ReleaseOrphan.GetRunnerId(), nil)
		ref := refText(o.ReleaseOrphan.GetRef())
		if r == nil || !r.isOrphan(ref) {
			return false, true
		}
		delete(r.orphans, ref)
		return true, true
	case *logv1.Op_ForgetRunner:
		id := textOf(padded(o.ForgetRunner.GetRunnerId()))
		if r := m.runners[id]; r == nil || r.end == "" {
			return false, true
		}
		if m.used(id) > 0 {
			return false, true
		}
		if p := m.pools[m.runners[id].inPool()]; p.bucket.emptying == id {
			p.bucket.emptying = ""
		}
		delete(m.runners, id)
		return true, true
	}
	return false, false
}

func refText(ref *logv1.Ref) string {
	return fmt.Sprint(textOf(padded(ref.GetActorId())), "/", ref.GetGeneration())
}

func (m *model) register(op *logv1.RegisterRunner) bool {
	id, replaces := textOf(padded(op.GetRunnerId())), textOf(padded(op.GetReplaces()))
	pool := textOf(padded(op.GetNamespaceId())) + "/" + op.GetPool()
	if m.runners[id] != nil || m.pools[pool] == nil || op.GetSlots() < 1 || op.GetSlots() > MaxSlots || op.GetThresholdMs() < 1 || !namesInOrder(op.GetActorNames()) {
		return false
	}
	if len(op.GetReplaces()) > 0 {
		old := m.runners[replaces]
		if old == nil || old.end != "" {
			return false
		}
		old.replacedBy = id
	}
	number := 1
	for m.numberTaken(number) {
		number++
	}
	m.runnerSeq++
	m.runners[id] = &modelRunner{
		namespace: textOf(padded(op.GetNamespaceId())), pool: op.GetPool(), key: op.GetKey(), number: number, seq: m.runnerSeq, version: op.GetVersion(), slots: op.GetSlots(),
		thresholdMs: int64(op.GetThresholdMs()), seenMs: m.clockMs, session: textOf(padded(op.GetSessionId())), connected: true, orphans: map[string]bool{},
		attempt: op.GetAttempt(), names: op.GetActorNames(),
	}
	return true
}

func (m *model) numberTaken(number int) bool {
	for _, r := range m.runners {
		if r.number == number {
			return true
		}
	}
	return false
}

func (m *model) end(r *modelRunner, how string) {
	r.end, r.connected, r.endedMs, r.orphans = how, false, m.clockMs, map[string]bool{}
}
