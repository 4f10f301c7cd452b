package fsm

// Phase is the state of an actor.
type Phase uint8

// The phases, numbered as callboard.v1.ActorState.
const (
	NoPhase Phase = iota
	Pending
	Starting
	Running
	Stopping
	Sleeping
	BackingOff
	Destroyed
	phaseCount
)

var phaseNames = [phaseCount]string{"none", "pending", "starting", "running", "stopping", "sleeping", "backing_off", "destroyed"}

func (p Phase) String() string {
	if p < phaseCount {
		return phaseNames[p]
	}
	return "invalid"
}

// OnRunner tells whether a runner has the actor, so that it holds a slot.
func (p Phase) OnRunner() bool { return p == Starting || p == Running || p == Stopping }

// Event is what can happen to an actor: one per op.
type Event uint8

// The events.
const (
	EventCreate Event = iota
	EventAssign
	EventRunning
	EventStop
	EventStopped // leads to the phase that the op names
	EventEnqueue
	EventSleep
	EventWake
	EventDestroy
	EventForget
	eventCount
)

var eventNames = [eventCount]string{"create", "assign", "running", "stop", "stopped", "enqueue", "sleep", "wake", "destroy", "forget"}

func (e Event) String() string {
	if e < eventCount {
		return eventNames[e]
	}
	return "invalid"
}

// transitions is the life of an actor: every legal step, and no other. A step that may lead to several phases (stopped) lists them
// all, and its op names one. A step from a phase to itself changes what the actor is on its way to (a stop that becomes a destroy, a
// wake kept for later).
//
// docs/concepts.md draws this table; a test holds the drawing to it.
var transitions = [phaseCount][eventCount][]Phase{
	NoPhase: {
		EventCreate: {Pending},
	},
	Pending: {
		EventAssign:  {Starting},
		EventEnqueue: {Pending},
		EventSleep:   {Sleeping},
		EventDestroy: {Destroyed},
	},
	Starting: {
		EventRunning: {Running},
		EventStop:    {Stopping},
		EventStopped: {Pending, BackingOff, Sleeping, Destroyed},
	},
	Running: {
		EventStop:    {Stopping},
		EventStopped: {Pending, BackingOff, Sleeping, Destroyed},
	},
	Stopping: {
		EventStop:    {Stopping},
		EventWake:    {Stopping},
		EventStopped: {Pending, BackingOff, Sleeping, Destroyed},
	},
	Sleeping: {
		EventWake:    {Pending},
		EventDestroy: {Destroyed},
	},
	BackingOff: {
		EventEnqueue: {Pending},
		EventSleep:   {Sleeping},
		EventDestroy: {Destroyed},
	},
	Destroyed: {
		EventForget: {NoPhase},
	},
}

// Next lists the phases that an event may lead to; none: the event is illegal there.
func Next(from Phase, event Event) []Phase {
	if from >= phaseCount || event >= eventCount {
		return nil
	}
	return transitions[from][event]
}

// Legal tells whether an event may lead from one phase to another.
func Legal(from Phase, event Event, to Phase) bool {
	for _, p := range Next(from, event) {
		if p == to {
			return true
		}
	}
	return false
}
