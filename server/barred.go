package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
)

// Exit codes of a node that must not run on its data directory. To start it again changes nothing.
const (
	exitOtherStart = 30 // another process is this node, or a newer one was: the directory was copied, or an older copy was put back
	exitRemoved    = 31 // the node was removed from its cluster
)

// barredError ends a node that must not run on its data directory.
type barredError struct {
	text string
	code int
}

func (e *barredError) Error() string { return e.text }

// ExitCode is the exit code of the process.
func (e *barredError) ExitCode() int { return e.code }

// refusedError is what another node said when it refused this process for another start of its node.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// bar makes the end of this process one for good, when another start of its node counts. It is written down: who restarts a copy again and
// again would make it the node in the moment in which the original is restarted. Nothing of the node may run any more.
func (n *node) bar(err error) error {
	var (
		other   *gossip.OtherStartError
		refused *refusedError
	)
	if !errors.As(err, &other) && !errors.As(err, &refused) {
		return err
	}
	text := fmt.Sprintf("%v Start the node on the newest directory, or copy that one anew while it is stopped; or empty %s, and it joins as a new node",
		err, n.cfg.DataDir)
	n.id.Barred = fmt.Sprintf("%s (found on %s)", text, time.Now().UTC().Format(time.RFC3339))
	if saved := n.id.save(n.cfg.DataDir); saved != nil {
		n.cfg.Log.Warn("that this directory must not be used cannot be written down", "error", saved)
	}
	return &barredError{text: text, code: exitOtherStart}
}

// judge reports whether a process may act for the node that it calls itself, for the node service.
func (n *node) judge(ctx context.Context, caller string) error {
	id, start := gossip.ParseCaller(caller)
	err := n.members.judge(ctx, id, start)
	if other := (*gossip.OtherStartError)(nil); errors.As(err, &other) {
		return callboardv1.Refuse("cluster", "other_start", "%v", err)
	}
	return err
}

// judgeTimeout bounds how long a connection of Raft's waits to be judged.
const judgeTimeout = 4 * time.Second

// door is how Raft's connections are judged.
func (n *node) door() raftnet.Door {
	return raftnet.Door{
		Caller: n.caller(),
		Judge: func(caller string) error {
			ctx, cancel := context.WithTimeout(context.Background(), judgeTimeout)
			defer cancel()
			err := n.judge(ctx, caller)
			if errors.Is(err, peer.ErrOtherStart) {
				return fmt.Errorf("%w: %w", raftnet.ErrOtherStart, err)
			}
			return err
		},
		Build: func(id string) raftnet.Build {
			switch p, ok := n.members.find(id); {
			case !ok:
				return raftnet.UnknownBuild
			case p.Start.IsZero():
				return raftnet.FormerBuild
			}
			return raftnet.ThisBuild
		},
		Refused: func(reason string) { n.refuse(reason) },
	}
}

// refuse notes that another node has refused this process for another start of its node.
func (n *node) refuse(reason string) {
	select {
	case n.refused <- &refusedError{reason}:
	default: // it ends already
	}
}

// watchRefusals ends the node when it was refused.
func (n *node) watchRefusals(ctx context.Context) error {
	select {
	case err := <-n.refused:
		return err
	case <-ctx.Done():
		return nil
	}
}

// caller is how this process names itself to other nodes.
func (n *node) caller() string { return gossip.Caller(n.id.NodeID, n.start) }
