package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func operatorCommand(g *globals) *cobra.Command {
	return group("operator", "Look after the cluster itself",
		group("config", "Cluster settings, the same on every node", configGetCommand(g), configSetCommand(g)),
		group("gossip", "How nodes find each other", group("keyring", "The key of gossip", gossipKeyGenerateCommand(g))),
		group("raft", "Members of the cluster", raftListPeersCommand(g), raftAddVoterCommand(g), raftRemovePeerCommand(g), raftAcceptLossCommand(g),
			raftRecoverCommand(g)))
}

type settingJSON struct {
	Name        string `json:"name"`
	Value       string `json:"value"`
	Source      string `json:"source"`
	Description string `json:"description"`
}

func (g *globals) printSettings(settings []*callboardv1.Setting, only []string, index uint64) error {
	answer := struct {
		Settings []settingJSON `json:"settings"`
		Index    uint64        `json:"index"`
	}{[]settingJSON{}, index}
	for _, s := range settings {
		if len(only) == 0 || contains(only, s.GetName()) {
			answer.Settings = append(answer.Settings, settingJSON{s.GetName(), s.GetValue(), s.GetSource(), s.GetDescription()})
		}
	}
	return g.print(answer, func(t *table) {
		t.row("SETTING", "VALUE", "FROM", "WHAT IT IS")
		for _, s := range answer.Settings {
			t.row(s.Name, s.Value, s.Source, s.Description)
		}
	})
}

func contains(list []string, wanted string) bool {
	for _, item := range list {
		if item == wanted {
			return true
		}
	}
	return false
}

func configGetCommand(g *globals) *cobra.Command {
	var stale bool
	cmd := leaf("get", "Show every setting, or some: its effective value and where it comes from", nil, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Cluster.GetSettings(ctx, &callboardv1.GetSettingsRequest{Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			known := map[string]bool{}
			for _, s := range answer.GetSettings() {
				known[s.GetName()] = true
			}
			for _, name := range args {
				if !known[name] {
					return usage(cmd, "there is no setting %q: `callboard operator config get` lists all", name)
				}
			}
			return g.printSettings(answer.GetSettings(), args, answer.GetIndex())
		})
	})
	cmd.Use += " [NAME]..."
	cmd.Args = nil
	addStale(cmd, &stale)
	return cmd
}

func configSetCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("set", "Change settings, all or none; NAME= goes back to the default", nil, func(cmd *cobra.Command, args []string) error {
		values := map[string]string{}
		for _, arg := range args {
			name, value, ok := strings.Cut(arg, "=")
			if !ok || name == "" {
				return usage(cmd, "%q: want NAME=VALUE, such as runner_lost_threshold=20s", arg)
			}
			if _, twice := values[name]; twice {
				return usage(cmd, "%s is named twice", name)
			}
			values[name] = value
		}
		if len(values) == 0 {
			return usage(cmd, "operator config set: NAME=VALUE is missing, such as runner_lost_threshold=20s")
		}
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Cluster.PutSettings(ctx, &callboardv1.PutSettingsRequest{Values: values, IdempotencyKey: key})
			if err != nil {
				return err
			}
			var changed []string
			for name := range values {
				changed = append(changed, name)
			}
			return g.printSettings(answer.GetSettings(), changed, answer.GetIndex())
		})
	})
	cmd.Use += " NAME=VALUE..."
	cmd.Args = nil
	addIdempotencyKey(cmd, &key)
	return cmd
}

type peerJSON struct {
	Name          string `json:"name"`
	NodeID        string `json:"node_id"`
	State         string `json:"state"`
	Voter         bool   `json:"voter"`
	RaftAddr      string `json:"raft_addr"`
	GRPCAddr      string `json:"grpc_addr"`
	HTTPAddr      string `json:"http_addr"`
	AppliedIndex  uint64 `json:"applied_index"`
	LastContactMs *int64 `json:"last_contact_ms"` // null: unknown
	Version       string `json:"version"`
	StateHash     string `json:"state_hash"`    // at applied_index
	StateDiffers  string `json:"state_differs"` // what its last comparison with the others found; empty: nothing
	Probation     string `json:"probation"`     // where its log ends, and what it had acknowledged; empty: it is not on probation
}

func peersOf(peers []*callboardv1.Peer) []peerJSON {
	list := []peerJSON{}
	for _, p := range peers {
		j := peerJSON{
			Name: p.GetName(), NodeID: p.GetNodeId(), State: p.GetState(), Voter: p.GetVoter(), RaftAddr: p.GetRaftAddr(),
			GRPCAddr: p.GetGrpcAddr(), HTTPAddr: p.GetHttpAddr(), AppliedIndex: p.GetAppliedIndex(), Version: p.GetVersion(),
			StateHash: p.GetStateHash(), StateDiffers: p.GetStateDiffers(), Probation: p.GetProbation(),
		}
		if p.GetLastContactMs() >= 0 {
			j.LastContactMs = &p.LastContactMs
		}
		list = append(list, j)
	}
	return list
}

// shownOfHash is how many digits of a state hash a table shows: enough to see whether two are the same.
const shownOfHash = 8

func peerRows(t *table, peers []peerJSON) {
	t.row("NODE", "STATE", "VOTER", "RAFT ADDRESS", "GRPC ADDRESS", "APPLIED", "STATE HASH", "LAST CONTACT", "VERSION", "NODE ID")
	for _, p := range peers {
		contact := "unknown"
		switch {
		case p.State == "leader":
			contact = ""
		case p.LastContactMs != nil:
			contact = fmt.Sprintf("%d ms ago", *p.LastContactMs)
		}
		voter := "no"
		if p.Voter {
			voter = "yes"
		}
		t.row(p.Name, p.State, voter, p.RaftAddr, p.GRPCAddr, p.AppliedIndex, p.StateHash[:min(len(p.StateHash), shownOfHash)], contact, p.Version, p.NodeID)
	}
	for _, p := range peers {
		if p.StateDiffers != "" {
			t.line("")
			t.line("The states of the members differ, says %s: %s.", p.Name, p.StateDiffers)
			t.line("See `docs/failure-modes.md`: a state that differs.")
		}
		if p.Probation != "" {
			t.line("")
			t.line("%s is on probation: %s. It stands for no election until it has caught up.", p.Name, p.Probation)
			t.line("See `docs/operations.md`: a node on probation.")
		}
	}
}

func raftListPeersCommand(g *globals) *cobra.Command {
	return leaf("list-peers", "List the members of the cluster, as the node that is asked sees them", nil, func(cmd *cobra.Command, _ []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Cluster.ListPeers(ctx, &callboardv1.ListPeersRequest{})
			if err != nil {
				return err
			}
			j := struct {
				Peers []peerJSON `json:"peers"`
				Index uint64     `json:"index"`
			}{peersOf(answer.GetPeers()), answer.GetIndex()}
			return g.print(j, func(t *table) { peerRows(t, j.Peers) })
		})
	})
}

type doneJSON struct {
	Done string `json:"done"`
}

func raftAddVoterCommand(g *globals) *cobra.Command {
	return leaf("add-voter", "Give a node a vote", []string{"NODE_ID", "RAFT_ADDRESS"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			if _, err := c.Cluster.AddVoter(ctx, &callboardv1.AddVoterRequest{NodeId: args[0], RaftAddr: args[1]}); err != nil {
				return err
			}
			j := doneJSON{args[0] + " has a vote"}
			return g.print(j, func(t *table) { t.line("%s", j.Done) })
		})
	})
}

func raftRemovePeerCommand(g *globals) *cobra.Command {
	return leaf("remove-peer", "Remove a node from the cluster, by id or name", []string{"NODE"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			if _, err := c.Cluster.RemovePeer(ctx, &callboardv1.RemovePeerRequest{NodeId: args[0]}); err != nil {
				return err
			}
			j := doneJSON{args[0] + " is removed"}
			return g.print(j, func(t *table) { t.line("%s", j.Done) })
		})
	})
}
