package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Limits of runners.
const (
	MaxSlots = 1_000_000
	// MaxRunners bounds how many a cluster knows, ended ones included, and with that their numbers.
	MaxRunners = 1 << 20
)

// Ended actors, runners and rollouts stay readable for so long, and of each kind at most so many in a namespace.
const (
	endedKeptMs = hourMs
	MaxEnded    = 10_000
)

// RunnerEnd says how a runner ended.
type RunnerEnd uint8

// The ends.
const (
	NotEnded RunnerEnd = iota
	EndStopped
	EndLost
)

// Runner is a worker process that runs actors.
type Runner struct {
	ID             RunnerID
	Number         uint32 // dense, from 1, used again after the runner is forgotten
	Seq            uint64 // order of registration
	Pool           PoolID
	Key            string
	Instance       InstanceID
	Attempt        uint32 // of the Hello that made the session: an earlier one comes too late
	Session        SessionID
	Holder         string // name of the node that holds the session
	Version        uint32
	Slots          uint32
	Held           uint32 // slots that actors and orphans hold until their confirmed end
	Stopping       uint32 // how many of the held are on their way out: stopping actors and orphans
	Promised       uint32 // slots that are kept for actors that are being moved here
	VerdictMs      int64  // its verdict waits at least until then; 0: nothing holds it
	ThresholdMs    int64  // T of this session
	Metadata       string // JSON
	AdvertisedAddr string
	// KeepOnLeaseLost: its actors go on when its lease ends, so that guarantee G2 does not hold for them.
	KeepOnLeaseLost bool
	Names           NameList // of the actors that it handles

	Connected  bool
	End        RunnerEnd
	ReplacedBy RunnerID
	Request    RequestID // that it answers; zero: it connected by itself
	Expiring   bool      // its request ends soon: a replacement is wanted

	Drain Drain
	Moves Moves // forced ones

	CreateMs, ConnectedMs, StopMs int64 // wall clock
	EndedMs                       int64 // cluster clock
	Rev                           uint64

	pool  uint32
	set   uint64    // of its names
	facts StateHash // of the row without its revision
}

// FreeSlots returns how many more actors it may be given: its slots but for those that are held or promised (guarantee G6).
func (r *Runner) FreeSlots() uint32 {
	if used := r.Held + r.Promised; used < r.Slots {
		return r.Slots - used
	}
	return 0
}

// Unused tells whether it has never been told of an actor.
func (r *Runner) Unused() bool { return r.Rev == 0 }

// Placeable tells whether it takes new actors, but for its silence and its slots.
func (r *Runner) Placeable() bool { return r.End == NotEnded && r.Connected && !r.Draining() }

// registered tells whether its version counts as present in the pool.
func (r *Runner) registered() bool { return r.End == NotEnded && !r.Draining() }

// leaving tells whether it gives up its actors of its own accord, or because its time is over.
func (r *Runner) leaving() bool {
	return r.End == NotEnded && (r.Drain.Cause == DrainShutdown || r.Drain.Cause == DrainRequestEnd)
}

type runnerKeyKey struct {
	pool   uint32
	key    string
	seq    uint64
	number uint32
}

func runnerKeyLess(a, b runnerKeyKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	if a.key != b.key {
		return a.key < b.key
	}
	return a.seq < b.seq
}

type runnerSeqKey struct {
	namespace uint32
	seq       uint64
	number    uint32
}

func runnerSeqLess(a, b runnerSeqKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	return a.seq < b.seq
}

// endedRunnerKey lists the ended runners of a namespace, oldest end first.
type endedRunnerKey struct {
	namespace uint32
	endedMs   int64
	seq       uint64
	number    uint32
}

func endedRunnerLess(a, b endedRunnerKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	if a.endedMs != b.endedMs {
		return a.endedMs < b.endedMs
	}
	return a.seq < b.seq
}

func (s *State) endedRunnerKey(r *Runner) endedRunnerKey {
	return endedRunnerKey{s.pools.Get(r.pool).namespace, r.EndedMs, r.Seq, r.Number}
}

// ExcessRunners returns the oldest ended runners of a namespace beyond the number that is kept, at most limit. One that still has actors
// to release is passed over.
func (s *State) ExcessRunners(ns *Namespace, limit int) []*Runner {
	excess := min(int(s.endedRunnerCount.Get(ns.ordinal))-MaxEnded, limit)
	var ended []*Runner
	for k := range s.endedRunners.From(endedRunnerKey{namespace: ns.ordinal}) {
		if len(ended) >= excess || k.namespace != ns.ordinal {
			break
		}
		if r := s.runners.Get(k.number); r.forgettable() {
			ended = append(ended, r)
		}
	}
	return ended
}

// forgettable tells whether nothing needs its row any more.
func (r *Runner) forgettable() bool { return r.End != NotEnded && r.Held == 0 && r.Promised == 0 }

// Runner finds a runner by id; nil: there is none.
func (s *State) Runner(id RunnerID) *Runner {
	key, ok := s.runnersByID.Get(idKey{id: ID(id)})
	if !ok {
		return nil
	}
	return s.runners.Get(key.row)
}

// RunnerByNumber finds a runner by its dense number; nil: there is none.
func (s *State) RunnerByNumber(number uint32) *Runner { return s.runners.Get(number) }

// runnerAt returns the runner that an index names.
func (s *State) runnerAt(number uint32) *Runner {
	s.visit()
	return s.runners.Get(number)
}

// RunnersByKey yields the runners that had a key in a pool, newest first, ended ones included.
func (s *State) RunnersByKey(p *Pool, key string) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.runnersByKey.DownFrom(runnerKeyKey{pool: p.ordinal, key: key, seq: ^uint64(0)}) {
			if k.pool != p.ordinal || k.key != key || !yield(s.runners.Get(k.number)) {
				return
			}
		}
	}
}

// Runners yields the runners of a namespace, newest first, beginning before the one with the given Seq; 0: from the newest.
func (s *State) Runners(ns *Namespace, before uint64) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		from := runnerSeqKey{namespace: ns.ordinal, seq: before - 1} // 0 - 1: the greatest
		for k := range s.runnersBySeq.DownFrom(from) {
			if k.namespace != ns.ordinal || !yield(s.runners.Get(k.number)) {
				return
			}
		}
	}
}

// RunnerPool returns the pool that a runner belongs to.
func (s *State) RunnerPool(r *Runner) *Pool { return s.pools.Get(r.pool) }

// Ineligible says why a runner gets no new actors; empty: it does.
func (s *State) Ineligible(r *Runner) string {
	switch {
	case r.End == EndLost:
		return "lost"
	case r.End == EndStopped:
		return "stopped"
	case r.Draining():
		return "draining"
	case !r.Connected:
		return "disconnected"
	case s.SilentMs(r) >= s.EligibleThresholdMs(r):
		return "silent"
	case r.FreeSlots() == 0:
		return "full"
	}
	return ""
}

func (tx *Tx) registerRunner(op *logv1.RegisterRunner) Result {
	id, ok1 := idFrom(op.GetRunnerId())
	nsID, ok2 := idFrom(op.GetNamespaceId())
	instance, ok3 := idFrom(op.GetInstanceId())
	session, ok4 := idFrom(op.GetSessionId())
	if !ok1 || !ok2 || !ok3 || !ok4 || op.GetSlots() < 1 || op.GetSlots() > MaxSlots || op.GetThresholdMs() < 1 {
		return refuse(CodeMalformed)
	}
	p := tx.Pool(PoolID{NamespaceID(nsID), op.GetPool()})
	if p == nil {
		return refuse(CodeNotFound)
	}
	if tx.Runner(RunnerID(id)) != nil {
		return refuse(CodeExists)
	}
	if tx.runnerNumbers.taken() >= MaxRunners {
		return refuse(CodeFull)
	}
	var replaced *Runner
	if len(op.GetReplaces()) > 0 {
		old, ok := idFrom(op.GetReplaces())
		if replaced = tx.Runner(RunnerID(old)); !ok || replaced == nil || replaced.End != NotEnded {
			return refuse(CodeStale)
		}
	}
	var request *Request
	if len(op.GetRequestId()) > 0 {
		id, ok := idFrom(op.GetRequestId())
		if request = tx.Request(RequestID(id)); !ok || !request.joinable(p.ordinal, InstanceID(instance)) {
			return refuse(CodeStale)
		}
	}
	names, ok := nameList(op.GetActorNames())
	if !ok {
		return refuse(CodeMalformed)
	}
	tx.runnerSeq++
	r := &Runner{
		Names: names, set: names.set(),
		ID: RunnerID(id), Number: tx.runnerNumbers.take(), Seq: tx.runnerSeq, Pool: p.ID, Key: op.GetKey(),
		Instance: InstanceID(instance), Attempt: op.GetAttempt(), Session: SessionID(session), Holder: op.GetHolder(),
		Version: op.GetVersion(), Slots: op.GetSlots(), ThresholdMs: int64(op.GetThresholdMs()),
		Metadata: op.GetMetadataJson(), AdvertisedAddr: op.GetAdvertisedAddr(),
		KeepOnLeaseLost: op.GetKeepOnLeaseLost(), Connected: true, CreateMs: tx.wallMs, ConnectedMs: tx.wallMs, pool: p.ordinal,
	}
	if request != nil {
		r.Request = request.ID
	}
	tx.addRunner(r, tx.clockMs)
	if request != nil {
		tx.join(request, r)
	}
	if replaced != nil {
		next := *replaced
		next.ReplacedBy = r.ID
		tx.replaceRunner(replaced, &next)
	}
	return Result{}
}

// addRunner puts a new row and all its index keys.
func (tx *Tx) addRunner(r *Runner, seenMs int64) {
	tx.setSeen(r.Number, seenMs)
	tx.runnersByID.Put(idKey{id: ID(r.ID), row: r.Number})
	tx.runnersByKey.Put(runnerKeyKey{pool: r.pool, key: r.Key, seq: r.Seq, number: r.Number})
	tx.runnersBySeq.Put(runnerSeqKey{namespace: tx.pools.Get(r.pool).namespace, seq: r.Seq, number: r.Number})
	tx.replaceRunner(nil, r)
	tx.settleDeleted(r.pool)
}

func (tx *Tx) resumeRunner(op *logv1.ResumeRunner) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	session, ok := idFrom(op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	names, inOrder := nameList(op.GetActorNames())
	if !ok || !inOrder || op.GetSlots() < 1 || op.GetSlots() > MaxSlots {
		return refuse(CodeMalformed)
	}
	if op.GetAttempt() <= r.Attempt {
		return refuse(CodeStale)
	}
	next := *r
	next.Attempt = op.GetAttempt()
	next.Session, next.Holder, next.Connected, next.ConnectedMs = SessionID(session), op.GetHolder(), true, tx.wallMs
	next.Version, next.Slots, next.Metadata, next.AdvertisedAddr = op.GetVersion(), op.GetSlots(), op.GetMetadataJson(), op.GetAdvertisedAddr()
	next.KeepOnLeaseLost, next.Names, next.set = op.GetKeepOnLeaseLost(), names, names.set()
	tx.replaceRunner(r, &next)
	tx.seenAt(&next, tx.clockMs)
	return Result{}
}

func (tx *Tx) disconnectRunner(op *logv1.DisconnectRunner) Result {
	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())
	if res.Code != CodeOK {
		return res
	}
	next := *r
	next.Connected = false
	tx.replaceRunner(r, &next)
	return Result{}
}

func (tx *Tx) endRunnerOp(op *logv1.EndRunner) Result {
	r, res := tx.liveRunner(op.GetRunnerId())
	if res.Code != CodeOK {
		return res
	}
	tx.endRunner(r, EndStopped)
	return Result{}
}

func (tx *Tx) endRunner(r *Runner, end RunnerEnd) {
	tx.releaseOrphans(r)
	r = tx.runners.Get(r.Number)
	next := *r
	next.End, next.Connected, next.StopMs, next.EndedMs = end, false, tx.wallMs, tx.clockMs
	tx.replaceRunner(r, &next)
}

func (tx *Tx) forgetRunner(op *logv1.ForgetRunner) Result {
	id, ok := idFrom(op.GetRunnerId())
	r := tx.Runner(RunnerID(id))
	if !ok || r == nil {
		return refuse(CodeNotFound)
	}
	if request := tx.RunnerRequest(r); !r.forgettable() || request != nil && request.Phase == RequestJoined {
		return refuse(CodeIllegal)
	}
	if p := tx.pools.Get(r.pool); tx.buckets.Get(p.ordinal).Emptying == r.Number { // its number will be another's
		b := tx.buckets.Get(p.ordinal)
		b.Emptying = 0
		tx.putBucket(p, b)
	}
	tx.replaceRunner(r, nil)
	tx.runnersByID.Delete(idKey{id: ID(r.ID)})
	tx.runnersByKey.Delete(runnerKeyKey{pool: r.pool, key: r.Key, seq: r.Seq})
	tx.runnersBySeq.Delete(runnerSeqKey{namespace: tx.pools.Get(r.pool).namespace, seq: r.Seq})
	tx.setSeen(r.Number, 0)
	tx.runnerNumbers.release(r.Number)
	tx.settleDeleted(r.pool)
	return Result{}
}

// liveRunner finds a runner that has not ended.
func (tx *Tx) liveRunner(id []byte) (*Runner, Result) {
	rid, ok := idFrom(id)
	if !ok {
		return nil, refuse(CodeMalformed)
	}
	r := tx.Runner(RunnerID(rid))
	if r == nil {
		return nil, refuse(CodeNotFound)
	}
	if r.End != NotEnded {
		return nil, refuse(CodeStale)
	}
	return r, Result{}
}

// runnerInSession finds a runner that has not ended and is in the named session.
func (tx *Tx) runnerInSession(id, session []byte) (*Runner, Result) {
	r, res := tx.liveRunner(id)
	if res.Code == CodeOK && string(r.Session[:]) != string(session) {
		return nil, refuse(CodeStale)
	}
	return r, res
}
