package fsm

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/proto"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// HashForm is the version of what StateHash is made of. Hashes of two forms say nothing about each other. Whoever changes how a row is
// hashed, a packed actor's included, raises it; a golden test tells him. A new field that is zero in every older state needs no new form.
const HashForm = 1

// StateHash names the rows of a state: the sum, modulo 2^128, of a hash of each. Adding and taking away commute, so that every write of a
// row takes the old one's hash away and adds the new one's, and neither order nor history matters.
//
// A row is hashed in a form with ids: no ordinal is in it, for they differ between nodes after a restore. What a snapshot holds is in the
// sum, heartbeats included; what follows from that is not: indexes, counts, and what a runner holds. The order of outcomes of one age is not.
//
// It tells two states apart that a fault made different. It is no protection against somebody who chooses rows so that it does not.
type StateHash struct{ High, Low uint64 }

func (h StateHash) String() string { return fmt.Sprintf("%016x%016x", h.High, h.Low) }

func (h StateHash) plus(o StateHash) StateHash {
	low, carry := bits.Add64(h.Low, o.Low, 0)
	high, _ := bits.Add64(h.High, o.High, carry)
	return StateHash{high, low}
}

func (h StateHash) minus(o StateHash) StateHash {
	low, borrow := bits.Sub64(h.Low, o.Low, 0)
	high, _ := bits.Sub64(h.High, o.High, borrow)
	return StateHash{high, low}
}

// StateHash returns the hash of the state, in constant time. Equal states have equal ones on every node.
func (s *State) StateHash() StateHash { return s.sum.plus(s.ownHash()) }

// RecountHash computes StateHash from all rows. It costs a pass over the state.
func (s *State) RecountHash() StateHash { return s.recountRows().plus(s.ownHash()) }

func (s *State) recountRows() (sum StateHash) {
	for _, table := range hashedTables {
		for h := range table.rows(s) {
			sum = sum.plus(h)
		}
	}
	return sum
}

// rehash counts a row's change: the zero hash where there was none, or is none any more.
func (tx *Tx) rehash(was, is StateHash) { tx.sum = tx.sum.minus(was).plus(is) }

// hashedTables are the tables of State whose rows StateHash adds up, by the names of their fields. A table that a snapshot holds must be here.
var hashedTables = []struct {
	field string
	rows  func(*State) iter.Seq[StateHash]
}{
	{"namespaces", func(s *State) iter.Seq[StateHash] {
		return hashesOf(0, s.namespaceCount, func(i uint32) StateHash { return s.namespaces.Get(i).hash() })
	}},
	{"pools", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.poolOrdinals.next, func(i uint32) StateHash { return s.pools.Get(i).hash() })
	}},
	{"buckets", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.poolOrdinals.next, func(i uint32) StateHash { return s.buckets.Get(i).hash(s.poolSeed(i)) })
	}},
	{"runners", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.runnerNumbers.next, func(i uint32) StateHash {
			r := s.runners.Get(i)
			if r == nil {
				return StateHash{}
			}
			return r.hash(s.poolSeed(r.pool)).plus(r.revHash())
		})
	}},
	{"seen", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.runnerNumbers.next, func(i uint32) StateHash { return seenHash(i, s.seen.Get(i)) })
	}},
	{"actors", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.actorOrdinals.next, func(i uint32) StateHash { return s.actorHash(s.actors.Get(i)) })
	}},
	{"longParts", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.actorOrdinals.next, func(i uint32) StateHash { return s.longParts.Get(i).hash(s.actors.Get(i)) })
	}},
	{"orphans", func(s *State) iter.Seq[StateHash] {
		return func(yield func(StateHash) bool) {
			for k := range s.orphans.All() {
				if !yield(k.hash()) {
					return
				}
			}
		}
	}},
	{"outcomes", func(s *State) iter.Seq[StateHash] {
		return func(yield func(StateHash) bool) {
			for row := range s.outcomes.All() {
				long, _ := s.longOutcomes.Get(longOutcomeKey{seq: row.seq})
				if !yield(row.hash(long.outcome)) {
					return
				}
			}
		}
	}},
	{"awaits", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.poolOrdinals.next, func(i uint32) StateHash { return s.awaits.Get(i).hash(s.poolSeed(i)) })
	}},
	{"heldVersions", func(s *State) iter.Seq[StateHash] {
		return func(yield func(StateHash) bool) {
			for k := range s.heldVersions.All() {
				if !yield(k.row.hash(s.poolSeed(k.pool))) {
					return
				}
			}
		}
	}},
	{"keptDrains", func(s *State) iter.Seq[StateHash] {
		return func(yield func(StateHash) bool) {
			for k := range s.keptDrains.All() {
				if !yield(k.row.hash(s.poolSeed(k.pool))) {
					return
				}
			}
		}
	}},
	{"rollouts", func(s *State) iter.Seq[StateHash] {
		return func(yield func(StateHash) bool) {
			for k := range s.rollouts.All() {
				if !yield(k.row.hash(s.poolSeed(k.pool))) {
					return
				}
			}
		}
	}},
	{"requests", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.requestOrdinals.next, func(i uint32) StateHash {
			r := s.requests.Get(i)
			if r == nil {
				return StateHash{}
			}
			return r.hash(s.poolSeed(r.pool))
		})
	}},
	{"endpoints", func(s *State) iter.Seq[StateHash] {
		return hashesOf(1, s.poolOrdinals.next, func(i uint32) StateHash { return endpointHash(s.endpoints.Get(i), s.poolSeed(i)) })
	}},
}

// hashesOf yields the hashes of the rows from one ordinal to before another.
func hashesOf(from, to uint32, hash func(uint32) StateHash) iter.Seq[StateHash] {
	return func(yield func(StateHash) bool) {
		for i := from; i < to; i++ {
			if !yield(hash(i)) {
				return
			}
		}
	}
}

// The kinds of hashed rows, so that equal bytes of two kinds have different hashes. Numbers are not used again.
const (
	hashOwn = 1 + iota
	hashNamespace
	hashPool
	hashBucket
	hashRunner
	hashRunnerRev
	hashSeen
	hashActor
	hashLongParts
	hashOrphan
	hashOutcome
	hashRollout
	hashRequest
	hashEndpoint
	hashHeldVersion
	hashKeptDrain
	hashAwait
)

// Odd constants without a pattern.
const (
	mix1 = 0x9e3779b97f4a7c15
	mix2 = 0xc2b2ae3d27d4eb4f
)

// spread makes a row's hash of a hash of its bytes, its kind, and what it belongs to.
func spread(h, kind uint64, of StateHash) StateHash {
	h1, l1 := bits.Mul64(h^of.High^kind*mix2, mix1)
	h2, l2 := bits.Mul64(h^of.Low+kind*mix1, mix2)
	return StateHash{h1 ^ l1, h2 ^ l2}
}

// hash returns the hash of what was packed. The set of fields, which says where one ends, follows them.
func (p *packing) hash(kind uint64, of StateHash) StateHash {
	p.out = binary.LittleEndian.AppendUint64(p.out, p.has)
	return spread(xxhash.Sum64(p.out), kind, of)
}

// formRoom is enough for most rows' forms.
const formRoom = 256

// ownHash hashes what the state holds beside its tables.
func (s *State) ownHash() StateHash {
	var room [2 * formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &s.index)
	number(&p, &s.epoch)
	number(&p, &s.base)
	number(&p, &s.clockMs)
	number(&p, &s.wallMs)
	p.id((*ID)(&s.cluster))
	p.text(&s.leader)
	number(&p, &s.actorSeq)
	number(&p, &s.queueSeq)
	number(&p, &s.runnerSeq)
	number(&p, &s.rolloutSeq)
	number(&p, &s.seenMs)
	for i := range s.settings.values {
		number(&p, &s.settings.values[i])
		p.flag(&s.settings.set[i])
	}
	number(&p, &s.requestSeq)
	number(&p, &s.drainSeq)
	return p.hash(hashOwn, StateHash{})
}

func (ns *Namespace) hash() StateHash {
	if ns == nil {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	p.id((*ID)(&ns.ID))
	p.text(&ns.Name)
	p.text(&ns.DisplayName)
	number(&p, &ns.CreateMs)
	return p.hash(hashNamespace, StateHash{})
}

// seedOf stands for a pool in the hashes of its rows.
func seedOf(id PoolID) StateHash {
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	p.id((*ID)(&id.Namespace))
	p.text(&id.Name)
	return p.hash(hashPool, StateHash{})
}

func (s *State) poolSeed(ordinal uint32) StateHash {
	if p := s.pools.Get(ordinal); p != nil {
		return p.seed
	}
	return StateHash{}
}

func (p *Pool) hash() StateHash {
	if p == nil {
		return StateHash{}
	}
	there := p.Config != nil
	form := packing{bit: 1}
	form.flag(&p.AutoCreated)
	if form.flag(&there); there {
		var err error
		if form.out, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(form.out, p.Config); err != nil {
			panic("fsm: the config of a pool cannot be encoded: " + err.Error()) // as in AppendRecord
		}
	}
	return form.hash(hashPool, p.seed)
}

func (b Bucket) hash(pool StateHash) StateHash {
	if b == (Bucket{}) {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &b.Nanos)
	number(&p, &b.AtMs)
	number(&p, &b.Emptying)
	number(&p, &b.WindowFromMs)
	number(&p, &b.WindowTurns)
	number(&p, &b.WindowRateMicros)
	return p.hash(hashBucket, pool)
}

// hash covers all of a runner but what it holds, which follows from its actors and orphans, and its revision, which changes as often as that.
func (r *Runner) hash(pool StateHash) StateHash {
	var room [2 * formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	p.id((*ID)(&r.ID))
	number(&p, &r.Number)
	number(&p, &r.Seq)
	p.text(&r.Key)
	p.id((*ID)(&r.Instance))
	number(&p, &r.Attempt)
	p.id((*ID)(&r.Session))
	p.text(&r.Holder)
	number(&p, &r.Version)
	number(&p, &r.Slots)
	number(&p, &r.VerdictMs)
	number(&p, &r.ThresholdMs)
	p.text(&r.Metadata)
	p.text(&r.AdvertisedAddr)
	p.flag(&r.KeepOnLeaseLost)
	p.flag(&r.Connected)
	number(&p, &r.End)
	p.id((*ID)(&r.ReplacedBy))
	number(&p, &r.Drain.Cause)
	number(&p, &r.Drain.StartMs)
	number(&p, &r.Drain.DeadlineMs)
	p.text(&r.Drain.Reason)
	p.flag(&r.Drain.Force)
	p.flag(&r.Drain.Overdue)
	p.flag(&r.Drain.Standby)
	number(&p, &r.Drain.Total)
	number(&p, &r.Drain.StartWall)
	number(&p, &r.Drain.FinishWall)
	number(&p, &r.Moves.FromMs)
	number(&p, &r.Moves.Total)
	number(&p, &r.Moves.Done)
	number(&p, &r.CreateMs)
	number(&p, &r.ConnectedMs)
	number(&p, &r.StopMs)
	number(&p, &r.EndedMs)
	p.id((*ID)(&r.Request))
	p.flag(&r.Expiring)
	p.flag(&r.Drain.Held)
	p.text((*string)(&r.Names))
	return p.hash(hashRunner, pool)
}

func (r *Runner) revHash() StateHash {
	return spread(r.Rev*mix1, hashRunnerRev, StateHash{uint64(r.Number), uint64(r.Number)})
}

// hashRunner counts a runner's change, and notes what of it the next one takes away.
func (tx *Tx) hashRunner(old, next *Runner) {
	var was, is StateHash
	if old != nil {
		was = old.facts.plus(old.revHash())
	}
	if next != nil {
		next.facts = next.hash(tx.poolSeed(next.pool))
		is = next.facts.plus(next.revHash())
	}
	tx.rehash(was, is)
}

func seenHash(number uint32, clockMs int64) StateHash {
	if clockMs == 0 {
		return StateHash{}
	}
	return spread(uint64(clockMs)*mix1, hashSeen, StateHash{uint64(number), uint64(number)})
}

// actorHash hashes a packed row behind the ordinals of its pool and namespace, which its pool's ids stand for.
func (s *State) actorHash(row packedActor) StateHash {
	if row == "" {
		return StateHash{}
	}
	pool, _, at := row.head()
	return spread(xxhash.Sum64String(string(row[at:])), hashActor, s.poolSeed(pool))
}

// hash covers what lies beside the row of an actor.
func (l longParts) hash(row packedActor) StateHash {
	if l == (longParts{}) {
		return StateHash{}
	}
	_, _, at := row.head()
	id := row[at : at+len(ActorID{})]
	of := StateHash{xxhash.Sum64String(string(id)), xxhash.Sum64String(l.saved)*mix2 ^ uint64(len(l.saved))}
	return spread(xxhash.Sum64String(l.input)*mix1^uint64(len(l.input)), hashLongParts, of)
}

func (k orphanKey) hash() StateHash {
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &k.runner)
	p.id((*ID)(&k.ref.Actor))
	number(&p, &k.ref.Generation)
	number(&p, &k.rev)
	p.flag(&k.holdsActor)
	return p.hash(hashOrphan, StateHash{})
}

func (r *outcomeRow) hash(long string) StateHash {
	var room [formRoom]byte
	out := append(room[:0], r.key[:]...)
	out = binary.LittleEndian.AppendUint64(out, uint64(r.atMs))
	out = binary.LittleEndian.AppendUint64(out, r.fingerprint)
	if r.size != longOutcome {
		return spread(xxhash.Sum64(append(out, r.short[:r.size]...)), hashOutcome, StateHash{})
	}
	return spread(xxhash.Sum64(append(out, long...)), hashOutcome, StateHash{})
}

func (r *Rollout) hash(pool StateHash) StateHash {
	if r == nil {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &r.ID)
	number(&p, &r.Version)
	number(&p, &r.State)
	p.text(&r.EndReason)
	p.flag(&r.Paused)
	p.text(&r.PauseReason)
	number(&p, &r.StartMs)
	number(&p, &r.EndMs)
	number(&p, &r.StartWall)
	number(&p, &r.EndWall)
	number(&p, &r.Moved)
	number(&p, &r.Moving)
	number(&p, &r.Lost)
	number(&p, &r.Left)
	number(&p, &r.WaitMs)
	return p.hash(hashRollout, pool)
}

func (r *Request) hash(pool StateHash) StateHash {
	if r == nil {
		return StateHash{}
	}
	var room [2 * formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	p.id((*ID)(&r.ID))
	number(&p, &r.Seq)
	p.text(&r.Node)
	p.id((*ID)(&r.Start))
	number(&p, &r.Slots)
	number(&p, &r.Endpoint)
	number(&p, &r.Probes)
	number(&p, &r.Phase)
	p.flag(&r.Expiring)
	p.flag(&r.Drains)
	p.id((*ID)(&r.Instance))
	p.id((*ID)(&r.Runner))
	for _, at := range []*int64{
		&r.OpenMs, &r.SendMs, &r.EndedMs, &r.SendByMs, &r.JoinByMs, &r.ReplaceMs, &r.DrainMs, &r.ExpireMs, &r.RetireMs,
		&r.OpenWall, &r.SendWall, &r.JoinWall, &r.EndWall,
	} {
		number(&p, at)
	}
	number(&p, &r.End)
	p.text(&r.Code)
	p.text(&r.Message)
	return p.hash(hashRequest, pool)
}

func endpointHash(e *logv1.Endpoint, pool StateHash) StateHash {
	if e == nil {
		return StateHash{}
	}
	form := packing{bit: 1}
	var err error
	if form.out, err = (proto.MarshalOptions{Deterministic: true}).MarshalAppend(form.out, e); err != nil {
		panic("fsm: what is known of an endpoint cannot be encoded: " + err.Error()) // as in AppendRecord
	}
	return form.hash(hashEndpoint, pool)
}

func (h *HeldVersion) hash(pool StateHash) StateHash {
	if h == nil {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &h.Version)
	p.text(&h.Reason)
	number(&p, &h.StartWall)
	return p.hash(hashHeldVersion, pool)
}

func (a Await) hash(pool StateHash) StateHash {
	if a == (Await{}) {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	number(&p, &a.Version)
	number(&p, &a.UntilMs)
	return p.hash(hashAwait, pool)
}

func (d *KeptDrain) hash(pool StateHash) StateHash {
	if d == nil {
		return StateHash{}
	}
	var room [formRoom]byte
	p := packing{bit: 1, out: room[:0]}
	p.text(&d.Key)
	number(&p, &d.Seq)
	p.id((*ID)(&d.Instance))
	number(&p, &d.Version)
	number(&p, &d.DeadlineMs)
	p.text(&d.Reason)
	p.flag(&d.Force)
	p.flag(&d.Keep)
	p.flag(&d.Finished)
	number(&p, &d.AtMs)
	number(&p, &d.Wall)
	return p.hash(hashKeptDrain, pool)
}
