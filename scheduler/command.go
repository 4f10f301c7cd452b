package scheduler

import (
	"crypto/sha256"
	"encoding/binary"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// MaxIdempotencyKey bounds what a caller may send.
const MaxIdempotencyKey = 128

// command decides a caller's write: once, if it comes again with the same idempotency key.
func (s *step) command(c Command) Answer {
	if c.IdempotencyKey == "" {
		return s.execute(c.Command)
	}
	key, print := c.Principal+"\x00"+c.IdempotencyKey, fingerprint(c.Command)
	if len(c.IdempotencyKey) > MaxIdempotencyKey || len(c.Principal) > MaxIdempotencyKey || !utf8.ValidString(key) {
		return refuse(callboardv1.Refuse("api", "bad_request", "idempotency_key: at most %d bytes of UTF-8", MaxIdempotencyKey))
	}
	if outcome, was, ok := s.tx.Outcome(key); ok {
		return recall(outcome, was == print)
	}
	if s.tx.OutcomesFull() {
		return refuse(callboardv1.Refuse("cluster", "idempotency_full",
			"%d idempotency keys are remembered, as many as there is room for: nothing took effect; retry in a while, or without a key", s.tx.OutcomeCount()).
			With("retry_after_ms", "10000"))
	}
	answer := s.execute(c.Command)
	if answer.Success != nil { // a refusal left no trace: asking again is safe
		outcome, err := proto.Marshal(answer.Success)
		if err != nil {
			panic(err) // our own message
		}
		s.do(&logv1.Op{Op: &logv1.Op_RememberOutcome{RememberOutcome: &logv1.RememberOutcome{Key: key, Outcome: outcome, Fingerprint: print}}})
	}
	return answer
}

func recall(outcome []byte, same bool) Answer {
	if !same {
		return refuse(callboardv1.Refuse("api", "idempotency_conflict", "this idempotency key came with another request before: use a new key for a new request"))
	}
	var success nodev1.Success
	if err := proto.Unmarshal(outcome, &success); err != nil {
		panic(err) // our own message, from the state
	}
	return Answer{Success: &success}
}

func fingerprint(c *nodev1.Command) uint64 {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(c)
	if err != nil {
		return 0
	}
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:])
}

func (s *step) execute(c *nodev1.Command) Answer {
	switch c := c.GetCommand().(type) {
	case *nodev1.Command_CreateActor:
		r := c.CreateActor
		return s.createActor(r.GetNamespace(), newActor{r.GetName(), r.Key, r.GetPool(), r.GetInput(), r.GetCrashPolicy()}, false)
	case *nodev1.Command_CreateActors:
		return s.createActors(c.CreateActors)
	case *nodev1.Command_GetOrCreateActor:
		r := c.GetOrCreateActor
		return s.createActor(r.GetNamespace(), newActor{r.GetName(), &r.Key, r.GetPool(), r.GetInput(), r.GetCrashPolicy()}, true)
	case *nodev1.Command_WakeActor:
		return s.onActor(c.WakeActor.GetNamespace(), c.WakeActor.GetActorId(), s.wakeActor)
	case *nodev1.Command_SleepActor:
		return s.onActor(c.SleepActor.GetNamespace(), c.SleepActor.GetActorId(), s.sleepActor)
	case *nodev1.Command_DestroyActor:
		return s.onActor(c.DestroyActor.GetNamespace(), c.DestroyActor.GetActorId(), s.destroyActor)
	case *nodev1.Command_RescheduleActor:
		return s.onActor(c.RescheduleActor.GetNamespace(), c.RescheduleActor.GetActorId(), s.rescheduleActor)
	case *nodev1.Command_DrainRunner:
		return s.drainRunner(c.DrainRunner)
	case *nodev1.Command_UndrainRunner:
		return s.undrainRunner(c.UndrainRunner)
	case *nodev1.Command_PauseRollout:
		return s.pauseRollout(c.PauseRollout.GetNamespace(), c.PauseRollout.GetPool(), true, c.PauseRollout.GetReason())
	case *nodev1.Command_ResumeRollout:
		return s.pauseRollout(c.ResumeRollout.GetNamespace(), c.ResumeRollout.GetPool(), false, "")
	case *nodev1.Command_HoldVersion:
		return s.holdVersion(c.HoldVersion)
	case *nodev1.Command_ReleaseVersion:
		return s.releaseVersion(c.ReleaseVersion)
	case *nodev1.Command_PutPool:
		return s.putPool(c.PutPool)
	case *nodev1.Command_DeletePool:
		return s.deletePool(c.DeletePool)
	case *nodev1.Command_CreateNamespace:
		return s.createNamespace(c.CreateNamespace)
	case *nodev1.Command_ReportRequest:
		return s.reportRequest(c.ReportRequest)
	case *nodev1.Command_EndpointPolled:
		return s.endpointPolled(c.EndpointPolled)
	case *nodev1.Command_PutSettings:
		return s.putSettings(c.PutSettings)
	default:
		return refuse(callboardv1.Refuse("api", "not_built", "this build does not know the command"))
	}
}

func refuse(e *callboardv1.Error) Answer { return Answer{Refusal: e} }

func done(id []byte) Answer { return Answer{Success: &nodev1.Success{Id: id}} }

func namespaceNotFound(name string) *callboardv1.Error {
	return callboardv1.Refuse("namespace", "not_found", "namespace %q does not exist: see `callboard namespace list`", clipText(name))
}
