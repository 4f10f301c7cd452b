package scheduler

import (
	"slices"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// HeartbeatEveryMs is how often heartbeats are committed at most, for the whole cluster, unless a verdict falls due.
const HeartbeatEveryMs = 1_000

// heartbeats commits every heartbeat that waits, as one op: once a second at most, and always before a verdict.
func (s *step) heartbeats(waiting []*nodev1.SessionReport) {
	tx := s.tx
	if len(waiting) == 0 || tx.SeenMs() != 0 && tx.ClockMs()-tx.SeenMs() < HeartbeatEveryMs && !tx.LostDue() {
		return
	}
	s.out.Heartbeats = make([]*nodev1.SessionAnswer, len(waiting))
	var numbers []uint32
	for i, report := range waiting {
		answer := &nodev1.SessionAnswer{Tag: report.GetTag(), HeartbeatSeq: report.GetHeartbeat().GetSeq()}
		s.out.Heartbeats[i] = answer
		r, refusal := s.inSession(report)
		if refusal != nil {
			answer.Refusal, answer.Retry = refusal, mayDialAgain(refusal)
			continue
		}
		numbers = append(numbers, r.Number)
		answer.LostThresholdMs = s.agreeThreshold(r, report.GetHeartbeat().GetThresholdMs())
	}
	s.seen(numbers)
}

// seen proposes that runners were heard.
func (s *step) seen(numbers []uint32) {
	if len(numbers) == 0 {
		return
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	deltas, last := make([]uint32, len(numbers)), uint32(0)
	for i, n := range numbers {
		deltas[i], last = n-last, n
	}
	s.do(&logv1.Op{Op: &logv1.Op_RunnersSeen{RunnersSeen: &logv1.RunnersSeen{NumberDeltas: deltas}}})
}

// agreeThreshold returns the lost threshold that the runner should know. A changed one holds only once a heartbeat that names it is
// committed: until then the runner uses the smaller of the two.
func (s *step) agreeThreshold(r *fsm.Runner, knownMs uint32) uint32 {
	want := uint32(s.tx.LostThresholdMs(s.tx.RunnerPool(r)))
	if knownMs == want && r.ThresholdMs != int64(want) {
		s.do(&logv1.Op{Op: &logv1.Op_SetRunnerThreshold{SetRunnerThreshold: &logv1.SetRunnerThreshold{
			RunnerId: r.ID[:], SessionId: r.Session[:], ThresholdMs: want,
		}}})
	}
	return want
}

// mayDialAgain tells whether a session that is refused may be followed by another: one that was superseded is followed already.
func mayDialAgain(refusal *callboardv1.Error) bool { return refusal.GetCode() != "superseded" }

// inSession finds the runner of a report, if the report comes from its current session.
func (s *step) inSession(report *nodev1.SessionReport) (*fsm.Runner, *callboardv1.Error) {
	if len(report.GetRunnerId()) != 16 {
		return nil, callboardv1.Refuse("session", "malformed", "the report names no runner")
	}
	r := s.tx.Runner(fsm.RunnerID(report.GetRunnerId()))
	switch {
	case r == nil || r.End == fsm.EndStopped:
		return nil, callboardv1.Refuse("session", "ended", "the runner has ended; it may connect again as a new one")
	case r.End == fsm.EndLost:
		return nil, callboardv1.Refuse("session", "lost", "the runner was declared lost after its silence; it may connect again as a new one")
	case string(r.Session[:]) != string(report.GetSessionId()):
		return nil, callboardv1.Refuse("session", "superseded", "a newer session of this runner has taken over")
	}
	return r, nil
}
