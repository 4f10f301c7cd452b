package server

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	"github.com/callboard/callboard/scheduler"
)

// events tells what happened to runners and rollouts: a line in the leader's log and a counter each.
type events struct {
	log     *slog.Logger
	runners *prometheus.CounterVec
	fenced  prometheus.Counter
	raised  prometheus.Counter
	placed  prometheus.Counter
	warned  *prometheus.CounterVec
	moves   moves
}

func newEvents(log *slog.Logger, registry prometheus.Registerer) *events {
	e := &events{
		log: log, moves: newMoves(registry),
		runners: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_runner_events_total",
			Help: "What happened to runners, as decided by this node while it led: connected, resumed, returned, disconnected, fenced, replaced, lost, brake, stopped.",
		}, []string{"event"}),
		fenced: prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_actors_fenced_total", Help: "Lives of actors that ended because their runner's lease ran out."}),
		raised: prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_generations_raised_total", Help: "Generations that a runner named and the state did not know, so that the next one is above them."}),
		warned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_warnings_total",
			Help: "Requests and runners that were accepted and are probably not meant, by what is odd: drain_turned_on, version_not_configured, version_is_start_time, versions_rising, keep_on_lease_lost, generation_not_believed, all_runners_out, below_saved_version.",
		}, []string{"warning"}),
		placed: prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_actors_placed_total", Help: "Actors given to runners."}),
	}
	registry.MustRegister(e.runners, e.fenced, e.raised, e.placed, e.warned)
	return e
}

// tell reads an entry that has just committed, against the View that it was decided on and the one that it made.
func (e *events) tell(before, v *fsm.View, ops []*logv1.Op) {
	var fenced fences
	streams := streams{before: before}
	for _, op := range ops {
		e.tellMove(before, v, op)
		switch o := op.GetOp().(type) {
		case *logv1.Op_RegisterRunner:
			streams.set(o.RegisterRunner.GetRunnerId(), o.RegisterRunner.GetHolder())
			e.registered(v, o.RegisterRunner)
		case *logv1.Op_ResumeRunner:
			e.resumed(before, v, o.ResumeRunner, streams.holder(o.ResumeRunner.GetRunnerId()))
			streams.set(o.ResumeRunner.GetRunnerId(), o.ResumeRunner.GetHolder())
		case *logv1.Op_DisconnectRunner:
			streams.set(o.DisconnectRunner.GetRunnerId(), "")
			e.runner(v, "disconnected", o.DisconnectRunner.GetRunnerId())
		case *logv1.Op_MarkLost:
			more := []any{"silent_ms", v.ClockMs() - o.MarkLost.GetLastSeenMs()}
			if r := runnerOf(v, o.MarkLost.GetRunnerId()); r != nil && r.KeepOnLeaseLost {
				more = append(more, "alarm", "it keeps actors without a lease: they may run there and elsewhere")
			}
			e.runner(v, "lost", o.MarkLost.GetRunnerId(), more...)
		case *logv1.Op_HoldVerdict:
			e.runner(v, "brake", o.HoldVerdict.GetRunnerId(), "alarm", "many runners of its pool fell silent together: is a network or a node broken?")
		case *logv1.Op_EndRunner:
			e.runner(v, "stopped", o.EndRunner.GetRunnerId())
		case *logv1.Op_RaiseGeneration:
			e.raise(before, o.RaiseGeneration)
		case *logv1.Op_AssignActor:
			e.placed.Inc()
		case *logv1.Op_ActorStopped:
			if o.ActorStopped.GetCause() == logv1.StopCause_STOP_CAUSE_FENCED {
				fenced.add(before, o.ActorStopped.GetRef())
				e.fenced.Inc()
			}
		}
	}
	for _, r := range fenced.runners {
		e.runner(v, "fenced", r.ID[:], "actors_fenced", fenced.actors[r.Number], "alarm", "its lease ran out: could it not reach the cluster?")
	}
}

// resumed tells of a new stream of a runner. Whoever counts broken streams must not miss those of which the runner knew before their
// holder did: when its Hello overtakes the holder's report, that report comes too late to change anything, and the resume is what says
// that the stream before is over.
func (e *events) resumed(before, v *fsm.View, op *logv1.ResumeRunner, holder string) {
	if holder != "" {
		e.runner(v, "disconnected", op.GetRunnerId(), "stream_at", holder, "reason", "the runner has opened another stream before this one was known to be broken")
	}
	var more []any
	if r := runnerOf(before, op.GetRunnerId()); r != nil {
		more = []any{"held_before_by", r.Holder, "silent_ms", v.ClockMs() - before.LastSeenMs(r)}
	}
	e.runner(v, "resumed", op.GetRunnerId(), more...)
}

// streams knows at each op of an entry which runners have a stream, and where.
type streams struct {
	before *fsm.View
	moved  map[string]string
}

func (s *streams) set(runner []byte, holder string) {
	if s.moved == nil {
		s.moved = map[string]string{}
	}
	s.moved[string(runner)] = holder
}

// holder is the node at which a runner's stream ends; empty: it has none.
func (s *streams) holder(runner []byte) string {
	if holder, moved := s.moved[string(runner)]; moved {
		return holder
	}
	if r := runnerOf(s.before, runner); r != nil && r.Connected {
		return r.Holder
	}
	return ""
}

// fences counts the fenced actors of an entry by the runner that they were on.
type fences struct {
	runners []*fsm.Runner
	actors  map[uint32]int
}

func (f *fences) add(before *fsm.View, ref *logv1.Ref) {
	if len(ref.GetActorId()) != 16 {
		return
	}
	a := before.Actor(fsm.ActorID(ref.GetActorId()))
	if a == nil || a.Generation != ref.GetGeneration() {
		return // assigned in the same entry: it never reached a runner
	}
	r := before.RunnerByNumber(a.Runner)
	if r == nil {
		return
	}
	if f.actors == nil {
		f.actors = map[uint32]int{}
	}
	if f.actors[r.Number]++; f.actors[r.Number] == 1 {
		f.runners = append(f.runners, r)
	}
}

// raise tells of a life that the state does not know: the state is older than the world.
func (e *events) raise(before *fsm.View, op *logv1.RaiseGeneration) {
	e.raised.Inc()
	if len(op.GetActorId()) != 16 {
		return
	}
	if a := before.Actor(fsm.ActorID(op.GetActorId())); a != nil {
		e.log.Warn("generation raised", "actor_id", a.ID.String(), "pool", before.ActorPool(a).ID.Name, "known", a.Generation, "claimed", op.GetGeneration(),
			"alarm", "a runner names a later life of the actor than the state knows: was an older state restored?")
	}
}

// warn tells what was accepted and is probably not meant.
func (e *events) warn(warnings []scheduler.Warning) {
	for _, w := range warnings {
		e.warned.WithLabelValues(w.Code).Inc()
		e.log.Warn(w.Message, "warning", w.Code)
	}
}

// registered tells a new runner from one that was lost and comes back, and names the one that it replaces.
func (e *events) registered(v *fsm.View, op *logv1.RegisterRunner) {
	if len(op.GetReplaces()) > 0 {
		e.runner(v, "replaced", op.GetReplaces())
	}
	event := "connected"
	if r := runnerOf(v, op.GetRunnerId()); r != nil {
		for earlier := range v.RunnersByKey(v.RunnerPool(r), r.Key) {
			if earlier.Seq < r.Seq {
				if earlier.End == fsm.EndLost && earlier.Instance == r.Instance {
					event = "returned"
				}
				break
			}
		}
	}
	e.runner(v, event, op.GetRunnerId())
}

func (e *events) runner(v *fsm.View, event string, id []byte, more ...any) {
	e.runners.WithLabelValues(event).Inc()
	r := runnerOf(v, id)
	if r == nil {
		return
	}
	tell := e.log.Info
	switch event {
	case "lost", "brake", "fenced", "replaced":
		tell = e.log.Warn
	}
	tell("runner "+event, append([]any{
		"runner_id", r.ID.String(), "pool", r.Pool.Name, "key", r.Key, "version", r.Version, "holder", r.Holder, "actors", r.Held, "on_lease_lost", onLeaseLost(r),
	}, more...)...)
}

func onLeaseLost(r *fsm.Runner) string {
	if r.KeepOnLeaseLost {
		return "keep"
	}
	return "fence"
}

func runnerOf(v *fsm.View, id []byte) *fsm.Runner {
	if len(id) != 16 {
		return nil
	}
	return v.Runner(fsm.RunnerID(id))
}
