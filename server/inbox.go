package server

import (
	"context"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"

	"github.com/callboard/callboard/scheduler"
)

const (
	// inboxLimit is how many inputs may wait for the leader's loop. Beyond it callers are told that nothing took effect.
	inboxLimit = 32_768
	// callerLimit leaves a quarter of that to what runners report: callers who ask for more than there is hold up nobody's stop.
	callerLimit = inboxLimit / 4 * 3
	// callerBytes bounds what waiting callers' commands hold. A single one may be larger than what is left when there is no other.
	callerBytes = 256 << 20
)

// request is one input for the leader's loop. It is answered exactly once.
type request struct {
	command *scheduler.Command
	report  *nodev1.SessionReport
	barrier bool // only the index of an entry proposed after this came
	remote  bool // it came from another node, which waits for its own View to have the index
	size    int
	reply   func(outcome)
}

// outcome is what became of a request.
type outcome struct {
	index  uint64
	answer scheduler.Answer
	err    error // ErrOutcomeUnknown, ErrNoLeader or ErrOverloaded
}

// inbox holds what waits for the leader's loop. It outlives epochs; while no loop runs its gate is shut.
type inbox struct {
	requests chan *request
	bytes    atomic.Int64 // of the commands among them
	beats    *beats
	gate     gate
}

func newInbox() *inbox { return &inbox{requests: make(chan *request, inboxLimit), beats: newBeats()} }

// put queues a request. An error means that it was not taken: nothing took effect, and it will have no answer.
func (b *inbox) put(r *request) error {
	if !b.gate.enter() {
		return callboardv1.ErrNoLeader
	}
	defer b.gate.leave()
	if r.report.GetHeartbeat() != nil {
		return b.beats.put(r)
	}
	if r.report == nil && len(b.requests) >= callerLimit || !b.fits(r) {
		return callboardv1.ErrOverloaded
	}
	select {
	case b.requests <- r:
		return nil
	default:
		b.took(r)
		return callboardv1.ErrOverloaded
	}
}

// fits counts the bytes of a command, if there is room for them.
func (b *inbox) fits(r *request) bool {
	if r.command == nil {
		return true
	}
	size := int64(r.size)
	if sum := b.bytes.Add(size); sum > callerBytes && sum > size {
		b.bytes.Add(-size)
		return false
	}
	return true
}

// took is called for every request that was taken out.
func (b *inbox) took(r *request) *request {
	if r.command != nil {
		b.bytes.Add(-int64(r.size))
	}
	return r
}

// refuseAll answers everything that no loop has taken: it never entered the log.
func (b *inbox) refuseAll() {
	waiting := b.beats.all()
	b.beats.drop(waiting)
	answerAll(waiting, outcome{err: callboardv1.ErrNoLeader})
	for {
		select {
		case r := <-b.requests:
			b.took(r).reply(outcome{err: callboardv1.ErrNoLeader})
		default:
			return
		}
	}
}

// call queues a request and waits for its answer.
func (b *inbox) call(ctx context.Context, r *request) outcome {
	done := make(chan outcome, 1)
	r.reply = func(o outcome) { done <- o }
	if err := b.put(r); err != nil {
		return outcome{err: err}
	}
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
		if r.barrier {
			return outcome{err: ctx.Err()}
		}
		return outcome{err: callboardv1.ErrOutcomeUnknown}
	}
}

func commandRequest(c *scheduler.Command) *request {
	return &request{command: c, size: proto.Size(c.Command)}
}

func reportRequest(report *nodev1.SessionReport, reply func(outcome)) *request {
	return &request{report: report, size: proto.Size(report), reply: reply}
}
