package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxMessage bounds the text that a runner sends along with a crash.
const maxMessage = 1 << 10

// maxEventsPerReport bounds one batch of events.
const maxEventsPerReport = 1_000

// report decides what a runner's session reported.
func (s *step) report(report *nodev1.SessionReport) *nodev1.SessionAnswer {
	if hello := report.GetHello(); hello != nil {
		return s.hello(hello)
	}
	r, refusal := s.inSession(report)
	if refusal != nil {
		return &nodev1.SessionAnswer{Refusal: refusal, Retry: mayDialAgain(refusal)}
	}
	switch what := report.GetReport().(type) {
	case *nodev1.SessionReport_Events:
		return s.events(r, what.Events)
	case *nodev1.SessionReport_Draining:
		s.announceDrain(r, what.Draining)
	case *nodev1.SessionReport_Goodbye:
		s.goodbye(r)
	case *nodev1.SessionReport_Broken:
		s.do(&logv1.Op{Op: &logv1.Op_DisconnectRunner{DisconnectRunner: &logv1.DisconnectRunner{RunnerId: r.ID[:], SessionId: r.Session[:]}}})
		s.unname(s.tx.RunnerPool(r), s.namedOn(r)) // while it is away its actors are not moved
	case *nodev1.SessionReport_Receipt:
		return s.receipt(what.Receipt)
	default:
		return &nodev1.SessionAnswer{Refusal: callboardv1.Refuse("session", "malformed", "the report says nothing that this build knows")}
	}
	return &nodev1.SessionAnswer{}
}

func (s *step) announceDrain(r *fsm.Runner, draining *callboardv1.Draining) {
	const longestMs = 30 * 60_000 // the engine's cap on a shutdown's grace
	if r.Drain.Cause == fsm.DrainReplaced {
		return // it gives up everything already, and ends without a Goodbye
	}
	deadline := s.tx.ClockMs() + min(int64(draining.GetDeadlineMs()), longestMs)
	s.startDrain(r, fsm.DrainShutdown, deadline, "the runner shuts down")
}

// receipt takes note of which evictions have reached their runner.
func (s *step) receipt(received *nodev1.EvictionsReceived) *nodev1.SessionAnswer {
	if len(received.GetRefs()) > maxEventsPerReport {
		return &nodev1.SessionAnswer{Refusal: callboardv1.Refuse("session", "too_many_events", "%d receipts in one report: at most %d", len(received.GetRefs()), maxEventsPerReport)}
	}
	op := &logv1.EvictionsReceived{}
	for _, r := range received.GetRefs() {
		if ref, refusal := parseRef(r); refusal == nil && s.tx.AwaitsReceipt(ref) {
			op.Refs = append(op.Refs, refOp(ref))
		}
	}
	if len(op.GetRefs()) > 0 {
		s.do(&logv1.Op{Op: &logv1.Op_EvictionsReceived{EvictionsReceived: op}})
	}
	return &nodev1.SessionAnswer{}
}

// startDrain has a runner give up its actors whatever the pace: they have no turns of the pace any more.
func (s *step) startDrain(r *fsm.Runner, cause fsm.DrainCause, deadlineMs int64, reason string) {
	s.unname(s.tx.RunnerPool(r), s.namedOn(r))
	s.do(&logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{
		RunnerId: r.ID[:], Cause: uint32(cause), DeadlineMs: deadlineMs, Reason: reason,
	}}})
}

// events takes a batch of what happened to a runner's actors. Events are idempotent: one of an older life changes nothing.
func (s *step) events(r *fsm.Runner, batch *callboardv1.ActorEvents) *nodev1.SessionAnswer {
	answer := &nodev1.SessionAnswer{EventsSeq: batch.GetSeq()}
	if len(batch.GetEvents()) > maxEventsPerReport {
		answer.Refusal = callboardv1.Refuse("session", "too_many_events", "%d events in one message: at most %d", len(batch.GetEvents()), maxEventsPerReport)
		return answer
	}
	for i, event := range batch.GetEvents() {
		if refusal := s.event(r, event); refusal != nil {
			answer.RefusedEvents = append(answer.RefusedEvents, &callboardv1.RefusedEvent{Ref: event.GetRef(), Error: refusal, Position: uint32(i)})
		}
	}
	return answer
}

func (s *step) event(r *fsm.Runner, event *callboardv1.ActorEvent) *callboardv1.Error {
	ref, err := parseRef(event.GetRef())
	if err != nil {
		return err
	}
	a := s.tx.Actor(ref.Actor)
	if a == nil || a.Runner != r.Number || a.Generation != ref.Generation {
		return s.strayEvent(r, ref, event)
	}
	switch e := event.GetEvent().(type) {
	case *callboardv1.ActorEvent_Running:
		if a.Phase == fsm.Starting {
			s.do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: refOp(ref)}}})
		}
	case *callboardv1.ActorEvent_Stopped:
		s.endLife(a, ending{
			clean: e.Stopped.GetClean(), message: e.Stopped.GetMessage(), cause: stopCause(e.Stopped),
		})
	case *callboardv1.ActorEvent_Sleep:
		if a.Phase == fsm.Starting { // who asks for sleep has run
			s.do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: refOp(ref)}}})
		}
		if a = s.tx.Actor(ref.Actor); a.Phase == fsm.Running {
			s.stop(a, fsm.StopSleep)
		}
	case *callboardv1.ActorEvent_Alarm:
		return s.setAlarm(ref, e.Alarm)
	case *callboardv1.ActorEvent_Save:
		return s.save(ref, e.Save.GetState())
	default:
		return callboardv1.Refuse("session", "malformed", "the event says nothing that this build knows")
	}
	return nil
}

// lastAlarmMs is the end of the year 9999: what is later is no time of day, but a mistake.
const lastAlarmMs = 253_402_300_799_999

// setAlarm sets the alarm, or clears it when it names no time. A time that is over long since is over, not none.
func (s *step) setAlarm(ref fsm.Ref, alarm *callboardv1.AlarmEvent) *callboardv1.Error {
	op := &logv1.SetAlarm{ActorId: ref.Actor[:]}
	if alarm.AtUnixMs != nil {
		if alarm.GetAtUnixMs() > lastAlarmMs {
			return callboardv1.Refuse("actor", "invalid_alarm", "alarm at %d: milliseconds since 1970, up to the end of the year 9999", alarm.GetAtUnixMs())
		}
		op.AtUnixMs = max(1, alarm.GetAtUnixMs())
	}
	s.do(&logv1.Op{Op: &logv1.Op_SetAlarm{SetAlarm: op}})
	return nil
}

func (s *step) save(ref fsm.Ref, state []byte) *callboardv1.Error {
	if len(state) > fsm.MaxSaved {
		return callboardv1.Refuse("actor", "state_too_large", "saved state of %d bytes: at most %d", len(state), fsm.MaxSaved)
	}
	switch s.do(&logv1.Op{Op: &logv1.Op_SaveState{SaveState: &logv1.SaveState{Ref: refOp(ref), State: state}}}) {
	case fsm.CodeOK:
		return nil
	case fsm.CodeFull:
		return s.storedBytesExceeded()
	default:
		return staleGeneration(ref)
	}
}

// strayEvent answers an event of a life that the state does not have on this runner.
func (s *step) strayEvent(r *fsm.Runner, ref fsm.Ref, event *callboardv1.ActorEvent) *callboardv1.Error {
	if event.GetStopped() != nil {
		s.endStray(r, ref)
		return nil // its end was known already
	}
	if event.GetRunning() != nil {
		s.holdOrphan(r, ref) // it runs, and should not
	}
	return staleGeneration(ref)
}

// endStray takes note of the end of a life that the state does not have on this runner.
func (s *step) endStray(r *fsm.Runner, ref fsm.Ref) {
	s.raise(r, ref)
	if s.tx.IsOrphan(r, ref) {
		s.do(&logv1.Op{Op: &logv1.Op_ReleaseOrphan{ReleaseOrphan: &logv1.ReleaseOrphan{RunnerId: r.ID[:], Ref: refOp(ref)}}})
	}
}

// holdOrphan has a runner stop a generation that the state does not want there; its slot is held until the end is confirmed. Its actor
// is not placed before, or it would run twice.
func (s *step) holdOrphan(r *fsm.Runner, ref fsm.Ref) {
	s.raise(r, ref)
	s.do(&logv1.Op{Op: &logv1.Op_HoldOrphan{HoldOrphan: &logv1.HoldOrphan{
		RunnerId: r.ID[:], Ref: refOp(ref), HoldsActor: s.believes(r, ref),
	}}})
}

// believes tells whether a runner can have a generation. Runners of other pools have no say, and there are numbers that are nonsense.
func (s *step) believes(r *fsm.Runner, ref fsm.Ref) bool {
	a := s.tx.Actor(ref.Actor)
	return a != nil && a.Phase != fsm.Destroyed && s.tx.ActorPool(a).ID == r.Pool && ref.Generation <= fsm.MaxRaised
}

// raise notes a generation that a runner has, or had, and the state does not know: the next one is above it.
func (s *step) raise(r *fsm.Runner, ref fsm.Ref) {
	s.warnNotBelieved(r, ref)
	if s.believes(r, ref) && ref.Generation >= s.tx.Actor(ref.Actor).NextGeneration() {
		s.do(&logv1.Op{Op: &logv1.Op_RaiseGeneration{RaiseGeneration: &logv1.RaiseGeneration{ActorId: ref.Actor[:], Generation: ref.Generation}}})
	}
}

func staleGeneration(ref fsm.Ref) *callboardv1.Error {
	return callboardv1.Refuse("actor", "stale_generation", "generation %d of actor %s is not on this runner any more", ref.Generation, ref.Actor)
}

// told is how a runner tells an end: in an event, or in a Hello.
type told interface {
	GetClean() bool
	GetFenced() bool
	GetAbandoned() bool
	GetFinished() bool
	GetRefused() bool
}

func stopCause(end told) logv1.StopCause {
	switch {
	case end.GetRefused():
		return logv1.StopCause_STOP_CAUSE_REFUSED
	case end.GetFenced():
		return logv1.StopCause_STOP_CAUSE_FENCED
	case end.GetAbandoned():
		return logv1.StopCause_STOP_CAUSE_ABANDONED
	case end.GetFinished() && end.GetClean():
		return logv1.StopCause_STOP_CAUSE_FINISHED
	}
	return logv1.StopCause_STOP_CAUSE_CONFIRMED
}

func parseRef(ref *callboardv1.ActorRef) (fsm.Ref, *callboardv1.Error) {
	id, err := fsm.ParseID(ref.GetActorId())
	if err != nil {
		return fsm.Ref{}, callboardv1.Refuse("session", "malformed", "ref.actor_id: %v", err)
	}
	return fsm.Ref{Actor: fsm.ActorID(id), Generation: ref.GetGeneration()}, nil
}

func refOp(ref fsm.Ref) *logv1.Ref {
	return &logv1.Ref{ActorId: ref.Actor[:], Generation: ref.Generation}
}
