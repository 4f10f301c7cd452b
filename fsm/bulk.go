package fsm

import (
	"slices"

	"github.com/callboard/callboard/fsm/table"
)

// bulk collects the index keys of a restore's actors, to put them in order: an index is built from keys in order in no time, and a
// restart waits for it.
type bulk struct {
	names    []nameCountKey
	nameAt   map[nameCountKey]int // without hash and count
	byID     []idKey
	byName   []actorNameKey
	byKey    []actorKeyKey
	agenda   []agendaKey
	backoffs []agendaKey
	queue    []queueKey
	assigned []assignedKey
	alarms   []alarmKey
	ended    []endedKey
	named    []namedKey
	turns    []namedKey
	unread   []unreceivedKey

	nameQueue []nameQueueKey
	nameOn    []nameOnKey
}

// add writes a new row and collects its keys.
func (b *bulk) add(tx *Tx, a *Actor) {
	names := b.name(a)
	tx.setActor(a)
	tx.countActor(nil, a)
	b.byID = append(b.byID, idKey{id: ID(a.ID), row: a.ordinal})
	b.byName = append(b.byName, actorNameKey{hash: names.hash, seq: halve(a.Seq), ordinal: a.ordinal})
	k := keysOf(a)
	b.byKey = collect(b.byKey, a.liveKey())
	b.agenda = collect(b.agenda, k.agenda)
	b.backoffs = collect(b.backoffs, k.backoff)
	b.queue = collect(b.queue, k.queue)
	b.nameQueue = collect(b.nameQueue, k.nameQueue)
	b.assigned = collect(b.assigned, k.assigned)
	b.nameOn = collect(b.nameOn, k.nameOn)
	b.alarms = collect(b.alarms, k.alarm)
	b.ended = collect(b.ended, k.ended)
	b.named = collect(b.named, k.named)
	b.turns = collect(b.turns, k.turn)
	b.unread = collect(b.unread, k.unreceived)
	tx.countMoved(a.movedKey(), +1)
}

// name counts an actor under its name.
func (b *bulk) name(a *Actor) nameCountKey {
	key := nameCountKey{namespace: a.namespace, name: a.Name}
	at, ok := b.nameAt[key]
	if !ok {
		if b.nameAt == nil {
			b.nameAt = map[nameCountKey]int{}
		}
		at = len(b.names)
		b.nameAt[key] = at
		key.hash = hashParts(a.namespace, a.Name)
		b.names = append(b.names, key)
	}
	b.names[at].actors++
	return b.names[at]
}

// put fills the indexes.
func (b *bulk) put(tx *Tx) {
	putInOrder(tx.actorNames, b.names, nameCountLess)
	tx.actorsByID.Fill(b.byID) // ids come in order
	putInOrder(tx.actorsByName, b.byName, actorNameLess)
	putInOrder(tx.actorsByKey, b.byKey, actorKeyLess)
	putInOrder(tx.agenda, b.agenda, agendaLess)
	putInOrder(tx.backoffs, b.backoffs, agendaLess)
	putInOrder(tx.queue, b.queue, queueLess)
	putInOrder(tx.nameQueue, b.nameQueue, nameQueueLess)
	putInOrder(tx.assigned, b.assigned, assignedLess)
	putInOrder(tx.nameOn, b.nameOn, nameOnLess)
	putInOrder(tx.alarms, b.alarms, alarmLess)
	putInOrder(tx.endedActors, b.ended, endedLess)
	putInOrder(tx.named, b.named, namedLess)
	putInOrder(tx.turns, b.turns, namedLess)
	putInOrder(tx.unreceived, b.unread, unreceivedLess)
	*b = bulk{}
}

// collect appends a key; the zero key is nowhere.
func collect[K comparable](keys []K, key K) []K {
	var nowhere K
	if key == nowhere {
		return keys
	}
	return append(keys, key)
}

func putInOrder[K any](index table.Index[K], keys []K, less func(a, b K) bool) {
	slices.SortFunc(keys, func(a, b K) int {
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		default:
			return 0
		}
	})
	index.Fill(slices.CompactFunc(keys, func(a, b K) bool { return !less(a, b) && !less(b, a) })) // a snapshot is not trusted to name each but once
}
