package runner

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot counts suspension: on Darwin CLOCK_MONOTONIC is mach_continuous_time, which goes on while the machine sleeps.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic("runner: no CLOCK_MONOTONIC, leases cannot be counted: " + err.Error())
	}
	return time.Duration(t.Nano())
}
