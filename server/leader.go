package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// leadership follows Raft and runs one epoch at a time.
type leadership struct {
	log      *slog.Logger
	node     string
	wall     func() time.Time // for display and alarms; nothing else looks at it
	decide   decide
	still    func() // called at each look at the loop
	raft     *raft.Raft
	replica  *replica
	inbox    *inbox
	leaders  *leaders
	carriers *carriers
	metrics  *loopMetrics
	events   *events
	tasks    []func(ctx context.Context) error // what a leader runs beside its loop; every one ends with the epoch
}

// run lasts as long as the node. A change of leadership, also from leader to leader, ends the epoch before the next begins.
func (l *leadership) run(ctx context.Context) error {
	changes := l.raft.LeaderCh()
	leading := l.raft.State() == raft.Leader
	for {
		if !leading {
			select {
			case leading = <-changes:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		next, err := l.lead(ctx, changes)
		if err != nil || ctx.Err() != nil {
			return err
		}
		leading = next
	}
}

// lead runs one epoch, and returns what ended it: the next news of leadership.
func (l *leadership) lead(ctx context.Context, changes <-chan bool) (next bool, err error) {
	epochCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	epoch := make(chan error, 1)
	turns := &turns{}
	go func() { epoch <- l.epoch(epochCtx, turns) }() // waited for below, on every path, unless it is stuck
	done := watched(epoch, turns, l.still)
	select {
	case next = <-changes:
		cancel()
		err = <-done
	case <-ctx.Done():
		err = <-done
	case err = <-done:
		// The epoch ended by itself: Raft will tell whether this node leads again. If it leads still, begin anew.
		if !fatal(err) {
			select {
			case next = <-changes:
			case <-time.After(200 * time.Millisecond):
				next = l.raft.State() == raft.Leader
			case <-ctx.Done():
			}
		}
	}
	if fatal(err) {
		return false, err
	}
	if err != nil && ctx.Err() == nil {
		l.log.Info("epoch ended", "reason", err)
	}
	return next, nil
}

// fatal tells an error that must stop the node from one that only ends an epoch.
func fatal(err error) bool {
	return err != nil && !errors.Is(err, errEpochOver) && !errors.Is(err, context.Canceled)
}

// epoch establishes this leader, opens the gate, and works until the context ends or the leadership is lost.
func (l *leadership) epoch(ctx context.Context, turns *turns) error {
	if err := l.establish(); errors.Is(err, errStuck) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", errEpochOver, err)
	}
	l.log.Info("leading", "epoch", l.replica.Current().Epoch(), "index", l.replica.Current().Index())
	tasks, ctx := errgroup.WithContext(ctx)
	work := &loop{log: l.log, node: l.node, wall: l.wall, decide: l.decide, replica: l.replica, raft: l.raft, inbox: l.inbox, metrics: l.metrics, events: l.events, turns: turns, carriers: l.carriers}
	l.carriers.begin(time.Now())
	l.inbox.gate.set(true)
	l.leaders.note() // what waits in the relay is for this node now
	tasks.Go(func() error {
		defer l.inbox.refuseAll()
		defer l.inbox.gate.set(false)
		return work.run(ctx)
	})
	tasks.Go(func() error { return l.carriers.watch(ctx, l.inbox) })
	for _, task := range l.tasks {
		tasks.Go(func() error { return task(ctx) })
	}
	return tasks.Wait()
}

// establish commits LeaderEstablished: the barrier after which this leader's state is the cluster's.
func (l *leadership) establish() error {
	v := l.replica.Current()
	op := &logv1.LeaderEstablished{Node: l.node}
	if fsm.ID(v.Cluster()).IsZero() { // perhaps others' entries are not applied yet: then the state keeps its id
		var entropy [10]byte
		_, _ = rand.Read(entropy[:])
		id := fsm.MintID(l.wall().UnixMilli(), entropy)
		op.ClusterId = id[:]
	}
	data, err := proto.Marshal(&logv1.Entry{
		Format: fsm.EntryFormat, WallMs: l.wall().UnixMilli(),
		Ops: []*logv1.Op{{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: op}}},
	})
	if err != nil {
		return fmt.Errorf("marshal entry: %w", err)
	}
	future := l.raft.Apply(data, enqueueTimeout)
	if err := await(future, stuckAfter); err != nil {
		return err
	}
	if got, ok := future.Response().(applied); !ok || !got.accepted {
		return raft.ErrNotLeader
	}
	return nil
}
