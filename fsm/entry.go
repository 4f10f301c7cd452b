package fsm

import (
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// EntryFormat is the format of entries that this build writes and reads.
const EntryFormat = 1

// Apply makes the View that an entry at a log index and term leads to, and tells what became of its ops. An entry of a stale or
// leaked leader is refused whole: the View stays the same and accepted is false.
//
// LeaderEstablished has neither base nor epoch: it sets the epoch to the log's term. Every other entry must name the state's epoch,
// which must be the log's term, and the state's base.
//
// It panics when the entry has something that this build does not know: see Do.
func (v *View) Apply(index, term uint64, entry *logv1.Entry) (next *View, results []Result, accepted bool) {
	if unknown := unknownField(entry.ProtoReflect()); unknown != "" {
		panic("fsm: an entry cannot be applied: " + unknown + ": it was written by a newer build; upgrade this node")
	}
	if !v.accepts(term, entry) {
		return v, nil, false
	}
	clockMs := entry.GetClockMs()
	if establishes(entry) {
		clockMs = v.clockMs
	}
	tx := v.Begin(clockMs, entry.GetWallMs())
	results = make([]Result, len(entry.GetOps()))
	for i, op := range entry.GetOps() {
		if op.GetLeaderEstablished() != nil {
			tx.epoch = term
		}
		results[i] = tx.Do(op)
	}
	return tx.Seal(index), results, true
}

// establishes tells whether an entry begins an epoch.
func establishes(entry *logv1.Entry) bool {
	return len(entry.GetOps()) > 0 && entry.GetOps()[0].GetLeaderEstablished() != nil
}

func (v *View) accepts(term uint64, entry *logv1.Entry) bool {
	if establishes(entry) {
		return term > v.epoch
	}
	return entry.GetEpoch() == v.epoch && term == v.epoch && entry.GetBase() == v.base
}

// leaderEstablished begins an epoch. The cluster clock does not move: time without a leader does not count.
func (tx *Tx) leaderEstablished(op *logv1.LeaderEstablished) Result {
	tx.leader = op.GetNode()
	if id, ok := idFrom(op.GetClusterId()); ok && ID(tx.cluster).IsZero() {
		tx.cluster = ClusterID(id)
		tx.addNamespace(&Namespace{ID: NamespaceID(id), Name: "default", DisplayName: "Default", CreateMs: tx.wallMs})
	}
	return Result{}
}
