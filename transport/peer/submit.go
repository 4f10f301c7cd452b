package peer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// maxFlights is how many calls with commands are under way to one node at once. One that is alone leaves at once; what comes while
	// all are away leaves together, so that a thousand callers cost a leader a few calls and not a thousand.
	maxFlights = 4
	// maxFlightCommands and maxFlightBytes bound what one call carries; a single command may be larger.
	maxFlightCommands = 1024
	maxFlightBytes    = 4 << 20
)

// Submit hands a command to the node, which must lead, together with what others submit at the same time. An error means that nothing
// took effect, unless it is callboardv1.ErrOutcomeUnknown; ErrNotLeader and ErrUnreachable are worth another try.
func (c *Client) Submit(ctx context.Context, address string, request *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	s := c.submitter(address)
	p := &passenger{request: request, size: proto.Size(request), answer: make(chan struct{})}
	s.board(p)
	select {
	case <-p.answer:
		return p.response, p.err
	case <-ctx.Done():
	}
	if s.leave(p) {
		return nil, fmt.Errorf("%w: %w", callboardv1.ErrOutcomeUnknown, ctx.Err())
	}
	<-p.answer // it was on no call, or alone on one that has been ended
	return p.response, p.err
}

func (c *Client) submitter(address string) *submitter {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.submitters[address]
	if s == nil {
		s = &submitter{client: c, address: address}
		c.submitters[address] = s
	}
	return s
}

// submitter gathers what this node's callers submit to one node.
type submitter struct {
	client  *Client
	address string

	mu      sync.Mutex // guards what follows, and the flight of every passenger; nothing waits while holding it
	waiting []*passenger
	flights int
}

// passenger is one command, of one caller.
type passenger struct {
	request *nodev1.SubmitRequest
	size    int
	flight  *flight // nil: it waits for one

	answer   chan struct{} // closed when the two below are set
	response *nodev1.SubmitResponse
	err      error
}

func (p *passenger) answered(response *nodev1.SubmitResponse, err error) {
	p.response, p.err = response, err
	close(p.answer)
}

// flight is one call.
type flight struct {
	passengers []*passenger
	interested int // of their callers
	cancel     context.CancelFunc
}

func (s *submitter) board(p *passenger) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, p)
	if s.flights < maxFlights {
		s.flights++
		go s.shuttle() // ends when nobody waits; every call ends when nobody is interested in it, or with the connection
	}
}

// leave is for a caller whose time is up. It tells whether others are still interested in the call that carries its command, which then
// has an outcome that nobody will know.
func (s *submitter) leave(p *passenger) (underWay bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := p.flight
	if f == nil {
		for i, other := range s.waiting {
			if other == p {
				s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
				p.answered(nil, fmt.Errorf("%w: the caller gave up", ErrUnreachable))
				break
			}
		}
		return false
	}
	if f.interested--; f.interested > 0 {
		return true
	}
	f.cancel()
	return false
}

// shuttle makes one call after the other while somebody waits.
func (s *submitter) shuttle() {
	for {
		ctx, cancel := context.WithCancel(context.Background())
		f := s.take(cancel)
		if f == nil {
			cancel()
			return
		}
		s.fly(ctx, f)
		cancel()
	}
}

func (s *submitter) take(cancel context.CancelFunc) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, size := 0, 0
	for n < len(s.waiting) && n < maxFlightCommands {
		if size += s.waiting[n].size; n > 0 && size > maxFlightBytes {
			break
		}
		n++
	}
	if n == 0 {
		s.flights--
		s.waiting = nil
		return nil
	}
	f := &flight{passengers: s.waiting[:n:n], interested: n, cancel: cancel}
	s.waiting = s.waiting[n:]
	for _, p := range f.passengers {
		p.flight = f
	}
	return f
}

func (s *submitter) fly(ctx context.Context, f *flight) {
	request := &nodev1.SubmitManyRequest{Requests: make([]*nodev1.SubmitRequest, len(f.passengers))}
	for i, p := range f.passengers {
		request.Requests[i] = p.request
	}
	response, err := call(ctx, s.client, s.address, request, nodev1.NodeServiceClient.SubmitMany)
	if err == nil && len(response.GetAnswers()) != len(f.passengers) {
		err = fmt.Errorf("%w: %d answers to %d commands", callboardv1.ErrOutcomeUnknown, len(response.GetAnswers()), len(f.passengers))
	}
	for i, p := range f.passengers {
		if err != nil {
			p.answered(nil, err)
			continue
		}
		p.answered(result(response.GetAnswers()[i]))
	}
}

func result(s *nodev1.Submitted) (*nodev1.SubmitResponse, error) {
	switch r := s.GetResult().(type) {
	case *nodev1.Submitted_Response:
		return r.Response, nil
	case *nodev1.Submitted_Error:
		return nil, r.Error
	}
	return nil, callboardv1.ErrOutcomeUnknown
}

// SubmitMany is the leader's side.
func (s *service) SubmitMany(ctx context.Context, request *nodev1.SubmitManyRequest) (*nodev1.SubmitManyResponse, error) {
	if err := s.admit(ctx); err != nil {
		return nil, toStatus(err)
	}
	requests := request.GetRequests()
	answers := make([]*nodev1.Submitted, len(requests))
	all := make(chan struct{})
	var left atomic.Int64
	if left.Store(int64(len(requests))); len(requests) == 0 {
		close(all)
	}
	s.leader.Submit(requests, func(i int, response *nodev1.SubmitResponse, err error) {
		answers[i] = submitted(response, err)
		if left.Add(-1) == 0 {
			close(all)
		}
	})
	select {
	case <-all:
		return &nodev1.SubmitManyResponse{Answers: answers}, nil
	case <-ctx.Done():
		return nil, toStatus(ctx.Err()) // nobody waits any more
	}
}

func submitted(response *nodev1.SubmitResponse, err error) *nodev1.Submitted {
	if err != nil {
		return &nodev1.Submitted{Result: &nodev1.Submitted_Error{Error: refusalOf(err)}}
	}
	return &nodev1.Submitted{Result: &nodev1.Submitted_Response{Response: response}}
}
