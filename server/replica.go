package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/fsm/snapshot"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// replica applies the log on this node and publishes the Views. It is Raft's FSM: Raft calls Apply, Snapshot and Restore from one
// goroutine, everybody else only reads.
type replica struct {
	log     *slog.Logger
	current atomic.Pointer[published]

	milestones *milestones
	runners    watchers[uint32] // by number: their sessions
	actors     watchers[fsm.ActorID]

	hashes    hashRing
	snapshots chan struct{} // has a token after a snapshot was taken or installed
}

// published is a View, and the signal that it is no longer the newest.
type published struct {
	view       *fsm.View
	superseded chan struct{}
}

// applied is what the leader learns of its own entry.
type applied struct {
	results  []fsm.Result
	accepted bool
}

func newReplica(log *slog.Logger) *replica {
	r := &replica{log: log, milestones: newMilestones(), snapshots: make(chan struct{}, 1)}
	r.current.Store(&published{view: fsm.NewView(), superseded: make(chan struct{})})
	return r
}

// Current returns the newest View of this node.
func (r *replica) Current() *fsm.View { return r.current.Load().view }

// cluster returns the id of this node's cluster; empty before it is founded.
func (r *replica) cluster() string {
	if id := r.Current().Cluster(); !fsm.ID(id).IsZero() {
		return id.String()
	}
	return ""
}

// Wait returns the first View that satisfies the predicate, beginning with the newest.
func (r *replica) Wait(ctx context.Context, enough func(*fsm.View) bool) (*fsm.View, error) {
	for {
		now := r.current.Load()
		if enough(now.view) {
			return now.view, nil
		}
		select {
		case <-now.superseded:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// waitIndex returns the first View at or after an index.
func (r *replica) waitIndex(ctx context.Context, index uint64) (*fsm.View, error) {
	for {
		if v := r.Current(); v.Index() >= index {
			return v, nil
		}
		reached := r.milestones.at(index)
		if v := r.Current(); v.Index() >= index { // published between the two
			return v, nil
		}
		select {
		case <-reached:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Subscribe returns a channel that gets a token whenever a View has something for a runner's session to look at.
func (r *replica) Subscribe(number uint32) (wake <-chan struct{}, cancel func()) {
	return r.runners.watch(number)
}

// waitActor returns the first View in which an actor is as the condition says, beginning with the newest; nil: there is no such actor.
func (r *replica) waitActor(ctx context.Context, id fsm.ActorID, is func(*fsm.Actor) bool) (*fsm.View, error) {
	changed, cancel := r.actors.watch(id)
	defer cancel()
	for {
		if v := r.Current(); is(v.Actor(id)) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (r *replica) publish(v *fsm.View) {
	old := r.current.Swap(&published{view: v, superseded: make(chan struct{})})
	close(old.superseded)
	r.milestones.pass(v.Index())
	r.runners.wake(slices.Values(v.Touched()))
	if changed, ok := v.TouchedActors(); ok {
		r.actors.wake(changed)
	} else {
		r.actors.wakeAll()
	}
}

// Apply applies one committed entry. A corrupt entry stops the node: passing over it would part this node from the others.
func (r *replica) Apply(entry *raft.Log) any {
	var e logv1.Entry
	if err := proto.Unmarshal(entry.Data, &e); err != nil || e.GetFormat() != fsm.EntryFormat {
		panic(fmt.Sprintf("log entry %d (term %d, %d bytes, format %d) cannot be read: %v; this node's log is damaged or newer than this build: "+
			"wipe its data directory and let it rejoin, or upgrade it", entry.Index, entry.Term, len(entry.Data), e.GetFormat(), err))
	}
	before := r.Current()
	next, results, accepted := before.Apply(entry.Index, entry.Term, &e)
	if !accepted {
		r.log.Warn("entry of a stale leader refused", "index", entry.Index, "term", entry.Term, "epoch", e.GetEpoch(), "base", e.GetBase(),
			"state_epoch", before.Epoch(), "state_base", before.Base())
		return applied{}
	}
	r.hashes.add(next.Index(), next.StateHash())
	r.publish(next)
	return applied{results: results, accepted: true}
}

// Snapshot hands out the current View: it never changes, so that writing it stalls nobody.
func (r *replica) Snapshot() (raft.FSMSnapshot, error) {
	return viewSnapshot{r.Current(), r.noteSnapshot}, nil
}

// noteSnapshot has the states of the members compared.
func (r *replica) noteSnapshot() {
	select {
	case r.snapshots <- struct{}{}:
	default: // it is noted already
	}
}

// Restore replaces the state. Whoever watches looks at it anew.
func (r *replica) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	v, err := snapshot.Read(from)
	if err != nil {
		return fmt.Errorf("restore snapshot: %w", err)
	}
	r.hashes.restart(v.Index(), v.StateHash())
	r.publish(v)
	r.runners.wakeAll()
	r.actors.wakeAll()
	r.noteSnapshot()
	return nil
}

type viewSnapshot struct {
	view *fsm.View
	done func() // called when it is written
}

// Persist writes the View to Raft's snapshot store.
func (s viewSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := snapshot.Write(polite{sink}, s.view); err != nil {
		_ = sink.Cancel()
		return fmt.Errorf("write snapshot at index %d: %w", s.view.Index(), err)
	}
	if err := sink.Close(); err != nil {
		return err
	}
	s.done()
	return nil
}

// polite lets whoever waits for this processor have his turn after each piece of a snapshot, which is made in less than a millisecond. Without
// that he waits for the 10 ms after which Go takes the processor away: a stall in every write of the cluster.
type polite struct{ io.Writer }

func (p polite) Write(b []byte) (int, error) {
	n, err := p.Writer.Write(b)
	runtime.Gosched()
	return n, err
}

// Release has nothing to give back.
func (viewSnapshot) Release() {}
