package fsm

// movedKey counts the actors of a runner that a rollout has moved once already, and that have not been told to stop: they are not moved
// again while it is open. A runner that has no others is known by that, without a look at each of them.
type movedKey struct {
	runner  uint32
	rollout uint64
	actors  uint32
}

func movedLess(a, b movedKey) bool {
	if a.runner != b.runner {
		return a.runner < b.runner
	}
	return a.rollout < b.rollout
}

// movedKey is where an actor is counted; the zero key: nowhere.
func (a *Actor) movedKey() movedKey {
	if a == nil || a.MovedIn == 0 || a.Phase != Starting && a.Phase != Running {
		return movedKey{}
	}
	return movedKey{runner: a.Runner, rollout: a.MovedIn}
}

// MovedOn returns how many actors of a runner, but for those that are stopping, a rollout has moved already.
func (s *State) MovedOn(r *Runner, rollout uint64) uint32 {
	k, _ := s.moved.Get(movedKey{runner: r.Number, rollout: rollout})
	return k.actors
}

// countMoved counts an actor under a key, or no more.
func (tx *Tx) countMoved(k movedKey, by int) {
	if k == (movedKey{}) {
		return
	}
	was, _ := tx.moved.Get(k)
	k.actors = was.actors + uint32(by)
	if k.actors == 0 {
		tx.moved.Delete(k)
	} else {
		tx.moved.Put(k)
	}
}
