package fsm

import (
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// MaxPools bounds how many pools a cluster has.
const MaxPools = 100_000

// Placement says how actors spread over the runners of one version.
type Placement uint8

// The placements, numbered as callboard.v1.Placement.
const (
	Spread  Placement = 1
	Binpack Placement = 2
)

// Pool is a set of runners that can run the same actors.
type Pool struct {
	ID          PoolID
	Config      *logv1.PoolConfig // what was written; nil: deleted, or never written. Must not be changed
	AutoCreated bool              // made when a runner connected

	ordinal   uint32
	namespace uint32
	seed      StateHash // stands for the pool in the hashes of its rows
}

// PoolStats counts what a pool has.
type PoolStats struct {
	Runners     uint32 // not ended
	Connected   uint32
	Candidates  uint32 // runners that take new actors, but for their silence
	LastResorts uint32 // of the candidates, those that drain for a newer version
	Draining    uint32 // runners
	Out         uint32 // of those, the ones that an operator has taken out
	Listing     uint32 // runners that list the names that they handle
	VersionOut  uint32 // runners that drain for a newer version
	Unfinished  uint32 // of those, the ones that a rollout waits for
	Evictable   uint32 // actors that the pool's pace may evict
	Forceful    uint32 // of those, the ones that need no room

	Ended      uint32 // actors that are destroyed and not forgotten
	Pending    uint32 // in the queue
	Paced      uint32 // waiting for their turn, before they are in the queue
	Sleeping   uint32
	Live       uint32 // actors that are not destroyed
	Named      uint32 // to be evicted at a turn
	Unreceived uint32 // planned evictions without a receipt
	OnRunner   uint32 // actors that a runner has

	Slots         uint64 // of runners that neither ended, drain nor expire
	Requests      uint32 // that have not ended
	EndedRequests uint32
	HalfOpen      uint32 // requests whose runners are still to come
	Expiring      uint32 // requests whose runners are to drain when there is room
	AskedSlots    uint64 // of those
}

// plus adds counts, or takes them away.
func (c PoolStats) plus(o PoolStats, by int) PoolStats {
	n, wide := uint32(by), uint64(by) // 1, or -1: unsigned numbers wrap around
	return PoolStats{
		c.Runners + n*o.Runners, c.Connected + n*o.Connected, c.Candidates + n*o.Candidates, c.LastResorts + n*o.LastResorts,
		c.Draining + n*o.Draining, c.Out + n*o.Out, c.Listing + n*o.Listing, c.VersionOut + n*o.VersionOut, c.Unfinished + n*o.Unfinished, c.Evictable + n*o.Evictable,
		c.Forceful + n*o.Forceful, c.Ended + n*o.Ended, c.Pending + n*o.Pending, c.Paced + n*o.Paced, c.Sleeping + n*o.Sleeping, c.Live + n*o.Live, c.Named + n*o.Named,
		c.Unreceived + n*o.Unreceived, c.OnRunner + n*o.OnRunner,
		c.Slots + wide*o.Slots, c.Requests + n*o.Requests, c.EndedRequests + n*o.EndedRequests, c.HalfOpen + n*o.HalfOpen, c.Expiring + n*o.Expiring, c.AskedSlots + wide*o.AskedSlots,
	}
}

// Placement returns the pool's placement with its default.
func (p *Pool) Placement() Placement {
	if Placement(p.Config.GetPlacement()) == Binpack {
		return Binpack
	}
	return Spread
}

// LostThresholdMs returns how long a runner of the pool may be silent.
func (s *State) LostThresholdMs(p *Pool) int64 {
	if p != nil && p.Config.GetLostThresholdS() > 0 {
		return int64(p.Config.GetLostThresholdS()) * 1000
	}
	return s.Setting(RunnerLostThreshold)
}

type poolKey struct {
	namespace uint32
	name      string
	row       uint32
}

func poolLess(a, b poolKey) bool {
	if a.namespace != b.namespace {
		return a.namespace < b.namespace
	}
	return a.name < b.name
}

// Pool finds a pool; nil: there is none. One that was deleted while it had actors has no Config.
func (s *State) Pool(id PoolID) *Pool {
	ns := s.NamespaceByID(id.Namespace)
	if ns == nil {
		return nil
	}
	key, ok := s.poolsByName.Get(poolKey{namespace: ns.ordinal, name: id.Name})
	if !ok {
		return nil
	}
	return s.pools.Get(key.row)
}

// Pools yields the pools of a namespace by name, beginning after a name.
func (s *State) Pools(ns *Namespace, after string) iter.Seq[*Pool] {
	return func(yield func(*Pool) bool) {
		for key := range s.poolsByName.From(poolKey{namespace: ns.ordinal, name: after}) {
			if key.namespace != ns.ordinal {
				return
			}
			if key.name == after && after != "" {
				continue
			}
			if !yield(s.pools.Get(key.row)) {
				return
			}
		}
	}
}

// PoolNamespace returns the namespace of a pool.
func (s *State) PoolNamespace(p *Pool) *Namespace { return s.namespaces.Get(p.namespace) }

// PoolStats returns a pool's counts.
func (s *State) PoolStats(p *Pool) PoolStats { return s.poolStats.Get(p.ordinal) }

// PoolUsable tells whether actors may be created for a pool: it has a config, or a runner.
func (s *State) PoolUsable(p *Pool) bool {
	return p != nil && (p.Config != nil || s.PoolStats(p).Runners > 0)
}

// PoolCount returns how many pools there are.
func (s *State) PoolCount() int { return s.poolOrdinals.taken() }

func (tx *Tx) putPool(op *logv1.PutPool) Result {
	id, ok := idFrom(op.GetNamespaceId())
	ns := tx.NamespaceByID(NamespaceID(id))
	if !ok || op.GetConfig() == nil || !ValidPoolName(op.GetName()) {
		return refuse(CodeMalformed)
	}
	if ns == nil {
		return refuse(CodeNotFound)
	}
	old := tx.Pool(PoolID{ns.ID, op.GetName()})
	if old == nil && tx.PoolCount() >= MaxPools {
		return refuse(CodeFull)
	}
	next := &Pool{ID: PoolID{ns.ID, op.GetName()}, Config: op.GetConfig(), AutoCreated: op.GetAutoCreated(), namespace: ns.ordinal}
	if old == nil {
		tx.addPool(next)
		return Result{}
	}
	next.ordinal, next.seed = old.ordinal, old.seed
	tx.replacePool(old, next)
	tx.settlePool(next.ordinal)
	return Result{}
}

func (tx *Tx) addPool(p *Pool) {
	p.ordinal, p.seed = tx.poolOrdinals.take(), seedOf(p.ID)
	tx.setPool(p.ordinal, p)
	tx.putBucket(p, Bucket{Nanos: bucketCap(p.EvictionRateMicros()), AtMs: tx.clockMs})
	tx.poolsByName.Put(poolKey{namespace: p.namespace, name: p.ID.Name, row: p.ordinal})
	tx.listServerless(p)
}

// listServerless notes whether a pool is serverless. What was known of its endpoint goes with that.
func (tx *Tx) listServerless(p *Pool) {
	if p.Serverless() {
		tx.serverlessPools.Put(p.ordinal)
		return
	}
	tx.serverlessPools.Delete(p.ordinal)
	tx.setEndpoint(p, nil)
}

// replacePool writes a pool's row, and moves its runners to where they belong by the new one.
func (tx *Tx) replacePool(old, next *Pool) {
	tx.dirtyPool(next.ordinal)
	// What was saved up at the old rate counts on, and never for more than the new one would have saved up.
	tx.putBucket(next, tx.Bucket(old).at(tx.clockMs, next.EvictionRateMicros()))
	tx.repace(old, next)
	tx.listServerless(next)
	if old.EndpointFingerprint() != next.EndpointFingerprint() {
		tx.setEndpoint(next, nil) // another one: nothing is known of it
	}
	if old.Placement() == next.Placement() && old.EvictionDelayMs() == next.EvictionDelayMs() && !old.paceChanges(next) {
		tx.setPool(next.ordinal, next)
		return
	}
	tx.rekeyRunners(slices.Collect(tx.PoolRunners(old)), func() { tx.setPool(next.ordinal, next) })
}

// setPool writes a pool's row; nil: it is forgotten.
func (tx *Tx) setPool(ordinal uint32, p *Pool) {
	tx.rehash(tx.pools.Get(ordinal).hash(), p.hash())
	tx.pools.Set(ordinal, p)
}

func (tx *Tx) deletePool(op *logv1.DeletePool) Result {
	id, ok := idFrom(op.GetNamespaceId())
	if !ok {
		return refuse(CodeMalformed)
	}
	p := tx.Pool(PoolID{NamespaceID(id), op.GetName()})
	if p == nil || p.Config == nil {
		return refuse(CodeNotFound)
	}
	next := *p
	next.Config, next.AutoCreated = nil, false
	tx.replacePool(p, &next)
	tx.settlePool(next.ordinal)
	return Result{}
}

func (tx *Tx) forgetPool(op *logv1.ForgetPool) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetName())
	if res.Code != CodeOK {
		return res
	}
	if !tx.idle(p) {
		return refuse(CodeIllegal)
	}
	tx.putBucket(p, Bucket{})
	tx.listServerless(&Pool{ordinal: p.ordinal, ID: p.ID})
	tx.setAwait(p, Await{})
	tx.releaseVersions(p)
	tx.forgetDrains(p)
	tx.idlePools.Delete(p.idleKey())
	tx.poolsByName.Delete(poolKey{namespace: p.namespace, name: p.ID.Name})
	tx.setPool(p.ordinal, nil)
	tx.poolOrdinals.release(p.ordinal)
	return Result{}
}

// idlePoolKey lists the pools that are to be forgotten, in an order that survives a restore.
type idlePoolKey struct {
	namespace NamespaceID
	name      string
	row       uint32
}

func idlePoolLess(a, b idlePoolKey) bool {
	if a.namespace != b.namespace {
		return ID(a.namespace).less(ID(b.namespace))
	}
	return a.name < b.name
}

func (p *Pool) idleKey() idlePoolKey { return idlePoolKey{p.ID.Namespace, p.ID.Name, p.ordinal} }

// idle tells whether a pool is deleted and nothing refers to it: no runner, actor or rollout, ended ones included.
func (s *State) idle(p *Pool) bool {
	if p.Config != nil {
		return false
	}
	if stats := s.PoolStats(p); stats.Live+stats.Ended+stats.Runners+stats.Requests+stats.EndedRequests > 0 {
		return false
	}
	ended, ok := s.runnersByKey.First(runnerKeyKey{pool: p.ordinal})
	return (!ok || ended.pool != p.ordinal) && s.lastRollout(p) == nil
}

// settlePool notes whether a pool is to be forgotten, when that may have changed.
func (tx *Tx) settlePool(ordinal uint32) {
	p := tx.pools.Get(ordinal)
	if tx.idle(p) {
		tx.idlePools.Put(p.idleKey())
	} else {
		tx.idlePools.Delete(p.idleKey())
	}
}

// settleDeleted is settlePool for one of a pool's rows: they matter only to a pool that is deleted.
func (tx *Tx) settleDeleted(ordinal uint32) {
	if p := tx.pools.Get(ordinal); p != nil && p.Config == nil {
		tx.settlePool(ordinal)
	}
}

// IdlePools returns deleted pools that nothing refers to, at most limit.
func (s *State) IdlePools(limit int) []*Pool {
	var idle []*Pool
	for k := range s.idlePools.All() {
		if len(idle) == limit {
			break
		}
		idle = append(idle, s.pools.Get(k.row))
	}
	return idle
}

// ValidPoolName tells whether a pool name is 1 to 128 printable ASCII characters without space or slash.
func ValidPoolName(name string) bool {
	if len(name) < 1 || len(name) > 128 {
		return false
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c > '~' || c == '/' {
			return false
		}
	}
	return true
}

// Printable tells whether a text is UTF-8 without control characters: what people see of it in a table or a log is all that it has.
func Printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
