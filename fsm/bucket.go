package fsm

// The pace of evictions. A pool has one bucket, on the cluster clock and in whole numbers, so that every node counts the same and a
// failover or a restore finds what was left. Planned evictions take a whole token each; forced moves take theirs as debt, which planned
// ones wait for. In any window of T seconds at most 1 + rate·(T + 0.1) planned evictions are decided (guarantee G7).

// Limits and defaults of the pace.
const (
	MinEvictionRateMicros     = 1               // one actor in 11 days
	MaxEvictionRateMicros     = 100_000_000_000 // 100 000 actors a second: "unlimited"
	DefaultEvictionRateMicros = 1_000_000       // one actor a second
	// MaxWindowTurns bounds how many actors one window names.
	MaxWindowTurns = 10_000
)

// Tokens are counted in nano-actors: a rate in micro-actors a second times milliseconds.
const (
	tokenNanos = 1_000_000_000
	// burstMs is how much of the rate is saved up beyond one whole token, and debtMs how much of it may be owed.
	burstMs = 100
	debtMs  = 10_000
)

// Bucket is how much of its pace a pool has left, and the window of actors that are named to be evicted next.
type Bucket struct {
	Nanos    int64  // nano-actors; below zero: owed for forced moves
	AtMs     int64  // cluster clock at which that many were there
	Emptying uint32 // number of the runner that is being emptied; 0: none

	WindowFromMs     int64 // cluster clock of its first turn
	WindowTurns      uint32
	WindowRateMicros uint64 // that it was made for: another rate makes another window
}

func bucketCap(rateMicros uint64) int64 { return tokenNanos + int64(rateMicros)*burstMs }

// at returns the bucket as it is at a later clock, having been filled at a rate. Neither a burst nor a debt ever exceeds what the rate allows.
func (b Bucket) at(clockMs int64, rateMicros uint64) Bucket {
	rate := int64(rateMicros)
	full, debt := bucketCap(rateMicros), -rate*debtMs
	b.Nanos = min(max(b.Nanos, debt), full)
	if elapsed := clockMs - b.AtMs; elapsed > 0 {
		if elapsed > (full-b.Nanos)/rate {
			b.Nanos = full
		} else {
			b.Nanos += elapsed * rate
		}
		b.AtMs = clockMs
	}
	return b
}

// draw takes a token.
func (b Bucket) draw() Bucket {
	b.Nanos -= tokenNanos
	return b
}

// owe takes a token for a forced move, as debt, as far as debt goes.
func (b Bucket) owe(rateMicros uint64) Bucket {
	b.Nanos = min(b.Nanos, max(b.Nanos-tokenNanos, -int64(rateMicros)*debtMs))
	return b
}

// HasToken tells whether a planned eviction may be decided.
func (b Bucket) HasToken() bool { return b.Nanos >= tokenNanos }

// TokenMs returns the cluster clock at which there is a whole token, at a rate.
func (b Bucket) TokenMs(rateMicros uint64) int64 {
	if b.HasToken() {
		return b.AtMs
	}
	rate := int64(rateMicros)
	return b.AtMs + (tokenNanos-b.Nanos+rate-1)/rate
}

// TokensMicros returns how many micro-actors there are.
func (b Bucket) TokensMicros() int64 { return b.Nanos / 1000 }

// TurnMs returns the cluster clock of a turn of the window.
func (b Bucket) TurnMs(turn uint32) int64 {
	return b.WindowFromMs + turnOffsetMs(turn, b.WindowRateMicros)
}

// turnOffsetMs is when a turn comes after the first one. Rounded up, turns never come faster than the rate.
func turnOffsetMs(turn uint32, rateMicros uint64) int64 {
	return (int64(turn)*tokenNanos + int64(rateMicros) - 1) / int64(rateMicros)
}

// Bucket returns a pool's bucket at the state's clock.
func (s *State) Bucket(p *Pool) Bucket {
	return s.buckets.Get(p.ordinal).at(s.clockMs, p.EvictionRateMicros())
}

// DrawnMs returns the cluster clock at which a pool's bucket was drawn from last, or else its pace was changed.
func (s *State) DrawnMs(p *Pool) int64 { return s.buckets.Get(p.ordinal).AtMs }

// EvictionRateMicros returns how many micro-actors a second may be evicted.
func (p *Pool) EvictionRateMicros() uint64 {
	if p.Config != nil && p.Config.EvictionRateMicrosPerS != nil {
		return min(max(p.Config.GetEvictionRateMicrosPerS(), MinEvictionRateMicros), MaxEvictionRateMicros)
	}
	return DefaultEvictionRateMicros
}

// EvictionDelayMs returns how long after the beginning of a drain its planned evictions begin.
func (p *Pool) EvictionDelayMs() int64 { return int64(p.Config.GetEvictionDelayS()) * 1000 }

// EvictionPeriodMs returns how far ahead planned evictions are named, and within what time the actors of one runner are moved when they
// must be.
func (p *Pool) EvictionPeriodMs() int64 { return int64(p.Config.GetEvictionPeriodS()) * 1000 }

// WindowSize returns how many actors a window names: what the rate moves in a period; 0: nobody is named.
func (p *Pool) WindowSize() uint32 {
	period := uint64(p.EvictionPeriodMs())
	if period == 0 {
		return 0
	}
	rate := p.EvictionRateMicros()
	if rate > MaxWindowTurns*tokenNanos/period { // rate·period in nano-actors would exceed the greatest window, or the number
		return MaxWindowTurns
	}
	return uint32(max(rate*period/tokenNanos, 1))
}

// MaxUnreceived returns how many planned evictions may lack their receipt: a second's worth.
func (p *Pool) MaxUnreceived() uint32 { return uint32((p.EvictionRateMicros() + 999_999) / 1_000_000) }

// DrainOn tells whether runners of an older version drain. A config that somebody wrote drains unless it says otherwise; one that was
// made when a runner connected does not.
func (p *Pool) DrainOn() bool {
	switch {
	case p.Config == nil:
		return false
	case p.Config.DrainOnVersionUpgrade != nil:
		return p.Config.GetDrainOnVersionUpgrade()
	}
	return !p.AutoCreated
}

// putBucket writes a pool's bucket.
func (tx *Tx) putBucket(p *Pool, b Bucket) {
	tx.touchedBuckets = append(tx.touchedBuckets, p.ordinal)
	tx.rehash(tx.buckets.Get(p.ordinal).hash(p.seed), b.hash(p.seed))
	tx.buckets.Set(p.ordinal, b)
	tx.lookAgain(p.ordinal)
}
