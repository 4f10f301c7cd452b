package fsm

import (
	"hash/fnv"
	"iter"
	"slices"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Defaults and bounds of a serverless pool's fields (the pool page).
const (
	DefaultMaxConcurrentActors = 1_000
	DefaultRequestSlots        = 1_000 // as RIVET_TOTAL_SLOTS
	MaxDrainGraceMs            = 30 * minuteMs
	MinMetadataPollMs          = 5_000
	requestGraceMs             = 15_000
)

// Serverless tells whether the engine wakes the runners of a pool.
func (p *Pool) Serverless() bool { return p.Config.GetServerless() != nil }

// RequestLifespanMs returns how long a request of a serverless pool is held open.
func (p *Pool) RequestLifespanMs() int64 {
	return int64(p.Config.GetServerless().GetRequestLifespanS()) * 1000
}

// DrainGraceMs returns how long before the end of a request its runner drains: what was written, or
// min(1800 s, lifespan/2, max(lifespan/10, stop threshold + delay + 15 s)).
func (s *State) DrainGraceMs(p *Pool) int64 {
	c := p.Config.GetServerless()
	if c.DrainGracePeriodS != nil {
		return int64(c.GetDrainGracePeriodS()) * 1000
	}
	lifespan := p.RequestLifespanMs()
	return min(MaxDrainGraceMs, lifespan/2, max(lifespan/10, s.Setting(ActorStopThreshold)+p.EvictionDelayMs()+requestGraceMs))
}

// MaxConcurrentActors returns how many actors of a serverless pool may be on runners at once.
func (p *Pool) MaxConcurrentActors() uint64 {
	if c := p.Config.GetServerless(); c.MaxConcurrentActors != nil {
		return c.GetMaxConcurrentActors()
	}
	return DefaultMaxConcurrentActors
}

// RequestSlots returns how many slots a request of the pool asks for.
func (p *Pool) RequestSlots() uint32 {
	if n := p.Config.GetServerless().GetSlotsPerRunner(); n > 0 {
		return min(n, MaxSlots)
	}
	return DefaultRequestSlots
}

// MetadataPollMs returns how often the endpoint of a serverless pool is asked for its version.
func (s *State) MetadataPollMs(p *Pool) int64 {
	if c := p.Config.GetServerless(); c.MetadataPollIntervalMs != nil {
		return max(MinMetadataPollMs, int64(min(c.GetMetadataPollIntervalMs(), 1<<53)))
	}
	return max(MinMetadataPollMs, s.Setting(DefaultMetadataPollInterval))
}

// EndpointFingerprint names the url and the headers of a serverless pool: what was opened with others is outdated. 0: it has none.
func (p *Pool) EndpointFingerprint() uint64 {
	c := p.Config.GetServerless()
	if c == nil {
		return 0
	}
	sum := fnv.New64a()
	add := func(text string) {
		_, _ = sum.Write([]byte(text)) // never fails
		_, _ = sum.Write([]byte{0})
	}
	add(c.GetUrl())
	for _, h := range c.GetHeaders() {
		add(h.GetName())
		add(h.GetValue())
	}
	return max(1, sum.Sum64())
}

// Endpoint returns what is known of a serverless pool's url. It must not be changed; nil: nothing is known.
func (s *State) Endpoint(p *Pool) *logv1.Endpoint { return s.endpoints.Get(p.ordinal) }

func (tx *Tx) putEndpoint(op *logv1.PutEndpoint) Result {
	p, res := tx.poolOf(op.GetNamespaceId(), op.GetPool())
	if res.Code != CodeOK {
		return res
	}
	known := op.GetEndpoint()
	if known == nil || len(known.GetErrorCode()) > maxRequestText || len(known.GetErrorMessage()) > maxRequestText || len(known.GetRuntimeVersion()) > maxRequestText {
		return refuse(CodeMalformed)
	}
	if !p.Serverless() {
		return refuse(CodeIllegal)
	}
	tx.setEndpoint(p, known)
	tx.dirtyPool(p.ordinal)
	return Result{}
}

// setEndpoint writes what is known of a pool's url, and when it is looked at again.
func (tx *Tx) setEndpoint(p *Pool, next *logv1.Endpoint) {
	moveKey(tx.agenda, p.lookKey(tx.endpoints.Get(p.ordinal)), p.lookKey(next))
	tx.rehash(endpointHash(tx.endpoints.Get(p.ordinal), tx.poolSeed(p.ordinal)), endpointHash(next, tx.poolSeed(p.ordinal)))
	tx.endpoints.Set(p.ordinal, next)
	tx.touchedBuckets = append(tx.touchedBuckets, p.ordinal)
}

// lookKey says when a pool is looked at again by itself; the zero value: never. Pools that are due together come in an order of their names'
// hashes: one that survives a restore.
func (p *Pool) lookKey(e *logv1.Endpoint) agendaKey {
	if e.GetLookMs() == 0 {
		return agendaKey{}
	}
	return agendaKey{atMs: e.GetLookMs(), kind: DueEndpoint, seq: p.namesHash(), row: p.ordinal}
}

// idleRunnerKey lists the runners of a pool that answer a request and have nothing to do.
type idleRunnerKey struct {
	pool   uint32
	seq    uint64
	number uint32
}

func idleRunnerLess(a, b idleRunnerKey) bool {
	if a.pool != b.pool {
		return a.pool < b.pool
	}
	return a.seq < b.seq
}

// idle tells whether a runner answers a request and has nothing to do.
func (r *Runner) idle() bool {
	return r.End == NotEnded && (!r.Draining() || r.Drain.Standby) && !ID(r.Request).IsZero() && r.Held == 0 && r.Promised == 0
}

// IdleRunners yields the runners of a pool that answer a request and have nothing to do, oldest first.
func (s *State) IdleRunners(p *Pool) iter.Seq[*Runner] {
	return func(yield func(*Runner) bool) {
		for k := range s.idleRunners.From(idleRunnerKey{pool: p.ordinal}) {
			if k.pool != p.ordinal || !yield(s.runners.Get(k.number)) {
				return
			}
		}
	}
}

// HasServerlessPools reports whether there is a serverless pool.
func (s *State) HasServerlessPools() bool { return s.serverlessPools.Len() > 0 }

// ServerlessPools returns the serverless pools of the cluster, by the names of their namespaces and their own.
func (s *State) ServerlessPools() []*Pool {
	var pools []*Pool
	for k := range s.serverlessPools.All() {
		pools = append(pools, s.pools.Get(k))
	}
	slices.SortFunc(pools, s.compareNames)
	return pools
}
