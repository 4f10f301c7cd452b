package scheduler

import (
	"fmt"
	"slices"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The life of one request: what its node reports, what follows by itself, and how it ends.

// reportRequest decides what the node that carries a request tells of it. Telling it again changes nothing.
func (s *step) reportRequest(report *nodev1.RequestReport) Answer {
	id, ok1 := fsm.IDFromBytes(report.GetRequestId())
	start, ok2 := fsm.IDFromBytes(report.GetStartId())
	if !ok1 || !ok2 {
		return refuse(callboardv1.Refuse("api", "bad_request", "request_id and start_id: 16 bytes each"))
	}
	q := s.tx.Request(fsm.RequestID(id))
	if q == nil || q.Phase == fsm.RequestEnded {
		return done(nil) // it is over, and everybody knows
	}
	if q.Start != fsm.StartID(start) {
		return refuse(callboardv1.Refuse("cluster", "not_the_carrier", "another process carries this request: end it"))
	}
	switch what := report.GetReport().(type) {
	case *nodev1.RequestReport_Sent:
		s.requestSent(q)
	case *nodev1.RequestReport_Claimed:
		s.requestClaimed(q, what.Claimed.GetInstanceId())
	case *nodev1.RequestReport_Ended:
		s.requestEnded(q, what.Ended)
	default:
		return refuse(callboardv1.Refuse("api", "not_built", "the report says nothing that this build knows"))
	}
	return done(nil)
}

func (s *step) requestSent(q *fsm.Request) {
	if q.Phase == fsm.RequestOpening {
		joinBy := min(s.tx.ClockMs()+s.tx.Setting(fsm.ActorStartThreshold), q.ExpireMs)
		s.do(&logv1.Op{Op: &logv1.Op_SendRequest{SendRequest: &logv1.SendRequest{RequestId: q.ID[:], JoinByMs: joinBy}}})
	}
}

// requestClaimed notes which process answers a request. If another one came before it, somebody on the way has sent the request twice:
// nobody can tell which of them lives as long as the stream does.
func (s *step) requestClaimed(q *fsm.Request, text string) {
	id, err := fsm.ParseID(text)
	switch instance := fsm.InstanceID(id); {
	case err != nil:
		s.failRequest(q, "invalid_sse_payload", "its first event names no instance")
	case q.Instance == instance:
	case fsm.ID(q.Instance).IsZero():
		s.do(&logv1.Op{Op: &logv1.Op_ClaimRequest{ClaimRequest: &logv1.ClaimRequest{RequestId: q.ID[:], InstanceId: id[:]}}})
	default:
		s.failRequest(q, "request_sent_twice", "another process has connected for it: something between the engine and the endpoint repeats requests")
	}
}

// requestEnded takes note of the end of a stream. An end is a normal one if the endpoint says so or its runner has said goodbye, and when the
// time was up.
func (s *step) requestEnded(q *fsm.Request, end *nodev1.RequestEnded) {
	switch {
	case end.GetError() != nil:
		s.failRequest(q, end.GetError().GetCode(), end.GetError().GetMessage())
	case end.GetExpired():
		s.endRequest(q, fsm.RequestExpired, "", "")
	case end.GetClean():
		s.endRequest(q, fsm.RequestFinished, "", "")
	default:
		s.failRequest(q, "stream_ended_early", "the stream ended without event: end, and its runner had not said goodbye")
	}
}

// requestDue does what follows in the life of a request by itself.
func (s *step) requestDue(q *fsm.Request) {
	now := s.tx.ClockMs()
	switch {
	case q.Phase == fsm.RequestEnded:
		s.forgetRequest(q)
	case q.Phase == fsm.RequestOpening:
		s.endRequest(q, fsm.RequestNodeLost, "", fmt.Sprintf("node %s has not sent it within %d s", clipText(q.Node), sendWithinMs/1000))
	case q.Phase == fsm.RequestWaiting:
		s.failRequest(q, "runner_never_connected", fmt.Sprintf("no runner has connected within %d s of the request", (now-q.SendMs)/1000))
	case q.ExpireMs <= now:
		s.endRequest(q, fsm.RequestExpired, "", "")
	case q.RetireMs != 0 && q.RetireMs <= now:
		s.retireDue(q)
	case !q.Expiring:
		s.do(&logv1.Op{Op: &logv1.Op_ExpireRequest{ExpireRequest: &logv1.ExpireRequest{RequestId: q.ID[:]}}})
	default:
		s.drainRequest(q, q.ExpireMs, "its request ends")
	}
	s.look(s.tx.RequestPool(q))
}

// retireDue ends the wait of a request without actors: it is drained if it has none still and nobody needs it, else its wait is over.
func (s *step) retireDue(q *fsm.Request) {
	s.retireIdle(s.tx.RequestPool(q))
	if q = s.tx.Request(q.ID); q.Phase == fsm.RequestJoined && !q.Drains {
		s.do(&logv1.Op{Op: &logv1.Op_RetireRequest{RetireRequest: &logv1.RetireRequest{RequestId: q.ID[:]}}})
	}
}

// drainRequest has the runner of a request give up its actors, and leave.
func (s *step) drainRequest(q *fsm.Request, expireMs int64, reason string) {
	s.do(&logv1.Op{Op: &logv1.Op_ExpireRequest{ExpireRequest: &logv1.ExpireRequest{RequestId: q.ID[:], Drains: true, ExpireMs: expireMs}}})
	s.drainForEnd(s.tx.Runner(q.Runner), expireMs, reason)
}

// drainForEnd has a runner give up its actors because its request ends.
func (s *step) drainForEnd(r *fsm.Runner, expireMs int64, reason string) {
	if r != nil && r.End == fsm.NotEnded {
		s.startDrain(r, fsm.DrainRequestEnd, expireMs, reason) // refused when it drains for a weightier cause
	}
}

// failRequest ends a request with an error, for which its pool backs off.
func (s *step) failRequest(q *fsm.Request, code, message string) {
	p := s.tx.RequestPool(q)
	if r := s.tx.Runner(q.Runner); r != nil && (r.End != fsm.NotEnded || q.Drains) {
		s.endRequest(q, fsm.RequestFinished, "", "") // it was on its way out: how the stream ends says nothing
		return
	}
	code, message = clipCode(code), clipMessage(message)
	s.endRequest(q, fsm.RequestFailed, code, message)
	s.endpointFailed(p, code, message)
}

// endRequest ends a request. Its runner drains if it is still there: at once, with what a stop may take. One whose time was up is ended.
func (s *step) endRequest(q *fsm.Request, cause fsm.RequestEnd, code, message string) {
	s.do(&logv1.Op{Op: &logv1.Op_EndRequest{EndRequest: &logv1.EndRequest{RequestId: q.ID[:], Cause: uint32(cause), Code: code, Message: message}}})
	s.forgetExcessRequests(s.tx.RequestPool(q))
	r := s.tx.Runner(q.Runner)
	if r == nil || r.End != fsm.NotEnded {
		return
	}
	if q.ExpireMs <= s.tx.ClockMs() && q.Drains {
		s.endRunner(r)
		return
	}
	s.drainForEnd(r, s.tx.ClockMs()+s.tx.Setting(fsm.ActorStopThreshold), "its request has ended")
}

// runnerLeft ends the request of a runner that has ended.
func (s *step) runnerLeft(r *fsm.Runner) {
	q := s.tx.RunnerRequest(r)
	if q == nil || q.Phase == fsm.RequestEnded {
		return
	}
	cause := fsm.RequestFinished
	if s.tx.Runner(r.ID).End == fsm.EndLost {
		cause = fsm.RequestRunnerLost
	}
	s.endRequest(q, cause, "", "")
	s.look(s.tx.RequestPool(q))
}

func (s *step) forgetRequest(q *fsm.Request) {
	s.do(&logv1.Op{Op: &logv1.Op_ForgetRequest{ForgetRequest: &logv1.ForgetRequest{RequestId: q.ID[:]}}})
}

func (s *step) forgetExcessRequests(p *fsm.Pool) {
	for q := s.tx.ExcessRequest(p); q != nil; q = s.tx.ExcessRequest(p) {
		s.forgetRequest(q)
	}
}

// carry takes note of which nodes can carry requests. Those that are gone have lost what they carried: it is opened again elsewhere, if it
// is still needed, under another id.
func (s *step) carry(in Input) {
	s.carriers = slices.SortedFunc(slices.Values(in.Carriers), CompareCarriers)
	if !in.Sweep || !in.CarriersKnown {
		return
	}
	for _, q := range slices.Collect(s.tx.AllOpenRequests()) {
		if _, alive := slices.BinarySearchFunc(s.carriers, Carrier{q.Node, q.Start}, CompareCarriers); alive {
			continue
		}
		if s.full() {
			return
		}
		s.endRequest(q, fsm.RequestNodeLost, "", fmt.Sprintf("node %s, which carried it, is gone or was started again", clipText(q.Node)))
		s.look(s.tx.RequestPool(q))
	}
}

// requestOfHello finds the request that a runner says it answers; nil: none.
func (s *step) requestOfHello(p *fsm.Pool, instance fsm.InstanceID, h *callboardv1.Hello) (*fsm.Request, *callboardv1.Error) {
	if h.GetServerlessRequestId() == "" {
		return nil, nil
	}
	id, err := fsm.ParseID(h.GetServerlessRequestId())
	if err != nil {
		return nil, callboardv1.Refuse("session", "request_unknown", "serverless_request_id: %v", err)
	}
	q := s.tx.Request(fsm.RequestID(id))
	switch s.tx.MayJoin(q, p, instance) {
	case fsm.CodeOK:
		return q, nil
	case fsm.CodeStale:
		return nil, callboardv1.Refuse("session", "request_over", "the request %s is over: end it, another one is opened when there is need", id)
	case fsm.CodeExists:
		return nil, callboardv1.Refuse("session", "request_taken", "another process has connected for the request %s", id)
	default:
		return nil, callboardv1.Refuse("session", "request_unknown", "the request %s is not one of pool %q", id, p.ID.Name)
	}
}

// joined takes note of a runner that has connected for a request.
func (s *step) joined(q *fsm.Request, r *fsm.Runner) {
	s.joins = append(s.joins, join{q.ID, r.Number})
	s.endpointAnswered(s.tx.RequestPool(q), s.tx.ClockMs()-s.tx.Request(q.ID).SendMs)
}

// join is a request whose runner has connected in this Step.
type join struct {
	request fsm.RequestID
	runner  uint32
}

// unsuitable finds runners that have just connected and could take none of the actors for which they were asked: asking again would bring
// the same.
func (s *step) unsuitable(p *fsm.Pool) {
	for _, j := range s.joins {
		q, r := s.tx.Request(j.request), s.tx.RunnerByNumber(j.runner)
		if q.Phase != fsm.RequestJoined || r == nil || r.Held > 0 || s.tx.RequestPool(q).ID != p.ID {
			continue
		}
		switch {
		case q.Probes > r.Version:
			s.failRequest(q, "older_version", fmt.Sprintf("{url}/metadata says version %d, and a runner of version %d connects", q.Probes, r.Version))
		case r.Drain.Held:
			s.failRequest(q, "runner_unsuitable", fmt.Sprintf("the runner that connected is of version %d, which a rollback holds back: `callboard rollout release %s %d` lets it get actors again",
				r.Version, p.ID.Name, r.Version))
		case s.tx.PoolStats(p).Pending > 0 && !AtConcurrencyLimit(&s.tx.State, p):
			s.failRequest(q, "runner_unsuitable", fmt.Sprintf("the runner that connected (version %d) may have none of the %d actors that wait: %s",
				r.Version, s.tx.PoolStats(p).Pending, unsuitableBecause(r)))
		}
	}
}

func unsuitableBecause(r *fsm.Runner) string {
	if r.Draining() {
		return "it drains, because a newer version is there or its own is held back"
	}
	return "they have run on a newer version, or it does not handle their names"
}
