package scheduler

import (
	"testing"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What the order of drains and the rule of versions must not do: cases that were found by hand.

func (w *world) putPoolConfig(c *callboardv1.PoolConfig) {
	w.command(&nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "default", Config: c}}}, "")
}

func (w *world) startOne(name string, version, slots uint32) *process {
	p := w.start(&process{name: name, version: version, slots: slots, dials: true})
	w.turn(Input{})
	return p
}

func (w *world) row(p *process) *fsm.Runner { return w.view.Runner(p.runner) }

func (w *world) defaultPool() *fsm.Pool {
	return w.view.Pool(fsm.PoolID{Namespace: w.defaultNamespace().ID, Name: "default"})
}

func (w *world) drainBy(p *process, force bool, deadlineMs uint32) {
	w.command(&nodev1.Command{Command: &nodev1.Command_DrainRunner{DrainRunner: &callboardv1.DrainRequest{
		Namespace: "default", RunnerId: fsm.ID(p.runner).String(), Force: force, DeadlineMs: deadlineMs,
	}}}, "")
}

// §8: a planned eviction without room is blocked, "--force overrides". A drain by force must not wait behind one that has no room.
func TestAForcedDrainDoesNotWaitForTheRoomOfAnother(t *testing.T) {
	w := newWorld(t)
	rate := uint64(10_000_000)
	w.putPoolConfig(&callboardv1.PoolConfig{ActorEvictionRateMicros: &rate})
	r1 := w.startOne("r1", 1, 1)
	w.command(create("a1", "", "default", 0), "")
	r2 := w.startOne("r2", 1, 1)
	w.command(create("a2", "", "default", 0), "")
	w.advance(1_000)
	w.drainBy(r1, false, 0)
	w.advance(5_000)
	w.drainBy(r2, true, 0)
	w.advance(20_000)
	if left := w.row(r2).Left(); left > 0 {
		t.Errorf("20 s after `drain r2 --force` it has %d of its actors left: r1 has no room and is looked at first (r1: %d left)", left, w.row(r1).Left())
	}
}

// §8: rollouts are to a newer version. While the newest is merely away, what an outdated runner was given as a last resort must not open
// one to a version that is not newer than that runner's.
func TestNoRolloutToAVersionThatIsNotNewer(t *testing.T) {
	for _, outdated := range []uint32{1, 2} {
		w := newWorld(t)
		drain, lost := true, uint32(600)
		w.putPoolConfig(&callboardv1.PoolConfig{DrainOnVersionUpgrade: &drain, RunnerLostThreshold: &lost})
		newest := w.startOne("newest", 3, 1)
		old := w.startOne("old", outdated, 3) // stands by
		w.turn(Input{Reports: []*nodev1.SessionReport{newest.broken()}})
		newest.die()
		w.command(create("a1", "", "default", 0), "") // as a last resort
		w.startOne("another", 1, 3)
		p := w.defaultPool()
		if open := w.view.OpenRollout(p); open != nil && open.Version <= outdated {
			t.Errorf("a rollout to version %d is open, for the runner %s of version %d", open.Version, w.label(w.row(old).ID[:]), outdated)
		}
		w.advance(120_000)
		if open := w.view.OpenRollout(p); open != nil && open.Version <= outdated {
			t.Errorf("two minutes later it still is: waiting %d, binds %q", RolloutStatus(w.view, open).GetWaiting(), RolloutStatus(w.view, open).GetBinds())
		}
	}
}

// §8: evict_ts is the turn of a planned eviction. A runner that must give up its actors whatever the pace has no such turns any more.
func TestTurnsEndWhenTheirRunnerIsForced(t *testing.T) {
	w := newWorld(t)
	rate, period, lost := uint64(100_000), uint32(100), uint32(600)
	w.putPoolConfig(&callboardv1.PoolConfig{ActorEvictionRateMicros: &rate, ActorEvictionPeriod: &period, RunnerLostThreshold: &lost})
	old := w.startOne("old", 1, 20)
	for range 12 {
		w.command(create("", "", "default", 0), "")
	}
	w.startOne("new", 1, 30)
	w.advance(1_000)
	w.drainBy(old, false, 20_000)
	w.advance(45_000) // the deadline passed 25 s ago: forced
	late := 0
	for a := range w.view.ActorsOf(w.row(old), 0) {
		if a.Named() && a.EvictMs < w.clockMs {
			late++
		}
	}
	if late > 0 {
		t.Errorf("%d actors still show a turn that has passed long ago, on a runner whose moves are forced", late)
	}
}

// §7: a key is free only after the stop is confirmed, also that of a body which a runner has unwanted and its actor waits for.
func TestAKeyIsNotFreeWhileABodyOfItsActorRuns(t *testing.T) {
	w := newWorld(t)
	lost := uint32(600)
	w.putPoolConfig(&callboardv1.PoolConfig{RunnerLostThreshold: &lost})
	w.startOne("r1", 0, 2)
	w.command(create("a1", "k", "default", 0), "")
	r2 := w.start(&process{name: "r2", slots: 2, manual: true, dials: true})
	ref := fsm.Ref{Actor: w.actorID("a1"), Generation: 7}
	r2.bodies = map[fsm.Ref]*body{ref: {ref: ref}}
	w.turn(Input{})
	if a := w.actor("a1"); a.Orphans != 1 {
		t.Fatalf("a1 waits for %d bodies", a.Orphans)
	}
	w.command(&nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default", ActorId: fsm.ID(w.actorID("a1")).String()}}}, "")
	w.advance(1_000)
	answer := w.command(create("a2", "k", "default", 0), "")
	if answer.Refusal == nil && w.view.IsOrphan(w.row(r2), ref) {
		t.Errorf("a2 was created with the key of a1 while r2 still runs %v: want key_busy", ref)
	}
}

// §4: a runner that connects already outdated stands by: also when the next rollout of its pool has to wait.
func TestWhoConnectsOutdatedStandsByAlsoInTheWait(t *testing.T) {
	w := newWorld(t)
	rate, drain := uint64(100_000), true
	w.putPoolConfig(&callboardv1.PoolConfig{ActorEvictionRateMicros: &rate, DrainOnVersionUpgrade: &drain})
	w.startOne("r1", 1, 5)
	for range 3 {
		w.command(create("", "", "default", 0), "")
	}
	r2 := w.startOne("r2", 2, 9)
	w.turn(Input{Reports: []*nodev1.SessionReport{r2.broken()}})
	r2.die()
	w.advance(20_000) // called off
	w.startOne("r3", 2, 9)
	w.advance(5_000)
	r4 := w.startOne("r4", 1, 5)
	w.advance(90_000)
	if r := w.row(r4); r.SafeToTerminate() {
		t.Errorf("r4, which came outdated and never had an actor, is told that it is drained and ends; want stand-by")
	}
}

// While such a rollout is open its evictions are refused by Do, and nothing else of the pool is evicted: an operator's drain hangs.
func TestARolloutToTheSameVersionHoldsUpNoDrain(t *testing.T) {
	w := newWorld(t)
	drain, lost := true, uint32(600)
	w.putPoolConfig(&callboardv1.PoolConfig{DrainOnVersionUpgrade: &drain, RunnerLostThreshold: &lost})
	newest := w.startOne("newest", 3, 1)
	w.startOne("old", 1, 3) // stands by
	w.turn(Input{Reports: []*nodev1.SessionReport{newest.broken()}})
	newest.die()
	w.command(create("a1", "", "default", 0), "") // as a last resort
	another := w.startOne("another", 1, 3)
	w.command(create("a2", "", "default", 0), "")
	w.command(create("a3", "", "default", 0), "")
	w.startOne("third", 1, 30)
	w.advance(5_000)
	w.drainBy(another, false, 0)
	w.advance(60_000)
	if left := w.row(another).Left(); left > 0 {
		t.Errorf("a minute after its drain began %d of its actors are left, with 30 free slots beside it: %v", left, DrainStatus(w.view, w.row(another)).GetBlockedBy())
	}
}

// A runner that cannot be emptied for want of room of its version must not hold up another one, for whose actors there is room.
func TestADrainWithRoomDoesNotWaitForOneWithout(t *testing.T) {
	w := newWorld(t)
	drain, rate := false, uint64(10_000_000)
	w.putPoolConfig(&callboardv1.PoolConfig{DrainOnVersionUpgrade: &drain, ActorEvictionRateMicros: &rate})
	b := w.startOne("b", 1, 3)
	for range 3 {
		w.command(create("", "", "default", 0), "")
	}
	a := w.startOne("a", 2, 3)
	for range 3 {
		w.command(create("", "", "default", 0), "")
	}
	w.startOne("a2", 2, 1)
	w.command(create("", "", "default", 0), "") // full: no room for those of a
	w.startOne("c", 1, 50)                      // room for version 1 only
	w.advance(1_000)
	w.drainBy(a, false, 3_600_000) // an hour: it comes first
	w.advance(5_000)
	w.drainBy(b, false, 0)
	w.advance(60_000)
	if left := w.row(b).Left(); left > 0 {
		t.Errorf("a minute after its drain began %d actors of b are left, with 50 free slots for them: %v", left, DrainStatus(w.view, w.row(b)).GetBlockedBy())
	}
}
