package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	firstBackoff = 50 * time.Millisecond
	maxBackoff   = time.Second
	// answerTimeout bounds one attempt, beyond the time that the request itself asks to wait, when there is another node to go to.
	answerTimeout = 5 * time.Second
)

// outcome is what one attempt came to.
type outcome int

const (
	final   outcome = iota // success, or a refusal that another attempt would meet too
	again                  // nothing took effect, and another attempt may
	unknown                // it may have taken effect
)

// Invoke makes a call: it fills in the request, chooses a node, and tries again while that is safe. It is what the generated clients
// call.
func (c *Client) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	req, err := c.prepare(ctx, args)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout+req.waits)
		defer cancel()
	}
	at := c.preferred.Load()
	maySent := false
	var heard error // what a node had to say, or kept silent about, last
	for attempt := 0; ; attempt++ {
		e := c.endpoints[int(at)%len(c.endpoints)]
		out, err := c.attempt(ctx, e, method, req, reply, opts)
		if out == unknown {
			maySent = true
		}
		if err == nil {
			c.preferred.Store(at)
			return nil
		}
		if isHeard(err) {
			heard = err
		}
		retry := out == again || out == unknown && req.safe()
		if !retry || c.options.noRetry || !pause(ctx, attempt, err, len(c.endpoints)) {
			var unreachable *UnreachableError
			if heard != nil && errors.As(err, &unreachable) {
				err = heard // a node is there, though the one that was tried last is not
			}
			return c.failed(ctx, req, err, maySent)
		}
		if !errors.Is(err, callboardv1.ErrOverloaded) {
			at++
		}
	}
}

// attempt sends the call once, to one node.
func (c *Client) attempt(ctx context.Context, e *endpoint, method string, req *request, reply any, opts []grpc.CallOption) (outcome, error) {
	if err := e.ready(ctx); err != nil {
		return again, &UnreachableError{Addrs: c.addrs(), Err: err}
	}
	if len(c.endpoints) > 1 && !c.options.noRetry {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, req.waits+answerTimeout)
		defer cancel()
	}
	if m, ok := reply.(proto.Message); ok {
		proto.Reset(m)
	}
	return judge(e.conn.Invoke(ctx, method, req.message, reply, opts...), req)
}

// judge sorts what came back. A status without a refusal comes from the connection or the clock, not from the engine.
func judge(err error, req *request) (outcome, error) {
	if err == nil {
		return final, nil
	}
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		switch {
		case errors.Is(refusal, callboardv1.ErrOutcomeUnknown):
			return unknown, refusal
		case retryable(refusal):
			return again, refusal
		}
		return final, refusal
	}
	switch s := status.Convert(err); s.Code() {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		if req.writes {
			return unknown, callboardv1.ErrOutcomeUnknown
		}
		return again, err
	case codes.Unimplemented:
		return final, callboardv1.Refuse("api", "not_built", "the node does not know this call: its version is another than this client's")
	case codes.ResourceExhausted:
		return final, callboardv1.Refuse("api", "payload_too_large", "the message is too large: %s", s.Message())
	default:
		if req.writes {
			return unknown, callboardv1.Refuse("cluster", "outcome_unknown", "the node failed while it worked on the call (%s): it may or may not have taken effect", s.Message())
		}
		return final, callboardv1.Refuse("cluster", "internal_error", "the node failed: %s", s.Message())
	}
}

// isHeard tells whether an attempt shows that its node is there: it refused, or had the call and did not answer in time.
func isHeard(err error) bool {
	_, refused := callboardv1.AsRefusal(err)
	return refused || status.Code(err) == codes.DeadlineExceeded
}

// failed says how a call ended that will not be sent again. Once it may have taken effect, no later refusal takes that back.
func (c *Client) failed(ctx context.Context, req *request, err error, maySent bool) error {
	if refusal, ok := callboardv1.AsRefusal(err); ok {
		if maySent && retryable(refusal) {
			refusal = callboardv1.ErrOutcomeUnknown
		}
		if errors.Is(refusal, callboardv1.ErrOutcomeUnknown) && req.key != "" {
			return proto.CloneOf(refusal).With("idempotency_key", req.key)
		}
		return refusal
	}
	if maySent {
		return proto.CloneOf(callboardv1.ErrOutcomeUnknown).With("idempotency_key", req.key)
	}
	var unreachable *UnreachableError
	if errors.As(err, &unreachable) {
		return unreachable
	}
	if ctx.Err() != nil {
		return &TimeoutError{Err: ctx.Err()}
	}
	return &UnreachableError{Addrs: c.addrs(), Err: errors.New("the connection broke before an answer came")}
}

func retryable(refusal *callboardv1.Error) bool {
	return errors.Is(refusal, callboardv1.ErrNoLeader) || errors.Is(refusal, callboardv1.ErrNodeBehind) || errors.Is(refusal, callboardv1.ErrOverloaded)
}

// pause waits before the next attempt; false: there is no time for one. The first round over all nodes is not held up.
func pause(ctx context.Context, attempt int, err error, nodes int) bool {
	if ctx.Err() != nil {
		return false
	}
	if attempt+1 < nodes && !errors.Is(err, callboardv1.ErrOverloaded) {
		return true
	}
	wait := min(firstBackoff<<min(attempt, 10), maxBackoff)
	wait = wait/2 + rand.N(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// NewStream opens a stream to a node that is there. It is never tried again.
func (c *Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	var last error
	at := int(c.preferred.Load())
	for i := range c.endpoints {
		e := c.endpoints[(at+i)%len(c.endpoints)]
		if last = e.ready(ctx); last == nil {
			return e.conn.NewStream(ctx, desc, method, opts...)
		}
	}
	return nil, &UnreachableError{Addrs: c.addrs(), Err: last}
}

func (c *Client) addrs() []string {
	addrs := make([]string, len(c.endpoints))
	for i, e := range c.endpoints {
		addrs[i] = e.addr
	}
	return addrs
}
