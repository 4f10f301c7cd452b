package fsm

import logv1 "github.com/callboard/callboard/proto/callboard/log/v1"

// Limits of remembered outcomes.
const (
	MaxOutcomes       = 200_000
	MaxOutcomeKey     = 512
	MaxOutcomeBytes   = 16 << 10
	OutcomeKeptMs     = 10 * minuteMs
	maxOutcomesForget = 1000
)

// outcomeKey remembers what a caller's idempotency key led to.
type outcomeKey struct {
	key         string
	outcome     []byte
	fingerprint uint64
	atMs        int64
}

func outcomeLess(a, b outcomeKey) bool { return a.key < b.key }

type outcomeTimeKey struct {
	atMs int64
	key  string
}

func outcomeTimeLess(a, b outcomeTimeKey) bool {
	if a.atMs != b.atMs {
		return a.atMs < b.atMs
	}
	return a.key < b.key
}

// Outcome returns what a caller's idempotency key led to, and the fingerprint of the command that it came with.
func (s *State) Outcome(key string) (outcome []byte, fingerprint uint64, ok bool) {
	k, ok := s.outcomes.Get(outcomeKey{key: key})
	return k.outcome, k.fingerprint, ok
}

// OutcomeCount returns how many outcomes are remembered.
func (s *State) OutcomeCount() int { return s.outcomes.Len() }

// OldestOutcomeMs returns the cluster clock of the oldest remembered outcome.
func (s *State) OldestOutcomeMs() (atMs int64, ok bool) {
	k, ok := s.outcomesByTime.First(outcomeTimeKey{})
	return k.atMs, ok
}

func (tx *Tx) rememberOutcome(op *logv1.RememberOutcome) Result {
	if op.GetKey() == "" || len(op.GetKey()) > MaxOutcomeKey || len(op.GetOutcome()) > MaxOutcomeBytes {
		return refuse(CodeMalformed)
	}
	if _, _, ok := tx.Outcome(op.GetKey()); ok {
		return refuse(CodeExists)
	}
	if tx.outcomes.Len() >= MaxOutcomes {
		return refuse(CodeFull)
	}
	tx.addOutcome(outcomeKey{op.GetKey(), op.GetOutcome(), op.GetFingerprint(), tx.clockMs})
	return Result{}
}

func (tx *Tx) addOutcome(k outcomeKey) {
	tx.outcomes.Put(k)
	tx.outcomesByTime.Put(outcomeTimeKey{k.atMs, k.key})
}

// forgetOutcomes drops what is older than the named time, at most a thousand at once.
func (tx *Tx) forgetOutcomes(op *logv1.ForgetOutcomes) Result {
	var old []outcomeTimeKey
	for k := range tx.outcomesByTime.All() {
		if k.atMs >= op.GetBeforeMs() || len(old) == maxOutcomesForget {
			break
		}
		old = append(old, k)
	}
	for _, k := range old {
		tx.outcomesByTime.Delete(k)
		tx.outcomes.Delete(outcomeKey{key: k.key})
	}
	return Result{}
}
