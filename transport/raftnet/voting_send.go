package raftnet

import (
	"io"

	"github.com/hashicorp/raft"
)

// RequestVote asks for a vote if this node may stand.
func (v *Voting) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	if refused, term := v.keepsOut(args.Term); refused {
		resp.Term = term
		return nil
	}
	if err := v.Transport.RequestVote(id, target, args, resp); err != nil {
		return err
	}
	if err := v.hear(resp.Addr); err != nil {
		return err
	}
	if resp.Granted {
		v.known.note(string(id), Floor{Voted: args.Term})
		resp.Granted = v.MayStand() == nil
	}
	return nil
}

// RequestPreVote asks whether a node would vote for this one, if this one may stand.
func (v *Voting) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	if refused, term := v.keepsOut(args.Term); refused {
		resp.Term = term
		return nil
	}
	if err := v.preVotes.RequestPreVote(id, target, args, resp); err != nil {
		return err
	}
	if err := v.hear(resp.Addr); err != nil {
		return err
	}
	resp.Granted = resp.Granted && v.MayStand() == nil
	return nil
}

// keepsOut reports whether this node must not stand in a term, and the term that Raft is to hear: one that is spent sends it on to the
// next.
func (v *Voting) keepsOut(term uint64) (refused bool, heard uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case term <= v.floor.Voted:
		return true, v.floor.Voted + 1
	case !v.asked || v.onProbation():
		return true, term
	}
	return false, 0
}

// AppendEntries sends entries, and takes down what the follower has. One that has less than it had is told with the next message.
func (v *Voting) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if err := v.leads(args.Term, v.id); err != nil {
		return err
	}
	sent := args
	if known := v.known.short(string(id)); known != (Floor{}) {
		told := *args
		told.Leader = notice{string(id), known}.encode() //nolint:staticcheck // unused by this protocol version: see notice
		sent = &told
	}
	if err := v.Transport.AppendEntries(id, target, sent, resp); err != nil {
		return err
	}
	v.known.ends(string(id), resp.LastLog)
	if n := len(args.Entries); resp.Success && n > 0 {
		v.known.note(string(id), Floor{Position: Position{args.Entries[n-1].Term, args.Entries[n-1].Index}})
	} else if resp.Success && args.PrevLogEntry > 0 {
		v.known.note(string(id), Floor{Position: Position{args.PrevLogTerm, args.PrevLogEntry}})
	}
	return nil
}

// InstallSnapshot sends a snapshot, and takes down that the follower has it.
func (v *Voting) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if err := v.leads(args.Term, v.id); err != nil {
		return err
	}
	if err := v.Transport.InstallSnapshot(id, target, args, resp, data); err != nil {
		return err
	}
	if resp.Success {
		v.known.note(string(id), Floor{Position: Position{args.LastLogTerm, args.LastLogIndex}})
	}
	return nil
}
