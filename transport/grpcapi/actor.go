package grpcapi

import (
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// actorReader turns actors of one View into messages. It counts runners at most once per namespace, and only when an actor waits.
type actorReader struct {
	view     *fsm.View
	censuses map[fsm.NamespaceID]census
	handlers map[handledName]poolCount
}

func readActors(v *fsm.View) *actorReader {
	return &actorReader{view: v, censuses: map[fsm.NamespaceID]census{}, handlers: map[handledName]poolCount{}}
}

func (r *actorReader) census(ns *fsm.Namespace) census {
	c, ok := r.censuses[ns.ID]
	if !ok {
		c = takeCensus(r.view, ns)
		r.censuses[ns.ID] = c
	}
	return c
}

// runnersFor counts the runners of an actor's pool that handle its name.
func (r *actorReader) runnersFor(a *fsm.Actor) poolCount {
	p := r.view.ActorPool(a)
	if !r.view.ListsNames(p) {
		return r.census(r.view.ActorNamespace(a)).pool(p.ID.Name)
	}
	key := handledName{p.ID, a.Name}
	c, ok := r.handlers[key]
	if !ok {
		c = takeHandlers(r.view, p, a.Name)
		r.handlers[key] = c
	}
	return c
}

// message returns an actor as callers see it.
func (r *actorReader) message(a *fsm.Actor) *callboardv1.Actor {
	ns, pool := r.view.ActorNamespace(a), r.view.ActorPool(a)
	m := &callboardv1.Actor{
		ActorId:             a.ID.String(),
		Name:                a.Name,
		Namespace:           ns.Name,
		NamespaceId:         ns.ID.String(),
		Pool:                pool.ID.Name,
		CrashPolicy:         callboardv1.CrashPolicy(a.Policy),
		State:               callboardv1.ActorState(a.Phase),
		Generation:          a.Generation,
		CreateTs:            a.CreateMs,
		StartTs:             a.StartMs,
		ConnectableTs:       a.ConnectableMs,
		SleepTs:             a.SleepMs,
		PendingAllocationTs: a.PendingMs,
		RescheduleTs:        a.RescheduleMs,
		DestroyTs:           a.DestroyMs,
		AlarmTs:             a.AlarmMs,
		EvictTs:             evictTs(r.view, a),
		InputBytes:          uint32(len(a.Input)),
		StateBytes:          uint32(len(a.Saved)),
		Error:               r.trouble(a),
	}
	m.MayRunTwice = mayRunTwice(r.view, a)
	if a.HasKey {
		m.Key = &a.Key
	}
	if runner := r.view.RunnerByNumber(a.Runner); a.Runner != 0 && runner != nil {
		m.RunnerId = runner.ID.String()
	}
	why := r.reason(a)
	m.ReasonCode, m.Reason = why.code, why.text
	m.NextChangeTs, m.NextChange = nextChange(r.view, a)
	return m
}

// evictTs is when an actor will be, or was, asked to move; 0 when its turn has come and something holds it back: nobody knows until when.
func evictTs(v *fsm.View, a *fsm.Actor) int64 {
	if turnHasCome(v, a) {
		return 0
	}
	return wallAt(v, a.EvictMs)
}

func turnHasCome(v *fsm.View, a *fsm.Actor) bool { return a.Named() && a.EvictMs <= v.ClockMs() }

// mayRunTwice tells whether nothing promises that an actor has one body: it is on a runner that keeps actors without a lease, or was on one
// that was lost, and may go on there.
func mayRunTwice(v *fsm.View, a *fsm.Actor) bool {
	if r := v.RunnerByNumber(a.Runner); a.Runner != 0 && r != nil && r.KeepOnLeaseLost {
		return true
	}
	return leftAtKeeper(v, a) != nil
}

// leftAtKeeper is the runner that was lost with an actor, and that keeps actors without a lease; nil: there is none.
func leftAtKeeper(v *fsm.View, a *fsm.Actor) *fsm.Runner {
	if a.Trouble == nil || a.Trouble.Code != fsm.ErrorLost || a.Phase == fsm.Destroyed {
		return nil
	}
	if r := v.Runner(a.Trouble.Runner); r != nil && r.KeepOnLeaseLost {
		return r
	}
	return nil
}

// made returns the actor that a write answers with. One that is forgotten by now is told by its id alone.
func (r *actorReader) made(id []byte) *callboardv1.Actor {
	if len(id) != len(fsm.ActorID{}) {
		return &callboardv1.Actor{}
	}
	if a := r.view.Actor(fsm.ActorID(id)); a != nil {
		return r.message(a)
	}
	return &callboardv1.Actor{ActorId: fsm.ActorID(id).String(), State: callboardv1.ActorState_ACTOR_STATE_DESTROYED}
}

func (r *actorReader) trouble(a *fsm.Actor) *callboardv1.ActorError {
	t := a.Trouble
	if t == nil || t.Code == fsm.ErrorNone {
		return nil
	}
	e := &callboardv1.ActorError{Code: t.Code.String(), Message: troubleSentence(t)}
	if !fsm.ID(t.Runner).IsZero() {
		e.RunnerId = t.Runner.String()
	}
	return e
}

// troubleSentence says what went wrong and what to do.
func troubleSentence(t *fsm.Trouble) string {
	var sentence string
	switch t.Code {
	case fsm.ErrorCrashed:
		sentence = "it stopped with an error: look at the log of its runner"
	case fsm.ErrorLost:
		sentence = "its runner was lost: look whether that process or its network died"
	case fsm.ErrorNoResponse:
		sentence = "it did not report within actor_start_threshold that it runs: look at what its start does"
	case fsm.ErrorStopTimeout:
		sentence = "its stop was not confirmed in time: look at what its stop does"
	case fsm.ErrorAbandoned:
		sentence = "its code did not return when it was stopped and was abandoned: make it obey its context"
	case fsm.ErrorRefused:
		sentence = "the runner that was to start it refused: look at that runner's log"
	case fsm.ErrorVanished:
		sentence = "its runner came back without it and could not say how it ended"
	default:
		sentence = "it failed"
	}
	if told := t.Code == fsm.ErrorCrashed || t.Code == fsm.ErrorAbandoned || t.Code == fsm.ErrorRefused; told && t.Message != "" {
		return sentence + " (" + t.Message + ")"
	}
	return sentence
}

// wallAt turns a cluster clock into a wall clock, for display; 0 stays 0.
func wallAt(v *fsm.View, clockMs int64) int64 {
	if clockMs == 0 {
		return 0
	}
	return v.WallAt(clockMs)
}

// clockTime shows a wall clock time in a sentence.
func clockTime(unixMs int64) string {
	return time.UnixMilli(unixMs).UTC().Format("2006-01-02 15:04:05 UTC")
}
