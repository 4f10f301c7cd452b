package fsm

import (
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Limits of an actor's fields.
const (
	MaxActorName = 256
	MaxActorKey  = 1024
	MaxInput     = 4 << 20
	MaxSaved     = 64 << 10
	// MaxRaised bounds the generation that a runner may claim: what is above it is no generation but noise. It leaves every actor
	// room to go on, and fits the numbers of JavaScript.
	MaxRaised = 1 << 52
)

// CrashPolicy says what happens to an actor after a crash, numbered as callboard.v1.CrashPolicy.
type CrashPolicy uint8

// The policies.
const (
	PolicyRestart CrashPolicy = 1
	PolicySleep   CrashPolicy = 2
	PolicyDestroy CrashPolicy = 3
)

// StopReason says why an actor is asked to stop, numbered as callboard.v1.StopReason.
type StopReason uint8

// The reasons.
const (
	NoStop StopReason = iota
	StopSleep
	StopDestroy
	StopEvict
	StopReschedule
	StopNoResponse
	StopReplaced
	StopOrphan
	StopShutdown
	stopReasonCount
)

// Actor is one stateful actor, as it was when it was read: to change one is to replace its row.
type Actor struct {
	ID           ActorID
	Seq          uint64 // order of creation
	Name         string
	Key          string
	HasKey       bool
	Policy       CrashPolicy
	Phase        Phase
	StopReason   StopReason // while stopping
	WakeKept     bool       // a wake came while it was stopping
	Destroying   bool       // a destroy was accepted; it ends with the current generation
	Generation   uint64
	Claimed      uint64 // a newer generation, which a runner said it had; 0: none. The next assignment is above it
	KeepsKey     bool   // it is destroyed, and its key is not free before the orphans have ended
	Orphans      uint32 // bodies of it that runners hold unwanted: it is placed when they have ended. It follows from the orphans
	Runner       uint32 // number of the runner that has it; 0: none
	RunnerRev    uint64
	FloorVersion uint32 // version it last ran on
	SavedVersion uint32 // version that wrote Saved
	QueueSeq     uint64 // place in the pool's queue while pending
	DueMs        int64  // cluster clock at which its phase falls due; 0: it does not. Pending: its turn after a forced move
	StopLimitMs  int64  // how long the current stop may take
	EvictMs      int64  // cluster clock: while stopping, when its planned eviction was decided; before, its turn. 0: none
	MovedIn      uint64 // id of the rollout that moved it last
	Promise      uint32 // number of the runner that keeps a slot for it while it is being moved; 0: none
	Eviction     Eviction
	AlarmMs      int64    // wall clock; 0: none
	AlarmWoke    bool     // the alarm was due and has woken it: it is cleared when a life runs
	Input        string   // bytes
	Saved        string   // bytes
	Trouble      *Trouble // nil: nothing went wrong lately. Must not be changed
	Decision     Decision

	// Wall clock; 0: not yet, or not any more.
	CreateMs, StartMs, ConnectableMs, SleepMs, PendingMs, RescheduleMs, DestroyMs int64

	ordinal   uint32
	namespace uint32
	pool      uint32
	keyHash   halves // of one that is being created; a row does not hold it
}

// Decision is the compact record of why the actor was given to its runner.
type Decision struct {
	Index    uint64 // base of the entry that carried it
	WallMs   int64
	InPool   uint32
	Eligible uint32
	Newest   uint32
	RunnerUp uint32 // number; 0: none
	Version  uint32
	Rule     uint8
}

// Ref names the current life.
func (a *Actor) Ref() Ref { return Ref{a.ID, a.Generation} }

// NextGeneration returns the generation that the next assignment gives.
func (a *Actor) NextGeneration() uint64 { return max(a.Generation, a.Claimed) + 1 }

// Over tells whether its end is certain: it is destroyed, and no body of it is waited for.
func (a *Actor) Over() bool { return a.Phase == Destroyed && !a.KeepsKey }

// queued tells whether it waits for a slot, and not for the end of something else or for its turn.
func (a *Actor) queued() bool { return a.Phase == Pending && a.Orphans == 0 && !a.Paced() }

func (tx *Tx) createActor(op *logv1.CreateActor) Result {
	id, ok1 := idFrom(op.GetActorId())
	nsID, ok2 := idFrom(op.GetNamespaceId())
	policy := CrashPolicy(op.GetCrashPolicy())
	if !ok1 || !ok2 || len(op.GetName()) < 1 || len(op.GetName()) > MaxActorName || len(op.GetInput()) > MaxInput ||
		policy < PolicyRestart || policy > PolicyDestroy || op.GetCrashPolicy() > uint32(PolicyDestroy) {
		return refuse(CodeMalformed)
	}
	if op.Key != nil && (len(op.GetKey()) < 1 || len(op.GetKey()) > MaxActorKey) {
		return refuse(CodeMalformed)
	}
	p := tx.Pool(PoolID{NamespaceID(nsID), op.GetPool()})
	if !tx.PoolUsable(p) {
		return refuse(CodeNotFound)
	}
	if tx.Actor(ActorID(id)) != nil {
		return refuse(CodeExists)
	}
	var keyHash halves
	if op.Key != nil {
		keyHash = hashParts(p.namespace, op.GetName(), op.GetKey())
		if tx.actorByHash(keyHash, p.namespace, op.GetName(), op.GetKey()) != nil {
			return refuse(CodeExists)
		}
	}
	if !tx.mayStore(len(op.GetInput())) {
		return refuse(CodeFull)
	}
	tx.actorSeq++
	a := &Actor{
		ID: ActorID(id), Seq: tx.actorSeq, Name: op.GetName(), Key: op.GetKey(), HasKey: op.Key != nil,
		Policy: policy, Phase: Pending, Input: string(op.GetInput()), CreateMs: tx.wallMs, PendingMs: tx.wallMs,
		QueueSeq: tx.nextQueueSeq(), ordinal: tx.actorOrdinals.take(), namespace: p.namespace, pool: p.ordinal, keyHash: keyHash,
		Orphans: tx.bodiesOf(ActorID(id)), // ids are not given twice: there is none
	}
	tx.addActor(a)
	return Result{}
}

func (tx *Tx) nextQueueSeq() uint64 {
	tx.queueSeq++
	return tx.queueSeq
}

func (tx *Tx) assignActor(op *logv1.AssignActor) Result {
	a, next, res := tx.step(op.GetRef().GetActorId(), EventAssign, Starting)
	if res.Code != CodeOK {
		return res
	}
	if a.DueMs != 0 {
		return refuse(CodeIllegal) // its turn has not come
	}
	if op.GetRef().GetGeneration() != a.NextGeneration() {
		return refuse(CodeStale)
	}
	if a.Orphans > 0 {
		return refuse(CodeIllegal) // a body of it still runs somewhere
	}
	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	if r.pool != a.pool || !r.candidate() {
		return refuse(CodeFull)
	}
	if tx.IsOrphan(r, Ref{a.ID, a.NextGeneration()}) {
		return refuse(CodeIllegal) // it runs there already, unwanted: one ref cannot be both
	}
	if op.GetStartDeadlineMs() <= tx.clockMs {
		return refuse(CodeMalformed)
	}
	next.Generation, next.Claimed = a.NextGeneration(), 0
	next.Runner = r.Number
	next.FloorVersion = r.Version
	next.DueMs, next.EvictMs = op.GetStartDeadlineMs(), 0
	next.PendingMs, next.RescheduleMs, next.SleepMs = 0, 0, 0
	if r.Draining() { // as a last resort
		drained := *r
		drained.Drain.Standby, drained.Drain.Total = false, r.Drain.Total+1
		tx.replaceRunner(r, &drained)
	}
	d := op.GetDecision()
	next.Decision = Decision{
		Index: tx.base, WallMs: tx.wallMs, InPool: d.GetInPool(), Eligible: d.GetEligible(), Newest: d.GetNewest(),
		RunnerUp: d.GetRunnerUp(), Version: d.GetVersion(), Rule: uint8(d.GetRule()),
	}
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) enqueueActor(op *logv1.EnqueueActor) Result {
	a, next, res := tx.step(op.GetActorId(), EventEnqueue, Pending)
	if res.Code != CodeOK {
		return res
	}
	if a.Phase == Pending && !a.Paced() {
		return refuse(CodeIllegal)
	}
	if a.awaitsTurn() {
		p := tx.pools.Get(a.pool)
		tx.putBucket(p, tx.Bucket(p).owe(p.EvictionRateMicros()))
	}
	next.Eviction = 0
	tx.makePending(next)
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) makePending(next *Actor) {
	next.DueMs, next.QueueSeq = 0, tx.nextQueueSeq()
	next.PendingMs, next.RescheduleMs, next.SleepMs = tx.wallMs, 0, 0
}

func (tx *Tx) actorRunning(op *logv1.ActorRunning) Result {
	a, next, res := tx.stepRef(op.GetRef(), EventRunning, Running)
	if res.Code != CodeOK {
		return res
	}
	next.DueMs, next.ConnectableMs = 0, tx.wallMs
	if next.StartMs == 0 {
		next.StartMs = tx.wallMs
	}
	if a.AlarmWoke {
		next.AlarmMs, next.AlarmWoke = 0, false // it has done its work
	}
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) stopActor(op *logv1.StopActor) Result {
	a, next, res := tx.stepRef(op.GetRef(), EventStop, Stopping)
	if res.Code != CodeOK {
		return res
	}
	reason := StopReason(op.GetReason())
	if reason == NoStop || op.GetReason() >= uint32(stopReasonCount) || reason == StopOrphan || op.GetDeadlineMs() <= tx.clockMs {
		return refuse(CodeMalformed)
	}
	next.Destroying = a.Destroying || reason == StopDestroy
	next.ConnectableMs = 0
	if reason == StopSleep {
		next.SleepMs = tx.wallMs
		next.WakeKept = false
	}
	if a.Phase == Stopping {
		// The stop under way goes on with its own deadline; only what follows it changes.
		again := reason == a.StopReason && !a.WakeKept // nothing would change; but a kept wake is taken back by another sleep
		if reason != StopDestroy && reason != StopSleep || a.Destroying || again {
			return refuse(CodeIllegal)
		}
		next.StopReason, next.Promise = reason, 0
		tx.replaceActor(a, next)
		return Result{}
	}
	next.StopReason, next.EvictMs = reason, 0
	next.setStopDue(tx.runners.Get(a.Runner), op.GetDeadlineMs(), tx.clockMs)
	tx.replaceActor(a, next)
	return Result{}
}

func (tx *Tx) destroyActor(op *logv1.DestroyActor) Result {
	a, next, res := tx.step(op.GetActorId(), EventDestroy, Destroyed)
	if res.Code != CodeOK {
		return res
	}
	tx.markDestroyed(next, op.GetKeepKey())
	tx.replaceActor(a, next)
	return Result{}
}

// markDestroyed ends an actor. What only a living one needs goes at once; but for its key, when a body of it runs on somewhere.
func (tx *Tx) markDestroyed(next *Actor, keepKey bool) {
	next.Phase = Destroyed
	next.KeepsKey = keepKey && next.Orphans > 0
	next.DestroyMs = tx.wallMs
	next.DueMs = tx.clockMs + endedKeptMs
	next.Input, next.Saved, next.AlarmMs, next.AlarmWoke, next.QueueSeq, next.Claimed = "", "", 0, false, 0, 0
	next.PendingMs, next.RescheduleMs, next.SleepMs = 0, 0, 0
	next.Destroying, next.Eviction = false, 0
}

func (tx *Tx) forgetActor(op *logv1.ForgetActor) Result {
	a := tx.actorFrom(op.GetActorId())
	if a == nil {
		return refuse(CodeNotFound)
	}
	if !Legal(a.Phase, EventForget, NoPhase) {
		return refuse(CodeIllegal)
	}
	tx.removeActor(a)
	return Result{}
}

func (tx *Tx) saveState(op *logv1.SaveState) Result {
	a := tx.actorFrom(op.GetRef().GetActorId())
	if a == nil || a.Generation != op.GetRef().GetGeneration() || !a.Phase.OnRunner() {
		return refuse(CodeStale)
	}
	if len(op.GetState()) > MaxSaved {
		return refuse(CodeMalformed)
	}
	if !tx.mayStore(len(op.GetState()) - len(a.Saved)) {
		return refuse(CodeFull)
	}
	next := *a
	next.Saved, next.SavedVersion = string(op.GetState()), tx.runners.Get(a.Runner).Version
	tx.replaceActor(a, &next)
	return Result{}
}

// mayStore tells whether the state may grow by so many bytes of inputs and saved states. It may always shrink, also when the limit
// has been set below what is there.
func (tx *Tx) mayStore(by int) bool {
	return by <= 0 || tx.storedBytes+int64(by) <= tx.Setting(StoredBytesLimit)
}

// raiseGeneration notes a generation that the state did not know: one that a runner claims to run, or to have run. The life under way
// keeps its name; the next one is above both.
func (tx *Tx) raiseGeneration(op *logv1.RaiseGeneration) Result {
	a := tx.actorFrom(op.GetActorId())
	if a == nil {
		return refuse(CodeNotFound)
	}
	if op.GetGeneration() > MaxRaised {
		return refuse(CodeMalformed)
	}
	if a.Phase == Destroyed || op.GetGeneration() < a.NextGeneration() {
		return refuse(CodeIllegal)
	}
	next := *a
	next.Claimed = op.GetGeneration()
	tx.replaceActor(a, &next)
	return Result{}
}

func (tx *Tx) actorFrom(id []byte) *Actor {
	aid, ok := idFrom(id)
	if !ok {
		return nil
	}
	return tx.Actor(ActorID(aid))
}

// step finds an actor and checks that an event may lead it to a phase. It returns a copy in that phase, to be completed and written.
func (tx *Tx) step(id []byte, event Event, to Phase) (a, next *Actor, res Result) {
	a, res = tx.find(id)
	if res.Code != CodeOK {
		return nil, nil, res
	}
	return a.stepped(event, to)
}

// stepRef is step for an event of one life: of another generation it is stale.
func (tx *Tx) stepRef(ref *logv1.Ref, event Event, to Phase) (a, next *Actor, res Result) {
	a, res = tx.find(ref.GetActorId())
	if res.Code != CodeOK {
		return nil, nil, res
	}
	if a.Generation != ref.GetGeneration() {
		return nil, nil, refuse(CodeStale)
	}
	return a.stepped(event, to)
}

func (tx *Tx) find(id []byte) (*Actor, Result) {
	if len(id) != 16 {
		return nil, refuse(CodeMalformed)
	}
	a := tx.actorFrom(id)
	if a == nil {
		return nil, refuse(CodeNotFound)
	}
	return a, Result{}
}

func (a *Actor) stepped(event Event, to Phase) (_, next *Actor, res Result) {
	if !Legal(a.Phase, event, to) {
		return nil, nil, refuse(CodeIllegal)
	}
	c := *a
	c.Phase = to
	return a, &c, Result{}
}
