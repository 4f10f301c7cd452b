package runner

import "time"

// lease is the runner's right to run actors. It is pure: its owner, the loop, brings every time.
//
// The threshold is part of the session. The engine announces a change in a HeartbeatAck and lets it hold only after it has
// committed a heartbeat that carried the new value. Until the acknowledgement of such a heartbeat the runner cannot know which
// one holds, so it counts on the smallest that may.
type lease struct {
	held  bool
	start time.Duration // when the heartbeat was sent that renewed it last
	skew  time.Duration // wall clock minus lease clock at that moment

	announced time.Duration // the threshold the engine wants
	smallest  time.Duration // the smallest threshold that may be in force
}

// beat is a heartbeat, or a Hello, that waits for its acknowledgement.
type beat struct {
	seq       uint64
	sentAt    time.Duration
	skew      time.Duration
	threshold time.Duration // that it carried
}

// welcome starts or renews the lease with a session's threshold. resumed tells that earlier acknowledgements still count.
func (l *lease) welcome(hello beat, threshold time.Duration, resumed bool) {
	l.announced, l.smallest = threshold, threshold
	if !resumed {
		l.held = false
	}
	l.renew(hello)
}

// acknowledge renews the lease by the commit of b. later are the heartbeats sent after it and not yet acknowledged.
func (l *lease) acknowledge(b beat, announced time.Duration, later []beat) {
	l.announced = announced
	if b.threshold == announced {
		l.smallest = announced // the commit has made it hold
	} else {
		l.smallest = min(l.smallest, announced, b.threshold) // it has changed nothing: what held before it holds still
	}
	for _, x := range later {
		l.smallest = min(l.smallest, x.threshold)
	}
	l.renew(b)
}

func (l *lease) renew(b beat) {
	if l.held && l.start >= b.sentAt {
		return
	}
	l.held, l.start, l.skew = true, b.sentAt, b.skew
}

// end takes the lease away until the next acknowledgement.
func (l *lease) end() { l.held = false }

func (l *lease) validUntil() time.Duration { return l.start + l.smallest*leasePercent/100 }
func (l *lease) abandonAt() time.Duration  { return l.start + l.smallest*abandonPercent/100 }

func (l *lease) valid(now time.Duration) bool { return l.held && now < l.validUntil() }

// jumped tells that the wall clock and the lease clock have parted since skew was taken: one of them was paused or set, and
// nobody can say how much time has really passed.
func jumped(skew, now time.Duration) bool {
	d := now - skew
	return d > clockJumpLimit || d < -clockJumpLimit
}
