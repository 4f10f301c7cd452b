package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// Everybody who waits for an index gets a View that has it, however waits and Views come together, and nothing is left behind.
func TestWhoWaitsForAnIndexGetsIt(t *testing.T) {
	r := newReplica(slog.New(slog.DiscardHandler))
	const entries = 300
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for index := uint64(1 + i%3); index <= entries; index += 3 {
				v, err := r.waitIndex(context.Background(), index)
				if err != nil || v.Index() < index {
					t.Errorf("waited for %d: %v", index, err)
				}
			}
		})
	}
	for index := uint64(1); index <= entries; index++ {
		r.Apply(leaderEntry(t, index))
	}
	all.Wait()
	if r.Apply(leaderEntry(t, entries+1)); len(r.milestones.ahead) != 0 {
		t.Errorf("%d indexes are waited for still", len(r.milestones.ahead))
	}
}

// A View that does not have the index wakes nobody, and a caller may give up.
func TestAViewWakesOnlyWhoWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var gaveUp error
		returned := false
		go func() { _, gaveUp = r.waitIndex(ctx, 5); returned = true }()
		synctest.Wait()
		waits := r.milestones.at(5)
		r.Apply(leaderEntry(t, 1))
		r.Apply(leaderEntry(t, 4))
		synctest.Wait()
		select {
		case <-waits:
			t.Error("who waits for 5 was woken by 4")
		default:
		}
		cancel()
		synctest.Wait()
		if !returned || !errors.Is(gaveUp, context.Canceled) {
			t.Errorf("returned: %v, %v", returned, gaveUp)
		}
	})
}

// leaderEntry is an entry that is accepted at any time.
func leaderEntry(t *testing.T, index uint64) *raft.Log {
	t.Helper()
	cluster := fsm.ID{1}
	data, err := proto.Marshal(&logv1.Entry{Format: fsm.EntryFormat, Ops: []*logv1.Op{
		{Op: &logv1.Op_LeaderEstablished{LeaderEstablished: &logv1.LeaderEstablished{Node: "n1", ClusterId: cluster[:]}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return &raft.Log{Index: index, Term: index, Data: data}
}
