package scheduler

import (
	"crypto/sha256"
	"fmt"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxPlanPoints bounds how finely a plan shows its course.
const maxPlanPoints = 100

// Plan tells what runners of a newer version with so many slots together would do to a pool; 0 slots: as many as its actors need. Nothing
// changes: it runs ahead on a copy.
func Plan(v *fsm.View, p *fsm.Pool, version uint32, slots uint64) *callboardv1.RolloutPlan {
	plan := &callboardv1.RolloutPlan{
		Namespace: v.PoolNamespace(p).Name, Pool: p.ID.Name, Version: version, Slots: slots, Drain: p.DrainOn(), Asleep: v.PoolStats(p).Sleeping,
	}
	if slots == 0 {
		plan.Slots = uint64(max(v.PoolStats(p).Live, 1))
	}
	newest, some := v.NewestVersion(p)
	switch {
	case !p.DrainOn():
		plan.Binds = "nothing moves: drain_on_version_upgrade is off, versions coexist, and only sleeping actors wake on the newest"
		return plan
	case some && version <= newest:
		plan.Binds = fmt.Sprintf("nothing moves: the pool has version %d already, and %d is not newer", newest, version)
		return plan
	}
	// More slots than actors change nothing, but for the runners that would have to be imagined.
	slots = min(plan.GetSlots(), uint64(max(v.PoolStats(p).Live, 1)))
	f := foretell(v, p.ID, planReach, func(tx *fsm.Tx) { imagine(tx, p, version, slots) })
	plan.Moves, plan.Stays, plan.Runners, plan.Estimate = uint32(len(f.turns)), 0, f.runners, f.estimate
	if f.blocked {
		plan.Stays = f.left
	}
	if len(f.turns) > 0 {
		plan.FirstMs, plan.DurationMs, plan.PeakPerS = f.turns[0]-f.startMs, f.endMs-f.startMs, peak(f.turns)
	}
	plan.Points = points(f)
	end := f.view.Pool(p.ID)
	if until := f.view.RolloutWaitMs(end); until != 0 { // it keeps rollouts from beginning, and no other drain
		plan.BlockedBy = append(plan.BlockedBy, blocker(f.view, outlook{blocked: blockedCalledOff, atMs: until}))
	}
	switch {
	case f.noRoom:
		plan.BlockedBy = append(plan.BlockedBy, blocker(f.view, outlook{blocked: blockedNoCapacity}))
	case !f.estimate || f.blocked:
		plan.BlockedBy = append(plan.BlockedBy, poolBlockers(f.view, end)...)
	}
	plan.Binds = binds(end, plan.GetMoves(), plan.GetBlockedBy())
	return plan
}

// imagine registers runners of a version in a copy of the state.
func imagine(tx *fsm.Tx, p *fsm.Pool, version uint32, slots uint64) {
	for i := 0; slots > 0; i++ {
		n := min(slots, fsm.MaxSlots)
		slots -= n
		id := sha256.Sum256(fmt.Appendf(nil, "planned runner %d", i))
		tx.Do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
			RunnerId: id[:16], NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Key: fmt.Sprintf("planned-%d", i), InstanceId: id[:16], SessionId: id[:16],
			Version: version, Slots: uint32(n), ThresholdMs: uint32(tx.LostThresholdMs(p)),
		}}})
	}
}

// peak returns the most turns within one second.
func peak(turns []int64) uint32 {
	most, from := 0, 0
	for to := range turns {
		for turns[to]-turns[from] >= 1000 {
			from++
		}
		most = max(most, to-from+1)
	}
	return uint32(most)
}

// points samples the course of a forecast.
func points(f forecast) []*callboardv1.PlanPoint {
	var course []*callboardv1.PlanPoint
	every := (len(f.turns) + maxPlanPoints - 1) / maxPlanPoints
	for i, at := range f.turns {
		if last := i == len(f.turns)-1; last || (i+1)%every == 0 {
			course = append(course, &callboardv1.PlanPoint{AtMs: at - f.startMs, Evicted: uint32(i + 1)})
		}
	}
	return course
}
