package fsm

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/callboard/callboard/fsm/table"
)

// The keys under which every actor is found are small: there are as many of them as actors. They hold a hash in place of a text, and have
// no gaps.

// halves is a 64-bit number in a key whose other fields have 32 bits: whole, it would leave a gap.
type halves struct{ high, low uint32 }

func halve(n uint64) halves { return halves{uint32(n >> 32), uint32(n)} }

func (h halves) whole() uint64 { return uint64(h.high)<<32 | uint64(h.low) }

type nameCountKey struct {
	namespace uint32
	name      string
	hash      halves
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
	hash    halves
	seq     halves
	ordinal uint32
}

func actorNameLess(a, b actorNameKey) bool {
	if a.hash != b.hash {
		return a.hash.whole() < b.hash.whole()
	}
	return a.seq.whole() < b.seq.whole()
}

// actorKeyKey finds live actors by key. The hash stands for namespace, name and key. What shares one is in no order that means anything.
type actorKeyKey struct {
	hash    halves
	ordinal uint32
}

func actorKeyLess(a, b actorKeyKey) bool {
	if a.hash != b.hash {
		return a.hash.whole() < b.hash.whole()
	}
	return a.ordinal < b.ordinal
}

// liveKey is where an actor is found by its key; zero: it has none, or the key is free.
func (a *Actor) liveKey() actorKeyKey {
	if !a.holdsKey() {
		return actorKeyKey{}
	}
	hash := a.keyHash
	if hash == (halves{}) {
		hash = hashParts(a.namespace, a.Name, a.Key)
	}
	return actorKeyKey{hash: hash, ordinal: a.ordinal}
}

func (a *Actor) holdsKey() bool { return a != nil && a.HasKey && !a.Over() }

type endedKey struct {
	dueMs     int64
	seq       uint64
	namespace uint32
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
	rev     uint64
	runner  uint32
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
func hashParts(namespace uint32, parts ...string) halves {
	buf := make([]byte, 4, 64)
	binary.LittleEndian.PutUint32(buf, namespace)
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return halve(binary.LittleEndian.Uint64(sum[:]))
}

// actorKeys are the keys under which a row is found in one phase and not in another; the zero value of a key: not there.
type actorKeys struct {
	agenda     agendaKey
	backoff    agendaKey
	queue      queueKey
	assigned   assignedKey
	alarm      alarmKey
	ended      endedKey
	named      namedKey
	turn       namedKey
	unreceived unreceivedKey
	nameQueue  nameQueueKey
	nameOn     nameOnKey
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
	switch a.Phase {
	case Pending:
		if !a.queued() {
			break
		}
		k.queue = queueKey{pool: a.pool, floor: a.FloorVersion, seq: halve(a.QueueSeq), ordinal: a.ordinal}
		k.nameQueue = nameQueueKey{pool: a.pool, name: hashOfName(a.Name), floor: a.FloorVersion, seq: k.queue.seq}
	case Starting, Running, Stopping:
		k.assigned = assignedKey{runner: a.Runner, rev: a.RunnerRev, ordinal: a.ordinal}
		if a.Phase != Stopping {
			k.nameOn = nameOnKey{runner: a.Runner, name: hashOfName(a.Name), rev: halve(a.RunnerRev)}
		}
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
