package runner

import "time"

// checkLease fences when the lease has run out or the clocks have parted.
func (l *loop) checkLease(now time.Duration) {
	if !l.lease.held {
		return
	}
	at := l.lease.validUntil()
	var why string
	switch {
	case now >= at:
		why = "no acknowledgement in time"
	case jumped(l.lease.skew, skewOf(l.clock, now)):
		why = "the wall clock jumped"
	default:
		l.due(at)
		return
	}
	abandonAt := max(min(l.lease.abandonAt(), now+l.lease.smallest*(abandonPercent-leasePercent)/100), now+fenceMinimum)
	l.lease.end()
	if l.cfg.OnLeaseLost == Keep {
		l.log.Error("the lease has ended and the actors go on (OnLeaseLost: keep); the engine may run them elsewhere too",
			"reason", why, "actors", len(l.actors))
		return
	}
	l.log.Error("the lease has ended; every actor is cancelled", "reason", why, "actors", len(l.actors))
	for _, a := range l.actors {
		l.fenceUntil(now, a, ErrLeaseLost, abandonAt)
	}
	if k := l.current; k != nil {
		l.endLink(now, k, ErrLeaseLost)
	}
}

// fence cancels one actor without hooks; what has not returned in the usual share of the threshold is given up.
func (l *loop) fence(now time.Duration, a *Actor, why error) {
	l.fenceUntil(now, a, why, now+max(l.lease.smallest*(abandonPercent-leasePercent)/100, fenceMinimum))
}

func (l *loop) fenceUntil(now time.Duration, a *Actor, why error, abandonAt time.Duration) {
	a.kill(why)
	if a.abandonAt == 0 {
		a.fencedAt, a.abandonAt = now, abandonAt
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
