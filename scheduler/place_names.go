package scheduler

import (
	"container/heap"

	"github.com/callboard/callboard/fsm"
)

// nameLine is the pending actors of one name: the one that has waited longest of those that may be placed now, and where.
type nameLine struct {
	name       string
	actor      *fsm.Actor
	best, next *fsm.Runner
}

// nameLines is a heap: the line whose actor has waited longest is first.
type nameLines []nameLine

func (l nameLines) Len() int           { return len(l) }
func (l nameLines) Less(i, j int) bool { return l[i].actor.QueueSeq < l[j].actor.QueueSeq }
func (l nameLines) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *nameLines) Push(line any)     { *l = append(*l, line.(nameLine)) }
func (l *nameLines) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

// line fills a line; false: no actor of its name can be placed now, and no other placement of this Step changes that.
func (s *step) line(p *fsm.Pool, l *nameLine) bool {
	if l.best, l.next = s.bestFor(p, l.name); l.best != nil {
		l.actor = s.tx.FirstPendingFor(p, l.name, l.best.Version)
	}
	return l.best != nil && l.actor != nil
}

// placeByName is placeSome for a pool whose runners list the names that they handle: each name is a queue of its own, and the actor that has
// waited longest of those that can be placed is next. It looks at each name that waits once, and again after each placement of that name.
func (s *step) placeByName(p *fsm.Pool) (more bool) {
	if s.tx.PoolStats(p).Pending == 0 || AtConcurrencyLimit(&s.tx.State, p) {
		return false
	}
	var lines nameLines
	for _, name := range s.tx.NamesToPlace(p) {
		if l := (nameLine{name: name}); s.line(p, &l) {
			lines = append(lines, l)
		}
	}
	heap.Init(&lines)
	for n := 0; len(lines) > 0; n++ {
		switch {
		case n == placedPerTurn:
			return true
		case AtConcurrencyLimit(&s.tx.State, p):
			return false
		case s.placedEnough():
			s.out.Unfinished = true
			return false
		}
		if !s.line(p, &lines[0]) { // others have taken slots since
			heap.Pop(&lines)
			continue
		}
		s.budget.placed++
		if !s.assign(p, lines[0].actor, lines[0].best, lines[0].next) {
			return false
		}
		if s.line(p, &lines[0]) {
			heap.Fix(&lines, 0)
		} else {
			heap.Pop(&lines)
		}
	}
	return false
}
