package runner

import (
	"time"

	"golang.org/x/sys/unix"
)

// sinceBoot counts suspension: CLOCK_BOOTTIME exists since Linux 2.6.39, so an error means a broken system.
func sinceBoot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("runner: no CLOCK_BOOTTIME, leases cannot be counted: " + err.Error())
	}
	return time.Duration(t.Nano())
}
