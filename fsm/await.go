package fsm

import (
	"hash/fnv"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Await is what the actors of a pool wait for that last ran on a version of which no runner takes actors.
type Await struct {
	Version uint32 // it concerns actors whose floor is not above; 0: none is awaited
	UntilMs int64  // cluster clock; 0: the wait is over, and they go lower
}

// Await returns what the actors of a pool wait for; the zero value: nothing.
func (s *State) Await(p *Pool) Await { return s.awaits.Get(p.ordinal) }

// Awaits reports whether an actor with a floor waits, for a limited time, for a runner that takes it.
func (a Await) Awaits(floor uint32) bool { return floor <= a.Version && a.UntilMs != 0 }

// Yielded reports whether an actor with a floor may go lower, as it has waited long enough.
func (a Await) Yielded(floor uint32) bool { return floor <= a.Version && a.UntilMs == 0 }

// HighestFloor returns the highest floor among the actors in the queue of a pool; 0: there is none that has one.
func (s *State) HighestFloor(p *Pool) uint32 {
	for k := range s.queue.DownFrom(queueKey{pool: p.ordinal, floor: ^uint32(0), seq: halve(^uint64(0))}) {
		if k.pool == p.ordinal {
			return k.floor
		}
		break
	}
	return 0
}

// HighestFloorFor is HighestFloor among the actors of one name.
func (s *State) HighestFloorFor(p *Pool, name string) uint32 {
	hash := hashOfName(name)
	for k := range s.nameQueue.DownFrom(nameQueueKey{pool: p.ordinal, name: hash, floor: ^uint32(0), seq: halve(^uint64(0))}) {
		if k.pool == p.ordinal && k.name == hash {
			return k.floor
		}
		break
	}
	return 0
}

func (tx *Tx) awaitVersion(op *logv1.AwaitVersion) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	next := Await{Version: op.GetVersion(), UntilMs: op.GetUntilMs()}
	if next.UntilMs != 0 && (next.Version == 0 || next.UntilMs <= tx.clockMs) {
		return refuse(CodeMalformed)
	}
	tx.setAwait(p, next)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) setAwait(p *Pool, next Await) {
	was := tx.awaits.Get(p.ordinal)
	moveKey(tx.agenda, was.agendaKey(p), next.agendaKey(p))
	tx.rehash(was.hash(p.seed), next.hash(p.seed))
	tx.awaits.Set(p.ordinal, next)
	tx.touchedBuckets = append(tx.touchedBuckets, p.ordinal)
}

// agendaKey says when a wait is over; the zero value: there is none.
func (a Await) agendaKey(p *Pool) agendaKey {
	if a.UntilMs == 0 {
		return agendaKey{}
	}
	return agendaKey{atMs: a.UntilMs, kind: DueAwait, seq: p.namesHash(), row: p.ordinal}
}

// namesHash orders pools that something is due of together: an order that survives a restore.
func (p *Pool) namesHash() uint64 {
	sum := fnv.New64a()
	_, _ = sum.Write(p.ID.Namespace[:])
	_, _ = sum.Write([]byte(p.ID.Name))
	return sum.Sum64()
}
