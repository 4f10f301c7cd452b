package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
)

// beginAnew lets a node with damaged files leave its cluster and come back as a blank one, if its command line says so, or if an earlier
// one did and its old id has been removed.
func beginAnew(ctx context.Context, cfg Config, dial peer.Dial) error {
	j := &rejoin{
		dir: cfg.DataDir, name: cfg.Name, only: cfg.RejoinBlank, log: cfg.Log,
		whole: func() error { return looksWhole(cfg) },
		remove: func(ctx context.Context, r rejoinRecord) error {
			return removeOld(ctx, cfg, dial, r)
		},
	}
	return j.run(ctx)
}

// looksWhole returns what a start would say about the files.
func looksWhole(cfg Config) error {
	id, err := readIdentity(cfg.DataDir)
	if err != nil {
		return err
	}
	stores, err := raftnet.Open(cfg.DataDir, id.options(cfg))
	if err != nil {
		return err
	}
	return stores.Close()
}

// removeOld finds the nodes of the cluster and has them remove the old id. That commits only with a quorum of them, for the old member is
// this node, which does not run: a removal that has committed is the proof that they have one. Twice does no harm.
func removeOld(ctx context.Context, cfg Config, dial peer.Dial, r rejoinRecord) error {
	ctx, cancel := context.WithTimeout(ctx, rejoinLimit)
	defer cancel()
	// It looks around under its new id, so that nobody takes it for the old member, and belongs to no cluster yet.
	g, err := gossip.Listen(gossip.Options{
		Bind: cfg.GossipAddr, Seeds: cfg.Join, Keys: cfg.gossipKeys, Log: cfg.Log,
		Self: gossip.Peer{Name: r.NewID, NodeID: r.NewID, Version: cfg.Version, Alive: true},
	})
	if err != nil {
		return fmt.Errorf("--gossip-addr: %w", addrError(cfg.GossipAddr, err))
	}
	looking, stop := context.WithCancel(ctx)
	looked := make(chan error, 1)
	go func() { looked <- g.Run(looking) }()
	peers := peer.NewClient(func() string { return r.ClusterID }, r.NewID, dial)
	defer func() {
		peers.Close()
		stop()
		if err := <-looked; err != nil {
			cfg.Log.Debug("looking for the cluster ended", "error", err)
		}
		_ = g.Leave()
		_ = g.Close()
	}()
	tick := time.NewTicker(bootstrapEvery)
	defer tick.Stop()
	answers := map[string]string{}
	for {
		done, err := askToRemove(ctx, peers, g.Peers(), r, answers)
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return noQuorum(cfg, answers)
		}
	}
}

// askToRemove asks every node of the cluster that is there, and notes what each says.
func askToRemove(ctx context.Context, peers *peer.Client, known []gossip.Peer, r rejoinRecord, answers map[string]string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*membershipTimeout)
	defer cancel()
	for _, p := range known {
		if !p.Alive || p.ClusterID != r.ClusterID {
			continue
		}
		if p.NodeID == r.OldID {
			if !isThere(ctx, peers, p) {
				continue // gossip has not noticed its end yet
			}
			return false, fmt.Errorf("node %s still runs, at %s: end it first", r.OldID, p.GRPCAddr)
		}
		_, err := peers.ChangeMembership(ctx, p.GRPCAddr, &nodev1.ChangeMembershipRequest{
			Change: &nodev1.ChangeMembershipRequest_RemoveNodeId{RemoveNodeId: r.OldID},
		})
		if err == nil {
			return true, nil
		}
		answers[p.Name] = err.Error()
		if errors.Is(err, peer.ErrNotLeader) {
			answers[p.Name] = "does not lead"
		}
	}
	return false, nil
}

// isThere asks a node that gossip takes for living.
func isThere(ctx context.Context, peers *peer.Client, p gossip.Peer) bool {
	ctx, cancel := context.WithTimeout(ctx, describeTimeout)
	defer cancel()
	d, err := peers.Describe(ctx, p.GRPCAddr)
	return err == nil && d.GetNodeId() == p.NodeID
}

func noQuorum(cfg Config, answers map[string]string) error {
	if len(answers) == 0 {
		return fmt.Errorf("no node of its cluster was met within %s at the addresses of --join (%s)", rejoinLimit, strings.Join(cfg.Join, ", "))
	}
	var said []string
	for name, answer := range answers {
		said = append(said, name+": "+answer)
	}
	return fmt.Errorf("the others have no leader without this node, so its vote may be needed for what they have acknowledged (%s): start the nodes that are away first; "+
		"if they are lost, see `callboard operator raft recover`", strings.Join(said, "; "))
}
