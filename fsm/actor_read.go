package fsm

import (
	"iter"
)

// Actor finds an actor by id; nil: there is none.
func (s *State) Actor(id ActorID) *Actor {
	key, ok := s.actorsByID.Get(idKey{id: ID(id)})
	if !ok {
		return nil
	}
	return s.actorAt(key.row)
}

// ActorByKey finds the actor that has a key: the live one, or one that is destroyed while a body of it runs on; nil: the key is free.
func (s *State) ActorByKey(namespace NamespaceID, name, key string) *Actor {
	ns := s.NamespaceByID(namespace)
	if ns == nil {
		return nil
	}
	return s.actorByHash(hashParts(ns.ordinal, name, key), ns.ordinal, name, key)
}

// actorByHash is ActorByKey with the hash of all these.
func (s *State) actorByHash(hash halves, namespace uint32, name, key string) *Actor {
	for k := range s.actorsByKey.From(actorKeyKey{hash: hash}) {
		if k.hash != hash {
			return nil
		}
		if a := s.actorAt(k.ordinal); a.namespace == namespace && a.Name == name && a.Key == key {
			return a
		}
	}
	return nil
}

// Actors yields the actors of a name, newest first, ended ones included, beginning before the one with the given Seq; 0: from the
// newest.
func (s *State) Actors(ns *Namespace, name string, before uint64) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		names, ok := s.actorNames.Get(nameCountKey{namespace: ns.ordinal, name: name})
		if !ok {
			return
		}
		for k := range s.actorsByName.DownFrom(actorNameKey{hash: names.hash, seq: halve(before - 1)}) {
			if k.hash != names.hash {
				return
			}
			if a := s.actorAt(k.ordinal); a.namespace == ns.ordinal && a.Name == name && !yield(a) {
				return
			}
		}
	}
}

// ActorNames yields the names that actors of a namespace bear, in order, beginning after a name.
func (s *State) ActorNames(ns *Namespace, after string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for k := range s.actorNames.From(nameCountKey{namespace: ns.ordinal, name: after}) {
			if k.namespace != ns.ordinal {
				return
			}
			if k.name == after {
				continue
			}
			if !yield(k.name) {
				return
			}
		}
	}
}

// ActorPool returns the pool of an actor.
func (s *State) ActorPool(a *Actor) *Pool { return s.pools.Get(a.pool) }

// ActorNamespace returns the namespace of an actor.
func (s *State) ActorNamespace(a *Actor) *Namespace { return s.namespaces.Get(a.namespace) }

// RunnerNamespace returns the namespace of a runner.
func (s *State) RunnerNamespace(r *Runner) *Namespace {
	return s.namespaces.Get(s.pools.Get(r.pool).namespace)
}

// DueAlarms returns sleeping actors whose alarm has come, oldest first, at most limit.
func (s *State) DueAlarms(limit int) []*Actor {
	var due []*Actor
	for k := range s.alarms.All() {
		if k.wallMs > s.wallMs || len(due) == limit {
			break
		}
		due = append(due, s.actorAt(k.ordinal))
	}
	return due
}

// NextAlarmMs returns the wall clock of the next alarm of a sleeping actor.
func (s *State) NextAlarmMs() (wallMs int64, ok bool) {
	k, ok := s.alarms.First(alarmKey{})
	return k.wallMs, ok
}

// ExcessEnded returns the oldest ended actors of a namespace beyond the number that is kept, at most limit.
func (s *State) ExcessEnded(ns *Namespace, limit int) []*Actor {
	excess := min(int(s.endedCount.Get(ns.ordinal))-MaxEnded, limit)
	var ended []*Actor
	for k := range s.endedActors.From(endedKey{namespace: ns.ordinal}) {
		if len(ended) >= excess {
			break
		}
		ended = append(ended, s.actorAt(k.ordinal))
	}
	return ended
}

// ActorsOf yields what a runner has, with a revision above the given one, in the order of revision.
func (s *State) ActorsOf(r *Runner, afterRev uint64) iter.Seq[*Actor] {
	return func(yield func(*Actor) bool) {
		for k := range s.assigned.From(assignedKey{runner: r.Number, rev: afterRev + 1}) {
			if k.runner != r.Number || !yield(s.actorAt(k.ordinal)) {
				return
			}
		}
	}
}
