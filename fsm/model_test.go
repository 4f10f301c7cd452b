package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// model is the state as a child would keep it: plain maps, no index, no count, every question answered by looking at everything. It
// says of every op whether it is legal, and what it leads to.
type model struct {
	clockMs, wallMs int64
	storedLimit     int64
	namespaces      map[string]bool
	pools           map[string]*modelPool // by namespace/name
	runners         map[string]*modelRunner
	actors          map[string]*modelActor
	outcomes        map[string]int64 // when they were remembered
	queueSeq, seqs  int
	retryResetMs    int64
	seenMs          int64
	runnerSeq       int
	rolloutSeq      int
}

type modelPool struct {
	written           bool
	binpack           bool
	rate              uint64
	delayMs, periodMs int64
	bucket            modelBucket
	rollouts          []*modelRollout
}

type modelRunner struct {
	namespace, pool, key string
	number, seq          int
	version, slots       uint32
	thresholdMs, seenMs  int64
	verdictMs            int64 // until then its verdict is held
	session              string
	connected            bool
	end                  string // "", stopped, lost
	endedMs              int64
	drain                modelDrain
	moves                Moves
	orphans              map[string]bool // actor/generation; whether its actor waits
	attempt              uint32
	replacedBy           string
}

type modelActor struct {
	namespace, pool, name, key string
	policy                     uint32
	seq                        int
	phase                      string
	generation, claimed        uint64
	runner                     string
	reason                     uint32
	limitMs, dueMs             int64
	wakeKept, destroying       bool
	queueSeq                   int
	floor                      uint32
	alarmMs                    int64
	input, saved               string
	savedVersion               uint32
	trouble                    modelTrouble
	evictMs                    int64
	unreceived, byRollout      bool
	forced                     bool // it backs off after it was moved off a lost runner
	movedIn                    int
	promise                    string // runner
}

type modelTrouble struct {
	code      ErrorCode
	runner    string
	retries   uint32
	retryMs   int64
	crashedMs int64
	preferred string
}

func newModel() *model {
	return &model{
		storedLimit: 1 << 30, retryResetMs: 600_000,
		namespaces: map[string]bool{}, pools: map[string]*modelPool{}, runners: map[string]*modelRunner{}, actors: map[string]*modelActor{}, outcomes: map[string]int64{},
	}
}

// onRunner tells whether an actor holds a slot.
func (a *modelActor) onRunner() bool {
	return a.phase == "starting" || a.phase == "running" || a.phase == "stopping"
}

// held lists what holds the slots of a runner, and counts those on their way out.
func (m *model) held(id string) (slots, stopping int) {
	for _, a := range m.actors {
		if a.onRunner() && a.runner == id {
			slots++
			if a.phase == "stopping" {
				stopping++
			}
		}
	}
	return slots + len(m.runners[id].orphans), stopping + len(m.runners[id].orphans)
}

// promised counts the slots that a runner keeps for actors on the move.
func (m *model) promised(id string) (n int) {
	for _, a := range m.actors {
		n += count(a.promise == id)
	}
	return n
}

// used is what of its slots a runner cannot give away.
func (m *model) used(id string) int {
	slots, _ := m.held(id)
	return slots + m.promised(id)
}

func (m *model) free(id string) int { return max(0, int(m.runners[id].slots)-m.used(id)) }

// lostMs is when it is lost if nothing is heard of it.
// hear ends a silence, and with it what the brake gave.
func (m *model) hear(r *modelRunner) {
	if r.seenMs != m.clockMs {
		r.seenMs, r.verdictMs = m.clockMs, 0
	}
}

func (r *modelRunner) lostMs() int64 { return max(r.seenMs+r.thresholdMs, r.verdictMs) }

func (r *modelRunner) isOrphan(ref string) bool {
	_, is := r.orphans[ref]
	return is
}

// waitsFor counts the bodies of an actor that have to end before it is placed.
func (m *model) waitsFor(id string) (n int) {
	for _, r := range m.runners {
		for ref, waits := range r.orphans {
			if waits && strings.HasPrefix(ref, id+"/") {
				n++
			}
		}
	}
	return n
}

func (a *modelActor) nextGeneration() uint64 { return max(a.generation, a.claimed) + 1 }

func (r *modelRunner) placeable() bool { return r.end == "" && r.connected && r.drain.cause == 0 }

// lastResort tells whether it is given actors when nobody else can be.
func (r *modelRunner) lastResort() bool {
	return r.end == "" && r.connected && r.drain.cause == 1 && !r.drain.finished
}

// drainWeights: newer version, operator, shutdown, replaced, lost, changed url, end of the request.
var drainWeights = [...]int{0, 1, 3, 5, 6, 0, 2, 4}

func (m *model) stored() int64 {
	var n int64
	for _, a := range m.actors {
		n += int64(len(a.input) + len(a.saved))
	}
	return n
}

// byKey finds the live actor of a key.
func (m *model) byKey(namespace, name, key string) string {
	for id, a := range m.actors {
		if key != "" && a.phase != "destroyed" && a.namespace == namespace && a.name == name && a.key == key {
			return id
		}
	}
	return ""
}

// do applies an op and tells whether it was legal. An op that is not changes nothing.
func (m *model) do(op *logv1.Op) bool {
	switch o := op.GetOp().(type) {
	case *logv1.Op_LeaderEstablished:
		m.namespaces["default"] = true
		return true
	case *logv1.Op_PutSettings:
		return m.putSettings(o.PutSettings)
	case *logv1.Op_PutNamespace:
		id := textOf(padded(o.PutNamespace.GetNamespaceId()))
		if !ValidName(o.PutNamespace.GetName()) || m.namespaces[id] {
			return false
		}
		m.namespaces[id] = true
		return true
	case *logv1.Op_PutPool:
		return m.putPool(o.PutPool)
	case *logv1.Op_DeletePool:
		p := m.pools[poolOf(o.DeletePool)]
		if p == nil || !p.written {
			return false
		}
		p.written, p.binpack = false, false
		m.repace(poolOf(o.DeletePool), func() { p.configure(nil) })
		return true
	case *logv1.Op_ForgetPool:
		if p := m.pools[poolOf(o.ForgetPool)]; p == nil || p.written || m.refersTo(poolOf(o.ForgetPool)) {
			return false
		}
		delete(m.pools, poolOf(o.ForgetPool))
		return true
	case *logv1.Op_RememberOutcome:
		if _, known := m.outcomes[o.RememberOutcome.GetKey()]; known || o.RememberOutcome.GetKey() == "" {
			return false
		}
		m.outcomes[o.RememberOutcome.GetKey()] = m.clockMs
		return true
	case *logv1.Op_ForgetOutcomes:
		maps.DeleteFunc(m.outcomes, func(_ string, atMs int64) bool { return atMs < o.ForgetOutcomes.GetBeforeMs() })
		return true
	}
	if legal, known := m.doRunner(op); known {
		return legal
	}
	if legal, known := m.doDrain(op); known {
		return legal
	}
	return m.doActor(op)
}

// refersTo tells whether anything is left of a pool, ended or not.
func (m *model) refersTo(pool string) bool {
	for _, r := range m.runners {
		if r.namespace+"/"+r.pool == pool {
			return true
		}
	}
	for _, a := range m.actors {
		if a.inPool() == pool {
			return true
		}
	}
	return len(m.pools[pool].rollouts) > 0
}

type inPool interface {
	GetNamespaceId() []byte
	GetName() string
}

func poolOf(op inPool) string { return textOf(padded(op.GetNamespaceId())) + "/" + op.GetName() }

func (m *model) putSettings(op *logv1.PutSettings) bool {
	for _, v := range op.GetValues() {
		if v.GetName() != "stored_bytes_limit" || !v.GetReset_() && v.GetValue() < 1<<20 {
			return false // the only one that the model knows
		}
		if m.storedLimit = v.GetValue(); v.GetReset_() {
			m.storedLimit = 1 << 30
		}
	}
	return true
}

func (m *model) putPool(op *logv1.PutPool) bool {
	if !m.namespaces[textOf(padded(op.GetNamespaceId()))] || !ValidPoolName(op.GetName()) {
		return false
	}
	p := m.pools[poolOf(op)]
	if p == nil {
		p = &modelPool{}
		m.pools[poolOf(op)] = p
	}
	p.written, p.binpack = true, op.GetConfig().GetPlacement() == 2
	m.repace(poolOf(op), func() { p.configure(op.GetConfig()) })
	return true
}

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
		if r == nil || o.ResumeRunner.GetSlots() < 1 || o.ResumeRunner.GetSlots() > MaxSlots || o.ResumeRunner.GetAttempt() <= r.attempt {
			return false, true
		}
		r.attempt = o.ResumeRunner.GetAttempt()
		r.session, r.version, r.slots = textOf(padded(o.ResumeRunner.GetSessionId())), o.ResumeRunner.GetVersion(), o.ResumeRunner.GetSlots()
		r.connected = true
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
	if m.runners[id] != nil || m.pools[pool] == nil || op.GetSlots() < 1 || op.GetSlots() > MaxSlots || op.GetThresholdMs() < 1 {
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
		attempt: op.GetAttempt(),
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
		}
		return a != nil
	case *logv1.Op_StopActor:
		return m.stop(o.StopActor)
	case *logv1.Op_ActorStopped:
		return m.stopped(o.ActorStopped)
	case *logv1.Op_SleepActor:
		_, a := m.find(o.SleepActor.GetActorId(), nil, "pending", "backing_off")
		if a != nil {
			a.phase, a.dueMs, a.queueSeq, a.trouble.preferred, a.forced = "sleeping", 0, 0, "", false
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
		if a.alarmMs <= m.wallMs {
			a.alarmMs = 0
		}
		return m.pend(a)
	case *logv1.Op_SetAlarm:
		_, a := m.find(o.SetAlarm.GetActorId(), nil, "pending", "starting", "running", "stopping", "sleeping", "backing_off")
		if a == nil || o.SetAlarm.GetAtUnixMs() < 0 {
			return false
		}
		a.alarmMs = o.SetAlarm.GetAtUnixMs()
		return true
	case *logv1.Op_DestroyActor:
		_, a := m.find(o.DestroyActor.GetActorId(), nil, "pending", "sleeping", "backing_off")
		return a != nil && m.bury(a)
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
func (m *model) bury(a *modelActor) bool {
	a.phase, a.dueMs, a.input, a.saved, a.alarmMs, a.queueSeq = "destroyed", m.clockMs+3_600_000, "", "", 0, 0
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
		a.phase, a.dueMs = next, 0
	case "destroyed":
		m.bury(a)
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
		t.code, t.runner, t.crashedMs = code, a.runner, m.clockMs
	}
	if op.GetPenalty() {
		t.retries++
		t.retryMs = max(m.clockMs, op.GetRescheduleMs())
	}
}

// queue lists the pending actors of a pool that may go to a version, in the order of arrival.
func (m *model) queue(pool string, version uint32) []string {
	var ids []string
	for id, a := range m.actors {
		if a.phase != "pending" || a.dueMs != 0 || a.inPool() != pool || m.waitsFor(id) > 0 {
			continue
		}
		waitFor := false // is there a runner at the floor or above that it should wait for?
		for _, r := range m.runners {
			waitFor = waitFor || r.namespace+"/"+r.pool == pool && r.end == "" && r.drain.cause == 0 && r.version >= a.floor
		}
		if version >= a.floor || !waitFor {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return m.actors[a].queueSeq - m.actors[b].queueSeq })
	return ids
}

// candidates lists the runners of a pool that may be given an actor: newest first, then by load, then by free slots, then by number.
func (m *model) candidates(pool string) []string {
	var ids []string
	for id, r := range m.runners {
		if r.namespace+"/"+r.pool == pool && (r.placeable() || r.lastResort()) && m.free(id) > 0 && m.clockMs-r.seenMs < r.thresholdMs*2/3 {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		ra, rb := m.runners[a], m.runners[b]
		load := cmp.Compare(m.used(a)*int(rb.slots), m.used(b)*int(ra.slots)) // used/slots, without a fraction
		if m.pools[pool].binpack {
			load = -load
		}
		return cmp.Or(count(ra.lastResort())-count(rb.lastResort()), cmp.Compare(rb.version, ra.version), load, cmp.Compare(m.free(b), m.free(a)), cmp.Compare(ra.number, rb.number))
	})
	return ids
}
