package peer

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

// relayStream is the client's end of one Relay call.
type relayStream = grpc.BidiStreamingClient[nodev1.RelayRequest, nodev1.RelayResponse]

// link is one stream to one leader. The loop, on the relay's own goroutine, owns everything; one goroutine opens the stream and
// writes it, one reads it.
type link struct {
	relay *Relay

	requests  chan *nodev1.RelayRequest  // to the writer, which takes one at a time
	idle      chan struct{}              // from the writer: the stream can take a message
	responses chan *nodev1.RelayResponse // from the reader: this node's View has their index

	pending  map[uint64]outgoing // by tag: handed to the writer, not answered
	greeted  bool                // the first message was sent
	answered bool
}

// carry relays to this leader until the stream breaks (an error), another leader is known, or ctx ends. It tells whether the leader
// has answered anything. Nothing that was sent is left without an answer.
func (r *Relay) carry(ctx context.Context, address string) (answered bool, err error) {
	l := &link{
		relay:    r,
		requests: make(chan *nodev1.RelayRequest), idle: make(chan struct{}), responses: make(chan *nodev1.RelayResponse),
		pending: map[uint64]outgoing{},
	}
	ctx, cancel := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		stream, err := r.client.relay(ctx, address)
		if err != nil {
			return err
		}
		group.Go(func() error { return l.read(ctx, stream) })
		return l.write(ctx, stream)
	})
	changed := l.loop(ctx, address)
	cancel()
	err = group.Wait()
	l.giveUp()
	if changed {
		err = nil
	}
	return l.answered, err
}

// loop ends with true when another leader is known, and with false when the stream broke or ctx ended.
func (l *link) loop(ctx context.Context, address string) (leaderChanged bool) {
	now, changed := l.relay.leaders.Leader()
	free := false // the writer waits for a message
	for now == address {
		var inbox <-chan outgoing
		if free && len(l.pending) < maxOutstanding {
			if held := l.relay.held; held != nil {
				l.relay.held = nil
				free = !l.send(ctx, *held)
				continue
			}
			inbox = l.relay.inbox
		}
		select {
		case out := <-inbox:
			free = !l.send(ctx, l.relay.taken(out))
		case <-l.idle:
			free = true
		case response := <-l.responses:
			l.dispatch(response)
		case <-changed:
			now, changed = l.relay.leaders.Leader()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// send gives the writer, which waits for it, one message with first and all that is queued behind it. It tells whether there was
// anything left to send.
func (l *link) send(ctx context.Context, first outgoing) bool {
	request := &nodev1.RelayRequest{}
	for _, out := range l.relay.gather(first) {
		if out.ctx.Err() != nil {
			out.unknown()
			continue
		}
		l.relay.tag++
		out.report.Tag = l.relay.tag
		l.pending[out.report.Tag] = out
		request.Reports = append(request.Reports, out.report)
	}
	if len(request.GetReports()) == 0 {
		return false
	}
	if !l.greeted {
		request.Node, l.greeted = l.relay.node, true
	}
	select {
	case l.requests <- request:
	case <-ctx.Done():
	}
	return true
}

func (l *link) dispatch(response *nodev1.RelayResponse) {
	l.answered = true
	for _, answer := range response.GetAnswers() {
		out, ok := l.pending[answer.GetTag()]
		if !ok {
			l.relay.log.Warn("relay: an answer to nothing that was asked", "tag", answer.GetTag(), "index", response.GetIndex())
			continue
		}
		delete(l.pending, answer.GetTag())
		out.reply(answer)
	}
}

// giveUp answers what was sent in vain, in its order, and then what was queued behind it. What the callers queue in reply stays.
func (l *link) giveUp() {
	if len(l.pending) == 0 {
		return
	}
	queued := l.relay.takeQueued()
	for _, tag := range slices.Sorted(maps.Keys(l.pending)) {
		l.pending[tag].unknown()
	}
	for _, out := range queued {
		out.unknown()
	}
}

func (l *link) write(ctx context.Context, stream relayStream) error {
	for {
		select {
		case l.idle <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case request := <-l.requests:
			if err := stream.Send(request); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *link) read(ctx context.Context, stream relayStream) error {
	for {
		response, err := stream.Recv()
		if err != nil {
			return fromStatus(err, true)
		}
		if err := l.relay.views.WaitIndex(ctx, response.GetIndex()); err != nil {
			return err
		}
		select {
		case l.responses <- response:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
