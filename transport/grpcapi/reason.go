package grpcapi

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
)

// reason is why an actor does not run: a code for programs, which stays what it is, and a sentence for people.
type reason struct{ code, text string }

// reason says why an actor is pending, backing off or stopping; the zero value: it is none of these.
func (r *actorReader) reason(a *fsm.Actor) reason {
	switch a.Phase {
	case fsm.Pending:
		if why := whyWaiting(r.view, a); why != "" {
			return reason{"body_elsewhere", why}
		}
		if unserved := whyUnserved(r.view, r.view.ActorPool(a)); unserved.code != "" && !a.Paced() {
			return unserved
		}
		pool, count := r.view.ActorPool(a), r.runnersFor(a)
		if until := awaitedUntil(r.view, a); until != 0 && count.newestFree < a.FloorVersion {
			return reason{"awaiting_newer_version", fmt.Sprintf("it last ran on version %d, and no runner of that version or newer in pool %s takes actors: "+
				"it waits for one until %s, and then goes to an older version", a.FloorVersion, pool.ID.Name, clockTime(until))}
		}
		return count.whyPending(a, pool.ID.Name)
	case fsm.BackingOff:
		return whyBackingOff(r.view, a)
	case fsm.Stopping:
		return whyStopping(a)
	default:
		return reason{}
	}
}

// awaitedUntil returns the wall clock until which an actor in the queue waits for a runner of a version that is not below its floor; 0: it does
// not, or for as long as it takes.
func awaitedUntil(v *fsm.View, a *fsm.Actor) int64 {
	if await := v.Await(v.ActorPool(a)); a.Phase == fsm.Pending && !a.Paced() && await.Awaits(a.FloorVersion) {
		return v.WallAt(await.UntilMs)
	}
	return 0
}

// whyPending says in one sentence why an actor waits, and what would help.
func (p poolCount) whyPending(a *fsm.Actor, pool string) reason {
	switch {
	case a.Paced():
		return reason{"eviction_paced", fmt.Sprintf("what ran on its lost runner is placed again one after the other, at the pace of pool %s, and its turn is at %s; "+
			"a wake has it go first", pool, clockTime(a.RescheduleMs))}
	case p.registered == 0 && p.others > 0:
		return reason{"no_handler", fmt.Sprintf("no runner of pool %s has a handler for actors named %q (%s): start one that has",
			pool, a.Name, count(p.others, "runner"))}
	case p.registered == 0:
		return reason{"no_runner", fmt.Sprintf("no runner of pool %s is registered: start one", pool)}
	case p.connected == 0:
		return reason{"no_runner_connected", fmt.Sprintf("no runner of pool %s%s is connected (%d away): they come back, or start one", pool, p.which(), p.disconnected)}
	case p.placeable > 0 && p.newestFree < a.FloorVersion:
		return reason{"no_capacity_on_version", fmt.Sprintf("it last ran on version %d, and the free slots of pool %s are on version %d and older: it waits for a slot on version %d or newer",
			a.FloorVersion, pool, p.newestFree, a.FloorVersion)}
	case p.placeable > 0:
		return reason{"queued", fmt.Sprintf("it is next in the queue of pool %s", pool)}
	default:
		return reason{"no_capacity", fmt.Sprintf("no free slot in pool %s (%s; %d slots in all): add runners or slots", pool, p.breakdown(), p.totalSlots)}
	}
}

// which tells the counted runners from others of their pool.
func (p poolCount) which() string {
	if p.others == 0 {
		return ""
	}
	return fmt.Sprintf(" with a handler for actors named %q", p.name)
}

func whyBackingOff(v *fsm.View, a *fsm.Actor) reason {
	var retries uint32
	if a.Trouble != nil {
		retries = a.Trouble.Retries
	}
	times := "once"
	if retries > 1 {
		times = fmt.Sprintf("%d times in a row", retries)
	}
	if a.DueMs < v.ClockMs() {
		return reason{"retry_queued", fmt.Sprintf("it failed %s and its back-off is over; it is placed again in its turn, behind others that are due as well", times)}
	}
	return reason{"backing_off", fmt.Sprintf("it failed %s and is placed again at %s", times, clockTime(a.RescheduleMs))}
}

func whyStopping(a *fsm.Actor) reason {
	switch a.StopReason {
	case fsm.StopSleep:
		if a.WakeKept {
			return reason{"waking", "it was asked to sleep, and a wake waits for the end of the stop"}
		}
		return reason{"going_to_sleep", "it was asked to sleep"}
	case fsm.StopDestroy:
		return reason{"destroying", "it is being destroyed"}
	case fsm.StopEvict:
		return reason{"evicted", "its runner drains, it moves"}
	case fsm.StopReschedule:
		return reason{"rescheduled", "somebody asked for the move"}
	case fsm.StopNoResponse:
		return reason{"runner_no_response", "it did not say in time that it runs"}
	case fsm.StopReplaced:
		return reason{"runner_replaced", "another instance took its runner's key"}
	case fsm.StopShutdown:
		return reason{"runner_shutdown", "its runner shuts down"}
	default:
		return reason{"not_wanted", "the engine does not want it there"}
	}
}

// nextChange tells what happens next to an actor, and when, if that is known: by itself, unless something else comes first.
func nextChange(v *fsm.View, a *fsm.Actor) (atMs int64, what string) {
	switch {
	case turnHasCome(v, a):
		return 0, "its turn has come: its draining runner is asked to give it up as soon as nothing holds the pool's evictions back, see `callboard rollout status` and `callboard runner list`"
	case a.Named():
		return v.WallAt(a.EvictMs), "its turn comes: its draining runner is asked to give it up"
	case a.Paced():
		return a.RescheduleMs, "its turn comes: it is placed again"
	}
	switch a.Phase {
	case fsm.Starting:
		return v.WallAt(a.DueMs), "unless it reports by then that it runs, it is stopped and placed again"
	case fsm.Stopping:
		return v.WallAt(a.DueMs), "unless its end is reported by then, this life counts as lost"
	case fsm.BackingOff:
		return a.RescheduleMs, "the back-off ends and it is placed again"
	case fsm.Sleeping:
		if a.AlarmMs != 0 {
			return a.AlarmMs, "its alarm wakes it"
		}
		return 0, "nothing happens by itself: wake it"
	case fsm.Pending:
		if until := awaitedUntil(v, a); until != 0 {
			return until, "unless a runner of a newer version takes it first, it goes to an older one"
		}
		return nextServed(v, v.ActorPool(a))
	case fsm.Destroyed:
		return v.WallAt(a.DueMs), "it is forgotten"
	default:
		return 0, "nothing is due"
	}
}
