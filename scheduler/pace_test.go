package scheduler

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestPace moves a pool to a newer version at random rates from one in a hundred seconds to ten thousand a second, with config changes,
// elections and restores on the way, and a runner that takes up to a second to acknowledge. The audit's stop watch finds no window that is
// too full (G7), and of what is allowed at least nine tenths are used while there is work.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newPaced(t)
		for w.left() > 0 && w.segments < 8 {
			w.segment()
		}
		t.Logf("%d moved of %.1f that were allowed", w.moved, float64(w.allowedNanos)/1e9)
		// One may be on its way at each end of a segment.
		if used, least := int64(w.moved)*1_000_000_000, w.allowedNanos*9/10-2_000_000_000*int64(w.segments); used < least {
			t.Fatalf("%d moved, %.1f were allowed: less than nine tenths", w.moved, float64(w.allowedNanos)/1e9)
		}
	})
}

type paced struct {
	*world
	rt           *rapid.T
	rate         uint64 // µ/s
	delay        uint32
	segments     int
	moved        int
	allowedNanos int64 // what the rate allowed, in billionths of an actor, while there was work
}

func newPaced(t *rapid.T) *paced {
	w := &paced{world: newWorld(t), rt: t}
	w.quiet = true
	w.watch = func(ops []*logv1.Op) {
		for _, op := range ops {
			if op.GetEvictActor() != nil {
				w.moved++
			}
		}
	}
	w.config()
	lags := rapid.Int64Range(0, 1_000).Draw(t, "lags")
	w.start(&process{name: "old", version: 1, slots: fsm.MaxSlots, lags: lags})
	w.turn(Input{})
	for i := range rapid.SampledFrom([]int{1, 2, 5}).Draw(t, "hundreds of actors") {
		var in Input
		for j := range 100 {
			in.Commands = append(in.Commands, Command{Command: create(fmt.Sprint("a", i, "-", j), "", "default", 0)})
		}
		w.turn(in)
	}
	w.start(&process{name: "new", version: 2, slots: fsm.MaxSlots, lags: lags})
	w.turn(Input{})
	w.advance(int64(w.delay) * 1000)
	return w
}

func (w *paced) pool() *fsm.Pool {
	return w.view.Pool(fsm.PoolID{Namespace: w.view.Namespace("default").ID, Name: "default"})
}

// left counts the actors that are still to be moved.
func (w *paced) left() uint32 { return w.view.PoolStats(w.pool()).Evictable }

// config draws a pace. The delay is drawn once: a longer one would take back what was allowed.
func (w *paced) config() {
	w.rate = rapid.SampledFrom([]uint64{10_000, 300_000, 1_000_000, 1_700_000, 7_000_000, 90_000_000, 1_000_000_000, 10_000_000_000}).Draw(w.rt, "rate")
	period := rapid.SampledFrom([]uint32{0, 0, 1, 7, 60}).Draw(w.rt, "period")
	if w.segments == 0 {
		w.delay = rapid.SampledFrom([]uint32{0, 1, 5}).Draw(w.rt, "delay")
	}
	w.command(&nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{
		Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{
			ActorEvictionRateMicros: &w.rate, ActorEvictionPeriod: &period, ActorEvictionDelay: &w.delay,
		},
	}}}, "")
}

// segment lets time pass at one pace, with an election or a restore in the middle.
func (w *paced) segment() {
	w.segments++
	lengthMs := int64(min(100_000_000_000/w.rate+1, 400)) * rapid.Int64Range(1, 5).Draw(w.rt, "length")
	before, began, work := w.moved, w.clockMs, w.left()
	w.advance(lengthMs / 2)
	switch rapid.SampledFrom([]string{"nothing", "election", "restore"}).Draw(w.rt, "meanwhile") {
	case "election":
		w.elect()
	case "restore":
		w.view = w.restored()
		w.unsettled = true
	}
	w.turn(Input{})
	w.advance(lengthMs - lengthMs/2)
	if w.left() > 0 {
		w.allowedNanos += (w.clockMs - began) * int64(w.rate)
	} else {
		w.allowedNanos += int64(min(int(work), w.moved-before)) * 1_000_000_000 // it did not need all the time
	}
	if rapid.Bool().Draw(w.rt, "change") {
		w.config()
	}
}
