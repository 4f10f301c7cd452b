package server

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// marginEvery is how often the leader looks which voters it reaches.
const marginEvery = 5 * time.Second

// margin tells how a cluster stands: a majority of its voters must be there.
type margin struct {
	voters      int
	unreachable []string // names
}

func (m margin) reachable() int { return m.voters - len(m.unreachable) }

// left is how many more voters may be lost before nothing can be written any more; below 0 it is so already.
func (m margin) left() int { return m.reachable() - (m.voters/2 + 1) }

// withOneMore is how it would stand with a further voter that is there.
func (m margin) withOneMore() margin { return margin{m.voters + 1, m.unreachable} }

// takesOneMore reports whether a further voter is no harm: while some cannot be reached it must raise what may still be lost, or the
// majority grows with every new machine, and with it the number of dead ones that cannot be outvoted.
func (m margin) takesOneMore() bool {
	return len(m.unreachable) == 0 || m.withOneMore().left() > m.left()
}

// margin asks every voter whether it is there.
func (n *node) margin(ctx context.Context) margin {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	var m margin
	var mu sync.Mutex // for the list, which the questions below fill together
	var asked sync.WaitGroup
	for _, s := range n.core.configuration() {
		if s.Suffrage != raft.Voter {
			continue
		}
		m.voters++
		asked.Go(func() {
			known, _ := n.members.find(string(s.ID))
			if d, err := n.describe(ctx, string(s.ID), known.GRPCAddr); err == nil && d.GetNodeId() == string(s.ID) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			m.unreachable = append(m.unreachable, n.memberName(s.ID))
		})
	}
	asked.Wait()
	slices.Sort(m.unreachable)
	return m
}

// leavesMargin refuses a vote to a new member that would make it harder to have a majority.
func (n *node) leavesMargin(ctx context.Context, id string) error {
	for _, s := range n.core.configuration() {
		if string(s.ID) == id && s.Suffrage == raft.Voter {
			return nil // it has one
		}
	}
	m := n.margin(ctx)
	if m.takesOneMore() {
		return nil
	}
	return callboardv1.Refuse("cluster", "membership_change_rejected",
		"%.64q gets no vote while %s cannot be reached: %d voters, of which %d are there, would be %d, of which %d are needed: "+
			"remove those that are lost with `callboard operator raft remove-peer`, or start them",
		id, strings.Join(m.unreachable, ", "), m.voters, m.reachable(), m.voters+1, (m.voters+1)/2+1)
}

// makeRoom removes the dead member whose place a new node takes. One that is gone already is no mistake: the node asks until it is in.
func (n *node) makeRoom(ctx context.Context, join *nodev1.Join) error {
	if join.GetReplaces() == "" || n.core.isMember(join.GetNodeId()) {
		return nil
	}
	id, err := n.memberNamed(join.GetReplaces())
	if err != nil {
		return err
	}
	if id == "" {
		n.cfg.Log.Warn("a new node is to replace a member that there is not: nobody was removed", "node", join.GetNodeId(), "replaces", join.GetReplaces())
		return nil
	}
	known, _ := n.members.find(id)
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	if d, err := n.describe(ctx, id, known.GRPCAddr); err == nil && d.GetNodeId() == id {
		return callboardv1.Refuse("cluster", "membership_change_rejected", "%.64q is there, at %s: end it before another node takes its place", join.GetReplaces(), known.GRPCAddr)
	}
	n.cfg.Log.Warn("a new node takes a member's place", "was", id, "is", join.GetNodeId())
	return n.core.raft.RemoveServer(raft.ServerID(id), 0, membershipTimeout).Error()
}
