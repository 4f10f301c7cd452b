package fsm

import (
	"iter"
	"slices"
	"sync"

	"github.com/callboard/callboard/fsm/table"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// State is what View and Tx have in common: everything that can be read.
type State struct {
	index   uint64 // of the last log entry that made this state
	epoch   uint64
	base    uint64
	clockMs int64
	wallMs  int64

	cluster  ClusterID
	leader   string // name of the node that established the epoch
	settings settings

	actorSeq   uint64
	queueSeq   uint64
	runnerSeq  uint64
	rolloutSeq uint64
	requestSeq uint64
	drainSeq   uint64
	seenMs     int64 // clock of the last RunnersSeen

	namespaces       table.Rows[*Namespace]
	namespaceCount   uint32
	namespacesByName table.Index[nameKey]
	namespacesByID   table.Index[idKey]

	pools        table.Rows[*Pool]
	poolOrdinals numbers
	idlePools    table.Index[idlePoolKey]
	poolStats    table.Rows[PoolStats]
	poolsByName  table.Index[poolKey]
	buckets      table.Rows[Bucket]
	versions     table.Index[versionKey]
	looks        table.Index[lookKey]
	lookAt       table.Rows[int64] // by pool, what looks has; 0: nothing
	handlers     table.Index[handlerKey]

	runners          table.Rows[*Runner] // by number, from 1
	runnersByID      table.Index[idKey]
	runnersByKey     table.Index[runnerKeyKey]
	runnersBySeq     table.Index[runnerSeqKey]
	runnerNumbers    numbers
	seen             table.Rows[int64] // by number: clock of the last heartbeat
	candidates       table.Index[candidateKey]
	poolRunners      table.Index[poolRunnerKey]
	evictables       table.Index[evictableKey]
	delays           table.Index[delayKey]
	moved            table.Index[movedKey]
	heard            table.Index[heardKey] // runners that are not silent
	endedRunners     table.Index[endedRunnerKey]
	endedRunnerCount table.Rows[uint32] // by namespace
	drainWork        table.Index[drainWorkKey]

	rollouts          table.Index[rolloutKey]
	endedRollouts     table.Index[endedRolloutKey]
	endedRolloutCount table.Rows[uint32] // by namespace

	requests        table.Rows[*Request]
	requestOrdinals numbers
	requestsByID    table.Index[idKey]
	poolRequests    table.Index[poolRequestKey]
	endpoints       table.Rows[*logv1.Endpoint] // by pool; what is known of its url
	idleRunners     table.Index[idleRunnerKey]
	serverlessPools table.Index[uint32] // ordinals
	requestsIndex   uint64              // of the last entry that changed a request
	awaits          table.Rows[Await]   // by pool
	heldVersions    table.Index[heldVersionKey]
	keptDrains      table.Index[keptDrainKey]
	keptDrainsBySeq table.Index[keptDrainSeqKey]
	keptDrainCount  table.Rows[uint32] // by pool

	actors        table.Rows[packedActor]
	longParts     table.Rows[longParts] // of actors
	actorOrdinals numbers
	actorsByID    table.Index[idKey]
	actorsByName  table.Index[actorNameKey]
	actorsByKey   table.Index[actorKeyKey]
	actorNames    table.Index[nameCountKey]
	endedActors   table.Index[endedKey]
	queue         table.Index[queueKey]
	nameQueue     table.Index[nameQueueKey]
	nameOn        table.Index[nameOnKey]
	assigned      table.Index[assignedKey]
	named         table.Index[namedKey]
	turns         table.Index[namedKey] // of forced moves
	unreceived    table.Index[unreceivedKey]
	orphans       table.Index[orphanKey]
	bodies        table.Index[orphanKey] // those of the orphans that actors wait for, by actor
	alarms        table.Index[alarmKey]
	backoffs      table.Index[agendaKey]
	agenda        table.Index[agendaKey]
	outcomes      table.Index[outcomeRow] // the oldest first
	outcomesByKey table.Index[outcomeByKey]
	longOutcomes  table.Index[longOutcomeKey]

	phases      [phaseCount]uint64 // how many actors are in each
	storedBytes int64              // inputs and saved states

	outcomeSeq       uint64             // of the last row
	outcomeLongBytes int64              // what longOutcomes holds
	endedCount       table.Rows[uint32] // ended actors by namespace

	sum     StateHash // of all rows
	visited *uint64   // of the Tx whose state it is
}

// View is one version of the state. It never changes.
type View struct {
	State
	begin   *sync.Mutex
	touched []uint32 // numbers of runners whose sessions have something to look at since the View before

	touchedActors []uint32 // since the View before, some more than once, at most one more than maxTouchedActors
}

// NewView returns the empty state, before the first LeaderEstablished.
func NewView() *View {
	return &View{begin: new(sync.Mutex), State: State{
		namespacesByName: table.NewIndex(nameLess),
		namespacesByID:   table.NewIndex(idLess),
		poolsByName:      table.NewIndex(poolLess),
		poolOrdinals:     newNumbers(),
		idlePools:        table.NewIndex(idlePoolLess),
		versions:         table.NewIndex(versionLess),
		runnersByID:      table.NewIndex(idLess),
		runnersByKey:     table.NewIndex(runnerKeyLess),
		runnersBySeq:     table.NewIndex(runnerSeqLess),
		runnerNumbers:    newNumbers(),
		candidates:       table.NewIndex(candidateLess),
		poolRunners:      table.NewIndex(poolRunnerLess),
		evictables:       table.NewIndex(evictableLess),
		endedRunners:     table.NewIndex(endedRunnerLess),
		drainWork:        table.NewIndex(drainWorkLess),
		delays:           table.NewIndex(delayLess),
		moved:            table.NewIndex(movedLess),
		heard:            table.NewIndex(heardLess),
		looks:            table.NewIndex(lookLess),
		rollouts:         table.NewIndex(rolloutLess),
		endedRollouts:    table.NewIndex(endedRolloutLess),
		requestOrdinals:  newNumbers(),
		requestsByID:     table.NewIndex(idLess),
		poolRequests:     table.NewIndex(poolRequestLess),
		idleRunners:      table.NewIndex(idleRunnerLess),
		serverlessPools:  table.NewIndex(func(a, b uint32) bool { return a < b }),
		heldVersions:     table.NewIndex(heldVersionLess),
		keptDrains:       table.NewIndex(keptDrainLess),
		keptDrainsBySeq:  table.NewIndex(keptDrainSeqLess),
		named:            table.NewIndex(namedLess),
		turns:            table.NewIndex(namedLess),
		unreceived:       table.NewIndex(unreceivedLess),
		actorOrdinals:    newNumbers(),
		actorsByID:       table.NewIndex(idLess),
		actorsByName:     table.NewIndex(actorNameLess),
		actorsByKey:      table.NewIndex(actorKeyLess),
		actorNames:       table.NewIndex(nameCountLess),
		endedActors:      table.NewIndex(endedLess),
		queue:            table.NewIndex(queueLess),
		nameQueue:        table.NewIndex(nameQueueLess),
		nameOn:           table.NewIndex(nameOnLess),
		handlers:         table.NewIndex(handlerLess),
		assigned:         table.NewIndex(assignedLess),
		orphans:          table.NewIndex(orphanLess),
		bodies:           table.NewIndex(bodyLess),
		alarms:           table.NewIndex(alarmLess),
		backoffs:         table.NewIndex(agendaLess),
		agenda:           table.NewIndex(agendaLess),
		outcomes:         table.NewIndex(outcomeLess),
		outcomesByKey:    table.NewIndex(outcomeByKeyLess),
		longOutcomes:     table.NewIndex(longOutcomeLess),
	}}
}

// Tx is a private copy of a View that ops change. It belongs to one goroutine.
type Tx struct {
	State
	before          *State // what the Tx began on, for Check
	packed          []byte // room for packing a row
	touchedActors   []uint32
	touchedRunners  []uint32
	touchedSet      map[uint32]bool
	touchedBuckets  []uint32 // ordinals of pools, some more than once
	touchedRolls    []rolloutKey
	touchedRequests []uint32       // ordinals, some more than once
	touchedDrains   []keptDrainKey // without rows
	dirtyPools      []uint32       // pools whose queue or capacity changed
	dirtySet        map[uint32]bool
	unsettled       []uint32 // pools that settleLooks looks at
	visits          uint64
}

// Begin opens a private copy at the given cluster clock and wall clock (ms). A clock that is behind the state's is the state's:
// neither ever goes back.
func (v *View) Begin(clockMs, wallMs int64) *Tx {
	tx := &Tx{before: &v.State, touchedSet: map[uint32]bool{}, dirtySet: map[uint32]bool{}}
	v.begin.Lock() // cloning an index writes to the original's bookkeeping
	tx.State = v.clone()
	v.begin.Unlock()
	tx.clockMs = max(tx.clockMs, clockMs)
	tx.wallMs = max(tx.wallMs, wallMs)
	tx.passTime()
	tx.visited = &tx.visits
	return tx
}

func (s *State) clone() State {
	c := *s
	c.namespaces, c.pools, c.poolStats, c.runners = s.namespaces.Clone(), s.pools.Clone(), s.poolStats.Clone(), s.runners.Clone()
	c.seen, c.actors, c.longParts, c.endedCount = s.seen.Clone(), s.actors.Clone(), s.longParts.Clone(), s.endedCount.Clone()
	c.namespacesByName, c.namespacesByID = s.namespacesByName.Clone(), s.namespacesByID.Clone()
	c.poolsByName, c.versions = s.poolsByName.Clone(), s.versions.Clone()
	c.poolOrdinals, c.idlePools = s.poolOrdinals.clone(), s.idlePools.Clone()
	c.runnersByID, c.runnersByKey, c.runnersBySeq = s.runnersByID.Clone(), s.runnersByKey.Clone(), s.runnersBySeq.Clone()
	c.runnerNumbers, c.actorOrdinals = s.runnerNumbers.clone(), s.actorOrdinals.clone()
	c.buckets, c.poolRunners, c.evictables, c.drainWork = s.buckets.Clone(), s.poolRunners.Clone(), s.evictables.Clone(), s.drainWork.Clone()
	c.rollouts, c.endedRollouts, c.endedRolloutCount = s.rollouts.Clone(), s.endedRollouts.Clone(), s.endedRolloutCount.Clone()
	c.requests, c.requestsByID, c.poolRequests = s.requests.Clone(), s.requestsByID.Clone(), s.poolRequests.Clone()
	c.requestOrdinals, c.endpoints, c.idleRunners = s.requestOrdinals.clone(), s.endpoints.Clone(), s.idleRunners.Clone()
	c.serverlessPools = s.serverlessPools.Clone()
	c.delays, c.moved, c.heard, c.looks, c.lookAt = s.delays.Clone(), s.moved.Clone(), s.heard.Clone(), s.looks.Clone(), s.lookAt.Clone()
	c.awaits, c.heldVersions, c.keptDrains = s.awaits.Clone(), s.heldVersions.Clone(), s.keptDrains.Clone()
	c.keptDrainsBySeq, c.keptDrainCount = s.keptDrainsBySeq.Clone(), s.keptDrainCount.Clone()
	c.named, c.turns, c.unreceived = s.named.Clone(), s.turns.Clone(), s.unreceived.Clone()
	c.endedRunners, c.endedRunnerCount = s.endedRunners.Clone(), s.endedRunnerCount.Clone()
	c.candidates, c.actorsByID, c.actorsByName = s.candidates.Clone(), s.actorsByID.Clone(), s.actorsByName.Clone()
	c.actorsByKey, c.actorNames, c.endedActors = s.actorsByKey.Clone(), s.actorNames.Clone(), s.endedActors.Clone()
	c.nameQueue, c.nameOn, c.handlers = s.nameQueue.Clone(), s.nameOn.Clone(), s.handlers.Clone()
	c.queue, c.assigned, c.orphans, c.bodies = s.queue.Clone(), s.assigned.Clone(), s.orphans.Clone(), s.bodies.Clone()
	c.alarms, c.backoffs, c.agenda = s.alarms.Clone(), s.backoffs.Clone(), s.agenda.Clone()
	c.outcomes, c.outcomesByKey, c.longOutcomes = s.outcomes.Clone(), s.outcomesByKey.Clone(), s.longOutcomes.Clone()
	return c
}

// Before returns the state that the Tx began on.
func (tx *Tx) Before() *State { return tx.before }

// ElapsedMs returns how far the Tx has moved the cluster clock.
func (tx *Tx) ElapsedMs() int64 { return tx.clockMs - tx.before.clockMs }

// Seal turns the Tx into the View that the entry at index made. The Tx must not be used afterwards.
func (tx *Tx) Seal(index uint64) *View {
	tx.index, tx.base, tx.visited = index, index, nil
	if len(tx.touchedRequests) > 0 {
		tx.requestsIndex = index
	}
	touched := slices.DeleteFunc(tx.touchedRunners, func(number uint32) bool {
		return tx.runners.Get(number) == tx.before.runners.Get(number) // a heartbeat is nothing that its session must look at
	})
	return &View{State: tx.State, begin: new(sync.Mutex), touched: touched, touchedActors: tx.touchedActors}
}

// Touched returns the numbers of the runners whose sessions have something to look at since the View before this one.
func (v *View) Touched() []uint32 { return v.touched }

// TouchedActors yields the actors that have changed since the View before this one, some of them more than once. One that was forgotten is
// not among them: it had ended before. Not ok: they were too many to be noted.
func (v *View) TouchedActors() (ids iter.Seq[ActorID], ok bool) {
	return func(yield func(ActorID) bool) {
		for _, ordinal := range v.touchedActors {
			if id, there := v.actorID(ordinal); there && !yield(id) {
				return
			}
		}
	}, len(v.touchedActors) <= maxTouchedActors
}

// Index returns the log index of the last accepted entry.
func (s *State) Index() uint64 { return s.index }

// Epoch returns the Raft term of the established leader.
func (s *State) Epoch() uint64 { return s.epoch }

// Base returns what the next entry must name as its base.
func (s *State) Base() uint64 { return s.base }

// ClockMs returns the cluster clock: monotonic, standing still without a leader, never faster than real time.
func (s *State) ClockMs() int64 { return s.clockMs }

// WallMs returns the leader's wall clock at the last entry (unix ms, never going back). It is for display and for alarms only.
func (s *State) WallMs() int64 { return s.wallMs }

// Cluster returns the id that the first leader gave to the cluster; zero before.
func (s *State) Cluster() ClusterID { return s.cluster }

// SeenMs returns the cluster clock of the last RunnersSeen.
func (s *State) SeenMs() int64 { return s.seenMs }

// Count returns how many actors are in a phase.
func (s *State) Count(p Phase) uint64 { return s.phases[p] }

// LiveActors returns how many actors are not destroyed.
func (s *State) LiveActors() uint64 {
	var n uint64
	for p := Pending; p < Destroyed; p++ {
		n += s.phases[p]
	}
	return n
}

// StoredBytes returns the total of actor inputs and saved states.
func (s *State) StoredBytes() int64 { return s.storedBytes }

// wallAt tells what the wall clock showed, about, at a cluster clock.
func (s *State) wallAt(clockMs int64) int64 { return s.wallMs - (s.clockMs - clockMs) }

// WallAt tells what the wall clock showed or will show, about, at a cluster clock: for display.
func (s *State) WallAt(clockMs int64) int64 { return s.wallAt(clockMs) }

func (tx *Tx) touchRunner(number uint32) {
	if !tx.touchedSet[number] {
		tx.touchedSet[number] = true
		tx.touchedRunners = append(tx.touchedRunners, number)
	}
}

func (tx *Tx) dirtyPool(pool uint32) {
	if !tx.dirtySet[pool] {
		tx.dirtySet[pool] = true
		tx.dirtyPools = append(tx.dirtyPools, pool)
	}
}

// TakeDirtyPools returns the pools whose queue or capacity changed since the last call, in the order of their first change.
func (tx *Tx) TakeDirtyPools() []*Pool {
	pools := tx.DirtyPools()
	tx.dirtyPools, tx.dirtySet = nil, map[uint32]bool{}
	return pools
}

// DirtyPools returns the pools that TakeDirtyPools would, and leaves them to it.
func (tx *Tx) DirtyPools() []*Pool {
	pools := make([]*Pool, 0, len(tx.dirtyPools))
	for _, ordinal := range tx.dirtyPools {
		if p := tx.pools.Get(ordinal); p != nil { // it may have been forgotten since
			pools = append(pools, p)
		}
	}
	return pools
}

// DirtyAllPools makes TakeDirtyPools return every pool that has pending actors or runners, by name: after an election nothing is known
// to be settled.
func (tx *Tx) DirtyAllPools() {
	for ns := range tx.Namespaces("") {
		for p := range tx.Pools(ns, "") {
			if stats := tx.PoolStats(p); stats.Pending > 0 || stats.Runners+stats.Requests > 0 {
				tx.dirtyPool(p.ordinal)
			}
		}
	}
}

type nameKey struct {
	name string
	row  uint32
}

func nameLess(a, b nameKey) bool { return a.name < b.name }

type idKey struct {
	id  ID
	row uint32
}

func idLess(a, b idKey) bool { return a.id.less(b.id) }

// numbers gives out the lowest free number, from 1: the same on every node, also after a restore.
type numbers struct {
	free table.Index[uint32]
	next uint32
}

func newNumbers() numbers {
	return numbers{free: table.NewIndex(func(a, b uint32) bool { return a < b }), next: 1}
}

func (n *numbers) clone() numbers { return numbers{free: n.free.Clone(), next: n.next} }

func (n *numbers) take() uint32 {
	if number, ok := n.free.First(0); ok {
		n.free.Delete(number)
		return number
	}
	n.next++
	return n.next - 1
}

// claim takes a certain number, for a restore.
func (n *numbers) claim(number uint32) {
	for n.next <= number {
		n.free.Put(n.next)
		n.next++
	}
	n.free.Delete(number)
}

// taken tells how many are in use.
func (n *numbers) taken() int { return int(n.next) - 1 - n.free.Len() }

// release gives a number back. Free ones at the end are forgotten, so that next follows from what is taken: else it would differ on a
// node that was restored, and the order of candidates with it.
func (n *numbers) release(number uint32) {
	n.free.Put(number)
	for n.next > 1 && n.free.Delete(n.next-1) {
		n.next--
	}
}
