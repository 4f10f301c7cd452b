package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// statusJSON tells at a glance whether actors can be placed.
type statusJSON struct {
	PlacingWorks     bool       `json:"placing_works"`
	Problems         []string   `json:"problems"`
	Warnings         []string   `json:"warnings"` // what does not keep placing from working yet
	ClusterID        string     `json:"cluster_id"`
	Node             string     `json:"node"`
	Leader           *string    `json:"leader"`
	Version          string     `json:"version"`
	Index            uint64     `json:"index"`
	LiveActors       uint64     `json:"live_actors"`
	PendingActors    uint64     `json:"pending_actors"`
	PacedActors      uint64     `json:"paced_actors"`
	ConnectedRunners uint32     `json:"connected_runners"`
	TotalSlots       uint64     `json:"total_slots"`
	FreeSlots        uint64     `json:"free_slots"`
	Peers            []peerJSON `json:"peers"`
	Pools            []poolJSON `json:"pools"`
}

// statusCommand exits with 1 when placing does not work, so that a script can ask.
func statusCommand(g *globals) *cobra.Command {
	return leaf("status", "Say whether placing works, and what the cluster has", nil, func(cmd *cobra.Command, _ []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			status, err := readStatus(ctx, c)
			if err != nil {
				return err
			}
			if err := g.printStatus(status); err != nil {
				return err
			}
			if !status.PlacingWorks {
				return quietExit(exitRefused)
			}
			return nil
		})
	})
}

// readStatus asks for the newest state: that alone needs a leader that commits. Without one it shows what the node knows.
func readStatus(ctx context.Context, c *client.Client) (statusJSON, error) {
	cluster, err := c.Cluster.Get(ctx, &callboardv1.ClusterServiceGetRequest{})
	read := callboardv1.Consistency_CONSISTENCY_LINEARIZABLE
	var problems []string
	if errors.Is(err, callboardv1.ErrNoLeader) || isTimeout(err) {
		problems = append(problems, "no leader answers: nothing can be written or placed; see `callboard operator raft list-peers` and start the nodes that are away")
		read = callboardv1.Consistency_CONSISTENCY_STALE
		stale, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerMargin)
		defer cancel()
		ctx = stale
		cluster, err = c.Cluster.Get(ctx, &callboardv1.ClusterServiceGetRequest{Consistency: read})
	}
	if err != nil {
		return statusJSON{}, err
	}
	pools, err := c.Pools.List(ctx, &callboardv1.PoolServiceListRequest{Consistency: read})
	if err != nil {
		return statusJSON{}, err
	}
	return statusOf(cluster, pools.GetPools(), problems), nil
}

func isTimeout(err error) bool {
	var late *client.TimeoutError
	refusal, refused := callboardv1.AsRefusal(err)
	return errors.As(err, &late) || refused && refusal.Name() == "api.timeout"
}

func statusOf(cluster *callboardv1.ClusterServiceGetResponse, pools []*callboardv1.Pool, problems []string) statusJSON {
	s := statusJSON{
		Problems: append([]string{}, problems...), Warnings: []string{}, ClusterID: cluster.GetClusterId(), Node: cluster.GetNode(), Version: cluster.GetVersion(),
		Index: cluster.GetIndex(), LiveActors: cluster.GetLiveActors(), PendingActors: cluster.GetPendingActors(), PacedActors: cluster.GetPacedActors(),
		ConnectedRunners: cluster.GetConnectedRunners(), TotalSlots: cluster.GetTotalSlots(), FreeSlots: cluster.GetFreeSlots(),
		Peers: peersOf(cluster.GetPeers()), Pools: []poolJSON{},
	}
	if cluster.GetLeader() != "" {
		s.Leader = &cluster.Leader
	}
	if warning := votersWarning(s.Peers); warning != "" {
		s.Warnings = append(s.Warnings, warning)
	}
	for _, p := range pools {
		j := poolOf(p)
		s.Pools = append(s.Pools, j)
		if problem := j.problem(); problem != "" {
			s.Problems = append(s.Problems, problem)
		}
	}
	if len(s.Problems) == 0 && s.ConnectedRunners == 0 {
		s.Problems = append(s.Problems, "no runner is connected: start one, for example `callboard runner --pool default`")
	}
	s.PlacingWorks = len(s.Problems) == 0
	return s
}

// votersWarning says which voters are away, and how many more may be lost; empty: all are there.
func votersWarning(peers []peerJSON) string {
	voters := 0
	var away []string
	for _, p := range peers {
		if !p.Voter {
			continue
		}
		voters++
		if p.State == "unreachable" {
			away = append(away, p.Name)
		}
	}
	if len(away) == 0 {
		return ""
	}
	margin := "no further one may be lost"
	if left := voters - len(away) - (voters/2 + 1); left > 0 {
		margin = fmt.Sprintf("%d more may be lost", left)
	}
	return fmt.Sprintf("%s of %d voters cannot be reached; %s: start what is away, or remove what is lost for good with `callboard operator raft remove-peer`",
		strings.Join(away, ", "), voters, margin)
}

// problem says why a pool cannot place what it should; empty: it can.
func (j poolJSON) problem() string {
	switch {
	case j.PendingActors == 0:
		return ""
	case j.ConnectedRunners == 0:
		return fmt.Sprintf("pool %s: %d actors are pending and no runner is connected: start one", j.Name, j.PendingActors)
	case j.FreeSlots == 0:
		return fmt.Sprintf("pool %s: %d actors are pending and no slot is free: add runners or slots", j.Name, j.PendingActors)
	default:
		return fmt.Sprintf("pool %s: %d actors are pending although %d slots are free: `callboard actor explain` says why", j.Name, j.PendingActors, j.FreeSlots)
	}
}

func (s statusJSON) actorsText() string {
	text := fmt.Sprintf("%d, of them %d pending", s.LiveActors, s.PendingActors)
	if s.PacedActors > 0 {
		text += fmt.Sprintf(", %d waiting for their turn after the loss of their runner", s.PacedActors)
	}
	return text
}

func (g *globals) printStatus(s statusJSON) error {
	return g.print(s, func(t *table) {
		if s.PlacingWorks {
			t.line("Placing works.")
		} else {
			t.line("Placing does not work:")
			for _, problem := range s.Problems {
				t.line("  %s", problem)
			}
		}
		for _, warning := range s.Warnings {
			t.line("Warning: %s.", warning)
		}
		leader := "none"
		if s.Leader != nil {
			leader = *s.Leader
		}
		t.row("leader", leader)
		t.row("runners", fmt.Sprintf("%d connected", s.ConnectedRunners))
		t.row("slots", fmt.Sprintf("%d of %d free", s.FreeSlots, s.TotalSlots))
		t.row("actors", s.actorsText())
		t.row("state", fmt.Sprintf("log index %d, cluster %s", s.Index, s.ClusterID))
		t.line("")
		peerRows(t, s.Peers)
	})
}
