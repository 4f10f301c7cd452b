//go:build !linux

package history

import "time"

// Now is a clock that all processes of the machine share. Here it is the wall clock, which must not be set during a run.
func Now() time.Duration { return time.Duration(time.Now().UnixNano()) }
