package grpcapi

import (
	"context"
	"fmt"
	"strings"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// Explain says why an actor is where it is, or why it waits, and what happens next.
func (s *actorService) Explain(ctx context.Context, req *callboardv1.ExplainRequest) (*callboardv1.ExplainResponse, error) {
	id, err := parseActorID("actor_id", req.GetActorId())
	if err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	a, err := findActor(view, ns, id)
	if err != nil {
		return nil, err
	}
	e := explanation{API: s.API, view: view, ns: ns, actor: a, pool: view.ActorPool(a), reader: readActors(view)}
	answer := &callboardv1.ExplainResponse{Actor: e.reader.message(a), Decision: e.decision(), Index: view.Index()}
	answer.Summary = e.summary(answer.GetActor())
	answer.Steps = e.steps(answer.GetActor())
	answer.NextChangeTs, answer.NextChange = e.next()
	if req.GetRunnerId() != "" {
		runnerID, err := parseRunnerID("runner_id", req.GetRunnerId())
		if err != nil {
			return nil, err
		}
		r, err := findRunner(view, ns, runnerID)
		if err != nil {
			return nil, err
		}
		answer.Steps = append(answer.Steps, e.whyNot(r))
	}
	return answer, nil
}

type explanation struct {
	*API
	view   *fsm.View
	ns     *fsm.Namespace
	actor  *fsm.Actor
	pool   *fsm.Pool
	reader *actorReader
}

// summary is the one sentence that an operator reads first.
func (e *explanation) summary(m *callboardv1.Actor) string {
	a := e.actor
	switch a.Phase {
	case fsm.Running, fsm.Starting:
		return fmt.Sprintf("%s on runner %s since %s (generation %d)", a.Phase, m.GetRunnerId(), clockTime(a.Decision.WallMs), a.Generation)
	case fsm.Stopping:
		return fmt.Sprintf("stopping on runner %s (%s)", m.GetRunnerId(), stopWords(a))
	case fsm.Pending:
		return fmt.Sprintf("pending since %s: %s", clockTime(a.PendingMs), m.GetReason())
	case fsm.BackingOff:
		return "backing off: " + m.GetReason()
	case fsm.Sleeping:
		return fmt.Sprintf("sleeping since %s: a wake, a resolve or its alarm starts it", clockTime(a.SleepMs))
	default:
		return fmt.Sprintf("destroyed at %s", clockTime(a.DestroyMs))
	}
}

func stopWords(a *fsm.Actor) string {
	switch a.StopReason {
	case fsm.StopSleep:
		if a.WakeKept {
			return "it was asked to sleep, and a wake waits for the end of the stop"
		}
		return "it was asked to sleep"
	case fsm.StopDestroy:
		return "it is being destroyed"
	case fsm.StopEvict:
		return "its runner drains, it moves"
	case fsm.StopReschedule:
		return "somebody asked for the move"
	case fsm.StopNoResponse:
		return "it did not say in time that it runs"
	case fsm.StopReplaced:
		return "another instance took its runner's key"
	case fsm.StopShutdown:
		return "its runner shuts down"
	default:
		return "the engine does not want it there"
	}
}

// steps tell how the last decision came about and what keeps the actor from running now.
func (e *explanation) steps(m *callboardv1.Actor) []string {
	var steps []string
	a, d := e.actor, e.actor.Decision
	if d.Index != 0 || d.WallMs != 0 {
		steps = append(steps, fmt.Sprintf("placed at %s: %d runners in pool %s, %d with a free slot, %d registered on version %d, the newest of those; rule %s",
			clockTime(d.WallMs), d.InPool, e.pool.ID.Name, d.Eligible, d.Newest, d.Version, scheduler.Rule(d.Rule)))
	}
	if a.Phase == fsm.Pending {
		steps = append(steps, fmt.Sprintf("pool %s now: %s", e.pool.ID.Name, e.reader.census(e.ns).pool(e.pool.ID.Name).breakdown()))
		steps = append(steps, fmt.Sprintf("%d actors are pending in the pool; the first that may use a freed slot gets it", e.view.PoolStats(e.pool).Pending))
		if a.FloorVersion > 0 {
			steps = append(steps, fmt.Sprintf("it last ran on version %d and goes lower only when no runner of that version or newer is registered", a.FloorVersion))
		}
	}
	if r := e.view.RunnerByNumber(a.Runner); a.Runner != 0 && r != nil && r.Draining() {
		d := e.engine.DrainStatus(e.view, r)
		steps = append(steps, fmt.Sprintf("its runner drains (%s): %d of %d actors have moved, %d are moving, %d have not been asked yet",
			strings.ToLower(strings.TrimPrefix(d.GetCause().String(), "DRAIN_CAUSE_")), d.GetMoved(), d.GetTotal(), d.GetMoving(), d.GetLeft()))
		for _, b := range d.GetBlockedBy() {
			steps = append(steps, "evictions wait: "+b.GetCode()+": "+b.GetMessage())
		}
	}
	if m.GetError() != nil {
		steps = append(steps, "last trouble: "+m.GetError().GetMessage())
	}
	return steps
}

// decision returns the record of the last placement; nil: it was never placed.
func (e *explanation) decision() *callboardv1.Decision {
	d := e.actor.Decision
	if d == (fsm.Decision{}) {
		return nil
	}
	m := &callboardv1.Decision{
		Index: d.Index, Ts: d.WallMs, InPool: d.InPool, Eligible: d.Eligible, Newest: d.Newest, Version: d.Version, Rule: scheduler.Rule(d.Rule).String(),
	}
	if r := e.view.RunnerByNumber(e.actor.Runner); e.actor.Runner != 0 && r != nil {
		m.Chosen = r.ID.String()
	}
	if r := e.view.RunnerByNumber(d.RunnerUp); d.RunnerUp != 0 && r != nil {
		m.RunnerUp = r.ID.String()
	}
	return m
}

// next tells when something happens by itself, and what.
func (e *explanation) next() (atMs int64, what string) {
	a := e.actor
	switch {
	case a.Named():
		return e.view.WallAt(a.EvictMs), "its turn comes: its draining runner is asked to give it up"
	case a.Paced():
		return a.RescheduleMs, "its turn comes: it is placed again"
	}
	switch a.Phase {
	case fsm.Starting:
		return e.view.WallAt(a.DueMs), "unless it reports by then that it runs, it is stopped and placed again"
	case fsm.Stopping:
		return e.view.WallAt(a.DueMs), "unless its end is reported by then, this life counts as lost"
	case fsm.BackingOff:
		return a.RescheduleMs, "the back-off ends and it is placed again"
	case fsm.Sleeping:
		if a.AlarmMs != 0 {
			return a.AlarmMs, "its alarm wakes it"
		}
		return 0, "nothing happens by itself: wake it"
	case fsm.Pending:
		return 0, "whatever frees a slot that it may use starts it"
	case fsm.Destroyed:
		return e.view.WallAt(a.DueMs), "it is forgotten"
	default:
		return 0, "nothing is due"
	}
}

// whyNot says why a runner does not have the actor.
func (e *explanation) whyNot(r *fsm.Runner) string {
	name := "runner " + r.ID.String()
	switch {
	case e.actor.Runner == r.Number && e.actor.Runner != 0:
		return name + " has it"
	case r.Pool != e.pool.ID:
		return fmt.Sprintf("not %s: it is in pool %s, the actor wants pool %s", name, r.Pool.Name, e.pool.ID.Name)
	}
	switch reason := e.view.Ineligible(r); reason {
	case "":
	case "silent":
		return fmt.Sprintf("not %s: it was last heard %.1f s ago, and gets nothing new after %.1f s", name,
			float64(e.view.SilentMs(r))/1000, float64(e.view.EligibleThresholdMs(r))/1000)
	case "full":
		return fmt.Sprintf("not %s: its %d slots are full", name, r.Slots)
	default:
		return fmt.Sprintf("not %s: it is %s", name, reason)
	}
	count := e.reader.census(e.ns).pool(e.pool.ID.Name)
	switch {
	case r.Version < count.newestFree:
		return fmt.Sprintf("not %s: its version %d is older than %d, which has a free slot", name, r.Version, count.newestFree)
	case r.Version < e.actor.FloorVersion:
		return fmt.Sprintf("not %s: its version %d is below %d, which the actor last ran on", name, r.Version, e.actor.FloorVersion)
	case e.actor.Phase.OnRunner():
		return fmt.Sprintf("not %s: it could take the actor, but nothing asks the actor to move; at the last decision another one came first", name)
	default:
		return name + " could take it"
	}
}
