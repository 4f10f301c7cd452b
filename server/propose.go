package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// propose commits one entry and returns when this node has applied it, after comparing what it did with what was decided.
func (l *loop) propose(entry *logv1.Entry) (uint64, error) {
	data, err := proto.Marshal(entry)
	if err != nil {
		return 0, fmt.Errorf("marshal entry: %w", err)
	}
	l.metrics.proposed(len(data))
	future := l.raft.Apply(data, enqueueTimeout)
	if err := await(future, stuckAfter); err != nil {
		return 0, err
	}
	got, ok := future.Response().(applied)
	if !ok || !got.accepted {
		return 0, raft.ErrNotLeader // refused by its fence: it changed nothing
	}
	for i, res := range got.results {
		if res.Code != fsm.CodeOK {
			panic(fmt.Sprintf("entry %d: op %d (%T) was legal when it was decided and is %v when applied: the state machine is not deterministic",
				future.Index(), i, entry.GetOps()[i].GetOp(), res.Code))
		}
	}
	return future.Index(), nil
}

// await waits for an entry to be applied here. A leader whose own apply makes no progress for so many seconds is stuck, in its disk or
// in itself: it must stop, for it keeps its followers from electing another. Seconds are counted by a ticker, which drops those that
// the whole process slept through.
func await(future raft.ApplyFuture, seconds int) error {
	done := make(chan error, 1)
	go func() { done <- future.Error() }() // ends with Raft at the latest
	select {
	case err := <-done:
		return err
	case <-time.After(time.Second):
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for range seconds {
		select {
		case err := <-done:
			return err
		case <-tick.C:
		}
	}
	return fmt.Errorf("%w: an entry was not applied within %d s although this node leads: its disk is stuck or far too slow", errStuck, seconds)
}

// mapRaftError is the one place where Raft's errors become outcomes: what never entered the log took no effect, all else is unknown.
func mapRaftError(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrEnqueueTimeout) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return callboardv1.ErrNoLeader
	}
	return callboardv1.ErrOutcomeUnknown
}
