package fsm

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Limits of remembered outcomes. Their count bounds the memory of the small ones, MaxOutcomesBytes that of the others.
const (
	MaxOutcomes       = 4_000_000
	MaxOutcomesBytes  = 256 << 20
	MaxOutcomeKey     = 512
	MaxOutcomeBytes   = 16 << 10
	OutcomeKeptMs     = 10 * minuteMs
	maxOutcomesForget = 1000
)

// outcomeKeySize is how much of a key's hash is kept in its place: enough that no two keys share it, whoever chooses them.
const outcomeKeySize = 16

// outcomeRow remembers what a caller's idempotency key led to, in the order in which that happened. It holds no pointers, so that the
// garbage collector does not look at millions of them.
type outcomeRow struct {
	seq         uint64 // of this node: order, and nothing else, is the same on every one
	atMs        int64
	fingerprint uint64
	key         [outcomeKeySize]byte
	size        uint8 // of the outcome; longOutcome: it is elsewhere
	short       [smallOutcome]byte
}

const (
	// smallOutcome is what fits into a row: an id, and whether it was created.
	smallOutcome = 22
	longOutcome  = 0xff
)

func outcomeLess(a, b outcomeRow) bool { return a.seq < b.seq }

// longOutcomeKey holds an outcome that does not fit into its row.
type longOutcomeKey struct {
	seq     uint64
	outcome string
}

func longOutcomeLess(a, b longOutcomeKey) bool { return a.seq < b.seq }

// outcomeByKey finds a row by the beginning of its key's hash. Two may share that.
type outcomeByKey struct {
	hash uint64
	seq  uint64
}

func outcomeByKeyLess(a, b outcomeByKey) bool {
	if a.hash != b.hash {
		return a.hash < b.hash
	}
	return a.seq < b.seq
}

func (r *outcomeRow) byKey() outcomeByKey {
	return outcomeByKey{binary.BigEndian.Uint64(r.key[:]), r.seq}
}

func hashOutcomeKey(key string) [outcomeKeySize]byte {
	sum := sha256.Sum256([]byte(key))
	return [outcomeKeySize]byte(sum[:])
}

// Outcome returns what a caller's idempotency key led to, and the fingerprint of the command that it came with.
func (s *State) Outcome(key string) (outcome []byte, fingerprint uint64, ok bool) {
	row, ok := s.outcomeOf(hashOutcomeKey(key))
	if !ok {
		return nil, 0, false
	}
	return s.outcomeBytes(&row), row.fingerprint, true
}

func (s *State) outcomeOf(key [outcomeKeySize]byte) (outcomeRow, bool) {
	from := outcomeByKey{hash: binary.BigEndian.Uint64(key[:])}
	for k := range s.outcomesByKey.From(from) {
		if k.hash != from.hash {
			break
		}
		if row, ok := s.outcomes.Get(outcomeRow{seq: k.seq}); ok && row.key == key {
			return row, true
		}
	}
	return outcomeRow{}, false
}

func (s *State) outcomeBytes(row *outcomeRow) []byte {
	if row.size == longOutcome {
		k, _ := s.longOutcomes.Get(longOutcomeKey{seq: row.seq})
		return []byte(k.outcome)
	}
	return bytes.Clone(row.short[:row.size])
}

// OutcomeCount returns how many outcomes are remembered.
func (s *State) OutcomeCount() int { return s.outcomes.Len() }

// OutcomesFull tells that no further outcome can be remembered.
func (s *State) OutcomesFull() bool {
	return s.outcomes.Len() >= MaxOutcomes || s.outcomeLongBytes > MaxOutcomesBytes-MaxOutcomeBytes
}

// OldestOutcomeMs returns the cluster clock of the oldest remembered outcome.
func (s *State) OldestOutcomeMs() (atMs int64, ok bool) {
	row, ok := s.outcomes.First(outcomeRow{})
	return row.atMs, ok
}

func (tx *Tx) rememberOutcome(op *logv1.RememberOutcome) Result {
	if op.GetKey() == "" || len(op.GetKey()) > MaxOutcomeKey || len(op.GetOutcome()) > MaxOutcomeBytes {
		return refuse(CodeMalformed)
	}
	key := hashOutcomeKey(op.GetKey())
	if _, known := tx.outcomeOf(key); known {
		return refuse(CodeExists)
	}
	if tx.OutcomesFull() {
		return refuse(CodeFull)
	}
	row, long := tx.newOutcome(key, op.GetOutcome(), op.GetFingerprint(), tx.clockMs)
	tx.rehash(StateHash{}, row.hash(long.outcome))
	tx.outcomes.Put(row)
	tx.outcomesByKey.Put(row.byKey())
	if row.size == longOutcome {
		tx.longOutcomes.Put(long)
	}
	return Result{}
}

// newOutcome makes the next row, and counts what it holds elsewhere.
func (tx *Tx) newOutcome(key [outcomeKeySize]byte, outcome []byte, fingerprint uint64, atMs int64) (row outcomeRow, long longOutcomeKey) {
	tx.outcomeSeq++
	row = outcomeRow{seq: tx.outcomeSeq, atMs: atMs, fingerprint: fingerprint, key: key, size: longOutcome}
	if len(outcome) <= smallOutcome {
		row.size = uint8(len(outcome))
		copy(row.short[:], outcome)
		return row, long
	}
	tx.outcomeLongBytes += int64(len(outcome))
	return row, longOutcomeKey{row.seq, string(outcome)}
}

// forgetOutcomes drops what is older than the named time, at most a thousand at once.
func (tx *Tx) forgetOutcomes(op *logv1.ForgetOutcomes) Result {
	var old []outcomeRow
	for row := range tx.outcomes.All() {
		if row.atMs >= op.GetBeforeMs() || len(old) == maxOutcomesForget {
			break
		}
		old = append(old, row)
	}
	for _, row := range old {
		tx.outcomes.Delete(row)
		tx.outcomesByKey.Delete(row.byKey())
		var long longOutcomeKey
		if row.size == longOutcome {
			long, _ = tx.longOutcomes.Get(longOutcomeKey{seq: row.seq})
			tx.longOutcomes.Delete(long)
			tx.outcomeLongBytes -= int64(len(long.outcome))
		}
		tx.rehash(row.hash(long.outcome), StateHash{})
	}
	return Result{}
}
