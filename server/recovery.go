package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/transport/raftnet"
)

// RecoverOptions say what Recover may do.
type RecoverOptions struct {
	Dirs          []string // data directories of members, which must be down
	OthersAreDead bool     // the members whose directories are not among them never come back
	DryRun        bool     // only find out
	Log           *slog.Logger
}

// Recovery is what Recover found.
type Recovery struct {
	ClusterID string
	Nodes     []RecoveryNode // the most advanced one first: it becomes the cluster
	Others    []string       // members whose directories nobody has looked at
}

// RecoveryNode is one data directory.
type RecoveryNode struct {
	*raftnet.Directory
	Dir string
	id  identity
}

// answerLimit is how long a member may take to answer at its Raft address before it counts as down.
const answerLimit = 2 * time.Second

// Recover makes a cluster of one node out of members that have no quorum any more: that of the node that keeps most, by term and index.
// The other directories are given up: their nodes come back as blank ones, and what they hold is set aside.
func Recover(ctx context.Context, o RecoverOptions) (_ *Recovery, err error) {
	r := &Recovery{}
	defer func() {
		for _, n := range r.Nodes {
			err = errors.Join(err, n.Close())
		}
	}()
	for _, dir := range o.Dirs {
		n, err := openRecovery(dir, o.Log)
		if err != nil {
			return nil, err
		}
		r.Nodes = append(r.Nodes, n)
	}
	slices.SortStableFunc(r.Nodes, func(a, b RecoveryNode) int {
		return cmp.Or(cmp.Compare(b.Kept.Term, a.Kept.Term), cmp.Compare(b.Kept.Index, a.Kept.Index),
			cmp.Compare(a.Refusal, b.Refusal), cmp.Compare(a.NodeID, b.NodeID))
	})
	only, err := r.judge(ctx)
	if err != nil || o.DryRun {
		return r, err
	}
	if len(r.Others) > 0 && !o.OthersAreDead {
		return r, fmt.Errorf("%s would be left out, and may have more: give their directories too, or, if they are lost for good and nobody ever starts them "+
			"on their old files again, say --others-are-dead", strings.Join(r.Others, ", "))
	}
	for _, n := range r.Nodes[1:] { // before the cluster is another one
		if err := n.giveUp(r.ClusterID); err != nil {
			return r, err
		}
	}
	return r, r.Nodes[0].found(only)
}

// openRecovery looks at one directory.
func openRecovery(dir string, log *slog.Logger) (n RecoveryNode, err error) {
	if _, err := os.Stat(dir); err != nil {
		return n, fmt.Errorf("--data-dir: %w", err)
	}
	n.Dir = dir
	damage := error(nil)
	if n.id, damage = readIdentity(dir); damage != nil {
		if !errors.Is(damage, raftnet.ErrDamaged) {
			return n, fmt.Errorf("--data-dir: there is no node here: %w", damage)
		}
		if n.id = identityOfMark(dir); n.id.NodeID == "" {
			return n, fmt.Errorf("%w; and raft.mark does not say whose directory it is either", damage)
		}
	}
	n.Directory, err = raftnet.OpenDirectory(dir, raftnet.Options{NodeID: n.id.NodeID, Marked: n.id.Marked, Member: n.id.ClusterID != "", Log: log})
	switch {
	case errors.Is(err, raftnet.ErrInUse):
		err = fmt.Errorf("%w: end the node first", err)
	case err == nil && n.Refusal == "" && damage != nil:
		n.Refusal = damage.Error()
	}
	return n, err
}

// judge returns which member is to be the only one, unless there is a better way.
func (r *Recovery) judge(ctx context.Context) (only raft.Server, err error) {
	given := map[raft.ServerID]RecoveryNode{}
	for _, n := range r.Nodes {
		if twin, twice := given[raft.ServerID(n.NodeID)]; twice {
			return only, fmt.Errorf("%s and %s are both node %s's: give the one that it ran on last", twin.Dir, n.Dir, n.NodeID)
		}
		given[raft.ServerID(n.NodeID)] = n
		if r.ClusterID != "" && n.id.ClusterID != "" && n.id.ClusterID != r.ClusterID {
			return only, fmt.Errorf("%s belongs to cluster %s, and another directory to cluster %s", n.Dir, n.id.ClusterID, r.ClusterID)
		}
		r.ClusterID = cmp.Or(r.ClusterID, n.id.ClusterID)
	}
	best := r.Nodes[0]
	if best.Kept.Index == 0 {
		return only, fmt.Errorf("%s: %s", best.Dir, strings.Join(best.Report, "; "))
	}
	voters, whole := 0, 0
	for _, s := range best.Configuration.Servers {
		n, ok := given[s.ID]
		switch {
		case !ok:
			r.Others = append(r.Others, fmt.Sprintf("%s at %s", s.ID, s.Address))
		case s.Suffrage == raft.Voter && n.Refusal == "":
			whole++
		}
		if s.Suffrage == raft.Voter {
			voters++
		}
		if s.ID == raft.ServerID(best.NodeID) {
			only = raft.Server{ID: s.ID, Address: s.Address}
		}
	}
	switch {
	case only.ID == "":
		return only, fmt.Errorf("%s: node %s is no member of the cluster, by the newest list of members that it has", best.Dir, best.NodeID)
	case whole > voters/2:
		return only, fmt.Errorf("%d of %d voters are whole, and are a quorum: nothing is lost; start them with their usual lines (a copy with --adopt-copy), and the others "+
			"with --rejoin-blank", whole, voters)
	}
	return only, nobodyAnswers(ctx, r.Nodes)
}

// nobodyAnswers refuses while a node runs at the Raft address of a member: it would go on as the former cluster.
func nobodyAnswers(ctx context.Context, nodes []RecoveryNode) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	members := map[raft.ServerAddress]raft.ServerID{}
	for _, n := range nodes {
		for _, s := range n.Configuration.Servers {
			members[s.Address] = s.ID
		}
	}
	var mu sync.Mutex // for the list, which the questions below fill together
	var there []string
	var asked sync.WaitGroup
	for addr, id := range members {
		asked.Go(func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", string(addr))
			if err != nil {
				return
			}
			_ = conn.Close()
			mu.Lock()
			defer mu.Unlock()
			there = append(there, fmt.Sprintf("%s at %s", id, addr))
		})
	}
	asked.Wait()
	if len(there) == 0 {
		return nil
	}
	slices.Sort(there)
	return fmt.Errorf("a process answers for %s: end every node of the cluster first; what a whole one holds may be more than what is here, so compare its "+
		"directory too", strings.Join(there, ", "))
}

// giveUp has the next start of a node set its files aside and join as a blank one.
func (n RecoveryNode) giveUp(cluster string) error {
	j := &rejoin{dir: n.Dir}
	name := cmp.Or(bornAs(n.NodeID), n.NodeID)
	if err := j.write(&rejoinRecord{OldID: n.NodeID, NewID: newNodeID(name), ClusterID: cluster, Removed: true}); err != nil {
		return fmt.Errorf("%s: %w: nothing was recovered", n.Dir, err)
	}
	return nil
}

// found makes the node the whole cluster.
func (n RecoveryNode) found(only raft.Server) error {
	if err := n.Found(only); err != nil {
		return fmt.Errorf("%s: %w: run it again", n.Dir, err)
	}
	if err := os.Remove(rejoinPath(n.Dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	n.id.Marked, n.id.Barred = true, "" // whatever was said of this directory: it is the node's from now on
	return n.id.save(n.Dir)
}
