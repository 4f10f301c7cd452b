package runner

import "time"

// checkLease does what is left to do after a fence. The watchdog has cancelled the actors.
func (l *loop) checkLease(now time.Duration) {
	f := l.watchdog.check(now)
	if f == nil {
		if l.lease.held {
			l.due(l.lease.validUntil())
		}
		return
	}
	l.lease.end()
	if l.cfg.OnLeaseLost == Keep {
		return
	}
	for _, a := range l.actors {
		l.fenceUntil(a, ErrLeaseLost, f.abandonAt)
	}
	if k := l.current; k != nil {
		l.endLink(now, k, ErrLeaseLost)
	}
}

// fence cancels one actor without hooks; what has not returned in the usual share of the threshold is given up.
func (l *loop) fence(now time.Duration, a *Actor, why error) {
	l.fenceUntil(a, why, now+max(l.lease.smallest*(abandonPercent-leasePercent)/100, fenceMinimum))
}

func (l *loop) fenceUntil(a *Actor, why error, abandonAt time.Duration) {
	a.kill(why)
	if a.abandonAt == 0 {
		a.abandonAt = abandonAt
	}
	l.fenced[a] = struct{}{}
}

// abandonFenced gives up what has not returned since it was fenced.
func (l *loop) abandonFenced(now time.Duration) {
	for a := range l.fenced {
		if now < a.abandonAt {
			l.due(a.abandonAt)
			continue
		}
		delete(l.fenced, a)
		a.giveUp()
	}
}
