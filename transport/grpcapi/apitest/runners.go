package apitest

import (
	"slices"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	"github.com/callboard/callboard/scheduler"
)

// Do applies ops, and then lets the scheduler place what they made possible.
func (e *Engine) Do(ops ...*logv1.Op) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.apply(ops...)
	e.step(scheduler.Input{})
}

// Advance moves the cluster clock, with every runner's heartbeat but those of the silent ones.
func (e *Engine) Advance(ms int64, silent ...fsm.RunnerID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.clockMs += ms
	var deltas []uint32
	var last uint32
	for number := uint32(1); number < 10_000; number++ {
		if r := e.view.RunnerByNumber(number); r != nil && !slices.Contains(silent, r.ID) {
			deltas = append(deltas, number-last)
			last = number
		}
	}
	e.apply(&logv1.Op{Op: &logv1.Op_RunnersSeen{RunnersSeen: &logv1.RunnersSeen{NumberDeltas: deltas}}})
	e.step(scheduler.Input{})
}

// AddPool writes a config whose versions coexist.
func (e *Engine) AddPool(namespace, pool string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id, drain := e.view.Namespace(namespace).ID, false
	e.apply(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: id[:], Name: pool, Config: &logv1.PoolConfig{DrainOnVersionUpgrade: &drain}}}})
}

// AddRunner registers a runner in the namespace default, and its pool if there is none.
func (e *Engine) AddRunner(pool, key string, version, slots uint32) fsm.RunnerID {
	return e.register(&logv1.RegisterRunner{Pool: pool, Key: key, Version: version, Slots: slots})
}

// AddKeeper is AddRunner with one that keeps its actors when its lease ends.
func (e *Engine) AddKeeper(pool, key string, version, slots uint32) fsm.RunnerID {
	return e.register(&logv1.RegisterRunner{Pool: pool, Key: key, Version: version, Slots: slots, KeepOnLeaseLost: true})
}

// AddHandler is AddRunner with one that gets only actors of certain names.
func (e *Engine) AddHandler(pool, key string, version, slots uint32, names ...string) fsm.RunnerID {
	return e.register(&logv1.RegisterRunner{Pool: pool, Key: key, Version: version, Slots: slots, ActorNames: names})
}

func (e *Engine) register(op *logv1.RegisterRunner) fsm.RunnerID {
	pool := op.GetPool()
	e.mu.Lock()
	defer e.mu.Unlock()
	ns := e.view.Namespace("default").ID
	if e.view.Pool(fsm.PoolID{Namespace: ns, Name: pool}) == nil {
		e.apply(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns[:], Name: pool, Config: &logv1.PoolConfig{}, AutoCreated: true}}})
	}
	id, instance, session := e.mint(), e.mint(), e.mint()
	op.RunnerId, op.NamespaceId, op.InstanceId, op.SessionId, op.Holder = id[:], ns[:], instance[:], session[:], "n1"
	op.ThresholdMs, op.MetadataJson, op.AdvertisedAddr = 15_000, `{"zone":"a"}`, "10.0.0.1:7000"
	e.apply(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: op}})
	e.step(scheduler.Input{})
	return fsm.RunnerID(id)
}

// EndRunner ends a runner that has no actors.
func (e *Engine) EndRunner(id fsm.RunnerID) {
	e.Do(&logv1.Op{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: id[:]}}})
}

// Disconnect breaks a runner's stream.
func (e *Engine) Disconnect(id fsm.RunnerID) {
	e.mu.Lock()
	session := e.view.Runner(id).Session
	e.mu.Unlock()
	e.Do(&logv1.Op{Op: &logv1.Op_DisconnectRunner{DisconnectRunner: &logv1.DisconnectRunner{RunnerId: id[:], SessionId: session[:]}}})
}

// ReportRunning makes every starting actor run.
func (e *Engine) ReportRunning() {
	e.eachOnRunner(fsm.Starting, func(a *fsm.Actor) *logv1.Op {
		return &logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: refOf(a)}}}
	})
}

// ReportStopped confirms every stop, cleanly.
func (e *Engine) ReportStopped() {
	e.eachOnRunner(fsm.Stopping, func(a *fsm.Actor) *logv1.Op {
		next := logv1.NextState_NEXT_STATE_PENDING
		switch {
		case a.Destroying:
			next = logv1.NextState_NEXT_STATE_DESTROYED
		case a.StopReason == fsm.StopSleep && !a.WakeKept:
			next = logv1.NextState_NEXT_STATE_SLEEPING
		}
		return stopped(a, &logv1.ActorStopped{Clean: true, Next: next})
	})
}

// ReportCrashed ends every running actor with an error; each backs off.
func (e *Engine) ReportCrashed(message string) {
	e.mu.Lock()
	at := e.clockMs + 5_000
	e.mu.Unlock()
	e.eachOnRunner(fsm.Running, func(a *fsm.Actor) *logv1.Op {
		return stopped(a, &logv1.ActorStopped{Message: message, Next: logv1.NextState_NEXT_STATE_BACKING_OFF, RescheduleMs: at, Penalty: true})
	})
}

func stopped(a *fsm.Actor, op *logv1.ActorStopped) *logv1.Op {
	op.Ref, op.Cause = refOf(a), logv1.StopCause_STOP_CAUSE_CONFIRMED
	return &logv1.Op{Op: &logv1.Op_ActorStopped{ActorStopped: op}}
}

func refOf(a *fsm.Actor) *logv1.Ref { return &logv1.Ref{ActorId: a.ID[:], Generation: a.Generation} }

func (e *Engine) eachOnRunner(phase fsm.Phase, report func(*fsm.Actor) *logv1.Op) {
	e.mu.Lock()
	var ops []*logv1.Op
	for ns := range e.view.Namespaces("") {
		for r := range e.view.Runners(ns, 0) {
			for a := range e.view.ActorsOf(r, 0) {
				if a.Phase == phase {
					ops = append(ops, report(a))
				}
			}
		}
	}
	e.mu.Unlock()
	if len(ops) > 0 {
		e.Do(ops...)
	}
}
