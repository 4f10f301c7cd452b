//go:build !linux && !darwin

package runner

import "time"

var processStart = time.Now()

// sinceBoot may stand still during suspension here; the wall clock then jumps against it, which ends the lease.
func sinceBoot() time.Duration { return time.Since(processStart) }
