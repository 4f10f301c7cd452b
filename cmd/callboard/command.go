package main

import (
	"github.com/spf13/cobra"
)

// group is a command that only has commands below it. What it does not know is a mistake, not a request for help.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage(cmd, "%s: there is no command %q%s", cmd.CommandPath(), args[0], suggestion(cmd, args[0]))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

func suggestion(cmd *cobra.Command, typed string) string {
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(typed); len(near) > 0 {
		return "; did you mean " + near[0] + "?"
	}
	return ""
}

// leaf is a client command that takes the named arguments.
func leaf(use, short string, args []string, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	for _, arg := range args {
		use += " " + arg
	}
	return &cobra.Command{
		Use:         use,
		Short:       short,
		Annotations: map[string]string{onlyGlobals: "yes"},
		Args: func(cmd *cobra.Command, given []string) error {
			switch {
			case len(given) < len(args):
				return usage(cmd, "%s: %s is missing", cmd.CommandPath(), args[len(given)])
			case len(given) > len(args):
				return usage(cmd, "%s: %q is one argument too many", cmd.CommandPath(), given[len(args)])
			}
			return nil
		},
		RunE: do,
	}
}
