package runner

import "time"

// holdStart lets a Start wait for the abandoned code of an earlier life: one process never runs two bodies of an actor. Code that does
// not return costs the actor its place here, and not more: the Start is refused then, and the engine places the actor anew.
func (l *loop) holdStart(now time.Duration, old *Actor, w *waitingStart) {
	old.successor, old.heldUntil = w, now+startHold
	old.log.Warn("a Start waits for the code of an earlier life, which was given up and has not returned",
		"start_generation", w.start.GetRef().GetGeneration(), "at_most", startHold)
}

// refuseHeld refuses the Starts that have waited long enough.
func (l *loop) refuseHeld(now time.Duration) {
	for _, old := range l.lingering {
		w := old.successor
		switch {
		case w == nil:
		case now < old.heldUntil:
			l.due(old.heldUntil)
		default:
			old.successor = nil
			if l.current == w.link { // otherwise the next stream's full set names it again
				l.refuseStart(w.start.GetRef(), "the code of an earlier life of the actor has not returned")
			}
		}
	}
}

// codeHasReturned ends the wait for abandoned code.
func (l *loop) codeHasReturned(now time.Duration, a *Actor) {
	if l.lingering[a.ID()] != a {
		return // the loop has seen that it returned
	}
	delete(l.lingering, a.ID())
	a.log.Warn("the code of a life that was given up has returned")
	l.succeed(now, a)
}

// succeed starts the life that waits for the end of this one.
func (l *loop) succeed(now time.Duration, a *Actor) {
	if w := a.successor; w != nil {
		a.successor = nil
		l.mayStart(now, w)
	}
}
