package server

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/transport/raftnet"
)

// startRaft starts Raft on what the stores hold. Raft makes a panic of what it cannot read: that is an error here. It starts its goroutines
// last, so that nothing is left of it then.
func startRaft(config *raft.Config, machine raft.FSM, stores *raftnet.Stores, voting *raftnet.Voting) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("start raft: %w: %v", raftnet.ErrDamaged, p)
		}
	}()
	r, err = raft.NewRaft(config, machine, voting.Log(), stores.Stable, voting.Snapshots(), voting)
	if err != nil {
		return nil, fmt.Errorf("start raft: %w", err)
	}
	stores.SetApplied(func() uint64 { return r.AppliedIndex() })
	return r, nil
}

// advise says what to do when it was the data directory that ended the node.
func (n *node) advise(err error) error {
	switch {
	case isDiskFull(err):
		return fmt.Errorf("%w: the disk is full: make room, then start the node again; nothing that was acknowledged is missing", err)
	case isDiskBroken(err):
		return fmt.Errorf("%w: the disk is broken or read-only: replace it, and start the node with the same line; an empty data directory lets it rejoin", err)
	case errors.Is(err, raftnet.ErrCopy):
		return fmt.Errorf("%w. If that node still runs anywhere, or has run since the copy was made, this directory must not: wipe it, and the node joins "+
			"as a new one. If it was moved here for good, start once with --adopt-copy", err)
	case errors.Is(err, raftnet.ErrDiverged):
		return fmt.Errorf("%w. It stops, so that it does not take back what it has acknowledged: compare the nodes with `callboard operator raft list-peers` "+
			"before one of them is wiped", err)
	case errors.Is(err, errStateDiffers):
		return fmt.Errorf("%w. It stops, so that it answers nobody wrongly. The others go on: wipe and rejoin: start it once with `callboard server --rejoin-blank` "+
			"and the rest of its line", err)
	case errors.Is(err, raftnet.ErrDamaged) && n.alone():
		return fmt.Errorf("%w. This node cannot prove that its log is whole, so it does not answer. Put an undamaged copy of %s back, or see what is lost with "+
			"`callboard operator raft accept-loss --data-dir %s`, and start the node again", err, n.cfg.DataDir, n.cfg.DataDir)
	case errors.Is(err, raftnet.ErrDamaged):
		return fmt.Errorf("%w. This node cannot prove that its log is whole, so it neither votes nor answers. If the others have a quorum, wipe and rejoin: start it "+
			"once with `callboard server --rejoin-blank` and the rest of its line. If they have none, see `callboard operator raft recover`", err)
	}
	return err
}

// alone reports whether this node is the only one of its cluster, as far as it can know without its log.
func (n *node) alone() bool {
	mark, err := raftnet.ReadMark(n.cfg.DataDir)
	if err == nil && mark.Voters > 0 {
		return mark.Voters == 1
	}
	return n.cfg.BootstrapExpect == 1 && len(n.cfg.Join) == 0
}
