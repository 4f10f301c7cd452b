package runner

import "time"

// Clock is what leases are counted on.
//
// Now must go on while the machine sleeps or the process is stopped; it must never be set. Wall is the wall clock: when the two
// part by more than a second the lease ends until the next acknowledgement, because then one of them was paused or set.
type Clock interface {
	Now() time.Duration
	Wall() time.Time
}

// SystemClock is the default: CLOCK_BOOTTIME on Linux and its like elsewhere. It must not be used inside a testing/synctest
// bubble, whose time it does not follow.
func SystemClock() Clock { return systemClock{} }

type systemClock struct{}

func (systemClock) Now() time.Duration { return sinceBoot() }
func (systemClock) Wall() time.Time    { return time.Now() }

// ProcessClock counts on the clock of package time. It follows the fake clock of testing/synctest; outside of tests it is wrong,
// because it may stand still while the machine sleeps.
func ProcessClock() Clock { return processClock{start: time.Now()} }

type processClock struct{ start time.Time }

func (c processClock) Now() time.Duration { return time.Since(c.start) }
func (c processClock) Wall() time.Time    { return time.Now() }

// pollOf says how long the watchdog may sleep on a clock: a timer does not see a suspension, so a clock that does is looked at often.
func pollOf(c Clock) time.Duration {
	if _, ok := c.(processClock); ok {
		return maxSleep
	}
	return suspensionPoll
}

// skewOf is the distance between the wall clock and the lease clock.
func skewOf(c Clock, now time.Duration) time.Duration {
	return time.Duration(c.Wall().UnixNano()) - now
}
