package grpcapi

import (
	"context"
	"errors"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Resolve answers where an actor runs. It wakes one that sleeps and waits until it runs.
func (s *actorService) Resolve(ctx context.Context, req *callboardv1.ResolveRequest) (*callboardv1.ResolveResponse, error) {
	id, err := parseActorID("actor_id", req.GetActorId())
	if err != nil {
		return nil, err
	}
	wait, err := waitTime(req.GetTimeoutMs())
	if err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
	if err != nil {
		return nil, err
	}
	a, err := findActor(view, ns, id)
	if err != nil {
		return nil, err
	}
	if a.Phase == fsm.Destroyed || a.Destroying {
		return nil, callboardv1.Refuse("actor", "destroyed", "actor %s is destroyed or being destroyed: it will not run again", id).With("actor_id", id.String())
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	index := view.Index()
	if needsWake(a) {
		_, _, index, err = s.submit(waiting, "", &nodev1.Command{Command: &nodev1.Command_WakeActor{
			WakeActor: &callboardv1.WakeRequest{Namespace: req.GetNamespace(), ActorId: req.GetActorId()},
		}})
		if err != nil {
			return nil, err
		}
	}
	view, a, err = s.waitRunning(waiting, index, id, needsWake)
	if err != nil {
		return nil, err
	}
	return &callboardv1.ResolveResponse{
		Actor: readActors(view).message(a), RunnerAddr: view.RunnerByNumber(a.Runner).AdvertisedAddr, Index: view.Index(),
	}, nil
}

// needsWake tells whether an actor sleeps, or will sleep when its stop ends.
func needsWake(a *fsm.Actor) bool {
	return a.Phase == fsm.Sleeping || a.Phase == fsm.Stopping && a.StopReason == fsm.StopSleep && !a.WakeKept
}

// waitRunning waits, from a log index on, until an actor runs. It gives up when the actor ends, or is in a state that the caller does
// not want to wait in.
func (s *actorService) waitRunning(ctx context.Context, index uint64, id fsm.ActorID, hopeless func(*fsm.Actor) bool) (*fsm.View, *fsm.Actor, error) {
	view, err := s.engine.WaitActor(ctx, index, id, func(a *fsm.Actor) bool {
		return a == nil || a.Phase == fsm.Running || a.Phase == fsm.Destroyed || hopeless != nil && hopeless(a)
	})
	if err != nil {
		return nil, nil, s.stillNotRunning(ctx, id, err)
	}
	a := view.Actor(id)
	switch {
	case a == nil || a.Phase == fsm.Destroyed:
		return nil, nil, callboardv1.Refuse("actor", "destroyed_while_waiting", "actor %s was destroyed before it ran", id).With("actor_id", id.String())
	case a.Phase != fsm.Running:
		m := readActors(view).message(a)
		refusal := callboardv1.Refuse("actor", "wrong_state", "actor %s went to sleep again before it ran%s", id, because(m)).With("state", a.Phase.String())
		return nil, nil, refusal.With("actor_id", id.String())
	}
	return view, a, nil
}

// stillNotRunning says where the actor is stuck when the time is over.
func (s *actorService) stillNotRunning(ctx context.Context, id fsm.ActorID, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return readError(err)
	}
	refusal := callboardv1.Refuse("api", "timeout", "actor %s does not run yet", id).With("actor_id", id.String())
	view, viewErr := s.engine.View(context.WithoutCancel(ctx), callboardv1.Consistency_CONSISTENCY_STALE)
	if viewErr != nil {
		return refusal
	}
	a := view.Actor(id)
	if a == nil {
		return refusal
	}
	m := readActors(view).message(a)
	refusal.Message = "actor " + id.String() + " does not run yet: it is " + a.Phase.String() + because(m)
	return refusal.With("state", a.Phase.String())
}

// because is the reason that an actor shows, as the end of a sentence.
func because(m *callboardv1.Actor) string {
	switch {
	case m.GetReason() != "":
		return "; " + m.GetReason()
	case m.GetError() != nil:
		return "; " + m.GetError().GetMessage()
	default:
		return ""
	}
}
