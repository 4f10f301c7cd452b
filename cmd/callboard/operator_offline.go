package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/server"
)

type acceptanceJSON struct {
	NodeID  string   `json:"node_id"`
	Refusal string   `json:"refusal"`
	Copied  bool     `json:"copied"`
	Report  []string `json:"report"`
	DryRun  bool     `json:"dry_run"`
}

func raftAcceptLossCommand(g *globals) *cobra.Command {
	var dir string
	var dryRun bool
	cmd := leaf("accept-loss", "Let a node that refuses its damaged data directory start on what is left of it", nil, func(cmd *cobra.Command, _ []string) error {
		if dir == "" {
			return usage(cmd, "--data-dir: name the directory of the node, which must be down")
		}
		a, err := server.AcceptLoss(dir, dryRun, slog.New(slog.NewTextHandler(g.errOut, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			return err
		}
		j := acceptanceJSON{NodeID: a.NodeID, Refusal: a.Refusal, Copied: a.Copied, Report: a.Report, DryRun: dryRun}
		return g.print(j, func(t *table) {
			t.line("Node %s does not start: %s", j.NodeID, whyRefused(a))
			for _, line := range j.Report {
				t.line("  %s", line)
			}
			if dryRun {
				t.line("Nothing is changed. Without --dry-run the next start does this.")
			} else {
				t.line("Accepted: the next start of the node does this, once. Start it with its usual line.")
			}
		})
	})
	cmd.Long = `Let a node that refuses its damaged data directory start on what is left of it. The node must be down.

It says what is kept and what is lost, as far as the files can tell, and leaves that beside them for the next start, which does it once. The
damaged files are set aside under names that end in .lost. What was acknowledged and is lost comes back from nowhere: where other nodes
have a quorum, do not use this, but wipe the node and let it rejoin.`
	cmd.Flags().StringVar(&dir, "data-dir", "", "`directory` of the node")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be kept and lost")
	return offline(cmd)
}

func whyRefused(a *server.Acceptance) string {
	switch {
	case a.Refusal != "":
		return a.Refusal
	case a.Copied:
		return "its directory is a copy"
	}
	return "its identity is damaged"
}
