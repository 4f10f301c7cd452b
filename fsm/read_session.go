package fsm

// What a runner's session reads beside ActorsOf and OrphansOf.

// StopLeftMs returns how much of its time a stopping actor has left on the cluster clock; not above the limit of its stop, and zero
// or less once its deadline is over.
func (s *State) StopLeftMs(a *Actor) int64 {
	r := s.runners.Get(a.Runner)
	if a.Phase != Stopping || r == nil {
		return 0
	}
	// The reverse of what StopActor did. A threshold that has changed since moves the result by the difference: the limit holds.
	deadlineMs := a.DueMs - r.ThresholdMs - a.StopLimitMs/10
	return min(a.StopLimitMs, deadlineMs-s.clockMs)
}

// DrainLeftMs returns how much time a draining runner has left on the cluster clock; ok is false when its drain has no deadline.
func (s *State) DrainLeftMs(r *Runner) (ms int64, ok bool) {
	if !r.Draining() || r.Drain.DeadlineMs == 0 {
		return 0, false
	}
	return max(0, r.Drain.DeadlineMs-s.clockMs), true
}
