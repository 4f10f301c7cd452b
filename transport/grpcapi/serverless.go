package grpcapi

import (
	"context"
	"fmt"
	"iter"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// endpointError is why the endpoint of a serverless pool gives no runners; nil: nothing is wrong with it.
func endpointError(v *fsm.View, p *fsm.Pool) *callboardv1.EndpointError {
	e := v.Endpoint(p)
	if e.GetErrorCode() == "" {
		return nil
	}
	m := &callboardv1.EndpointError{Code: e.GetErrorCode(), Message: e.GetErrorMessage(), Ts: e.GetErrorWallMs(), Count: e.GetErrorCount()}
	if e.GetRetryMs() > v.ClockMs() {
		m.RetryTs = v.WallAt(e.GetRetryMs())
	}
	return m
}

// whyUnserved says why an actor of a serverless pool waits for a runner; the zero value: as in every pool.
func whyUnserved(v *fsm.View, p *fsm.Pool) reason {
	if !p.Serverless() {
		return reason{}
	}
	e, stats := v.Endpoint(p), v.PoolStats(p)
	switch {
	case scheduler.AtConcurrencyLimit(&v.State, p):
		return reason{"concurrent_actor_limit_reached", fmt.Sprintf("%d actors of pool %s are on runners, as many as max_concurrent_actors allows: it starts when one of them has left",
			stats.OnRunner, p.ID.Name)}
	case e.GetErrorCode() != "" && e.GetRetryMs() > v.ClockMs():
		return reason{"endpoint_failing", fmt.Sprintf("the endpoint of pool %s fails (%s: %s); it is asked again at %s", p.ID.Name, e.GetErrorCode(), e.GetErrorMessage(),
			clockTime(v.WallAt(e.GetRetryMs())))}
	case stats.HalfOpen > 0:
		return reason{"awaiting_serverless_runner", fmt.Sprintf("the endpoint of pool %s has been called; requests whose runners have not connected yet: %d", p.ID.Name, stats.HalfOpen)}
	}
	return reason{}
}

// nextServed tells when an actor of a serverless pool may get a runner, if that is known.
func nextServed(v *fsm.View, p *fsm.Pool) (atMs int64, what string) {
	if e := v.Endpoint(p); p.Serverless() && !scheduler.AtConcurrencyLimit(&v.State, p) && e.GetRetryMs() > v.ClockMs() {
		return v.WallAt(e.GetRetryMs()), "the endpoint is called again; a runner that connects starts it"
	}
	return 0, "whatever frees a slot that it may use starts it"
}

// Outbound is how a node asks the endpoints of serverless pools.
type Outbound interface {
	// CheckEndpoint asks a url for its metadata. What is wrong is in the answer's error.
	CheckEndpoint(ctx context.Context, url string, headers []*callboardv1.Header) (*callboardv1.EndpointCheck, *callboardv1.Error)
	// RefreshEndpoint asks the endpoint of a pool, and has what it says written down.
	RefreshEndpoint(ctx context.Context, pool *fsm.Pool, view *fsm.View) (*callboardv1.EndpointCheck, error)
}

// RefreshMetadata asks a serverless pool's endpoint for its version now.
func (s *poolService) RefreshMetadata(ctx context.Context, req *callboardv1.RefreshMetadataRequest) (*callboardv1.RefreshMetadataResponse, error) {
	if err := problem(checkPoolItself(req.GetPool())); err != nil {
		return nil, err
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), callboardv1.Consistency_CONSISTENCY_UNSPECIFIED)
	if err != nil {
		return nil, err
	}
	p, err := findPool(view, ns, req.GetPool())
	if err != nil {
		return nil, err
	}
	if !p.Serverless() || s.outbound == nil {
		return nil, callboardv1.Refuse("pool", "not_serverless", "pool %s is not serverless: nobody asks it for its version", p.ID.Name).With("pool", p.ID.Name)
	}
	check, err := s.outbound.RefreshEndpoint(ctx, p, view)
	if err != nil {
		return nil, err
	}
	return &callboardv1.RefreshMetadataResponse{Check: check, Index: view.Index()}, nil
}

// CheckHealth asks any url for its metadata, under the rules that hold for pools.
func (s *poolService) CheckHealth(ctx context.Context, req *callboardv1.CheckHealthRequest) (*callboardv1.CheckHealthResponse, error) {
	if s.outbound == nil {
		return nil, callboardv1.Refuse("api", "not_built", "this node calls no endpoints")
	}
	check, refusal := s.outbound.CheckEndpoint(ctx, req.GetUrl(), req.GetHeaders())
	if refusal != nil {
		return nil, refusal
	}
	return &callboardv1.CheckHealthResponse{Check: check}, nil
}

// ListRequests answers with the requests of a serverless pool, newest first: those that are open, then those that have ended if they are
// asked for.
func (s *poolService) ListRequests(ctx context.Context, req *callboardv1.ListRequestsRequest) (*callboardv1.ListRequestsResponse, error) {
	if err := problem(checkPoolItself(req.GetPool())); err != nil {
		return nil, err
	}
	if req.GetCursor() != "" {
		return nil, badField("cursor", "the requests of a pool come in one page: there is no cursor")
	}
	view, ns, err := s.namespaceView(ctx, req.GetNamespace(), req.GetConsistency())
	if err != nil {
		return nil, err
	}
	p, err := findPool(view, ns, req.GetPool())
	if err != nil {
		return nil, err
	}
	size, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	answer := &callboardv1.ListRequestsResponse{Index: view.Index()}
	for q := range requestsOf(view, p, req.GetIncludeEnded()) {
		if len(answer.GetRequests()) == size {
			break
		}
		answer.Requests = append(answer.Requests, requestMessage(view, q))
	}
	return answer, nil
}

func requestsOf(v *fsm.View, p *fsm.Pool, ended bool) iter.Seq[*fsm.Request] {
	return func(yield func(*fsm.Request) bool) {
		for q := range v.Requests(p, false, 0) {
			if !yield(q) {
				return
			}
		}
		if !ended {
			return
		}
		for q := range v.Requests(p, true, 0) {
			if !yield(q) {
				return
			}
		}
	}
}

func requestMessage(v *fsm.View, q *fsm.Request) *callboardv1.Request {
	m := &callboardv1.Request{
		RequestId: q.ID.String(), Pool: v.RequestPool(q).ID.Name, Node: q.Node, State: callboardv1.RequestState(q.Phase), End: callboardv1.RequestEnd(q.End),
		Slots: q.Slots, OpenTs: q.OpenWall, SendTs: q.SendWall, JoinTs: q.JoinWall, DrainTs: v.WallAt(q.DrainMs), ExpireTs: v.WallAt(q.ExpireMs), EndTs: q.EndWall,
	}
	if !fsm.ID(q.Runner).IsZero() {
		m.RunnerId = q.Runner.String()
	}
	if q.Code != "" || q.Message != "" {
		m.Error = &callboardv1.Error{Group: "serverless", Code: q.Code, Message: q.Message}
	}
	return m
}
