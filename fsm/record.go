package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Records yields the state as the records of a snapshot, without the EndRecord. Equal states yield equal records in equal order on
// every node, whatever ordinals their rows have: nothing here may depend on one. Restorer is the way back.
//
// A record shares memory with the state and must not be changed. It holds until the next one is asked for: actors are many, and have the
// same one in turn, or else what a snapshot leaves behind would keep the garbage collector busy for as long as it takes.
func (s *State) Records() iter.Seq[*logv1.Record] {
	return func(yield func(*logv1.Record) bool) {
		_ = yield(s.stateRecord()) &&
			s.yieldNamespaces(yield) &&
			s.yieldPools(yield) &&
			s.yieldRunners(yield) &&
			s.yieldActors(yield) &&
			s.yieldOrphans(yield) &&
			s.yieldOutcomes(yield) &&
			s.yieldRollouts(yield) &&
			s.yieldRequests(yield) &&
			s.yieldKeptDrains(yield)
	}
}

// Hash names the state: equal states have equal hashes on every node. It reads everything, so it costs about as much as a snapshot.
func (s *State) Hash() [sha256.Size]byte {
	sum := sha256.New()
	var buf []byte
	for record := range s.Records() {
		buf = AppendRecord(buf[:0], record)
		sum.Write(buf)
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

// AppendRecord appends a record as snapshots and hashes hold it: its length as a varint, then its deterministic encoding.
func AppendRecord(buf []byte, record *logv1.Record) []byte {
	options := proto.MarshalOptions{Deterministic: true}
	buf = binary.AppendUvarint(buf, uint64(options.Size(record)))
	options.UseCachedSize = true
	buf, err := options.MarshalAppend(buf, record)
	if err != nil {
		// Every text in the state came out of a decoded op, and decoding checks that text is UTF-8.
		panic("fsm: a record of the state cannot be encoded: " + err.Error())
	}
	return buf
}

type yieldRecord = func(*logv1.Record) bool

func (s *State) stateRecord() *logv1.Record {
	r := &logv1.StateRecord{
		Index: s.index, Epoch: s.epoch, Base: s.base, ClockMs: s.clockMs, WallMs: s.wallMs,
		ClusterId: idOrNone(ID(s.cluster)), Leader: s.leader,
		ActorSeq: s.actorSeq, QueueSeq: s.queueSeq, RunnerSeq: s.runnerSeq, SeenMs: s.seenMs, RolloutSeq: s.rolloutSeq, RequestSeq: s.requestSeq,
		DrainSeq: s.drainSeq,
	}
	for _, info := range settingInfos {
		if s.settings.set[info.Setting] {
			r.Settings = append(r.Settings, &logv1.SettingValue{Name: info.Name, Value: s.settings.values[info.Setting]})
		}
	}
	return &logv1.Record{Record: &logv1.Record_State{State: r}}
}

func (s *State) yieldNamespaces(yield yieldRecord) bool {
	for ns := range s.Namespaces("") {
		if !yield(namespaceRecord(ns)) {
			return false
		}
	}
	return true
}

func namespaceRecord(ns *Namespace) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Namespace{Namespace: &logv1.NamespaceRecord{
		Id: ns.ID[:], Name: ns.Name, DisplayName: ns.DisplayName, CreateWallMs: ns.CreateMs,
	}}}
}

// poolsInOrder yields every pool by the names of its namespace and its own.
func (s *State) poolsInOrder() iter.Seq[*Pool] {
	return func(yield func(*Pool) bool) {
		for ns := range s.Namespaces("") {
			for p := range s.Pools(ns, "") {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// poolPositions tells for each pool's ordinal which position its record has, from 1.
func (s *State) poolPositions() []uint32 {
	positions := make([]uint32, s.poolOrdinals.next)
	var position uint32
	for p := range s.poolsInOrder() {
		position++
		positions[p.ordinal] = position
	}
	return positions
}

func (s *State) yieldPools(yield yieldRecord) bool {
	for p := range s.poolsInOrder() {
		if !yield(poolRecord(p, s.buckets.Get(p.ordinal), s.endpoints.Get(p.ordinal), s.Await(p), s.HeldVersions(p))) {
			return false
		}
	}
	return true
}

func poolRecord(p *Pool, b Bucket, e *logv1.Endpoint, await Await, held iter.Seq[*HeldVersion]) *logv1.Record {
	var versions []*logv1.HeldVersionRecord
	for h := range held {
		versions = append(versions, &logv1.HeldVersionRecord{Version: h.Version, Reason: h.Reason, StartWallMs: h.StartWall})
	}
	return &logv1.Record{Record: &logv1.Record_Pool{Pool: &logv1.PoolRecord{
		HeldVersions: versions, AwaitVersion: await.Version, AwaitUntilMs: await.UntilMs,
		Endpoint:    e,
		NamespaceId: p.ID.Namespace[:], Name: p.ID.Name, Config: p.Config, AutoCreated: p.AutoCreated, Bucket: &logv1.BucketRecord{
			Nanos: b.Nanos, AtMs: b.AtMs, Emptying: b.Emptying,
			WindowFromMs: b.WindowFromMs, WindowTurns: b.WindowTurns, WindowRateMicros: b.WindowRateMicros,
		},
	}}}
}

func (s *State) yieldRunners(yield yieldRecord) bool {
	positions := s.poolPositions()
	for number := uint32(1); number < s.runnerNumbers.next; number++ {
		r := s.runners.Get(number)
		if r != nil && !yield(runnerRecord(r, positions[r.pool], s.seen.Get(number))) {
			return false
		}
	}
	return true
}

func runnerRecord(r *Runner, poolPosition uint32, seenMs int64) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Runner{Runner: &logv1.RunnerRecord{
		Number: r.Number, Id: r.ID[:], Seq: r.Seq, Pool: poolPosition, Key: r.Key,
		InstanceId: r.Instance[:], Attempt: r.Attempt, SessionId: r.Session[:], Holder: r.Holder,
		Version: r.Version, Slots: r.Slots, ThresholdMs: r.ThresholdMs, VerdictMs: r.VerdictMs, MetadataJson: r.Metadata, AdvertisedAddr: r.AdvertisedAddr,
		KeepOnLeaseLost: r.KeepOnLeaseLost, RequestId: idOrNone(ID(r.Request)), Expiring: r.Expiring, ActorNames: r.Names.Names(),
		Connected: r.Connected, End: uint32(r.End), ReplacedBy: idOrNone(ID(r.ReplacedBy)),
		DrainCause: uint32(r.Drain.Cause), DrainStartMs: r.Drain.StartMs, DrainDeadlineMs: r.Drain.DeadlineMs, DrainReason: r.Drain.Reason,
		DrainHeld: r.Drain.Held, DrainForce: r.Drain.Force, DrainOverdue: r.Drain.Overdue, DrainStandby: r.Drain.Standby, DrainTotal: r.Drain.Total,
		DrainWallMs: r.Drain.StartWall, DrainFinishWallMs: r.Drain.FinishWall,
		MoveFromMs: r.Moves.FromMs, MoveTotal: r.Moves.Total, Moves: r.Moves.Done,
		LastSeenMs: seenMs, CreateWallMs: r.CreateMs, ConnectedWallMs: r.ConnectedMs, StopWallMs: r.StopMs,
		EndedMs: r.EndedMs, Rev: r.Rev,
	}}}
}

func (s *State) yieldActors(yield yieldRecord) bool {
	positions := s.poolPositions()
	record := &logv1.Record{Record: &logv1.Record_Actor{Actor: &logv1.ActorRecord{}}}
	a := new(Actor)
	for k := range s.actorsByID.All() {
		s.unpack(a, s.actors.Get(k.row), k.row)
		fillActorRecord(record.GetActor(), a, positions[a.pool])
		if !yield(record) {
			return false
		}
	}
	return true
}

// fillActorRecord makes a record that of an actor, whatever it was before.
func fillActorRecord(r *logv1.ActorRecord, a *Actor, poolPosition uint32) {
	decision, input, saved := r.GetDecision(), r.GetInput()[:0], r.GetSaved()[:0]
	r.Reset()
	r.Id, r.Seq, r.Pool, r.Name = a.ID[:], a.Seq, poolPosition, a.Name
	r.CrashPolicy, r.Phase, r.StopReason, r.WakeKept, r.Destroying = uint32(a.Policy), uint32(a.Phase), uint32(a.StopReason), a.WakeKept, a.Destroying
	r.KeepsKey, r.AlarmWoke = a.KeepsKey, a.AlarmWoke
	r.Generation, r.Claimed, r.Runner, r.RunnerRev, r.FloorVersion, r.SavedVersion = a.Generation, a.Claimed, a.Runner, a.RunnerRev, a.FloorVersion, a.SavedVersion
	r.QueueSeq, r.DueMs, r.StopLimitMs = a.QueueSeq, a.DueMs, a.StopLimitMs
	r.EvictMs, r.Promise, r.MovedIn, r.Eviction, r.AlarmUnixMs = a.EvictMs, a.Promise, a.MovedIn, uint32(a.Eviction), a.AlarmMs
	r.CreateWallMs, r.StartWallMs, r.ConnectableWallMs, r.SleepWallMs = a.CreateMs, a.StartMs, a.ConnectableMs, a.SleepMs
	r.PendingWallMs, r.RescheduleWallMs, r.DestroyWallMs = a.PendingMs, a.RescheduleMs, a.DestroyMs
	r.Input, r.Saved = append(input, a.Input...), append(saved, a.Saved...)
	if a.HasKey {
		r.Key = &a.Key
	}
	if t := a.Trouble; t != nil {
		r.Trouble = &logv1.TroubleRecord{
			Code: uint32(t.Code), Message: t.Message, RunnerId: idOrNone(ID(t.Runner)), Retries: t.Retries,
			RetryMs: t.RetryMs, CrashedMs: t.CrashedMs, PreferredRunnerId: idOrNone(ID(t.Preferred)), EarlierRunnerIds: t.earlierIDs(),
		}
	}
	if d := a.Decision; d != (Decision{}) {
		if decision == nil {
			decision = new(logv1.Decision)
		}
		decision.Reset()
		decision.InPool, decision.Eligible, decision.Newest, decision.RunnerUp = d.InPool, d.Eligible, d.Newest, d.RunnerUp
		decision.Version, decision.Rule = d.Version, uint32(d.Rule)
		r.Decision, r.DecisionIndex, r.DecisionWallMs = decision, d.Index, d.WallMs
	}
}

func (s *State) yieldOrphans(yield yieldRecord) bool {
	for k := range s.orphans.All() {
		if !yield(orphanRecord(k)) {
			return false
		}
	}
	return true
}

func orphanRecord(k orphanKey) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Orphan{Orphan: &logv1.OrphanRecord{
		Runner: k.runner, Ref: &logv1.Ref{ActorId: k.ref.Actor[:], Generation: k.ref.Generation}, Rev: k.rev, HoldsActor: k.holdsActor,
	}}}
}

func (s *State) yieldOutcomes(yield yieldRecord) bool {
	page := &logv1.OutcomesRecord{}
	bytes := 0
	flush := func() bool {
		full := page
		page, bytes = &logv1.OutcomesRecord{}, 0
		return len(full.GetAtMs()) == 0 || yield(&logv1.Record{Record: &logv1.Record_Outcomes{Outcomes: full}})
	}
	for row := range s.outcomes.All() {
		outcome := s.outcomeBytes(&row)
		page.Keys = append(page.Keys, row.key[:]...)
		page.Fingerprints = append(page.Fingerprints, row.fingerprint)
		page.AtMs = append(page.AtMs, row.atMs)
		page.Outcomes = append(page.Outcomes, outcome)
		bytes += len(outcome)
		if (len(page.GetAtMs()) == outcomesPerRecord || bytes >= outcomeBytesPerRecord) && !flush() {
			return false
		}
	}
	return flush()
}

// Outcomes are many and small: a record holds as many as this.
const (
	outcomesPerRecord     = 256
	outcomeBytesPerRecord = 256 << 10
)

func (s *State) yieldRollouts(yield yieldRecord) bool {
	var position uint32
	for p := range s.poolsInOrder() {
		position++
		for k := range s.rollouts.From(rolloutKey{pool: p.ordinal}) {
			if k.pool != p.ordinal {
				break
			}
			if !yield(rolloutRecord(k.row, position)) {
				return false
			}
		}
	}
	return true
}

func rolloutRecord(r *Rollout, poolPosition uint32) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Rollout{Rollout: &logv1.RolloutRecord{
		Id: r.ID, Pool: poolPosition, Version: r.Version, State: uint32(r.State), EndReason: r.EndReason,
		Paused: r.Paused, PauseReason: r.PauseReason, StartMs: r.StartMs, EndMs: r.EndMs, StartWallMs: r.StartWall, EndWallMs: r.EndWall,
		Moved: r.Moved, Moving: r.Moving, Lost: r.Lost, Left: r.Left, WaitMs: r.WaitMs,
	}}}
}

func (s *State) yieldRequests(yield yieldRecord) bool {
	positions := s.poolPositions()
	for k := range s.requestsByID.All() {
		r := s.requests.Get(k.row)
		if !yield(requestRecord(r, positions[r.pool])) {
			return false
		}
	}
	return true
}

func (s *State) yieldKeptDrains(yield yieldRecord) bool {
	var position uint32
	for p := range s.poolsInOrder() {
		position++
		for d := range s.KeptDrains(p, "") {
			if !yield(keptDrainRecord(d, position)) {
				return false
			}
		}
	}
	return true
}

func requestRecord(r *Request, poolPosition uint32) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Request{Request: &logv1.RequestRecord{
		Id: r.ID[:], Seq: r.Seq, Pool: poolPosition, Node: r.Node, StartId: r.Start[:], Slots: r.Slots, Endpoint: r.Endpoint, ProbesVersion: r.Probes,
		Phase: uint32(r.Phase), Expiring: r.Expiring, Drains: r.Drains, InstanceId: idOrNone(ID(r.Instance)), RunnerId: idOrNone(ID(r.Runner)),
		OpenMs: r.OpenMs, SendMs: r.SendMs, SendByMs: r.SendByMs, JoinByMs: r.JoinByMs, ReplaceMs: r.ReplaceMs, DrainMs: r.DrainMs,
		ExpireMs: r.ExpireMs, RetireMs: r.RetireMs, EndedMs: r.EndedMs,
		OpenWallMs: r.OpenWall, SendWallMs: r.SendWall, JoinWallMs: r.JoinWall, EndWallMs: r.EndWall,
		End: uint32(r.End), Code: r.Code, Message: r.Message,
	}}}
}

func keptDrainRecord(d *KeptDrain, poolPosition uint32) *logv1.Record {
	return &logv1.Record{Record: &logv1.Record_Drain{Drain: &logv1.DrainRecord{
		Pool: poolPosition, Key: d.Key, Seq: d.Seq, InstanceId: d.Instance[:], Version: d.Version, DeadlineMs: d.DeadlineMs, Reason: d.Reason,
		Force: d.Force, Keep: d.Keep, Finished: d.Finished, AtMs: d.AtMs, WallMs: d.Wall,
	}}}
}

// idOrNone returns the bytes of an id; none where it was never set.
func idOrNone(id ID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}
