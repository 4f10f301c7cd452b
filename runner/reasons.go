package runner

import callboardv1 "github.com/callboard/callboard/proto/callboard/v1"

// StopReason says why an actor stops.
type StopReason string

const (
	StopNone       StopReason = ""            // it is not asked to stop
	StopSleep      StopReason = "sleep"       // it goes to sleep
	StopDestroy    StopReason = "destroy"     // it ends for good
	StopEvict      StopReason = "evict"       // a drain moves it
	StopReschedule StopReason = "reschedule"  // somebody asked for the move
	StopNoResponse StopReason = "no_response" // it did not come up in time
	StopReplaced   StopReason = "replaced"    // another process has taken the runner's key
	StopOrphan     StopReason = "orphan"      // the engine does not want this generation here
	StopShutdown   StopReason = "shutdown"    // the runner shuts down
	StopLeaseLost  StopReason = "lease_lost"  // the runner has no lease; hooks do not run
	StopSuperseded StopReason = "superseded"  // a newer generation is here; hooks do not run
	StopAbandoned  StopReason = "abandoned"   // it did not stop in time
)

func stopReasonOf(r callboardv1.StopReason) StopReason {
	switch r {
	case callboardv1.StopReason_STOP_REASON_SLEEP:
		return StopSleep
	case callboardv1.StopReason_STOP_REASON_DESTROY:
		return StopDestroy
	case callboardv1.StopReason_STOP_REASON_RESCHEDULE:
		return StopReschedule
	case callboardv1.StopReason_STOP_REASON_NO_RESPONSE:
		return StopNoResponse
	case callboardv1.StopReason_STOP_REASON_REPLACED:
		return StopReplaced
	case callboardv1.StopReason_STOP_REASON_ORPHAN:
		return StopOrphan
	case callboardv1.StopReason_STOP_REASON_SHUTDOWN:
		return StopShutdown
	default: // evict, and what a newer engine may add: whatever it is, the actor leaves
		return StopEvict
	}
}

// DrainCause says why a runner drains.
type DrainCause string

const (
	DrainNone         DrainCause = ""
	DrainNewerVersion DrainCause = "newer_version"
	DrainOperator     DrainCause = "operator"
	DrainShutdown     DrainCause = "shutdown"
	DrainReplaced     DrainCause = "replaced"
	DrainLost         DrainCause = "lost"
	DrainURLChanged   DrainCause = "url_changed"
	DrainRequestEnd   DrainCause = "request_end"
)

func drainCauseOf(c callboardv1.DrainCause) DrainCause {
	switch c {
	case callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION:
		return DrainNewerVersion
	case callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR:
		return DrainOperator
	case callboardv1.DrainCause_DRAIN_CAUSE_SHUTDOWN:
		return DrainShutdown
	case callboardv1.DrainCause_DRAIN_CAUSE_REPLACED:
		return DrainReplaced
	case callboardv1.DrainCause_DRAIN_CAUSE_LOST:
		return DrainLost
	case callboardv1.DrainCause_DRAIN_CAUSE_URL_CHANGED:
		return DrainURLChanged
	case callboardv1.DrainCause_DRAIN_CAUSE_REQUEST_END:
		return DrainRequestEnd
	default:
		return DrainNone
	}
}
