package scheduler

import (
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// How a serverless pool's endpoint behaves: its errors, the back-off after them, and what it says of its version.

const (
	// endpointBackOffMs is the first wait after a failure; it doubles up to maxEndpointDoublings times.
	endpointBackOffMs    = 2_000
	maxEndpointDoublings = 8
	endpointJitterMs     = 500
	// successesToForget is how many requests in a row must find a runner before the last error is not shown any more, and the back-off begins
	// anew. One is not enough: an endpoint may answer and end the stream at once.
	successesToForget = 3
	// maxEndpointText bounds what is kept of an error, in bytes.
	maxEndpointText = 512
)

func clipCode(code string) string {
	if code == "" || len(code) > 64 {
		return "failed"
	}
	return code
}

// clipMessage cuts a text at the end of a character.
func clipMessage(text string) string {
	if len(text) <= maxEndpointText {
		return text
	}
	end := maxEndpointText
	for end > 0 && text[end]&0xC0 == 0x80 {
		end--
	}
	return text[:end]
}

// putEndpoint changes what is known of a pool's endpoint.
func (s *step) putEndpoint(p *fsm.Pool, change func(*logv1.Endpoint)) {
	next := &logv1.Endpoint{}
	if known := s.tx.Endpoint(p); known != nil {
		next = proto.CloneOf(known)
	}
	change(next)
	s.do(&logv1.Op{Op: &logv1.Op_PutEndpoint{PutEndpoint: &logv1.PutEndpoint{NamespaceId: p.ID.Namespace[:], Pool: p.ID.Name, Endpoint: next}}})
}

// endpointFailed makes a pool back off: 2 s · 2^n, up to 512 s, and up to 500 ms more.
func (s *step) endpointFailed(p *fsm.Pool, code, message string) {
	if p = s.tx.Pool(p.ID); p == nil || !p.Serverless() {
		return
	}
	waitMs := int64(endpointBackOffMs)<<min(s.tx.Endpoint(p).GetFailures(), maxEndpointDoublings) + int64(s.drawUint32()%endpointJitterMs)
	s.putEndpoint(p, func(e *logv1.Endpoint) {
		e.Failures, e.RetryMs, e.LookMs = e.GetFailures()+1, s.tx.ClockMs()+waitMs, s.tx.ClockMs()+waitMs
		s.noteError(e, code, message)
		e.ErrorOfPoll = false
	})
}

func (s *step) noteError(e *logv1.Endpoint, code, message string) {
	if e.GetErrorCode() == "" {
		e.ErrorCount = 0
	}
	e.Successes, e.ErrorCount, e.ErrorWallMs = 0, e.GetErrorCount()+1, max(1, s.tx.WallMs())
	e.ErrorCode, e.ErrorMessage = clipCode(code), clipMessage(message)
}

func forgetError(e *logv1.Endpoint) {
	e.Successes, e.ErrorCode, e.ErrorMessage, e.ErrorWallMs, e.ErrorCount, e.ErrorOfPoll = 0, "", "", 0, 0, false
}

// endpointAnswered takes note that a request has found its runner, and how long that took.
func (s *step) endpointAnswered(p *fsm.Pool, tookMs int64) {
	s.putEndpoint(p, func(e *logv1.Endpoint) {
		e.RetryMs = 0
		took := uint32(min(max(tookMs, 1), 600_000))
		if e.GetColdStartMs() != 0 {
			took = (3*e.GetColdStartMs() + took) / 4
		}
		e.ColdStartMs = took
		if e.GetFailures() == 0 {
			return
		}
		if e.Successes++; e.GetSuccesses() >= successesToForget {
			e.Failures = 0
			forgetError(e)
		}
	})
}

// polledEveryMs is how often a poll that says what the one before said is written down.
const polledEveryMs = 60_000

// endpointPolled takes what a poll of /metadata gave, unless it is older than what is known, or of an endpoint that the pool has no more.
func (s *step) endpointPolled(polled *nodev1.EndpointPolled) Answer {
	ns := s.tx.Namespace(polled.GetNamespace())
	if ns == nil {
		return refuse(namespaceNotFound(polled.GetNamespace()))
	}
	p := s.tx.Pool(fsm.PoolID{Namespace: ns.ID, Name: polled.GetPool()})
	if p == nil || !p.Serverless() || p.EndpointFingerprint() != polled.GetEndpoint() {
		return done(nil)
	}
	e, check := s.tx.Endpoint(p), polled.GetCheck()
	if e.GetPollIndex() > polled.GetIndex() {
		return done(nil)
	}
	failed := check.GetError()
	unchanged := failed == nil && !e.GetErrorOfPoll() && e.GetRunnerVersion() == check.GetRunnerVersion() && e.GetRuntimeVersion() == clipMessage(check.GetVersion())
	if unchanged && s.tx.WallMs()-e.GetPolledWallMs() < polledEveryMs {
		return done(nil)
	}
	s.putEndpoint(p, func(e *logv1.Endpoint) {
		e.PollIndex, e.PolledWallMs = polled.GetIndex(), max(1, s.tx.WallMs())
		if failed != nil {
			s.pollFailed(e, failed)
			return
		}
		e.RunnerVersion, e.RuntimeVersion = check.GetRunnerVersion(), clipMessage(check.GetVersion())
		if e.GetErrorOfPoll() {
			if e.Successes++; e.GetSuccesses() >= successesToForget {
				forgetError(e)
			}
		}
	})
	s.look(s.tx.Pool(p.ID))
	return done(nil)
}

// pollFailed notes the error of a poll. One of the requests themselves says more, and stays.
func (s *step) pollFailed(e *logv1.Endpoint, failed *callboardv1.Error) {
	if e.GetErrorCode() != "" && !e.GetErrorOfPoll() {
		return
	}
	s.noteError(e, failed.GetCode(), failed.GetMessage())
	e.ErrorOfPoll = true
}
