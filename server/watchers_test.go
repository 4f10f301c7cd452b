package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// apply makes the next View of a replica.
func apply(t *testing.T, r *replica, ops ...*logv1.Op) {
	t.Helper()
	tx := r.Current().Begin(1, 1)
	for _, op := range ops {
		if res := tx.Do(op); res.Code != fsm.CodeOK {
			t.Fatalf("%T: %v", op.GetOp(), res.Code)
		}
	}
	r.publish(tx.Seal(r.Current().Index() + 1))
}

// world is a replica with a pool and actors in it.
func world(t *testing.T, actors int) (*replica, []fsm.ActorID) {
	r := newReplica(slog.New(slog.DiscardHandler))
	ns := fsm.MintID(1, [10]byte{1})
	apply(t, r, &logv1.Op{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{Node: "n1", ClusterId: ns[:]}}},
		&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns[:], Name: "default", Config: &logv1.PoolConfig{}}}})
	ids := make([]fsm.ActorID, actors)
	for i := range ids {
		ids[i] = fsm.ActorID(fsm.MintID(2, [10]byte{9: byte(i)}))
		apply(t, r, &logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
			ActorId: ids[i][:], NamespaceId: ns[:], Name: "a", Pool: "default", CrashPolicy: uint32(fsm.PolicyRestart),
		}}})
	}
	return r, ids
}

func destroy(id fsm.ActorID) *logv1.Op {
	return &logv1.Op{Op: &logv1.Op_DestroyActor{DestroyActor: &logv1.DestroyActor{ActorId: id[:]}}}
}

func ended(a *fsm.Actor) bool { return a == nil || a.Phase == fsm.Destroyed }

// Whoever waits for an actor looks at it when it changes, and not at every View.
func TestOneWhoWaitsLooksAtItsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := world(t, 50)
		var looks atomic.Int64
		var all sync.WaitGroup
		var done [50]atomic.Bool
		for i, id := range ids {
			all.Go(func() {
				v, err := r.waitActor(t.Context(), id, func(a *fsm.Actor) bool { looks.Add(1); return ended(a) })
				if err != nil || !ended(v.Actor(id)) {
					t.Errorf("actor %d: %v", i, err)
				}
				done[i].Store(true)
			})
		}
		synctest.Wait()
		before := looks.Load()
		for i, id := range ids {
			if done[i].Load() {
				t.Fatalf("actor %d was not waited for", i)
			}
			apply(t, r, destroy(id))
			synctest.Wait()
			if !done[i].Load() {
				t.Fatalf("nobody told who waits for actor %d", i)
			}
		}
		all.Wait()
		if n := looks.Load() - before; n != 50 {
			t.Errorf("50 who waited looked %d times at 50 changes", n)
		}
		if len(r.actors.of) != 0 {
			t.Errorf("%d are left", len(r.actors.of))
		}
	})
}

// An entry that changes more actors than are noted, and a restored state, are looked at by everybody.
func TestAllLookWhenMuchHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ids := world(t, 2)
		wait := func(id fsm.ActorID) chan error {
			result := make(chan error, 1)
			go func() {
				_, err := r.waitActor(t.Context(), id, ended)
				result <- err
			}()
			synctest.Wait()
			return result
		}
		first, second := wait(ids[0]), wait(ids[1])

		tx := r.Current().Begin(1, 1)
		for range 1 << 16 { // each is noted
			tx.Do(&logv1.Op{Op: &logv1.Op_RaiseGeneration{RaiseGeneration: &logv1.RaiseGeneration{
				ActorId: ids[1][:], Generation: tx.Actor(ids[1]).NextGeneration(),
			}}})
		}
		if res := tx.Do(destroy(ids[0])); res.Code != fsm.CodeOK {
			t.Fatal(res.Code)
		}
		v := tx.Seal(r.Current().Index() + 1)
		if _, ok := v.TouchedActors(); ok {
			t.Fatal("so many were noted")
		}
		r.publish(v)
		if err := <-first; err != nil {
			t.Error(err)
		}

		r.current.Store(&published{view: fsm.NewView(), superseded: make(chan struct{})}) // as a restored one that has nothing
		r.actors.wakeAll()
		if err := <-second; err != nil {
			t.Error(err)
		}
	})
}

// One whose time is up is told so, and leaves nothing behind.
func TestWhoGivesUpWatchesNoMore(t *testing.T) {
	r, ids := world(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.waitActor(ctx, ids[0], ended); err != context.Canceled { //nolint:errorlint // the context's own
		t.Errorf("it ends with %v", err)
	}
	if len(r.actors.of) != 0 {
		t.Errorf("%d are left", len(r.actors.of))
	}
}
