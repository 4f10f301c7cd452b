package server

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// moves are the events of rollouts, drains and evictions.
type moves struct {
	rollouts  *prometheus.CounterVec
	drains    *prometheus.CounterVec
	evictions *prometheus.CounterVec
}

func newMoves(registry prometheus.Registerer) moves {
	m := moves{
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_rollout_events_total",
			Help: "What happened to rollouts, as decided by this node while it led: opened, paused, resumed, done, called_off, superseded.",
		}, []string{"event"}),
		drains: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_drain_events_total",
			Help: "What happened to drains of runners (started, cancelled, finished), by cause.",
		}, []string{"event", "cause"}),
		evictions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_evictions_total",
			Help: "Actors moved off runners: planned, at the pool's pace, or forced.",
		}, []string{"kind"}),
	}
	registry.MustRegister(m.rollouts, m.drains, m.evictions)
	return m
}

// tellMove reads one op of an entry, against the Views before and after that entry.
func (e *events) tellMove(before, after *fsm.View, op *logv1.Op) {
	switch o := op.GetOp().(type) {
	case *logv1.Op_OpenRollout:
		id := poolID(o.OpenRollout.GetNamespaceId(), o.OpenRollout.GetPool())
		if p := before.Pool(id); p != nil {
			if open := before.OpenRollout(p); open != nil {
				e.rollout(after, "superseded", id, open.ID)
			}
		}
		e.rollout(after, "opened", id, 0, whatBinds(after, id)...)
	case *logv1.Op_PauseRollout:
		event := "resumed"
		if o.PauseRollout.GetPaused() {
			event = "paused"
		}
		e.rollout(after, event, poolID(o.PauseRollout.GetNamespaceId(), o.PauseRollout.GetPool()), 0, "reason", o.PauseRollout.GetReason())
	case *logv1.Op_CloseRollout:
		event := fsm.RolloutState(o.CloseRollout.GetState()).String()
		e.rollout(after, event, poolID(o.CloseRollout.GetNamespaceId(), o.CloseRollout.GetPool()), 0, "reason", o.CloseRollout.GetReason())
	case *logv1.Op_StartDrain:
		op := o.StartDrain
		e.drain(after, "started", op.GetRunnerId(), fsm.DrainCause(op.GetCause()), "reason", op.GetReason(), "force", op.GetForce(), "standby", op.GetStandby())
	case *logv1.Op_CancelDrain:
		cause := fsm.NotDraining
		if r := runnerOf(before, o.CancelDrain.GetRunnerId()); r != nil {
			cause = r.Drain.Cause
		}
		e.drain(after, "cancelled", o.CancelDrain.GetRunnerId(), cause)
	case *logv1.Op_FinishDrain:
		cause, total := fsm.NotDraining, uint32(0)
		if r := runnerOf(after, o.FinishDrain.GetRunnerId()); r != nil {
			cause, total = r.Drain.Cause, r.Drain.Total
		}
		e.drain(after, "finished", o.FinishDrain.GetRunnerId(), cause, "moved", total)
	case *logv1.Op_EvictActor:
		e.evicted(o.EvictActor.GetForced())
	case *logv1.Op_ActorStopped:
		if o.ActorStopped.GetForced() {
			e.evicted(true)
		}
	}
}

func (e *events) evicted(forced bool) {
	kind := "planned"
	if forced {
		kind = "forced"
	}
	e.moves.evictions.WithLabelValues(kind).Inc()
}

// rollout tells of one rollout of a pool; id 0: its newest.
func (e *events) rollout(v *fsm.View, event string, pool fsm.PoolID, id uint64, more ...any) {
	e.moves.rollouts.WithLabelValues(event).Inc()
	p := v.Pool(pool)
	if p == nil {
		return
	}
	for r := range v.Rollouts(p, 0) {
		if id != 0 && r.ID != id {
			continue
		}
		tell := e.log.Info
		if r.State == fsm.RolloutCalledOff {
			tell = e.log.Warn
		}
		tell("rollout "+strings.ReplaceAll(event, "_", " "), append([]any{
			"pool", pool.Name, "namespace", v.PoolNamespace(p).Name, "rollout", r.ID, "version", r.Version, "moved", r.Moved, "lost", r.Lost, "left", r.Left,
		}, more...)...)
		return
	}
}

// whatBinds tells of a rollout that begins how many actors wait, what rate binds them, and how long they take at that.
func whatBinds(v *fsm.View, id fsm.PoolID) []any {
	p := v.Pool(id)
	if p == nil {
		return nil
	}
	waiting, micros := v.PoolStats(p).Evictable, p.EvictionRateMicros()
	return []any{
		"waiting", waiting, "rate", float64(micros) / 1e6, "rate_is_default", p.Config == nil || p.Config.EvictionRateMicrosPerS == nil,
		"takes", time.Duration(float64(waiting) / float64(micros) * 1e6 * float64(time.Second)).Truncate(time.Millisecond),
	}
}

func (e *events) drain(v *fsm.View, event string, runnerID []byte, cause fsm.DrainCause, more ...any) {
	word := causeWord(cause)
	e.moves.drains.WithLabelValues(event, word).Inc()
	if r := runnerOf(v, runnerID); r != nil {
		e.log.Info("drain "+event, append([]any{
			"runner_id", r.ID.String(), "pool", r.Pool.Name, "key", r.Key, "version", r.Version, "cause", word, "actors", r.Held,
		}, more...)...)
	}
}

func causeWord(cause fsm.DrainCause) string {
	return strings.ToLower(strings.TrimPrefix(callboardv1.DrainCause(cause).String(), "DRAIN_CAUSE_"))
}

func poolID(namespace []byte, name string) fsm.PoolID {
	id := fsm.PoolID{Name: name}
	copy(id.Namespace[:], namespace)
	return id
}
