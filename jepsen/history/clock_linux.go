package history

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now is a clock that all processes of the machine share, that nobody sets, and that goes on while the machine sleeps.
func Now() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("history: no CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(t.Nano())
}
