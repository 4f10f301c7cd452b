package grpcapi

import (
	"context"
	"errors"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A command carries only what decides its effect, not how long its caller waits or the key of its retry: a retry that waits longer
// is the same command.

// Create makes an actor and answers when it is in the log, before it runs.
func (s *actorService) Create(ctx context.Context, req *callboardv1.CreateRequest) (*callboardv1.CreateResponse, error) {
	if err := problem(checkNewActor(req)); err != nil {
		return nil, err
	}
	success, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_CreateActor{
		CreateActor: &callboardv1.CreateRequest{
			Namespace: req.GetNamespace(), Name: req.GetName(), Key: req.Key, Pool: req.GetPool(), Input: req.GetInput(),
			CrashPolicy: policyOrDefault(req.GetCrashPolicy()),
		},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.CreateResponse{Actor: readActors(view).made(success.GetId()), Index: index}, nil
}

func checkNewActor(req *callboardv1.CreateRequest) *callboardv1.Error {
	var key *callboardv1.Error
	if req.Key != nil {
		key = checkActorKey(req.GetKey())
	}
	return first(checkNamespace(req.GetNamespace()), checkActorName(req.GetName()), key, checkPool(req.GetPool()),
		checkInput(req.GetInput()), checkCrashPolicy(req.GetCrashPolicy()))
}

func policyOrDefault(policy callboardv1.CrashPolicy) callboardv1.CrashPolicy {
	if policy == callboardv1.CrashPolicy_CRASH_POLICY_UNSPECIFIED {
		return callboardv1.CrashPolicy_CRASH_POLICY_RESTART
	}
	return policy
}

// GetOrCreate answers with the live actor of a name and key, and makes it when there is none. While the one that has the key is
// being destroyed it waits for its end.
func (s *actorService) GetOrCreate(ctx context.Context, req *callboardv1.GetOrCreateRequest) (*callboardv1.GetOrCreateResponse, error) {
	key := req.GetKey()
	if err := problem(checkNewActor(&callboardv1.CreateRequest{
		Namespace: req.GetNamespace(), Name: req.GetName(), Key: &key, Pool: req.GetPool(), Input: req.GetInput(), CrashPolicy: req.GetCrashPolicy(),
	})); err != nil {
		return nil, err
	}
	wait, err := waitTime(req.GetTimeoutMs())
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		success, view, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_GetOrCreateActor{
			GetOrCreateActor: &callboardv1.GetOrCreateRequest{
				Namespace: req.GetNamespace(), Name: req.GetName(), Key: key, Pool: req.GetPool(), Input: req.GetInput(),
				CrashPolicy: policyOrDefault(req.GetCrashPolicy()),
			},
		}})
		if err == nil {
			return &callboardv1.GetOrCreateResponse{Actor: readActors(view).made(success.GetId()), Created: success.GetCreated(), Index: index}, nil
		}
		if !isRefusal(err, "actor.key_busy") || s.keyFree(waiting, req, index) != nil {
			return nil, err
		}
	}
}

// keyFree waits, from a log index on, until nobody has the key who is being destroyed: nobody at all, or an actor that somebody else
// has made meanwhile.
func (s *actorService) keyFree(ctx context.Context, req *callboardv1.GetOrCreateRequest, index uint64) error {
	view, err := s.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_STALE) // it has the index: the write has waited for it
	if err != nil {
		return err
	}
	ns := view.Namespace(req.GetNamespace())
	if ns == nil {
		return nil
	}
	holder := view.ActorByKey(ns.ID, req.GetName(), req.GetKey())
	if holder == nil || !holder.Destroying && holder.Phase != fsm.Destroyed {
		return nil
	}
	_, err = s.engine.WaitActor(ctx, index, holder.ID, func(a *fsm.Actor) bool { return a == nil || a.Over() })
	return err
}

func isRefusal(err error, name string) bool {
	var refusal *callboardv1.Error
	return errors.As(err, &refusal) && refusal.Name() == name
}

// Wake makes a sleeping actor pending. One that is awake stays as it is; one that is on its way to sleep wakes afterwards.
func (s *actorService) Wake(ctx context.Context, req *callboardv1.WakeRequest) (*callboardv1.WakeResponse, error) {
	actor, index, err := s.change(ctx, req.GetNamespace(), req.GetActorId(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_WakeActor{
		WakeActor: &callboardv1.WakeRequest{Namespace: req.GetNamespace(), ActorId: req.GetActorId()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.WakeResponse{Actor: actor, Index: index}, nil
}

// Sleep asks an actor to go to sleep and answers when that is decided, before it has stopped.
func (s *actorService) Sleep(ctx context.Context, req *callboardv1.SleepRequest) (*callboardv1.SleepResponse, error) {
	actor, index, err := s.change(ctx, req.GetNamespace(), req.GetActorId(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_SleepActor{
		SleepActor: &callboardv1.SleepRequest{Namespace: req.GetNamespace(), ActorId: req.GetActorId()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.SleepResponse{Actor: actor, Index: index}, nil
}

// Reschedule moves an actor now, outside its pool's eviction rate, and answers when that is decided, before it has stopped.
func (s *actorService) Reschedule(ctx context.Context, req *callboardv1.RescheduleRequest) (*callboardv1.RescheduleResponse, error) {
	actor, index, err := s.change(ctx, req.GetNamespace(), req.GetActorId(), req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_RescheduleActor{
		RescheduleActor: &callboardv1.RescheduleRequest{Namespace: req.GetNamespace(), ActorId: req.GetActorId()},
	}})
	if err != nil {
		return nil, err
	}
	return &callboardv1.RescheduleResponse{Actor: actor, Index: index}, nil
}

// change submits a command about one actor and answers with the actor as the command left it, or later.
func (s *actorService) change(ctx context.Context, namespace, actorID, idempotencyKey string, command *nodev1.Command) (*callboardv1.Actor, uint64, error) {
	if err := problem(checkNamespace(namespace)); err != nil {
		return nil, 0, err
	}
	id, err := parseActorID("actor_id", actorID)
	if err != nil {
		return nil, 0, err
	}
	_, view, index, err := s.submit(ctx, idempotencyKey, command)
	if err != nil {
		return nil, 0, err
	}
	return readActors(view).made(id[:]), index, nil
}

// Destroy ends an actor. The destruction is decided at once; the answer waits for the actor's confirmed end, up to the time-out. The
// wait is for what Views show, so it goes on through a change of leader.
func (s *actorService) Destroy(ctx context.Context, req *callboardv1.DestroyRequest) (*callboardv1.DestroyResponse, error) {
	if err := problem(checkNamespace(req.GetNamespace())); err != nil {
		return nil, err
	}
	id, err := parseActorID("actor_id", req.GetActorId())
	if err != nil {
		return nil, err
	}
	wait, err := waitTime(req.GetTimeoutMs())
	if err != nil {
		return nil, err
	}
	_, _, index, err := s.submit(ctx, req.GetIdempotencyKey(), &nodev1.Command{Command: &nodev1.Command_DestroyActor{
		DestroyActor: &callboardv1.DestroyRequest{Namespace: req.GetNamespace(), ActorId: req.GetActorId()},
	}})
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	view, err := s.engine.WaitActor(waiting, index, id, func(a *fsm.Actor) bool { return a == nil || a.Over() })
	if err != nil {
		return &callboardv1.DestroyResponse{Ended: false, Index: index}, nil //nolint:nilerr // accepted, and its end takes longer
	}
	return &callboardv1.DestroyResponse{Ended: true, Index: view.Index()}, nil
}
