package runner

import (
	"errors"
	"fmt"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What the methods of an Actor answer when the actor no longer has a say. Any of them can be the answer to a call that was
// already on its way: then it may or may not have taken effect.
var (
	// ErrLeaseLost: the runner lost its lease and cancelled its actors; the engine runs this one elsewhere.
	ErrLeaseLost = errors.New("callboard: the runner lost its lease")
	// ErrSuperseded: a newer generation of the actor was placed here.
	ErrSuperseded = errors.New("callboard: a newer generation of the actor has taken over")
	// ErrAbandoned: the actor did not stop in time.
	ErrAbandoned = errors.New("callboard: the actor did not stop in time and was given up")
	// ErrEnded: this life of the actor is over.
	ErrEnded = errors.New("callboard: this life of the actor has ended")
	// ErrRunnerStopped: the runner has ended.
	ErrRunnerStopped = errors.New("callboard: the runner has ended")
	// ErrUnknownOutcome: the call may or may not take effect. It is joined with the reason.
	ErrUnknownOutcome = errors.New("callboard: outcome unknown")
)

// Refusal is the engine's answer to something it does not do, or a limit of this library. Group and Code are stable, Message is
// not.
type Refusal struct {
	Group    string
	Code     string
	Message  string
	Metadata map[string]string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("callboard: %s.%s: %s", r.Group, r.Code, r.Message)
}

func refusalOf(e *callboardv1.Error) *Refusal {
	return &Refusal{Group: e.GetGroup(), Code: e.GetCode(), Message: e.GetMessage(), Metadata: e.GetMetadata()}
}

// StopError is the cause (context.Cause) of an actor's context when it was asked to stop.
type StopError struct{ Reason StopReason }

func (e *StopError) Error() string {
	return "callboard: the actor is asked to stop: " + string(e.Reason)
}

// Exit codes of a runner process. 0 is a clean end, or drained.
const (
	CodeFailed      = 1  // anything without a code of its own
	CodeUsage       = 2  // the configuration is wrong
	CodeReplaced    = 20 // another process has taken the runner's key
	CodeRefused     = 21 // the engine does not want this runner: its token, its version
	CodeLeftActors  = 22 // actors were left when it ended
	reasonLeftOver  = "ended with actors left"
	reasonReplaced  = "replaced by another process with the same key"
	reasonRefused   = "refused by the engine"
	reasonBadConfig = "the configuration is wrong"
)

// ExitError is how Run ends when the process should exit with a code of its own.
type ExitError struct {
	Code   int
	Reason string
	Err    error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return "callboard runner: " + e.Reason
	}
	return fmt.Sprintf("callboard runner: %s: %v", e.Reason, e.Err)
}

// ExitCode is the code that the process should exit with.
func (e *ExitError) ExitCode() int { return e.Code }

func (e *ExitError) Unwrap() error { return e.Err }

// ExitCode is the exit code for what Run returned.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return CodeFailed
}
