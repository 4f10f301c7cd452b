package main

import "github.com/spf13/cobra"

func runnerCommand(g *globals) *cobra.Command {
	return group("runner", "Look at runners", runnerListCommand(g), runnerShowCommand(g))
}
