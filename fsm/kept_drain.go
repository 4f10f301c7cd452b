package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// An operator's drain outlives its runner: it is kept under the runner's key for so long, and of a pool at most so many.
const (
	drainKeptMs   = 7 * 24 * hourMs
	MaxKeptDrains = 10_000
)

// KeptDrain is an operator's drain as it outlives its runner. A row is never changed: it is replaced.
type KeptDrain struct {
	Key        string
	Seq        uint64 // in the order in which they were kept
	Instance   InstanceID
	Version    uint32
	DeadlineMs int64 // cluster clock; 0: none
	Reason     string
	Force      bool
	Keep       bool  // a new process inherits it also when it has finished
	Finished   bool  // its last actor had left
	AtMs       int64 // cluster clock at which it was kept
	Wall       int64

	pool uint32
}

// Inherited reports whether a runner that registers with its key inherits it: the same process always does, a new one of the same version
// while the drain had not finished, or when it was meant for whoever comes.
func (d *KeptDrain) Inherited(instance InstanceID, version uint32) bool {
	return d.Instance == instance || d.Version == version && (d.Keep || !d.Finished)
}

type keptDrainKey struct {
	pool uint32
	key  string
	row  *KeptDrain
}

func keptDrainLess(a, b keptDrainKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.key < b.key
}

// keptDrainSeqKey lists the kept drains of a pool in the order in which they were kept.
type keptDrainSeqKey struct {
	pool uint32
	seq  uint64
	row  *KeptDrain
}

func keptDrainSeqLess(a, b keptDrainSeqKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.seq < b.seq
}

// KeptDrain returns the drain that is kept under a key of a pool; nil: there is none.
func (s *State) KeptDrain(p *Pool, key string) *KeptDrain {
	k, _ := s.keptDrains.Get(keptDrainKey{pool: p.ordinal, key: key})
	return k.row
}

// KeptDrains yields the drains that are kept of a pool, by key, beginning after one.
func (s *State) KeptDrains(p *Pool, after string) iter.Seq[*KeptDrain] {
	return func(yield func(*KeptDrain) bool) {
		for k := range s.keptDrains.From(keptDrainKey{pool: p.ordinal, key: after}) {
			if k.pool != p.ordinal {
				return
			}
			if (k.key != after || after == "") && !yield(k.row) {
				return
			}
		}
	}
}

// ExcessDrain returns the drain of a pool that was kept first, if there are as many as are kept; nil: there is room for another.
func (s *State) ExcessDrain(p *Pool) *KeptDrain {
	if s.keptDrainCount.Get(p.ordinal) < MaxKeptDrains {
		return nil
	}
	k, _ := s.keptDrainsBySeq.First(keptDrainSeqKey{pool: p.ordinal})
	return k.row
}

// DrainPool returns the pool of a kept drain.
func (s *State) DrainPool(d *KeptDrain) *Pool { return s.pools.Get(d.pool) }

func (s *State) keptDrainOf(pool uint32, seq uint64) *KeptDrain {
	k, _ := s.keptDrainsBySeq.Get(keptDrainSeqKey{pool: pool, seq: seq})
	return k.row
}

// ForgetMs returns the cluster clock at which it is forgotten.
func (d *KeptDrain) ForgetMs() int64 { return d.AtMs + drainKeptMs }

func (d *KeptDrain) agendaKey() agendaKey {
	return agendaKey{atMs: d.ForgetMs(), kind: DueForgetDrain, seq: d.Seq, row: d.pool}
}

func (tx *Tx) rememberDrain(op *logv1.RememberDrain) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	instance, ok := idFrom(op.GetInstanceId())
	if !ok || op.GetKey() == "" {
		return refuse(CodeMalformed)
	}
	old := tx.KeptDrain(p, op.GetKey())
	if old == nil && tx.keptDrainCount.Get(p.ordinal) >= MaxKeptDrains {
		return refuse(CodeFull)
	}
	tx.drainSeq++
	tx.replaceKeptDrain(old, &KeptDrain{
		Key: op.GetKey(), Seq: tx.drainSeq, Instance: InstanceID(instance), Version: op.GetVersion(), DeadlineMs: op.GetDeadlineMs(), Reason: op.GetReason(),
		Force: op.GetForce(), Keep: op.GetKeep(), Finished: op.GetFinished(), AtMs: tx.clockMs, Wall: max(tx.wallMs, 1), pool: p.ordinal,
	})
	return Result{}
}

func (tx *Tx) forgetDrain(op *logv1.ForgetDrain) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	old := tx.KeptDrain(p, op.GetKey())
	if old == nil {
		return refuse(CodeNotFound)
	}
	tx.replaceKeptDrain(old, nil)
	return Result{}
}

// replaceKeptDrain writes a row and what is derived from it: nil old adds, nil next removes.
func (tx *Tx) replaceKeptDrain(old, next *KeptDrain) {
	row := next
	if row == nil {
		row = old
	}
	seed := tx.poolSeed(row.pool)
	tx.rehash(old.hash(seed), next.hash(seed))
	tx.touchedDrains = append(tx.touchedDrains, keptDrainKey{pool: row.pool, key: row.Key})
	if old != nil {
		tx.keptDrains.Delete(keptDrainKey{pool: old.pool, key: old.Key})
		tx.keptDrainsBySeq.Delete(keptDrainSeqKey{pool: old.pool, seq: old.Seq})
		tx.agenda.Delete(old.agendaKey())
		tx.keptDrainCount.Set(old.pool, tx.keptDrainCount.Get(old.pool)-1)
	}
	if next != nil {
		tx.keptDrains.Put(keptDrainKey{pool: next.pool, key: next.Key, row: next})
		tx.keptDrainsBySeq.Put(keptDrainSeqKey{pool: next.pool, seq: next.Seq, row: next})
		tx.agenda.Put(next.agendaKey())
		tx.keptDrainCount.Set(next.pool, tx.keptDrainCount.Get(next.pool)+1)
	}
}

// forgetDrains drops the kept drains of a pool that is forgotten.
func (tx *Tx) forgetDrains(p *Pool) {
	for {
		k, ok := tx.keptDrains.First(keptDrainKey{pool: p.ordinal})
		if !ok || k.pool != p.ordinal {
			return
		}
		tx.replaceKeptDrain(k.row, nil)
	}
}
