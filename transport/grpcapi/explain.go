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
	answer.NextChangeTs, answer.NextChange = answer.GetActor().GetNextChangeTs(), answer.GetActor().GetNextChange()
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
		return fmt.Sprintf("stopping on runner %s (%s)", m.GetRunnerId(), m.GetReason())
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

// steps tell how the last decision came about and what keeps the actor from running now.
func (e *explanation) steps(m *callboardv1.Actor) []string {
	var steps []string
	a, d := e.actor, e.actor.Decision
	if d.Index != 0 || d.WallMs != 0 {
		steps = append(steps, fmt.Sprintf("last placed at %s: %s in pool %s, %d with a free slot, %d registered on version %d, the newest of those; rule %s%s",
			clockTime(d.WallMs), count(int(d.InPool), "runner"), e.pool.ID.Name, d.Eligible, d.Newest, d.Version, scheduler.Rule(d.Rule), e.runnerUp()))
	}
	if a.Phase == fsm.Pending && !a.Paced() { // one that waits for its turn is in no queue
		steps = append(steps, fmt.Sprintf("pool %s now: %s", e.pool.ID.Name, e.reader.runnersFor(a).breakdown()))
		steps = append(steps, count(int(e.view.PoolStats(e.pool).Pending), "pending actor")+" in the pool; the first that may use a freed slot gets it")
		for held := range e.view.HeldVersions(e.pool) {
			steps = append(steps, fmt.Sprintf("version %d of the pool is held back since %s: `callboard rollout release %s %d` lets its runners get actors again",
				held.Version, clockTime(held.StartWall), e.pool.ID.Name, held.Version))
		}
		if a.FloorVersion > 0 {
			steps = append(steps, fmt.Sprintf("it last ran on version %d and goes lower only when no runner of that version or newer has taken actors for a while", a.FloorVersion))
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
	if r := e.view.RunnerByNumber(a.Runner); a.Runner != 0 && r != nil && r.KeepOnLeaseLost {
		steps = append(steps, "its runner keeps actors when its lease ends (on_lease_lost: keep): while that runner is cut off it may run elsewhere too")
	}
	if r := leftAtKeeper(e.view, a); r != nil {
		steps = append(steps, fmt.Sprintf("it may still run on runner %s, which was lost and keeps actors without a lease (on_lease_lost: keep)", r.ID))
	}
	if m.GetError() != nil {
		steps = append(steps, "last trouble: "+m.GetError().GetMessage())
	}
	return steps
}

// runnerUp names the runner that came second at the last decision, as the end of a sentence.
func (e *explanation) runnerUp() string {
	if r := e.view.RunnerByNumber(e.actor.Decision.RunnerUp); e.actor.Decision.RunnerUp != 0 && r != nil {
		return "; then runner " + r.ID.String()
	}
	return ""
}

// count says how many there are of something.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
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

// whyNot says why a runner does not have the actor.
func (e *explanation) whyNot(r *fsm.Runner) string {
	name := "runner " + r.ID.String()
	switch {
	case e.actor.Runner == r.Number && e.actor.Runner != 0:
		return name + " has it"
	case r.Pool != e.pool.ID:
		return fmt.Sprintf("not %s: it is in pool %s, the actor wants pool %s", name, r.Pool.Name, e.pool.ID.Name)
	}
	if e.view.Holds(e.pool, r.Version) && r.End == fsm.NotEnded {
		return fmt.Sprintf("not %s: a rollback holds its version %d back; `callboard rollout release %s %d` lets it get actors again", name, r.Version, r.Pool.Name, r.Version)
	}
	if !r.Handles(e.actor.Name) && r.End == fsm.NotEnded {
		return fmt.Sprintf("not %s: it has no handler for actors named %q", name, e.actor.Name)
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
	in := e.reader.runnersFor(e.actor)
	switch t := e.actor.Trouble; {
	case r.Version < in.newestFree:
		return fmt.Sprintf("not %s: its version %d is older than %d, which has a free slot", name, r.Version, in.newestFree)
	case r.Version < e.actor.FloorVersion:
		return fmt.Sprintf("not %s: its version %d is below %d, which the actor last ran on", name, r.Version, e.actor.FloorVersion)
	case e.actor.Phase.OnRunner():
		return fmt.Sprintf("not %s: it could take the actor, but nothing asks the actor to move; at the last decision another one came first", name)
	case e.actor.Phase == fsm.Destroyed:
		return fmt.Sprintf("not %s: the actor is destroyed", name)
	case e.actor.Phase == fsm.Sleeping:
		return name + " could take it if it were woken"
	case t != nil && t.Code != fsm.ErrorNone && t.Runner == r.ID:
		return fmt.Sprintf("%s could take it, but it failed there last (%s): another runner of that version comes first", name, t.Code)
	case e.actor.Phase == fsm.BackingOff:
		return name + " could take it when its back-off is over"
	default:
		return name + " could take it"
	}
}
