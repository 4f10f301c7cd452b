package scheduler

import (
	"strconv"
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

type newActor struct {
	name   string
	key    *string
	pool   string
	input  []byte
	policy callboardv1.CrashPolicy
}

func (n newActor) validate() *callboardv1.Error {
	switch {
	case len(n.name) < 1 || len(n.name) > fsm.MaxActorName || !fsm.Printable(n.name):
		return callboardv1.Refuse("api", "bad_request", "name: 1 to %d bytes of UTF-8 without control characters, got %d", fsm.MaxActorName, len(n.name)).With("field", "name")
	case n.key != nil && len(*n.key) < 1:
		return callboardv1.Refuse("actor", "empty_key", "key: must not be empty; leave it out for an actor without a key")
	case n.key != nil && len(*n.key) > fsm.MaxActorKey:
		return callboardv1.Refuse("actor", "key_too_large", "key: at most %d bytes, got %d", fsm.MaxActorKey, len(*n.key))
	case n.key != nil && !utf8.ValidString(*n.key):
		return callboardv1.Refuse("api", "bad_request", "key: not valid UTF-8")
	case len(n.input) > fsm.MaxInput:
		return callboardv1.Refuse("actor", "input_too_large", "input: at most %d bytes, got %d", fsm.MaxInput, len(n.input))
	case n.policy < 0 || n.policy > callboardv1.CrashPolicy_CRASH_POLICY_DESTROY:
		return callboardv1.Refuse("api", "bad_request", "crash_policy: restart, sleep or destroy, got %d", n.policy)
	}
	return nil
}

// createActor makes an actor, or with getOrCreate finds the live one of the key.
func (s *step) createActor(namespace string, n newActor, getOrCreate bool) Answer {
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return refuse(namespaceNotFound(namespace))
	}
	if refusal := n.validate(); refusal != nil {
		return refuse(refusal)
	}
	if n.key != nil {
		if live := s.tx.ActorByKey(ns.ID, n.name, *n.key); live != nil {
			if getOrCreate && !live.Destroying && live.Phase != fsm.Destroyed {
				return done(live.ID[:])
			}
			return refuse(keyTaken(live))
		}
	}
	if refusal := s.poolUsable(ns, n.pool); refusal != nil {
		return refuse(refusal)
	}
	id, code := s.makeActor(ns, n)
	switch code {
	case fsm.CodeOK:
		return Answer{Success: &nodev1.Success{Id: id[:], Created: true}}
	case fsm.CodeFull:
		return refuse(s.storedBytesExceeded())
	default:
		return refuse(callboardv1.Refuse("cluster", "internal_error", "the actor could not be created (%v)", code))
	}
}

func (s *step) poolUsable(ns *fsm.Namespace, pool string) *callboardv1.Error {
	if s.tx.PoolUsable(s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: pool})) {
		return nil
	}
	return callboardv1.Refuse("actor", "no_runner_config_configured",
		"pool %q has neither a config nor a runner in namespace %q: start a runner with this pool, or write its config", pool, ns.Name)
}

func (s *step) makeActor(ns *fsm.Namespace, n newActor) (fsm.ID, fsm.Code) {
	policy := n.policy
	if policy == callboardv1.CrashPolicy_CRASH_POLICY_UNSPECIFIED {
		policy = callboardv1.CrashPolicy_CRASH_POLICY_RESTART
	}
	id := s.mint()
	return id, s.do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
		ActorId: id[:], NamespaceId: ns.ID[:], Name: n.name, Key: n.key, Pool: n.pool, Input: n.input, CrashPolicy: uint32(policy),
	}}})
}

func (s *step) storedBytesExceeded() *callboardv1.Error {
	return callboardv1.Refuse("actor", "stored_bytes_exceeded",
		"inputs and saved states of all actors may take %d bytes and are at %d: destroy actors, or raise stored_bytes_limit",
		s.tx.Setting(fsm.StoredBytesLimit), s.tx.StoredBytes())
}

// keyTaken refuses a key that an actor has. One that is being destroyed keeps its key until its end is certain.
func keyTaken(live *fsm.Actor) *callboardv1.Error {
	if live.Destroying || live.Phase == fsm.Destroyed {
		return callboardv1.Refuse("actor", "key_busy", "actor %s has this key and is being destroyed: retry when its stop is confirmed", live.ID).
			With("existing_actor_id", live.ID.String()).With("retry_after_ms", strconv.Itoa(1000))
	}
	return callboardv1.Refuse("actor", "duplicate_key", "actor %s has this key already: destroy it first, or use get-or-create", live.ID).
		With("existing_actor_id", live.ID.String())
}

// onActor runs a command on an actor that must be in the namespace.
func (s *step) onActor(namespace, actorID string, then func(a *fsm.Actor) *callboardv1.Error) Answer {
	ns := s.tx.Namespace(namespace)
	if ns == nil {
		return refuse(namespaceNotFound(namespace))
	}
	id, err := fsm.ParseID(actorID)
	if err != nil {
		return refuse(callboardv1.Refuse("api", "bad_request", "actor_id: %v", err))
	}
	a := s.tx.Actor(fsm.ActorID(id))
	if a == nil || s.tx.ActorNamespace(a).ID != ns.ID {
		return refuse(callboardv1.Refuse("actor", "not_found", "no actor %s in namespace %q; ended actors are forgotten after an hour", actorID, namespace))
	}
	if refusal := then(a); refusal != nil {
		return refuse(refusal)
	}
	return done(a.ID[:])
}

func (s *step) destroyActor(a *fsm.Actor) *callboardv1.Error {
	switch {
	case a.Phase == fsm.Destroyed || a.Destroying:
		return nil // it is as the caller wants it
	case a.Phase.OnRunner():
		s.stop(a, fsm.StopDestroy)
	default:
		s.do(&logv1.Op{Op: &logv1.Op_DestroyActor{DestroyActor: &logv1.DestroyActor{ActorId: a.ID[:], KeepKey: a.Orphans > 0}}})
		s.ended = append(s.ended, s.tx.ActorNamespace(a))
	}
	return nil
}

func (s *step) sleepActor(a *fsm.Actor) *callboardv1.Error {
	switch {
	case a.Phase == fsm.Destroyed || a.Destroying:
		return destroyed(a)
	case a.Phase == fsm.Sleeping, a.Phase == fsm.Stopping && a.StopReason == fsm.StopSleep && !a.WakeKept:
		return nil
	case a.Phase.OnRunner():
		s.stop(a, fsm.StopSleep)
	default:
		s.do(&logv1.Op{Op: &logv1.Op_SleepActor{SleepActor: &logv1.SleepActor{ActorId: a.ID[:]}}})
	}
	return nil
}

func (s *step) wakeActor(a *fsm.Actor) *callboardv1.Error {
	switch {
	case a.Phase == fsm.Destroyed || a.Destroying:
		return destroyed(a)
	case a.Phase == fsm.Sleeping, a.Phase == fsm.Stopping && a.StopReason == fsm.StopSleep && !a.WakeKept:
		s.do(&logv1.Op{Op: &logv1.Op_WakeActor{WakeActor: &logv1.WakeActor{ActorId: a.ID[:], KeepAlarm: true}}})
	case a.Paced(): // somebody waits for it: it goes first
		s.do(&logv1.Op{Op: &logv1.Op_EnqueueActor{EnqueueActor: &logv1.EnqueueActor{ActorId: a.ID[:]}}})
	}
	return nil // otherwise it is awake, or on its way
}

func destroyed(a *fsm.Actor) *callboardv1.Error {
	return callboardv1.Refuse("actor", "destroyed", "actor %s is destroyed or being destroyed", a.ID)
}
