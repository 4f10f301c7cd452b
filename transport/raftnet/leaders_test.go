package raftnet

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/hashicorp/raft"
)

// A term has one leader: entries, heartbeats and snapshots of a second one are refused, whoever was heard first, also when that
// term is over; a later term is welcome from anybody.
func TestATermHasOneLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, _, n2 := newVoter(t)
		from := func(id string) raft.RPCHeader {
			return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id)}
		}
		entries := func(id string, term uint64) error {
			var resp raft.AppendEntriesResponse
			return n2.AppendEntries("n1", "n1", &raft.AppendEntriesRequest{RPCHeader: from(id), Term: term}, &resp)
		}
		must(t, entries("n2", 4))
		must(t, entries("n2", 4))
		if err := entries("n3", 4); err == nil {
			t.Error("entries of a second leader of term 4 were taken")
		}
		var snapshot raft.InstallSnapshotResponse
		if err := n2.InstallSnapshot("n1", "n1", &raft.InstallSnapshotRequest{RPCHeader: from("n3"), Term: 4}, &snapshot, strings.NewReader("")); err == nil {
			t.Error("the snapshot of a second leader of term 4 was taken")
		}
		must(t, entries("n3", 3)) // late: Raft refuses it by its term
		var sent raft.AppendEntriesResponse
		if err := v.AppendEntries("n2", "n2", &raft.AppendEntriesRequest{RPCHeader: from("n1"), Term: 4}, &sent); !errors.Is(err, ErrDiverged) {
			t.Errorf("this node, a second leader of term 4, sent entries: %v", err)
		}
		must(t, entries("n3", 5))
		if err := entries("n3", 4); err == nil {
			t.Error("late entries of a second leader of term 4 were taken")
		}
	})
}
