package scheduler

import (
	"math"
	"testing"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// A plan looks ahead step by step for a while, and in one stride from there on. It says what it would say if it went step by step to the end,
// within two in a hundred.
func TestAPlanInStridesIsAsGoodAsOneInSteps(t *testing.T) {
	pace := func(perS uint64, periodS, delayS uint32) *logv1.PoolConfig {
		return drains(func(p *logv1.PoolConfig) {
			p.EvictionRateMicrosPerS, p.EvictionPeriodS, p.EvictionDelayS = ptr(perS*1_000_000), ptr(periodS), ptr(delayS)
		})
	}
	operator := func(c *costly) { // another drain, which is under way
		c.w.seed(func(do func(*logv1.Op)) {
			id := c.runner("old", 0).ID
			do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id[:], Cause: uint32(fsm.DrainOperator)}}})
		})
		c.w.clockMs += 100_000
	}
	worlds := []struct {
		name   string
		config *logv1.PoolConfig
		slots  uint64 // of the new version; 0: enough
		more   func(c *costly)
	}{
		{"the default pace", drains(nil), 0, nil},
		{"a slow one", drains(func(p *logv1.PoolConfig) { p.EvictionRateMicrosPerS = ptr[uint64](70_000) }), 0, nil},
		{"a fast one", pace(300, 0, 0), 0, nil},
		{"unlimited", pace(100_000, 0, 0), 0, nil},
		{"windows", pace(5, 60, 0), 0, nil},
		{"a delay", pace(10, 0, 500), 0, nil},
		{"a delay and another drain", pace(10, 0, 500), 0, operator},
		{"windows, a delay and another drain", pace(10, 30, 300), 0, operator},
		{"no room for all", pace(3, 0, 0), 1_700, nil},
		{"no room for all, in windows", pace(3, 60, 0), 1_700, nil},
		{"some are away", pace(3, 0, 0), 0, func(c *costly) {
			c.w.seed(func(do func(*logv1.Op)) {
				r := c.runner("old", 3)
				do(&logv1.Op{Op: &logv1.Op_DisconnectRunner{DisconnectRunner: &logv1.DisconnectRunner{RunnerId: r.ID[:], SessionId: r.Session[:]}}})
			})
		}},
	}
	near := func(a, b int64) bool { return math.Abs(float64(a-b)) <= 0.02*float64(max(a, b)) }
	for _, world := range worlds {
		t.Run(world.name, func(t *testing.T) {
			c := newCostly(t)
			c.pool("p", world.config)
			c.runners("p", "old", 20, 1, 200, 600_000)
			c.actors("p", "old", 20, 100)
			if world.more != nil {
				world.more(c)
			}
			p := c.w.view.Pool(fsm.PoolID{Namespace: c.ns().ID, Name: "p"})
			slots := world.slots
			if slots == 0 {
				slots = 2_000
			}
			exact := foretell(c.w.view, p.ID, reach{steps: math.MaxInt, ops: math.MaxInt}, func(tx *fsm.Tx) { imagine(tx, p, 2, slots) })
			plan := Plan(c.w.view, p, 2, world.slots)
			if !plan.GetEstimate() {
				t.Error("it went step by step to the end")
			}
			if first := exact.turns[0] - exact.startMs; plan.GetFirstMs() != first {
				t.Errorf("the first moves after %d ms, want %d", plan.GetFirstMs(), first)
			}
			if took := exact.endMs - exact.startMs; !near(plan.GetDurationMs(), took) {
				t.Errorf("it takes %d ms, want %d", plan.GetDurationMs(), took)
			}
			if !near(int64(plan.GetMoves()), int64(len(exact.turns))) || !near(int64(plan.GetPeakPerS()), int64(peak(exact.turns))) {
				t.Errorf("%d moves, %d in a second, want %d and %d", plan.GetMoves(), plan.GetPeakPerS(), len(exact.turns), peak(exact.turns))
			}
			if !near(int64(plan.GetStays()), int64(exact.left)) {
				t.Errorf("%d stay, want %d", plan.GetStays(), exact.left)
			}
			for _, point := range plan.GetPoints() {
				if at := exact.turns[min(int(point.GetEvicted()), len(exact.turns))-1] - exact.startMs; !near(point.GetAtMs()+1_000, at+1_000) {
					t.Fatalf("%d have moved after %d ms, want %d", point.GetEvicted(), point.GetAtMs(), at)
				}
			}
		})
	}
}
