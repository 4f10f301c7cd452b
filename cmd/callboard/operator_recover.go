package main

import (
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/server"
)

type recoveryJSON struct {
	ClusterID string             `json:"cluster_id"`
	Nodes     []recoveryNodeJSON `json:"nodes"`  // the most advanced one first
	Others    []string           `json:"others"` // members whose directories were not given
	Done      bool               `json:"done"`
}

type recoveryNodeJSON struct {
	NodeID    string   `json:"node_id"`
	DataDir   string   `json:"data_dir"`
	Refusal   string   `json:"refusal"`
	Copied    bool     `json:"copied"`
	HeldTerm  uint64   `json:"held_term"`
	HeldIndex uint64   `json:"held_index"`
	KeptTerm  uint64   `json:"kept_term"`
	KeptIndex uint64   `json:"kept_index"`
	Report    []string `json:"report"`
}

func raftRecoverCommand(g *globals) *cobra.Command {
	var o server.RecoverOptions
	cmd := leaf("recover", "Make a cluster of one node out of members that have no quorum any more", nil, func(cmd *cobra.Command, _ []string) error {
		if len(o.Dirs) == 0 {
			return usage(cmd, "--data-dir: name the directory of each member that there still is; all of them must be down")
		}
		o.Log = slog.New(slog.NewTextHandler(g.errOut, &slog.HandlerOptions{Level: slog.LevelWarn}))
		r, err := server.Recover(cmd.Context(), o)
		if r == nil || len(r.Nodes) == 0 {
			return err
		}
		j := recoveryOf(r)
		j.Done = err == nil && !o.DryRun
		if printed := g.printRecovery(j, err == nil); err == nil {
			err = printed
		}
		return err
	})
	cmd.Long = `Make a cluster of one node out of members that have no quorum any more: disks that lost what they had promised, or machines that are gone.

All nodes must be down. It looks at the data directories that it is given, whole or damaged, names the one that keeps most by term and index, and
makes it a cluster of its own, with the same id: start it with its usual line. The other directories that were given are given up: their nodes, started
after it with their usual lines, set their files aside and join as blank ones. A directory that is on another machine can be compared with --dry-run
there. What was acknowledged and is in no directory that was given comes back from nowhere. Where a quorum of whole nodes exists, it refuses.

A member whose directory is not given must never run on its old files again: two of them would go on as the old cluster.`
	cmd.Flags().StringArrayVar(&o.Dirs, "data-dir", nil, "`directory` of a member; may be given several times")
	cmd.Flags().BoolVar(&o.OthersAreDead, "others-are-dead", false, "members whose directories are not given are lost, and never start on their old files again")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "only say what would be kept and lost")
	idle(cmd, ": it works on files, and asks the members only whether they are down", "address", "namespace", "timeout", "tls-ca", "tls-cert", "tls-key", "tls-server-name")
	return cmd
}

func recoveryOf(r *server.Recovery) recoveryJSON {
	j := recoveryJSON{ClusterID: r.ClusterID, Others: append([]string{}, r.Others...)}
	for _, n := range r.Nodes {
		j.Nodes = append(j.Nodes, recoveryNodeJSON{
			NodeID: n.NodeID, DataDir: n.Dir, Refusal: n.Refusal, Copied: n.Copied, HeldTerm: n.Held.Term, HeldIndex: n.Held.Index,
			KeptTerm: n.Kept.Term, KeptIndex: n.Kept.Index, Report: n.Report,
		})
	}
	return j
}

func (g *globals) printRecovery(j recoveryJSON, accepted bool) error {
	return g.print(j, func(t *table) {
		t.row("NODE ID", "HELD", "KEPT", "DIRECTORY")
		for _, n := range j.Nodes {
			t.row(n.NodeID, fmt.Sprintf("term %d, entry %d", n.HeldTerm, n.HeldIndex), fmt.Sprintf("term %d, entry %d", n.KeptTerm, n.KeptIndex), n.DataDir)
		}
		for _, n := range j.Nodes {
			t.line("")
			t.line("%s: %s", n.NodeID, n.condition())
			for _, line := range n.Report {
				t.line("  %s", line)
			}
		}
		t.line("")
		best := j.Nodes[0]
		t.line("Most advanced: %s, in %s.", best.NodeID, best.DataDir)
		switch {
		case !accepted: // the error says why
		case !j.Done:
			t.line("Nothing is changed. Without --dry-run it becomes the cluster, alone.")
		default:
			t.line("It is the cluster now, alone. Start it with its usual line first, then the others with theirs; those on other machines with")
			t.line("--rejoin-blank=NODE_ID, or on an empty directory.")
		}
	})
}

func (n recoveryNodeJSON) condition() string {
	switch {
	case n.Refusal != "":
		return n.Refusal
	case n.Copied:
		return "a copy of its directory"
	}
	return "whole"
}
