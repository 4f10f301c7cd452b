package scheduler

import (
	"cmp"
	"slices"

	"github.com/callboard/callboard/fsm"
)

// namedRooms are the rooms of a pool whose runners list names: each name has its own, as far as it was asked for.
type namedRooms struct {
	pool    *fsm.Pool
	seed    uint32
	byName  map[string]room
	waiting []string // the names of the pending actors that a free slot may be for, once they were asked for
	asked   bool
}

// of returns the room for an actor.
func (to room) of(st *fsm.State, a *fsm.Actor) room {
	if to.names == nil {
		return to
	}
	found, known := to.names.byName[a.Name]
	if !known {
		found = to.names.find(st, a.Name)
		to.names.byName[a.Name] = found
	}
	return found
}

// find finds the room for the actors of a name.
func (n *namedRooms) find(st *fsm.State, name string) room {
	for to := range st.CandidatesFor(n.pool, name, n.seed) {
		if to.Draining() || n.wanted(st, to) {
			break
		}
		return room{runner: to}
	}
	return room{}
}

// wanted reports whether a pending actor may use a runner.
func (n *namedRooms) wanted(st *fsm.State, to *fsm.Runner) bool {
	if !n.asked && st.PoolStats(n.pool).Pending > 0 {
		n.waiting = st.NamesToPlace(n.pool)
	}
	n.asked = true
	return slices.ContainsFunc(n.waiting, func(name string) bool {
		return to.Handles(name) && st.FirstPendingFor(n.pool, name, to.Version) != nil
	})
}

// firstOf finds the first actor of a runner that may be moved and has room, or needs none. Where runners list names, those for whose names
// there is no room hold up no other.
func (to room) firstOf(st *fsm.State, p *fsm.Pool, r *fsm.Runner) (first outlook) {
	if to.names == nil {
		if next := (outlook{actor: firstOf(st, p, r), runner: r}); next.actor != nil && to.may(st, next) {
			return next
		}
		return outlook{}
	}
	if toMove(st, p, r) == 0 {
		return outlook{}
	}
	for actors := range st.ActorsByName(r) {
		for a := range actors {
			if !movable(st, p, r, a) {
				continue
			}
			if next := (outlook{actor: a, runner: r}); to.may(st, next) && (first.actor == nil || a.RunnerRev < first.actor.RunnerRev) {
				first = next
			}
			break
		}
	}
	return first
}

// takesSome reports whether there is room for an actor that a runner might give up now, or one that needs none.
func (to room) takesSome(st *fsm.State, p *fsm.Pool) bool {
	for r := range st.Ready(p) {
		if passedOver(st, p, r).blocked == "" && to.firstOf(st, p, r).actor != nil {
			return true
		}
	}
	return false
}

// unhandled returns the names of a draining runner's actors that no runner handles which neither ended nor drains, and reports whether
// others are left. They are passed over until one is there.
func unhandled(st *fsm.State, p *fsm.Pool, r *fsm.Runner) (names []string, others bool) {
	if !st.ListsNames(p) || r.Drain.Force {
		return nil, r.Left() > 0
	}
	for actors := range st.ActorsByName(r) {
		for a := range actors {
			if handled(st, p, a) {
				others = true
			} else {
				names = append(names, a.Name)
			}
			break
		}
	}
	slices.Sort(names)
	return names, others
}

// unnamedHandled is unnamedOf where runners list names: without the actors that no runner handles.
func (s *step) unnamedHandled(p *fsm.Pool, r *fsm.Runner, limit int) (actors []*fsm.Actor) {
	for like := range s.tx.ActorsByName(r) {
		asked, before := false, len(actors)
		for a := range like {
			if !asked && !handled(&s.tx.State, p, a) || len(actors)-before == limit {
				break
			}
			if asked = true; !a.Named() && movable(&s.tx.State, p, r, a) {
				actors = append(actors, a)
			}
		}
	}
	slices.SortFunc(actors, func(a, b *fsm.Actor) int { return cmp.Compare(a.RunnerRev, b.RunnerRev) })
	return actors[:min(limit, len(actors))]
}

// namedUnhandled returns the actors of a runner that were named and that no runner handles any more.
func (s *step) namedUnhandled(p *fsm.Pool, r *fsm.Runner) []*fsm.Actor {
	if names, _ := unhandled(&s.tx.State, p, r); len(names) == 0 {
		return nil
	}
	return slices.DeleteFunc(s.namedOn(r), func(a *fsm.Actor) bool { return handled(&s.tx.State, p, a) })
}

// handled reports whether a runner of the pool handles an actor that neither ended nor drains.
func handled(st *fsm.State, p *fsm.Pool, a *fsm.Actor) bool {
	_, some := st.NewestFor(p, a.Name)
	return some
}
