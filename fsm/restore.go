package fsm

import (
	"errors"
	"fmt"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Restorer builds a View from the records of a snapshot, in the order in which Records yields them. It takes nothing on trust: a
// record that does not fit is an error, never a panic, and what this build does not know is never dropped in silence.
//
// What is derived from rows is computed anew. Actors get new ordinals, packed in the order of their ids; runners keep their numbers.
type Restorer struct {
	tx    *Tx
	base  uint64
	pools []*Pool     // by position, from 0
	held  []heldSlots // by runner number
	keys  bulk        // of actors

	outcomes restoredOutcomes
	orphans  []orphanKey

	kind     int // of the last record
	added    uint64
	lastName string
	lastID   ID
	lastRef  orphanKey
	failed   error
}

// heldSlots counts what actors and orphans hold of one runner, and what it has promised.
type heldSlots struct{ slots, stopping, promised int }

// NewRestorer returns one that expects the first record.
func NewRestorer() *Restorer { return &Restorer{tx: NewView().Begin(0, 0)} }

// The kinds of records in their order.
const (
	kindNothing = iota
	kindState
	kindNamespace
	kindPool
	kindRunner
	kindActor
	kindOrphan
	kindOutcome
	kindRollout
	kindRequest
	kindDrain
)

// Add takes the next record, and keeps nothing of an actor's but its texts and bytes. After an error the Restorer is of no more use.
func (r *Restorer) Add(record *logv1.Record) error {
	if r.failed != nil {
		return r.failed
	}
	r.added++
	if err := r.add(record); err != nil {
		r.failed = fmt.Errorf("record %d: %w", r.added, err)
	}
	return r.failed
}

func (r *Restorer) add(record *logv1.Record) error {
	if unknown := recordShape.unknown(record.ProtoReflect()); unknown != "" {
		return errors.New(unknown)
	}
	switch rec := record.GetRecord().(type) {
	case *logv1.Record_State:
		return r.take(kindState, func() error { return r.addState(rec.State) })
	case *logv1.Record_Namespace:
		return r.take(kindNamespace, func() error { return r.addNamespace(rec.Namespace) })
	case *logv1.Record_Pool:
		return r.take(kindPool, func() error { return r.addPool(rec.Pool) })
	case *logv1.Record_Runner:
		return r.take(kindRunner, func() error { return r.addRunner(rec.Runner) })
	case *logv1.Record_Actor:
		return r.take(kindActor, func() error { return r.addActor(rec.Actor) })
	case *logv1.Record_Orphan:
		return r.take(kindOrphan, func() error { return r.addOrphan(rec.Orphan) })
	case *logv1.Record_Outcome:
		return r.take(kindOutcome, func() error { return r.outcomes.addOld(rec.Outcome, r) })
	case *logv1.Record_Outcomes:
		return r.take(kindOutcome, func() error { return r.outcomes.add(rec.Outcomes) })
	case *logv1.Record_Rollout:
		return r.take(kindRollout, func() error { return r.addRollout(rec.Rollout) })
	case *logv1.Record_Request:
		return r.take(kindRequest, func() error { return r.addRequest(rec.Request) })
	case *logv1.Record_Drain:
		return r.take(kindDrain, func() error { return r.addKeptDrain(rec.Drain) })
	default:
		return fmt.Errorf("a record of the kind %T is not known to this build", rec)
	}
}

// take holds the order of kinds: the state comes first and once.
func (r *Restorer) take(kind int, add func() error) error {
	switch {
	case r.kind == kindNothing && kind != kindState:
		return errors.New("the state's own record does not come first")
	case kind < r.kind, kind == kindState && r.kind == kindState:
		return fmt.Errorf("a record of kind %d comes after one of kind %d", kind, r.kind)
	}
	if kind != r.kind {
		r.kind, r.lastName, r.lastID = kind, "", ID{}
	}
	return add()
}

// View returns what the records add up to.
func (r *Restorer) View() (*View, error) {
	if r.failed != nil {
		return nil, r.failed
	}
	if r.kind == kindNothing {
		return nil, errors.New("there are no records")
	}
	r.keys.put(r.tx)
	if err := r.outcomes.put(r.tx); err != nil {
		return nil, err
	}
	for _, k := range r.orphans {
		r.tx.putOrphan(k)
	}
	for number, held := range r.held {
		if held.slots > 0 {
			r.tx.hold(uint32(number), holding{slots: held.slots, stopping: held.stopping})
		}
		if held.promised > 0 {
			r.tx.keep(uint32(number), held.promised)
		}
	}
	for _, p := range r.pools {
		r.tx.settleDeleted(p.ordinal)
		r.tx.settleLook(p.ordinal)
	}
	view := r.tx.Seal(r.tx.index)
	view.base = r.base
	r.failed = errors.New("this restorer has given its View")
	return view, nil
}

func (r *Restorer) addState(rec *logv1.StateRecord) error {
	tx := r.tx
	tx.index, tx.epoch, r.base = rec.GetIndex(), rec.GetEpoch(), rec.GetBase()
	tx.clockMs, tx.wallMs, tx.seenMs = rec.GetClockMs(), rec.GetWallMs(), rec.GetSeenMs()
	tx.leader = rec.GetLeader()
	tx.actorSeq, tx.queueSeq, tx.runnerSeq = rec.GetActorSeq(), rec.GetQueueSeq(), rec.GetRunnerSeq()
	tx.rolloutSeq, tx.requestSeq, tx.drainSeq = rec.GetRolloutSeq(), rec.GetRequestSeq(), rec.GetDrainSeq()
	id, err := readID("cluster", rec.GetClusterId())
	tx.cluster = ClusterID(id)
	for _, v := range rec.GetSettings() {
		info, ok := SettingByName(v.GetName())
		if !ok {
			return fmt.Errorf("the setting %q is not known to this build", v.GetName())
		}
		tx.settings.values[info.Setting], tx.settings.set[info.Setting] = v.GetValue(), true
	}
	return err
}

func (r *Restorer) addNamespace(rec *logv1.NamespaceRecord) error {
	id, err := needID("namespace", rec.GetId())
	if err != nil {
		return err
	}
	if rec.GetName() <= r.lastName {
		return fmt.Errorf("the namespace %q comes after %q", rec.GetName(), r.lastName)
	}
	if r.tx.NamespaceByID(NamespaceID(id)) != nil {
		return fmt.Errorf("the namespace id %s comes twice", id)
	}
	r.lastName = rec.GetName()
	r.tx.addNamespace(&Namespace{ID: NamespaceID(id), Name: rec.GetName(), DisplayName: rec.GetDisplayName(), CreateMs: rec.GetCreateWallMs()})
	return nil
}

func (r *Restorer) addPool(rec *logv1.PoolRecord) error {
	id, err := needID("namespace", rec.GetNamespaceId())
	if err != nil {
		return err
	}
	ns := r.tx.NamespaceByID(NamespaceID(id))
	switch {
	case ns == nil:
		return fmt.Errorf("the pool %q is in the unknown namespace %s", rec.GetName(), id)
	case rec.GetName() == "":
		return errors.New("a pool has no name")
	case r.tx.Pool(PoolID{ns.ID, rec.GetName()}) != nil:
		return fmt.Errorf("the pool %q comes twice in the namespace %q", rec.GetName(), ns.Name)
	}
	if b := rec.GetBucket(); b.GetWindowTurns() > MaxWindowTurns || (b.GetWindowTurns() > 0) != (b.GetWindowRateMicros() > 0) || b.GetWindowRateMicros() > MaxEvictionRateMicros {
		return fmt.Errorf("the pool %q has a window of %d turns for a rate of %d", rec.GetName(), b.GetWindowTurns(), b.GetWindowRateMicros())
	}
	p := &Pool{ID: PoolID{ns.ID, rec.GetName()}, Config: rec.GetConfig(), AutoCreated: rec.GetAutoCreated(), namespace: ns.ordinal}
	r.tx.addPool(p)
	if b := rec.GetBucket(); b != nil { // an older build wrote none: its pools begin with a full one
		r.tx.putBucket(p, Bucket{
			Nanos: b.GetNanos(), AtMs: b.GetAtMs(), Emptying: b.GetEmptying(),
			WindowFromMs: b.GetWindowFromMs(), WindowTurns: b.GetWindowTurns(), WindowRateMicros: b.GetWindowRateMicros(),
		})
	}
	if rec.GetEndpoint() != nil {
		if !p.Serverless() {
			return fmt.Errorf("the pool %q has an endpoint and is not serverless", rec.GetName())
		}
		r.tx.setEndpoint(p, rec.GetEndpoint())
	}
	if await := (Await{rec.GetAwaitVersion(), rec.GetAwaitUntilMs()}); await.Version == 0 && await.UntilMs != 0 {
		return fmt.Errorf("the pool %q awaits no version until %d", p.ID.Name, await.UntilMs)
	} else if await != (Await{}) {
		r.tx.setAwait(p, await)
	}
	r.pools = append(r.pools, p)
	return r.holdVersions(p, rec.GetHeldVersions())
}

func (r *Restorer) holdVersions(p *Pool, held []*logv1.HeldVersionRecord) error {
	for i, h := range held {
		if i > 0 && h.GetVersion() <= held[i-1].GetVersion() || i >= MaxHeldVersions {
			return fmt.Errorf("the pool %q holds version %d back behind version %d, or more than %d", p.ID.Name, h.GetVersion(), held[i-1].GetVersion(), MaxHeldVersions)
		}
		r.tx.putHeldVersion(p, &HeldVersion{Version: h.GetVersion(), Reason: h.GetReason(), StartWall: h.GetStartWallMs()})
	}
	return nil
}

func (r *Restorer) addKeptDrain(rec *logv1.DrainRecord) error {
	p, err1 := r.pool(rec.GetPool())
	instance, err2 := readID("instance", rec.GetInstanceId())
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("a drain that outlived its runner: %w", err)
	}
	switch {
	case rec.GetKey() == "" || r.tx.KeptDrain(p, rec.GetKey()) != nil:
		return fmt.Errorf("the drain of the key %q in the pool %q comes twice, or without a key", rec.GetKey(), p.ID.Name)
	case rec.GetSeq() < 1 || rec.GetSeq() > r.tx.drainSeq || r.tx.keptDrainOf(p.ordinal, rec.GetSeq()) != nil:
		return fmt.Errorf("the drain of the key %q in the pool %q has the place %d, of at most %d", rec.GetKey(), p.ID.Name, rec.GetSeq(), r.tx.drainSeq)
	}
	r.tx.replaceKeptDrain(nil, &KeptDrain{
		Key: rec.GetKey(), Seq: rec.GetSeq(), Instance: InstanceID(instance), Version: rec.GetVersion(), DeadlineMs: rec.GetDeadlineMs(), Reason: rec.GetReason(),
		Force: rec.GetForce(), Keep: rec.GetKeep(), Finished: rec.GetFinished(), AtMs: rec.GetAtMs(), Wall: rec.GetWallMs(), pool: p.ordinal,
	})
	return nil
}

func (r *Restorer) pool(position uint32) (*Pool, error) {
	if position < 1 || int(position) > len(r.pools) {
		return nil, fmt.Errorf("pool %d of %d", position, len(r.pools))
	}
	return r.pools[position-1], nil
}

func (r *Restorer) addRunner(rec *logv1.RunnerRecord) error {
	next, err := r.runnerFrom(rec)
	if err != nil {
		return fmt.Errorf("the runner of number %d: %w", rec.GetNumber(), err)
	}
	r.held = append(r.held, make([]heldSlots, int(next.Number)+1-len(r.held))...)
	r.tx.runnerNumbers.claim(next.Number)
	r.tx.addRunner(next, rec.GetLastSeenMs())
	return nil
}

func (r *Restorer) runnerFrom(rec *logv1.RunnerRecord) (*Runner, error) {
	id, err1 := needID("runner", rec.GetId())
	instance, err2 := readID("instance", rec.GetInstanceId())
	session, err3 := readID("session", rec.GetSessionId())
	replacedBy, err4 := readID("replacing runner", rec.GetReplacedBy())
	p, err5 := r.pool(rec.GetPool())
	request, err6 := readID("request", rec.GetRequestId())
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	switch {
	case rec.GetNumber() < 1 || rec.GetNumber() > MaxRunners:
		return nil, fmt.Errorf("the number must be 1 to %d", MaxRunners)
	case int(rec.GetNumber()) < len(r.held):
		return nil, fmt.Errorf("it comes after number %d", len(r.held)-1)
	case r.tx.Runner(RunnerID(id)) != nil:
		return nil, fmt.Errorf("its id %s comes twice", id)
	case rec.GetSlots() < 1 || rec.GetSlots() > MaxSlots:
		return nil, fmt.Errorf("%d slots: must be 1 to %d", rec.GetSlots(), MaxSlots)
	case rec.GetEnd() > uint32(EndLost):
		return nil, fmt.Errorf("the end %d is not known to this build", rec.GetEnd())
	case rec.GetDrainCause() > uint32(DrainRequestEnd):
		return nil, fmt.Errorf("the drain cause %d is not known to this build", rec.GetDrainCause())
	}
	names, ok := nameList(rec.GetActorNames())
	if !ok {
		return nil, fmt.Errorf("the names that it handles must be at most %d of 1 to %d bytes, in order and each once", MaxHandledNames, MaxActorName)
	}
	return &Runner{
		Names: names, set: names.set(),
		ID: RunnerID(id), Number: rec.GetNumber(), Seq: rec.GetSeq(), Pool: p.ID, Key: rec.GetKey(),
		Instance: InstanceID(instance), Attempt: rec.GetAttempt(), Session: SessionID(session), Holder: rec.GetHolder(),
		Version: rec.GetVersion(), Slots: rec.GetSlots(), ThresholdMs: rec.GetThresholdMs(), VerdictMs: rec.GetVerdictMs(),
		Metadata: rec.GetMetadataJson(), AdvertisedAddr: rec.GetAdvertisedAddr(), KeepOnLeaseLost: rec.GetKeepOnLeaseLost(),
		Connected: rec.GetConnected(), End: RunnerEnd(rec.GetEnd()), ReplacedBy: RunnerID(replacedBy),
		Request: RequestID(request), Expiring: rec.GetExpiring(),
		Drain: Drain{
			Cause: DrainCause(rec.GetDrainCause()), StartMs: rec.GetDrainStartMs(), DeadlineMs: rec.GetDrainDeadlineMs(), Reason: rec.GetDrainReason(),
			Held: rec.GetDrainHeld(), Force: rec.GetDrainForce(), Overdue: rec.GetDrainOverdue(), Standby: rec.GetDrainStandby(), Total: rec.GetDrainTotal(),
			StartWall: rec.GetDrainWallMs(), FinishWall: rec.GetDrainFinishWallMs(),
		},
		Moves:    Moves{FromMs: rec.GetMoveFromMs(), Total: rec.GetMoveTotal(), Done: rec.GetMoves()},
		CreateMs: rec.GetCreateWallMs(), ConnectedMs: rec.GetConnectedWallMs(), StopMs: rec.GetStopWallMs(),
		EndedMs: rec.GetEndedMs(), Rev: rec.GetRev(), pool: p.ordinal,
	}, nil
}

// keepOn counts a slot that a runner, which must be there, has promised.
func (r *Restorer) keepOn(number uint32) error {
	if int(number) >= len(r.held) || r.tx.runners.Get(number) == nil {
		return fmt.Errorf("a slot is promised on a runner of number %d: there is none", number)
	}
	r.held[number].promised++
	return nil
}

// holdOn counts a slot of a runner that must be there.
func (r *Restorer) holdOn(number uint32, stopping bool) error {
	if r.tx.runners.Get(number) == nil {
		return fmt.Errorf("there is no runner of number %d", number)
	}
	r.held[number].slots++
	r.held[number].stopping += count(stopping)
	return nil
}

func (r *Restorer) addActor(rec *logv1.ActorRecord) error {
	a, err := r.actorFrom(rec)
	if err != nil {
		return fmt.Errorf("the actor %x: %w", rec.GetId(), err)
	}
	a.ordinal = r.tx.actorOrdinals.take()
	r.keys.add(r.tx, a)
	return nil
}

func (r *Restorer) actorFrom(rec *logv1.ActorRecord) (*Actor, error) {
	id, err := needID("actor", rec.GetId())
	if err != nil {
		return nil, err
	}
	if !r.lastID.less(id) {
		return nil, fmt.Errorf("it comes after %s", r.lastID)
	}
	r.lastID = id
	p, err := r.pool(rec.GetPool())
	if err != nil {
		return nil, err
	}
	if err := checkActorRecord(rec); err != nil {
		return nil, err
	}
	if rec.GetRunner() != 0 {
		if err := r.holdOn(rec.GetRunner(), Phase(rec.GetPhase()) == Stopping); err != nil {
			return nil, err
		}
	}
	if rec.GetPromise() != 0 {
		if err := r.keepOn(rec.GetPromise()); err != nil {
			return nil, err
		}
	}
	trouble, err := troubleFrom(rec.GetTrouble())
	if err != nil {
		return nil, err
	}
	d := rec.GetDecision()
	return &Actor{
		ID: ActorID(id), Seq: rec.GetSeq(), Name: rec.GetName(), Key: rec.GetKey(), HasKey: rec.Key != nil,
		Policy: CrashPolicy(rec.GetCrashPolicy()), Phase: Phase(rec.GetPhase()), StopReason: StopReason(rec.GetStopReason()),
		WakeKept: rec.GetWakeKept(), Destroying: rec.GetDestroying(), KeepsKey: rec.GetKeepsKey(), AlarmWoke: rec.GetAlarmWoke(),
		Generation: rec.GetGeneration(), Claimed: rec.GetClaimed(), Runner: rec.GetRunner(), RunnerRev: rec.GetRunnerRev(),
		FloorVersion: rec.GetFloorVersion(), SavedVersion: rec.GetSavedVersion(), QueueSeq: rec.GetQueueSeq(),
		DueMs: rec.GetDueMs(), StopLimitMs: rec.GetStopLimitMs(),
		EvictMs: rec.GetEvictMs(), Promise: rec.GetPromise(), MovedIn: rec.GetMovedIn(), Eviction: Eviction(rec.GetEviction()), AlarmMs: rec.GetAlarmUnixMs(),
		Input: string(rec.GetInput()), Saved: string(rec.GetSaved()), Trouble: trouble,
		Decision: Decision{
			Index: rec.GetDecisionIndex(), WallMs: rec.GetDecisionWallMs(), InPool: d.GetInPool(), Eligible: d.GetEligible(),
			Newest: d.GetNewest(), RunnerUp: d.GetRunnerUp(), Version: d.GetVersion(), Rule: uint8(d.GetRule()),
		},
		CreateMs: rec.GetCreateWallMs(), StartMs: rec.GetStartWallMs(), ConnectableMs: rec.GetConnectableWallMs(),
		SleepMs: rec.GetSleepWallMs(), PendingMs: rec.GetPendingWallMs(), RescheduleMs: rec.GetRescheduleWallMs(), DestroyMs: rec.GetDestroyWallMs(),
		namespace: p.namespace, pool: p.ordinal,
	}, nil
}

// checkActorRecord refuses values that no actor can have.
func checkActorRecord(rec *logv1.ActorRecord) error {
	phase := Phase(min(rec.GetPhase(), uint32(phaseCount)))
	switch {
	case len(rec.GetName()) < 1 || len(rec.GetName()) > MaxActorName:
		return fmt.Errorf("a name of %d bytes: must be 1 to %d", len(rec.GetName()), MaxActorName)
	case rec.Key != nil && (len(rec.GetKey()) < 1 || len(rec.GetKey()) > MaxActorKey):
		return fmt.Errorf("a key of %d bytes: must be 1 to %d", len(rec.GetKey()), MaxActorKey)
	case rec.GetCrashPolicy() < uint32(PolicyRestart) || rec.GetCrashPolicy() > uint32(PolicyDestroy):
		return fmt.Errorf("the crash policy %d is not known to this build", rec.GetCrashPolicy())
	case phase == NoPhase || phase == phaseCount:
		return fmt.Errorf("the phase %d is not known to this build", rec.GetPhase())
	case phase.OnRunner() != (rec.GetRunner() != 0):
		return fmt.Errorf("%s on the runner of number %d", phase, rec.GetRunner())
	case rec.GetClaimed() != 0 && (rec.GetClaimed() <= rec.GetGeneration() || rec.GetClaimed() > MaxRaised):
		return fmt.Errorf("the generation %d is claimed: must be above %d and at most %d", rec.GetClaimed(), rec.GetGeneration(), uint64(MaxRaised))
	case rec.GetStopReason() >= uint32(stopReasonCount):
		return fmt.Errorf("the stop reason %d is not known to this build", rec.GetStopReason())
	case rec.GetEviction() > uint32(evictionMask):
		return fmt.Errorf("the eviction flags %d are not known to this build", rec.GetEviction())
	case rec.GetPromise() != 0 && phase != Stopping:
		return fmt.Errorf("%s with a slot promised on runner %d", phase, rec.GetPromise())
	case rec.GetDecision().GetRule() > 0xff:
		return fmt.Errorf("the placement rule %d is not known to this build", rec.GetDecision().GetRule())
	case len(rec.GetInput()) > MaxInput:
		return fmt.Errorf("an input of %d bytes: must be at most %d", len(rec.GetInput()), MaxInput)
	case len(rec.GetSaved()) > MaxSaved:
		return fmt.Errorf("a saved state of %d bytes: must be at most %d", len(rec.GetSaved()), MaxSaved)
	}
	return nil
}

func troubleFrom(rec *logv1.TroubleRecord) (*Trouble, error) {
	if rec == nil {
		return nil, nil //nolint:nilnil // nothing went wrong with the actor: that is a value
	}
	if rec.GetCode() >= uint32(errorCodeCount) {
		return nil, fmt.Errorf("the error code %d is not known to this build", rec.GetCode())
	}
	runner, err1 := readID("runner", rec.GetRunnerId())
	preferred, err2 := readID("preferred runner", rec.GetPreferredRunnerId())
	var earlier [MaxRemembered - 1]RunnerID
	if len(rec.GetEarlierRunnerIds()) > len(earlier) {
		return nil, fmt.Errorf("%d earlier runners: at most %d", len(rec.GetEarlierRunnerIds()), len(earlier))
	}
	var err3 error
	for i, b := range rec.GetEarlierRunnerIds() {
		id, err := needID("earlier runner", b)
		earlier[i], err3 = RunnerID(id), errors.Join(err3, err)
	}
	return &Trouble{
		Earlier: earlier,
		Code:    ErrorCode(rec.GetCode()), Message: rec.GetMessage(), Runner: RunnerID(runner), Retries: rec.GetRetries(),
		RetryMs: rec.GetRetryMs(), CrashedMs: rec.GetCrashedMs(), Preferred: RunnerID(preferred),
	}, errors.Join(err1, err2, err3)
}

func (r *Restorer) addOrphan(rec *logv1.OrphanRecord) error {
	ref, ok := refFrom(rec.GetRef())
	if !ok {
		return errors.New("an orphan has no actor id")
	}
	k := orphanKey{runner: rec.GetRunner(), ref: ref, rev: rec.GetRev(), holdsActor: rec.GetHoldsActor()}
	if !orphanLess(r.lastRef, k) {
		return fmt.Errorf("the orphan %s on runner %d comes after %s on runner %d", ref, k.runner, r.lastRef.ref, r.lastRef.runner)
	}
	r.lastRef = k
	if err := r.holdOn(k.runner, true); err != nil {
		return fmt.Errorf("the orphan %s: %w", ref, err)
	}
	r.orphans = append(r.orphans, k)
	return nil
}

func (r *Restorer) addRollout(rec *logv1.RolloutRecord) error {
	p, err := r.pool(rec.GetPool())
	if err != nil {
		return err
	}
	state := RolloutState(min(rec.GetState(), uint32(RolloutSuperseded)+1))
	last := r.tx.lastRollout(p)
	switch {
	case state < RolloutOpen || state > RolloutSuperseded:
		return fmt.Errorf("the rollout state %d is not known to this build", rec.GetState())
	case rec.GetId() < 1 || rec.GetId() > r.tx.rolloutSeq:
		return fmt.Errorf("the rollout %d: the last one was %d", rec.GetId(), r.tx.rolloutSeq)
	case last != nil && (last.ID >= rec.GetId() || last.State == RolloutOpen):
		return fmt.Errorf("the rollout %d comes after %d, which is %s", rec.GetId(), last.ID, last.State)
	}
	r.tx.replaceRollout(nil, &Rollout{
		ID: rec.GetId(), Version: rec.GetVersion(), State: state, EndReason: rec.GetEndReason(), Paused: rec.GetPaused(), PauseReason: rec.GetPauseReason(),
		StartMs: rec.GetStartMs(), EndMs: rec.GetEndMs(), StartWall: rec.GetStartWallMs(), EndWall: rec.GetEndWallMs(),
		Moved: rec.GetMoved(), Moving: rec.GetMoving(), Lost: rec.GetLost(), Left: rec.GetLeft(), WaitMs: rec.GetWaitMs(), pool: p.ordinal,
	})
	return nil
}

// readID reads an id that may be absent.
func readID(what string, b []byte) (ID, error) {
	if len(b) == 0 {
		return ID{}, nil
	}
	return needID(what, b)
}

// needID reads an id that must be there.
func needID(what string, b []byte) (ID, error) {
	id, ok := idFrom(b)
	if !ok {
		return ID{}, fmt.Errorf("the id of the %s has %d bytes: must be 16", what, len(b))
	}
	return id, nil
}
