package fsm

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// G7, its first form, of the bucket alone: whatever the rates and however they change, whatever is owed, however the clock jumps, in
// every window of T at most 1 + rate·(T + 0.1 s) draws are made, for the greatest rate in force in it. And the bucket is not stingy: who
// draws whenever TokenMs says so gets what the rate allows.
func TestBucketKeepsThePace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &pacedWalk{t: t, rate: drawRate(t), clockMs: rapid.Int64Range(0, 1<<50).Draw(t, "clock")}
		w.bucket = Bucket{Nanos: bucketCap(w.rate), AtMs: w.clockMs}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			w.step()
			w.sound()
		}
		everyWindow(t, w.draws)
	})
}

// pacedWalk is one random history of a bucket.
type pacedWalk struct {
	t       *rapid.T
	bucket  Bucket
	rate    uint64
	clockMs int64
	draws   []pacedDraw
}

// pacedDraw is a draw and the rate that was in force, or a change of the rate.
type pacedDraw struct {
	atMs int64
	rate uint64
}

const rateChanged = -1 // in place of a clock

// drawRate draws a rate of any size.
func drawRate(t *rapid.T) uint64 {
	size := one[uint64](t, "size of the rate", 1, 1_000, 100_000, 1_000_000, 10_000_000, 1_000_000_000, MaxEvictionRateMicros)
	return min(rapid.Uint64Range(size, 9*size).Draw(t, "rate"), MaxEvictionRateMicros)
}

func (w *pacedWalk) step() {
	switch evenly(w.t, "step", 10) {
	case 0: // another rate, as replacePool does; its draws may follow at once
		w.bucket = w.bucket.at(w.clockMs, w.rate)
		w.rate = drawRate(w.t)
		w.bucket = w.bucket.at(w.clockMs, w.rate)
		w.draws = append(w.draws, pacedDraw{rateChanged, w.rate})
	case 1: // a forced move
		before := w.bucket.at(w.clockMs, w.rate)
		w.bucket = before.owe(w.rate)
		if w.bucket.Nanos > before.Nanos || w.bucket.Nanos < before.Nanos-tokenNanos {
			w.t.Fatalf("a forced move took %d", before.Nanos-w.bucket.Nanos)
		}
	case 2:
		w.clockMs += rapid.Int64Range(0, 1<<45).Draw(w.t, "leap")
	case 3, 4:
		w.clockMs += one[int64](w.t, "pass", 1, 10, 100, 1_000, 9_999)
	case 5: // when it says
		w.clockMs = max(w.clockMs, w.bucket.at(w.clockMs, w.rate).TokenMs(w.rate))
		if !w.bucket.at(w.clockMs, w.rate).HasToken() {
			w.t.Fatalf("no token at %d, when it was promised: %+v", w.clockMs, w.bucket.at(w.clockMs, w.rate))
		}
	default: // all that there are, as far as anybody would
		for range 1 + evenly(w.t, "eager", 30) {
			w.draw()
		}
	}
}

func (w *pacedWalk) draw() {
	if b := w.bucket.at(w.clockMs, w.rate); b.HasToken() {
		w.bucket = b.draw()
		w.draws = append(w.draws, pacedDraw{w.clockMs, w.rate})
	}
}

func (w *pacedWalk) sound() {
	b := w.bucket.at(w.clockMs, w.rate)
	if b.Nanos > bucketCap(w.rate) || b.Nanos < -int64(w.rate)*debtMs || b.AtMs != max(w.bucket.AtMs, w.clockMs) {
		w.t.Fatalf("at a rate of %d: %+v", w.rate, b)
	}
	if !b.HasToken() {
		at := b.TokenMs(w.rate)
		if at <= w.clockMs || b.at(at-1, w.rate).HasToken() || !b.at(at, w.rate).HasToken() {
			w.t.Fatalf("at a rate of %d and %d: the next token was promised for %d: %+v", w.rate, w.clockMs, at, b)
		}
	}
}

// everyWindow counts the draws between any two: in T at most 1 + rate·(T + 100 ms), for the greatest rate in force since the first.
func everyWindow(t *rapid.T, draws []pacedDraw) {
	for i, first := range draws {
		if first.atMs == rateChanged {
			continue
		}
		count, rate := int64(0), first.rate
		for _, d := range draws[i:] {
			rate = max(rate, d.rate)
			if d.atMs == rateChanged {
				continue
			}
			count++
			allowed := new(big.Int).Mul(new(big.Int).SetUint64(rate), big.NewInt(d.atMs-first.atMs+100))
			allowed.Add(allowed.Div(allowed, big.NewInt(1_000_000_000)), big.NewInt(1))
			if allowed.Cmp(big.NewInt(count)) < 0 {
				t.Fatalf("%d draws from %d to %d, at most %d at a rate of %d", count, first.atMs, d.atMs, allowed, rate)
			}
		}
	}
}

// Whoever draws as soon as there is a token uses at least nine tenths of the rate, also of one that is no multiple of anything.
func TestBucketIsNotStingy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := drawRate(t)
		b := Bucket{Nanos: rapid.Int64Range(-int64(rate)*debtMs, bucketCap(rate)).Draw(t, "nanos"), AtMs: 1_000}
		for range 3 { // what is owed is paid off first
			b = b.at(b.TokenMs(rate), rate).draw()
		}
		const draws = 2_000
		fromMs, drawn := b.AtMs, int64(0)
		for drawn < draws {
			if b = b.at(max(b.AtMs, b.TokenMs(rate)), rate); !b.HasToken() {
				t.Fatalf("no token when it was promised: %+v at a rate of %d", b, rate)
			}
			for b.HasToken() && drawn < draws {
				b, drawn = b.draw(), drawn+1
			}
		}
		if took := b.AtMs - fromMs; float64(drawn)*tokenNanos < 0.9*float64(rate)*float64(took) {
			t.Fatalf("%d draws in %d ms at a rate of %d", drawn, took, rate)
		}
	})
}

// A window's turns come 1/rate apart, never faster; and whoever draws at each of them finds a token.
func TestTurnsKeepThePace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := drawRate(t)
		p := &Pool{Config: &logv1.PoolConfig{EvictionRateMicrosPerS: &rate}}
		period := rapid.Uint32().Draw(t, "period")
		p.Config.EvictionPeriodS = &period
		size := p.WindowSize()
		if size > MaxWindowTurns || (size == 0) != (period == 0) {
			t.Fatalf("a window of %d turns", size)
		}
		b := Bucket{Nanos: tokenNanos, AtMs: 5_000, WindowFromMs: 5_000, WindowTurns: size, WindowRateMicros: rate}
		for turn := range size {
			at := b.TurnMs(turn)
			if at < 5_000+int64(turn)*1_000_000_000/int64(rate) {
				t.Fatalf("turn %d is at %d", turn, at)
			}
			if b = b.at(at, rate); !b.HasToken() {
				t.Fatalf("no token at turn %d: %+v", turn, b)
			}
			b = b.draw()
		}
	})
}

func TestPaceOfAPool(t *testing.T) {
	on, off, rate, tiny, huge := true, false, uint64(2_500_000), uint64(0), uint64(1)<<63
	seconds := func(n uint32) *uint32 { return &n }
	tests := []struct {
		name       string
		pool       Pool
		drains     bool
		rate       uint64
		unreceived uint32
		window     uint32
	}{
		{"without a config", Pool{}, false, 1_000_000, 1, 0},
		{"written", Pool{Config: &logv1.PoolConfig{}}, true, 1_000_000, 1, 0},
		{"made for a runner", Pool{Config: &logv1.PoolConfig{}, AutoCreated: true}, false, 1_000_000, 1, 0},
		{"switched off", Pool{Config: &logv1.PoolConfig{DrainOnVersionUpgrade: &off}}, false, 1_000_000, 1, 0},
		{"switched on", Pool{Config: &logv1.PoolConfig{DrainOnVersionUpgrade: &on}, AutoCreated: true}, true, 1_000_000, 1, 0},
		{"of 2.5 a second", Pool{Config: &logv1.PoolConfig{EvictionRateMicrosPerS: &rate, EvictionPeriodS: seconds(10)}}, true, 2_500_000, 3, 25},
		{"too slow", Pool{Config: &logv1.PoolConfig{EvictionRateMicrosPerS: &tiny, EvictionPeriodS: seconds(10)}}, true, 1, 1, 1},
		{"too fast", Pool{Config: &logv1.PoolConfig{EvictionRateMicrosPerS: &huge, EvictionPeriodS: seconds(10)}}, true, MaxEvictionRateMicros, 100_000, MaxWindowTurns},
		{"for 136 years", Pool{Config: &logv1.PoolConfig{EvictionPeriodS: seconds(1<<32 - 1)}}, true, 1_000_000, 1, MaxWindowTurns},
	}
	for _, test := range tests {
		p := &test.pool
		if p.DrainOn() != test.drains || p.EvictionRateMicros() != test.rate || p.MaxUnreceived() != test.unreceived || p.WindowSize() != test.window {
			t.Errorf("a pool %s drains %v, at %d, with %d receipts missing, in windows of %d", test.name, p.DrainOn(), p.EvictionRateMicros(), p.MaxUnreceived(), p.WindowSize())
		}
	}
}
