package runner

import (
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// drainNoticed takes what the engine says about the drain of this runner: that it drains, that nothing is left, or that it is called
// off. One that comes when a newer version is there already is told that it drains, but not that nothing is left: it stands by.
func (l *loop) drainNoticed(n *callboardv1.DrainNotice) {
	l.drainHeard = true
	if n.GetCancelled() {
		l.log.Info("the drain is called off: the runner takes actors again")
		l.calledOff()
		return
	}
	cause := drainCauseOf(n.GetCause())
	l.log.Info("the runner drains", "cause", cause, "drained", n.GetDrained())
	l.drained = n.GetDrained()
	l.drain = &Drain{Cause: cause}
	if ms := n.GetDeadlineMs(); ms > 0 {
		l.drain.Due = time.Now().Add(time.Duration(ms) * time.Millisecond)
	}
	l.tellDrains()
}

// calledOff forgets a drain, and what was told ahead of it.
func (l *loop) calledOff() {
	l.drain, l.drained = nil, false
	for _, a := range l.actors {
		a.evictAt = time.Time{}
	}
	l.tellDrains()
}

// drainAnew begins a new stream: the engine tells about a drain right behind the Welcome. Until it has, what was known counts.
func (l *loop) drainAnew() {
	l.drainHeard, l.drained = false, false
	for _, a := range l.actors {
		a.evictAt = time.Time{}
	}
}

// drainSettled follows the complete set of a stream: what was not told before it is over.
func (l *loop) drainSettled() {
	if !l.drainHeard && l.drain != nil {
		l.calledOff()
	}
	l.tellDrains()
}

// drainOf is what an actor is to know of its coming move; nil: none is announced. The runner's own shutdown comes before all else.
func (l *loop) drainOf(a *Actor) *Drain {
	switch {
	case l.shutdown != nil:
		return &Drain{Cause: DrainShutdown}
	case l.drain != nil && !a.evictAt.IsZero():
		return &Drain{Cause: l.drain.Cause, Due: a.evictAt}
	case l.drain != nil:
		d := *l.drain
		return &d
	case !a.evictAt.IsZero():
		return &Drain{Due: a.evictAt}
	default:
		return nil
	}
}

func (l *loop) tellDrains() {
	for _, a := range l.actors {
		a.setDrain(l.drainOf(a))
	}
}
