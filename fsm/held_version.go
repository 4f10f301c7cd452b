package fsm

import (
	"iter"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// MaxHeldVersions bounds how many versions a pool holds back at once.
const MaxHeldVersions = 100

// HeldVersion is a version that a pool holds back: its runners get no actors and give up those that they have, whoever brings it and
// when, until it is released. A row is never changed: it is replaced.
type HeldVersion struct {
	Version   uint32
	Reason    string
	StartWall int64
}

type heldVersionKey struct {
	pool    uint32
	version uint32
	row     *HeldVersion
}

func heldVersionLess(a, b heldVersionKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.version < b.version
}

// HeldVersions yields the versions that a pool holds back, the lowest first.
func (s *State) HeldVersions(p *Pool) iter.Seq[*HeldVersion] {
	return func(yield func(*HeldVersion) bool) {
		for k := range s.heldVersions.From(heldVersionKey{pool: p.ordinal}) {
			if k.pool != p.ordinal || !yield(k.row) {
				return
			}
		}
	}
}

// Holds reports whether a pool holds a version back.
func (s *State) Holds(p *Pool, version uint32) bool {
	_, held := s.heldVersions.Get(heldVersionKey{pool: p.ordinal, version: version})
	return held
}

// UnheldRunners returns the runners of a version whose drain is not an operator's, nor weightier: those that a hold has still to drain.
func (s *State) UnheldRunners(p *Pool, version uint32) []*Runner {
	if counts, _ := s.versions.Get(versionKey{pool: p.ordinal, version: version}); counts.registered+counts.outdated == 0 {
		return nil
	}
	var runners []*Runner
	for r := range s.runnersOfVersion(p, version) {
		if DrainOperator.Outweighs(r.Drain.Cause) {
			runners = append(runners, r)
		}
	}
	return runners
}

// RunnersHeld returns the runners of a version that drain because their pool holds it back, or did.
func (s *State) RunnersHeld(p *Pool, version uint32) []*Runner {
	var runners []*Runner
	for r := range s.runnersOfVersion(p, version) {
		if r.Drain.Held {
			runners = append(runners, r)
		}
	}
	return runners
}

func (s *State) runnersOfVersion(p *Pool, version uint32) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.poolRunners.From(poolRunnerKey{pool: p.ordinal, version: version}) {
			if k.pool != p.ordinal || k.version != version || !yield(s.runners.Get(k.number)) {
				return
			}
		}
	}
}

func (tx *Tx) holdVersion(op *logv1.HoldVersion) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	n := 0
	for held := range tx.HeldVersions(p) {
		if n++; held.Version == op.GetVersion() {
			return refuse(CodeExists)
		}
	}
	if n >= MaxHeldVersions {
		return refuse(CodeFull)
	}
	tx.putHeldVersion(p, &HeldVersion{Version: op.GetVersion(), Reason: op.GetReason(), StartWall: max(tx.wallMs, 1)})
	tx.dirtyPool(p.ordinal)
	return Result{}
}

func (tx *Tx) putHeldVersion(p *Pool, h *HeldVersion) {
	tx.rehash(StateHash{}, h.hash(p.seed))
	tx.heldVersions.Put(heldVersionKey{pool: p.ordinal, version: h.Version, row: h})
}

func (tx *Tx) dropHeldVersion(p *Pool, k heldVersionKey) {
	tx.rehash(k.row.hash(p.seed), StateHash{})
	tx.heldVersions.Delete(k)
}

func (tx *Tx) releaseVersion(op *logv1.ReleaseVersion) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	k, held := tx.heldVersions.Get(heldVersionKey{pool: p.ordinal, version: op.GetVersion()})
	if !held {
		return refuse(CodeNotFound)
	}
	tx.dropHeldVersion(p, k)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

// releaseVersions drops what a pool that is forgotten holds back.
func (tx *Tx) releaseVersions(p *Pool) {
	for {
		k, ok := tx.heldVersions.First(heldVersionKey{pool: p.ordinal})
		if !ok || k.pool != p.ordinal {
			return
		}
		tx.dropHeldVersion(p, k)
	}
}
