package grpcapi

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// Limits of requests. What lands in the state is bounded by packages fsm and scheduler.
const (
	maxLimit     = 1000
	defaultLimit = 100
	maxActorIDs  = 32
	maxRunnerIDs = 1000
	maxCursor    = 1024
	defaultWait  = 30 * time.Second
	maxWait      = 10 * time.Minute
)

// badField refuses a request because of one field.
func badField(field, format string, args ...any) *callboardv1.Error {
	reason := fmt.Sprintf(format, args...)
	return callboardv1.Refuse("api", "bad_request", "%s", reason).With("field", field).With("reason", reason)
}

// invalidInput refuses a request whose fields do not go together.
func invalidInput(field, reason string) *callboardv1.Error {
	return callboardv1.Refuse("validation", "invalid_input", "%s", reason).With("field", field)
}

// problem makes sure that no refusal means a nil error, not an error that holds a nil pointer.
func problem(refusals ...*callboardv1.Error) error {
	if refusal := first(refusals...); refusal != nil {
		return refusal
	}
	return nil
}

func first(refusals ...*callboardv1.Error) *callboardv1.Error {
	for _, refusal := range refusals {
		if refusal != nil {
			return refusal
		}
	}
	return nil
}

func checkNamespace(name string) *callboardv1.Error {
	if name == "" {
		return badField("namespace", "namespace is missing: name one; every cluster has \"default\"")
	}
	if !fsm.ValidName(name) {
		return badField("namespace", "namespace %q is not a valid name: want 1 to 64 of a-z, 0-9 and single dashes inside", clip(name))
	}
	return nil
}

func checkPool(name string) *callboardv1.Error {
	if name == "" {
		return badField("pool", "the pool is missing (`pool`; `runner_name_selector` over HTTP): name the pool whose runners shall run the actor")
	}
	if !fsm.ValidPoolName(name) {
		return badField("pool", "pool %q is not a valid name: want 1 to 128 printable ASCII characters without space or slash", clip(name))
	}
	return nil
}

func checkActorName(name string) *callboardv1.Error {
	if name == "" {
		return invalidInput("name", "name is missing: an actor's name says which code runs it, such as \"counter\"")
	}
	if len(name) > fsm.MaxActorName {
		return badField("name", "name has %d bytes, and at most %d are allowed", len(name), fsm.MaxActorName)
	}
	if !fsm.Printable(name) {
		return badField("name", "name %q is not UTF-8 without control characters", clip(name))
	}
	return nil
}

func checkActorKey(key string) *callboardv1.Error {
	if key == "" {
		return callboardv1.Refuse("actor", "empty_key", "key is empty: leave it out, or give 1 to %d bytes", fsm.MaxActorKey).With("field", "key")
	}
	if len(key) > fsm.MaxActorKey {
		return callboardv1.Refuse("actor", "key_too_large", "key has %d bytes, and at most %d are allowed: use a hash of it", len(key), fsm.MaxActorKey).
			With("field", "key").With("max_size", fmt.Sprint(fsm.MaxActorKey)).With("key_size", fmt.Sprint(len(key)))
	}
	if !utf8.ValidString(key) {
		return badField("key", "key is not valid UTF-8")
	}
	return nil
}

func checkInput(input []byte) *callboardv1.Error {
	if len(input) > fsm.MaxInput {
		return callboardv1.Refuse("actor", "input_too_large", "input has %d bytes, and at most %d are allowed: store it elsewhere and pass its address", len(input), fsm.MaxInput).
			With("field", "input").With("max_size", fmt.Sprint(fsm.MaxInput)).With("input_size", fmt.Sprint(len(input)))
	}
	return nil
}

func checkCrashPolicy(policy callboardv1.CrashPolicy) *callboardv1.Error {
	if _, known := callboardv1.CrashPolicy_name[int32(policy)]; !known {
		return badField("crash_policy", "crash_policy %d is not known: want restart, sleep or destroy", policy)
	}
	return nil
}

func checkIdempotencyKey(key string) *callboardv1.Error {
	if len(key) > scheduler.MaxIdempotencyKey {
		return badField("idempotency_key", "the idempotency key has %d bytes, and at most %d are allowed", len(key), scheduler.MaxIdempotencyKey)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return badField("idempotency_key", "the idempotency key has byte 0x%02x at %d: only printable ASCII without space is allowed", key[i], i)
		}
	}
	return nil
}

// checkReason checks what somebody gives as the reason of a drain or a pause: it is kept and shown.
func checkReason(reason string) *callboardv1.Error {
	if len(reason) > scheduler.MaxReason {
		return badField("reason", "reason has %d bytes, and at most %d are allowed: say it in short", len(reason), scheduler.MaxReason)
	}
	if !utf8.ValidString(reason) {
		return badField("reason", "reason is not valid UTF-8")
	}
	return nil
}

func parseActorID(field, text string) (fsm.ActorID, error) {
	id, err := parseID(field, text)
	return fsm.ActorID(id), err
}

func parseRunnerID(field, text string) (fsm.RunnerID, error) {
	id, err := parseID(field, text)
	return fsm.RunnerID(id), err
}

func parseID(field, text string) (fsm.ID, error) {
	if text == "" {
		return fsm.ID{}, badField(field, "%s is missing", field)
	}
	id, err := fsm.ParseID(text)
	if err != nil {
		return fsm.ID{}, badField(field, "%s: %v", field, err)
	}
	return id, nil
}

// pageSize returns how many items a page has.
func pageSize(limit uint32) (int, error) {
	if limit > maxLimit {
		return 0, badField("limit", "limit is %d, and at most %d are given at once: follow next_cursor for more", limit, maxLimit)
	}
	if limit == 0 {
		return defaultLimit, nil
	}
	return int(limit), nil
}

// waitTime returns how long a blocking call waits.
func waitTime(timeoutMs uint32) (time.Duration, error) {
	wait := time.Duration(timeoutMs) * time.Millisecond
	if wait > maxWait {
		return 0, badField("timeout", "timeout is %s, and at most %s are allowed: call again to go on waiting", wait, maxWait)
	}
	if wait == 0 {
		return defaultWait, nil
	}
	return wait, nil
}

// clip shortens what a caller sent for a message.
func clip(text string) string {
	const most = 80
	if len(text) <= most {
		return text
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
