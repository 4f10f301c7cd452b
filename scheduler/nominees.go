package scheduler

import (
	"container/heap"

	"github.com/callboard/callboard/fsm"
)

// nominees are the actors of a pool that are named next, in the order in which their runners are emptied. A runner whose delay is not over
// takes part from the turn on at which it is. No more runners and actors are looked at than there are turns, but for those that have
// nobody left to be named.
type nominees struct {
	s       *step
	p       *fsm.Pool
	ready   []nominee  // of the runners whose delay is over
	delayed []*rowOf   // the others, the first to be over first
	begun   nomineeRow // those of them whose delay is over at the turn in question
	turns   int

	emptying uint32 // number of the runner that is emptied already, and goes on
}

// nominee is an actor with its runner.
type nominee struct {
	actor  *fsm.Actor
	runner *fsm.Runner
}

// rowOf is a runner and its actors that are not named, once they are asked for.
type rowOf struct {
	runner *fsm.Runner
	loaded bool
	actors []*fsm.Actor
}

// nominees looks for actors for turns, which are in order.
func (s *step) nominees(p *fsm.Pool, turns []int64) *nominees {
	n := &nominees{s: s, p: p, turns: len(turns), emptying: s.tx.Bucket(p).Emptying}
	n.begun.st = &s.tx.State
	if len(turns) == 0 {
		return n
	}
	for r := range s.tx.Ready(p) {
		if len(n.ready) == len(turns) {
			break
		}
		if passedOver(&s.tx.State, p, r).blocked == "" {
			for _, a := range s.unnamedOf(p, r, len(turns)-len(n.ready)) {
				n.ready = append(n.ready, nominee{a, r})
			}
		}
	}
	for r := range s.tx.Delayed(p) {
		if p.EvictionBeginsMs(r) > turns[len(turns)-1] {
			break
		}
		if passedOver(&s.tx.State, p, r).blocked == blockedDelay {
			n.delayed = append(n.delayed, &rowOf{runner: r})
		}
	}
	return n
}

// next returns the actor for a turn; nil: there is none. Turns never go back.
func (n *nominees) next(atMs int64) *fsm.Actor {
	for len(n.delayed) > 0 && n.p.EvictionBeginsMs(n.delayed[0].runner) <= atMs {
		heap.Push(&n.begun, n.delayed[0])
		n.delayed = n.delayed[1:]
	}
	for n.begun.Len() > 0 {
		first := n.begun.rows[0]
		if !first.loaded {
			first.loaded, first.actors = true, n.s.unnamedOf(n.p, first.runner, n.turns)
		}
		if len(first.actors) == 0 {
			heap.Pop(&n.begun)
			continue
		}
		if len(n.ready) > 0 && (n.ready[0].runner.Number == n.emptying || !n.s.tx.EmptiedBefore(first.runner, n.ready[0].runner)) {
			break
		}
		a := first.actors[0]
		first.actors = first.actors[1:]
		return a
	}
	if len(n.ready) == 0 {
		return nil
	}
	a := n.ready[0].actor
	n.ready = n.ready[1:]
	return a
}

// nomineeRow is a heap of runners by the order in which they are emptied.
type nomineeRow struct {
	st   *fsm.State
	rows []*rowOf
}

func (h *nomineeRow) Len() int { return len(h.rows) }
func (h *nomineeRow) Less(i, j int) bool {
	return h.st.EmptiedBefore(h.rows[i].runner, h.rows[j].runner)
}
func (h *nomineeRow) Swap(i, j int) { h.rows[i], h.rows[j] = h.rows[j], h.rows[i] }
func (h *nomineeRow) Push(x any)    { h.rows = append(h.rows, x.(*rowOf)) }

func (h *nomineeRow) Pop() any {
	last := h.rows[len(h.rows)-1]
	h.rows = h.rows[:len(h.rows)-1]
	return last
}
