package peer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

const (
	maxBatchReports = 1_000
	maxBatchBytes   = 1 << 20
	// maxOutstanding bounds the reports of one node that have been sent and not yet answered. At the limit neither side goes on:
	// the node keeps them in its queue, and a leader whose answers are not fetched stops reading.
	maxOutstanding = 16_384
)

// Relay serves one node's stream: this goroutine reads, another one writes.
func (s *service) Relay(stream grpc.BidiStreamingServer[nodev1.RelayRequest, nodev1.RelayResponse]) error {
	if err := s.admit(stream.Context()); err != nil {
		return toStatus(err)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	incoming := &incoming{
		stream:  stream,
		room:    semaphore.NewWeighted(maxOutstanding + maxBatchReports),
		answers: make(chan *nodev1.RelayResponse, maxOutstanding+maxBatchReports),
	}
	var writer errgroup.Group
	writer.Go(func() error { return incoming.write(ctx) })
	err := incoming.read(ctx, s.leader)
	cancel()
	// A write fails only when the stream has ended, and then so does the read.
	_ = writer.Wait()
	return toStatus(err)
}

// incoming is the leader's end of one relay.
type incoming struct {
	stream  grpc.BidiStreamingServer[nodev1.RelayRequest, nodev1.RelayResponse]
	room    *semaphore.Weighted        // one for each report until its answer is on the wire
	answers chan *nodev1.RelayResponse // never fuller than there are reports without an answer on the wire
}

func (i *incoming) read(ctx context.Context, leader Leader) error {
	node := ""
	for {
		request, err := i.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if node == "" {
			node = request.GetNode()
		}
		reports := request.GetReports()
		if len(reports) > maxBatchReports {
			return status.Errorf(codes.InvalidArgument, "%d reports in one message: at most %d", len(reports), maxBatchReports)
		}
		if len(reports) == 0 {
			continue
		}
		if err := i.room.Acquire(ctx, int64(len(reports))); err != nil {
			return err
		}
		if err := leader.Relay(ctx, node, reports, i.answer); err != nil {
			return err
		}
	}
}

// answer is handed to the leader's loop, which it never holds up.
func (i *incoming) answer(index uint64, answers []*nodev1.SessionAnswer) {
	if len(answers) == 0 {
		return
	}
	select {
	case i.answers <- &nodev1.RelayResponse{Index: index, Answers: answers}:
	default:
		panic(fmt.Sprintf("relay: more answers than reports; %d more at index %d", len(answers), index))
	}
}

func (i *incoming) write(ctx context.Context) error {
	for {
		select {
		case response := <-i.answers:
			if err := i.stream.Send(response); err != nil {
				return err
			}
			i.room.Release(int64(len(response.GetAnswers())))
		case <-ctx.Done():
			return nil
		}
	}
}
