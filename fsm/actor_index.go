package fsm

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"github.com/callboard/callboard/fsm/table"
)

// Names of actors are shared by all actors of a namespace that bear them: an index key holds a number in place of the text.

type nameCountKey struct {
	namespace uint32
	name      string
	hash      uint64
	actors    uint32
}

func nameCountLess(a, b nameCountKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	return a.name < b.name
}

// actorNameKey lists the actors of a name in the order of creation. The hash stands for namespace and name.
type actorNameKey struct {
	hash    uint64
	seq     uint64
	ordinal uint32
}

func actorNameLess(a, b actorNameKey) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	return a.seq < b.seq
}

// actorKeyKey finds live actors by key. The hash stands for namespace, name and key.
type actorKeyKey struct {
	hash    uint64
	seq     uint64
	ordinal uint32
}

func actorKeyLess(a, b actorKeyKey) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	return a.seq < b.seq
}

type endedKey struct {
	namespace uint32
	dueMs     int64
	seq       uint64
	ordinal   uint32
}

func endedLess(a, b endedKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	if a.dueMs != b.dueMs {
		return a.dueMs < b.dueMs
	}
	return a.seq < b.seq
}

type assignedKey struct {
	runner  uint32
	rev     uint64
	ordinal uint32
}

func assignedLess(a, b assignedKey) bool {
	if a.runner != b.runner {
		return a.runner < b.runner
	}
	return a.rev < b.rev
}

type alarmKey struct {
	wallMs  int64
	seq     uint64
	ordinal uint32
}

func alarmLess(a, b alarmKey) bool {
	if a.wallMs != b.wallMs {
		return a.wallMs < b.wallMs
	}
	return a.seq < b.seq
}

// hashParts mixes texts into an index key. A collision costs a comparison, nothing more; nobody can make many of them.
func hashParts(namespace uint32, parts ...string) uint64 {
	buf := make([]byte, 4, 64)
	binary.LittleEndian.PutUint32(buf, namespace)
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return binary.LittleEndian.Uint64(sum[:])
}

// addActor puts a new row and all its index keys.
func (tx *Tx) addActor(a *Actor) {
	tx.nameActor(a)
	tx.replaceActor(nil, a)
}

// nameActor puts the keys of a new row that stay the same for its life.
func (tx *Tx) nameActor(a *Actor) {
	names, _ := tx.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	if names.actors == 0 {
		names = nameCountKey{namespace: a.namespace, name: a.Name, hash: hashParts(a.namespace, a.Name)}
	}
	names.actors++
	a.Name = names.name
	if a.HasKey {
		a.keyHash = hashParts(a.namespace, a.Name, a.Key)
	}
	tx.actorNames.Put(names)
	tx.actorsByID.Put(idKey{id: ID(a.ID), row: a.ordinal})
	tx.actorsByName.Put(actorNameKey{hash: names.hash, seq: a.Seq, ordinal: a.ordinal})
}

func (tx *Tx) removeActor(a *Actor) {
	tx.replaceActor(a, nil)
	names, _ := tx.actorNames.Get(nameCountKey{namespace: a.namespace, name: a.Name})
	tx.actorsByName.Delete(actorNameKey{hash: names.hash, seq: a.Seq})
	tx.actorsByID.Delete(idKey{id: ID(a.ID)})
	if names.actors--; names.actors == 0 {
		tx.actorNames.Delete(names)
	} else {
		tx.actorNames.Put(names)
	}
	tx.actorOrdinals.release(a.ordinal)
}

// replaceActor writes an actor's row and keeps everything that is derived from it: nil old adds, nil next removes. A change that
// the actor's runner should hear of gets a new revision.
func (tx *Tx) replaceActor(old, next *Actor) {
	if next != nil && next.Phase.OnRunner() && (old == nil || old.Phase != next.Phase || old.StopReason != next.StopReason) &&
		next.Phase != Running && next.RunnerRev == revOf(old) {
		next.RunnerRev = tx.nextRev(next.Runner)
	}
	tx.writeActor(old, next)
	tx.moveSlot(old, next)
}

// writeActor is replaceActor without what its runner holds.
func (tx *Tx) writeActor(old, next *Actor) {
	if next == nil {
		tx.noteActor(old.ordinal)
		tx.actors.Set(old.ordinal, nil)
	} else {
		tx.noteActor(next.ordinal)
		tx.actors.Set(next.ordinal, next)
	}
	was, is := keysOf(old), keysOf(next)
	moveKey(tx.agenda, was.agenda, is.agenda)
	moveKey(tx.queue, was.queue, is.queue)
	moveKey(tx.assigned, was.assigned, is.assigned)
	moveKey(tx.alarms, was.alarm, is.alarm)
	moveKey(tx.backoffs, was.backoff, is.backoff)
	moveKey(tx.endedActors, was.ended, is.ended)
	moveKey(tx.actorsByKey, was.key, is.key)
	moveKey(tx.named, was.named, is.named)
	moveKey(tx.turns, was.turn, is.turn)
	moveKey(tx.unreceived, was.unreceived, is.unreceived)
	if next != nil && (is.queue != was.queue || is.named != was.named || is.unreceived != was.unreceived) {
		tx.dirtyPool(next.pool)
	}
	tx.countActor(old, next)
}

func revOf(a *Actor) uint64 {
	if a == nil {
		return 0
	}
	return a.RunnerRev
}

func (tx *Tx) nextRev(number uint32) uint64 {
	r := *tx.runners.Get(number)
	r.Rev++
	tx.runners.Set(number, &r)
	tx.touchRunner(number)
	return r.Rev
}

// actorKeys are the keys under which a row is found; the zero value of a key: not there.
type actorKeys struct {
	agenda     agendaKey
	backoff    agendaKey
	queue      queueKey
	assigned   assignedKey
	alarm      alarmKey
	ended      endedKey
	key        actorKeyKey
	named      namedKey
	turn       namedKey
	unreceived unreceivedKey
}

func keysOf(a *Actor) (k actorKeys) {
	if a == nil {
		return k
	}
	switch due := (agendaKey{atMs: a.DueMs, seq: a.Seq, row: a.ordinal}); {
	case a.DueMs == 0:
	case a.Phase == BackingOff:
		k.backoff = due
	default:
		due.kind = dueKindOf(a.Phase)
		k.agenda = due
	}
	if a.awaitsTurn() {
		k.turn = namedKey{pool: a.pool, atMs: a.DueMs, seq: a.Seq, ordinal: a.ordinal}
	}
	if a.HasKey && a.Phase != Destroyed {
		k.key = actorKeyKey{hash: a.keyHash, seq: a.Seq, ordinal: a.ordinal}
	}
	switch a.Phase {
	case Pending:
		if !a.queued() {
			break
		}
		k.queue = queueKey{pool: a.pool, floor: a.FloorVersion, seq: a.QueueSeq, ordinal: a.ordinal}
	case Starting, Running, Stopping:
		k.assigned = assignedKey{runner: a.Runner, rev: a.RunnerRev, ordinal: a.ordinal}
		if a.Named() {
			k.named = namedKey{pool: a.pool, atMs: a.EvictMs, seq: a.Seq, ordinal: a.ordinal}
		}
		if a.Eviction&evictionUnreceived != 0 {
			k.unreceived = unreceivedKey{runner: a.Runner, atMs: a.EvictMs, seq: a.Seq, ordinal: a.ordinal}
		}
	case Sleeping:
		if a.AlarmMs != 0 {
			k.alarm = alarmKey{wallMs: a.AlarmMs, seq: a.Seq, ordinal: a.ordinal}
		}
	case Destroyed:
		k.ended = endedKey{namespace: a.namespace, dueMs: a.DueMs, seq: a.Seq, ordinal: a.ordinal}
	default: // backing off
	}
	return k
}

func dueKindOf(p Phase) DueKind {
	switch p {
	case Starting:
		return DueStart
	case Stopping:
		return DueStop
	case Pending:
		return DueTurn
	default:
		return DueForgetActor
	}
}

// moveKey moves a row from one key of an index to another; the zero key is nowhere.
func moveKey[K comparable](index table.Index[K], was, is K) {
	var nowhere K
	if was == is {
		return
	}
	if was != nowhere {
		index.Delete(was)
	}
	if is != nowhere {
		index.Put(is)
	}
}

// moveSlot gives back the slot of a life that ended and takes one for a life that began.
func (tx *Tx) moveSlot(old, next *Actor) {
	var from, to uint32
	if old != nil {
		from = old.Runner
	}
	if next != nil {
		to = next.Runner
	}
	tx.movePromise(old, next)
	wasStopping, isStopping := old != nil && old.Phase == Stopping, next != nil && next.Phase == Stopping
	if from == to && wasStopping == isStopping {
		return
	}
	if from != 0 {
		tx.hold(from, -1, -count(wasStopping))
	}
	if to != 0 {
		tx.hold(to, +1, count(isStopping))
	}
}

// movePromise keeps a slot for an actor that is being moved, or lets it go.
func (tx *Tx) movePromise(old, next *Actor) {
	var from, to uint32
	if old != nil {
		from = old.Promise
	}
	if next != nil {
		to = next.Promise
	}
	if from == to {
		return
	}
	tx.keep(from, -1)
	tx.keep(to, +1)
}

// keep counts a slot that a runner keeps for an actor on its way to it.
func (tx *Tx) keep(number uint32, by int) {
	if number == 0 {
		return
	}
	r := tx.runners.Get(number)
	next := *r
	next.Promised = uint32(int(r.Promised) + by)
	tx.replaceRunner(r, &next)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// hold takes slots of a runner (or gives them back), some of them for actors that are stopping.
func (tx *Tx) hold(number uint32, slots, stopping int) {
	r := tx.runners.Get(number)
	next := *r
	next.Held = uint32(int(r.Held) + slots)
	next.Stopping = uint32(int(r.Stopping) + stopping)
	tx.replaceRunner(r, &next)
}

func (tx *Tx) countActor(old, next *Actor) {
	row := next
	if row == nil {
		row = old
	}
	was, is := countsOf(old), countsOf(next)
	if was != is {
		tx.poolStats.Set(row.pool, tx.poolStats.Get(row.pool).plus(was, -1).plus(is, +1))
		tx.settleDeleted(row.pool)
	}
	if old != nil {
		tx.countPhase(old, -1)
	}
	if next != nil {
		tx.countPhase(next, +1)
	}
}

func (tx *Tx) countPhase(a *Actor, by int) {
	tx.phases[a.Phase] += uint64(by)
	tx.storedBytes += int64(by) * int64(len(a.Input)+len(a.Saved))
	if a.Phase == Destroyed {
		tx.endedCount.Set(a.namespace, tx.endedCount.Get(a.namespace)+uint32(by))
	}
}

// countsOf are what an actor adds to the counts of its pool.
func countsOf(a *Actor) PoolStats {
	if a == nil {
		return PoolStats{}
	}
	return a.counts()
}

// counts are what one actor adds to the counts of its pool.
func (a *Actor) counts() PoolStats {
	if a.Phase == Destroyed {
		return PoolStats{Ended: 1}
	}
	return PoolStats{
		Live:       1,
		Pending:    uint32(count(a.Phase == Pending && !a.Paced())),
		Paced:      uint32(count(a.Paced())),
		Sleeping:   uint32(count(a.Phase == Sleeping)),
		Named:      uint32(count(a.Named())),
		Unreceived: uint32(count(a.Eviction&evictionUnreceived != 0)),
	}
}

// Actor finds an actor by id; nil: there is none.
func (s *State) Actor(id ActorID) *Actor {
	key, ok := s.actorsByID.Get(idKey{id: ID(id)})
	if !ok {
		return nil
	}
	return s.actors.Get(key.row)
}

// ActorByKey finds the live actor of a name and key; nil: there is none.
func (s *State) ActorByKey(namespace NamespaceID, name, key string) *Actor {
	ns := s.NamespaceByID(namespace)
	if ns == nil {
		return nil
	}
	hash := hashParts(ns.ordinal, name, key)
	for k := range s.actorsByKey.From(actorKeyKey{hash: hash}) {
		if k.hash != hash {
			return nil
		}
		if a := s.actors.Get(k.ordinal); a.namespace == ns.ordinal && a.Name == name && a.Key == key {
			return a
		}
	}
	return nil
}

// Actors yields the actors of a name, newest first, ended ones included, beginning before the one with the given Seq; 0: from the
// newest.
func (s *State) Actors(ns *Namespace, name string, before uint64) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		names, ok := s.actorNames.Get(nameCountKey{namespace: ns.ordinal, name: name})
		if !ok {
			return
		}
		for k := range s.actorsByName.DownFrom(actorNameKey{hash: names.hash, seq: before - 1}) {
			if k.hash != names.hash {
				return
			}
			if a := s.actors.Get(k.ordinal); a.namespace == ns.ordinal && a.Name == name && !yield(a) {
				return
			}
		}
	}
}

// ActorNames yields the names that actors of a namespace bear, in order, beginning after a name.
func (s *State) ActorNames(ns *Namespace, after string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range s.actorNames.From(nameCountKey{namespace: ns.ordinal, name: after}) {
			if k.namespace != ns.ordinal {
				return
			}
			if k.name == after {
				continue
			}
			if !yield(k.name) {
				return
			}
		}
	}
}

// ActorPool returns the pool of an actor.
func (s *State) ActorPool(a *Actor) *Pool { return s.pools.Get(a.pool) }

// ActorNamespace returns the namespace of an actor.
func (s *State) ActorNamespace(a *Actor) *Namespace { return s.namespaces.Get(a.namespace) }

// RunnerNamespace returns the namespace of a runner.
func (s *State) RunnerNamespace(r *Runner) *Namespace {
	return s.namespaces.Get(s.pools.Get(r.pool).namespace)
}

// DueAlarms returns sleeping actors whose alarm has come, oldest first, at most limit.
func (s *State) DueAlarms(limit int) []*Actor {
	var due []*Actor
	for k := range s.alarms.All() {
		if k.wallMs > s.wallMs || len(due) == limit {
			break
		}
		due = append(due, s.actors.Get(k.ordinal))
	}
	return due
}

// NextAlarmMs returns the wall clock of the next alarm of a sleeping actor.
func (s *State) NextAlarmMs() (wallMs int64, ok bool) {
	k, ok := s.alarms.First(alarmKey{})
	return k.wallMs, ok
}

// ExcessEnded returns the oldest ended actors of a namespace beyond the number that is kept, at most limit.
func (s *State) ExcessEnded(ns *Namespace, limit int) []*Actor {
	excess := min(int(s.endedCount.Get(ns.ordinal))-MaxEnded, limit)
	var ended []*Actor
	for k := range s.endedActors.From(endedKey{namespace: ns.ordinal}) {
		if len(ended) >= excess {
			break
		}
		ended = append(ended, s.actors.Get(k.ordinal))
	}
	return ended
}

// ActorsOf yields what a runner has, with a revision above the given one, in the order of revision.
func (s *State) ActorsOf(r *Runner, afterRev uint64) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		for k := range s.assigned.From(assignedKey{runner: r.Number, rev: afterRev + 1}) {
			if k.runner != r.Number || !yield(s.actors.Get(k.ordinal)) {
				return
			}
		}
	}
}
