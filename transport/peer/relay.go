package peer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// maxQueued and maxQueuedBytes bound the reports that wait to be sent. A further one is refused: its session tries again.
	maxQueued      = 16_384
	maxQueuedBytes = MaxMessageBytes
	// maxReportBytes leaves room for what a message has around a report.
	maxReportBytes = MaxMessageBytes - 1024

	pauseMin = 50 * time.Millisecond
	pauseMax = time.Second
)

// Leaders tells a Relay where the leader is.
type Leaders interface {
	// Leader returns the leader's gRPC address, empty when none is known or this node leads itself, and a channel that is closed
	// when that may have changed.
	Leader() (address string, changed <-chan struct{})
	// Here tells whether this node leads and takes its sessions' reports itself.
	Here() bool
}

// Views lets a Relay wait for this node's own View.
type Views interface {
	// WaitIndex returns nil once the View has this index, and an error when ctx ends first.
	WaitIndex(ctx context.Context, index uint64) error
}

// Relay carries what this node's sessions report to the leader, over one stream, and brings the answers back. Reports travel in the
// order in which they came; while one message is under way the next ones gather, and none waits for company. An answer is handed on
// when this node's own View has the index that it stands on, in the leader's order.
//
// A report without an answer is answered `unknown` when the stream breaks or the leader changes, and so is every report behind it
// that was still queued: thus a session that sends again keeps its order. With no leader in sight reports wait in the queue; when it is
// this node that comes to lead, they are given back as `unknown`, for its own loop takes them now.
type Relay struct {
	client  *Client
	node    string
	leaders Leaders
	views   Views
	log     *slog.Logger

	inbox  chan outgoing
	held   *outgoing    // taken from the inbox, but too large for the message it would have joined; belongs to Run
	tag    uint64       // the last one given; belongs to Run
	queued atomic.Int64 // bytes in inbox

	// Not a loop: Report must not wait for one. Held for reading while a report enters the inbox, for writing when Run ends, so
	// that no report enters after the last one was answered.
	mu      sync.RWMutex
	stopped bool
}

// outgoing is a report and who waits for its answer.
type outgoing struct {
	ctx    context.Context
	report *nodev1.SessionReport
	bytes  int
	reply  func(*nodev1.SessionAnswer)
}

func (o outgoing) unknown() { o.reply(&nodev1.SessionAnswer{Tag: o.report.GetTag(), Unknown: true}) }

// NewRelay makes a relay for the node of this name. It carries nothing before Run.
func NewRelay(client *Client, node string, leaders Leaders, views Views, log *slog.Logger) *Relay {
	return &Relay{client: client, node: node, leaders: leaders, views: views, log: log, inbox: make(chan outgoing, maxQueued)}
}

// Report queues a report, whose tag the relay sets, and returns at once. reply is called exactly once, with the leader's answer or
// with one that says `unknown`; it is called from the relay's loop and must not block. A report whose ctx has ended before it was
// sent is not sent, and answered `unknown`.
//
// After an error the report was not taken and reply is never called: callboardv1.ErrOverloaded when the queue is full,
// api.payload_too_large, or ErrUnreachable when the relay has stopped.
func (r *Relay) Report(ctx context.Context, report *nodev1.SessionReport, reply func(*nodev1.SessionAnswer)) error {
	out := outgoing{ctx: ctx, report: report, bytes: proto.Size(report), reply: reply}
	if out.bytes > maxReportBytes {
		return callboardv1.Refuse("api", "payload_too_large", "a report of %d bytes: at most %d", out.bytes, maxReportBytes)
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.stopped {
		return fmt.Errorf("%w: this node is stopping", ErrUnreachable)
	}
	if r.queued.Add(int64(out.bytes)) > maxQueuedBytes {
		r.queued.Add(-int64(out.bytes))
		return callboardv1.ErrOverloaded
	}
	select {
	case r.inbox <- out:
		return nil
	default:
		r.queued.Add(-int64(out.bytes))
		return callboardv1.ErrOverloaded
	}
}

// Run carries reports until ctx ends; then it answers those left `unknown` and returns nil.
func (r *Relay) Run(ctx context.Context) error {
	defer r.stop()
	pause := pauseMin
	for ctx.Err() == nil {
		address, changed := r.leaders.Leader()
		if address == "" {
			r.idle(ctx, changed)
			continue
		}
		answered, err := r.carry(ctx, address)
		if answered {
			pause = pauseMin
		}
		if err == nil {
			continue // the leader changed
		}
		r.log.Debug("relay broke", "leader", address, "error", err)
		r.rest(ctx, address, pause)
		pause = min(2*pause, pauseMax)
	}
	return nil
}

// idle waits for a leader elsewhere. While this node leads itself it gives back what was meant for another.
func (r *Relay) idle(ctx context.Context, changed <-chan struct{}) {
	if !r.leaders.Here() {
		wait(ctx, changed, nil)
		return
	}
	for _, out := range r.takeQueued() {
		out.unknown()
	}
	select {
	case out := <-r.inbox: // it came while the gate opened
		r.taken(out).unknown()
	case <-changed:
	case <-ctx.Done():
	}
}

// rest waits before the same leader is tried again.
func (r *Relay) rest(ctx context.Context, address string, pause time.Duration) {
	if now, changed := r.leaders.Leader(); now == address {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		wait(ctx, changed, timer.C)
	}
}

func wait(ctx context.Context, changed <-chan struct{}, timer <-chan time.Time) {
	select {
	case <-changed:
	case <-timer:
	case <-ctx.Done():
	}
}

func (r *Relay) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	for _, out := range r.takeQueued() {
		out.unknown()
	}
}

// takeQueued empties the queue.
func (r *Relay) takeQueued() []outgoing {
	var all []outgoing
	if r.held != nil {
		all = append(all, *r.held)
		r.held = nil
	}
	for range len(r.inbox) {
		all = append(all, r.taken(<-r.inbox))
	}
	return all
}

// taken does the accounts of a report that has left the inbox.
func (r *Relay) taken(out outgoing) outgoing {
	r.queued.Add(-int64(out.bytes))
	return out
}

// gather takes what is there, first and behind it, up to one message.
func (r *Relay) gather(first outgoing) []outgoing {
	batch, bytes := []outgoing{first}, first.bytes
	for len(batch) < maxBatchReports {
		select {
		case next := <-r.inbox:
			r.taken(next)
			if bytes+next.bytes > maxBatchBytes {
				r.held = &next
				return batch
			}
			batch, bytes = append(batch, next), bytes+next.bytes
		default:
			return batch
		}
	}
	return batch
}
