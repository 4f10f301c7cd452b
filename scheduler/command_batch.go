package scheduler

import (
	"fmt"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// MaxBatch is how many actors one call may create: their ids must fit into a remembered outcome.
const MaxBatch = 1_000

type nameAndKey struct{ name, key string }

// createActors makes all actors of a batch or none: everything is looked at before the first one is made.
func (s *step) createActors(r *callboardv1.CreateBatchRequest) Answer {
	ns := s.tx.Namespace(r.GetNamespace())
	if ns == nil {
		return refuse(namespaceNotFound(r.GetNamespace()))
	}
	if n := len(r.GetActors()); n < 1 || n > MaxBatch {
		return refuse(callboardv1.Refuse("api", "bad_request", "actors: 1 to %d in a batch, got %d", MaxBatch, n))
	}
	var input int64
	pools, keys := map[string]bool{}, map[nameAndKey]int{}
	for i, a := range r.GetActors() {
		if refusal := s.mayCreate(ns, a, pools, keys, i); refusal != nil {
			return refuse(refusal.InItem("actors", i))
		}
		input += int64(len(a.GetInput()))
	}
	if input > 0 && s.tx.StoredBytes()+input > s.tx.Setting(fsm.StoredBytesLimit) {
		return refuse(s.storedBytesExceeded())
	}
	success := &nodev1.Success{Created: true}
	for i, a := range r.GetActors() {
		id, code := s.makeActor(ns, fromBatch(a))
		if code != fsm.CodeOK {
			panic(fmt.Sprintf("actors[%d] of a batch was fine when it was looked at and is refused now: %v", i, code))
		}
		success.Ids = append(success.Ids, id[:]...)
	}
	return Answer{Success: success}
}

// mayCreate looks at one actor of a batch, beside those before it.
func (s *step) mayCreate(ns *fsm.Namespace, a *callboardv1.NewActor, pools map[string]bool, keys map[nameAndKey]int, i int) *callboardv1.Error {
	n := fromBatch(a)
	if refusal := n.validate(); refusal != nil {
		return refusal
	}
	if n.key != nil {
		if live := s.tx.ActorByKey(ns.ID, n.name, *n.key); live != nil {
			return keyTaken(live)
		}
		of := nameAndKey{n.name, *n.key}
		if first, taken := keys[of]; taken {
			return callboardv1.Refuse("actor", "duplicate_key", "actors[%d] of the same batch has this key", first)
		}
		keys[of] = i
	}
	if pools[n.pool] {
		return nil
	}
	pools[n.pool] = true
	return s.poolUsable(ns, n.pool)
}

func fromBatch(a *callboardv1.NewActor) newActor {
	return newActor{a.GetName(), a.Key, a.GetPool(), a.GetInput(), a.GetCrashPolicy()}
}
