// Command callboard is the whole product in one binary: the engine node, the development cluster, a trial runner, and the commands
// that speak to a cluster.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run executes one command line and returns its exit code. Interrupt and SIGTERM end the command's context; a second one ends the
// process at once.
func run(args []string, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return execute(ctx, args, out, errOut)
}

// execute is run without the signals.
func execute(ctx context.Context, args []string, out, errOut io.Writer) int {
	root, globals := newRoot(out, errOut)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !globals.begun {
		err = asUsage(root, err) // cobra itself found fault with the command line
	}
	if err != nil {
		globals.printError(err)
	}
	return exitCode(err)
}

// newRoot composes the command tree.
func newRoot(out, errOut io.Writer) (*cobra.Command, *globals) {
	g := &globals{out: out, errOut: errOut}
	root := group("callboard", "A highly available scheduler for stateful actors")
	root.Long = `Callboard places actors on runners, moves them to newer runner versions at a limited rate, notices lost runners,
and puts idle actors to sleep and wakes them.

Exit codes: 0 ok, 1 refused, 2 usage, 3 the outcome is unknown, 4 no node can be reached,
10 a planned rollout would move something.`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		g.begun = true
		if err := refuseIdle(cmd, root.PersistentFlags()); err != nil {
			return err
		}
		return flagsFromEnvironment(cmd, os.LookupEnv)
	}
	g.addFlags(root)
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		hideIdle(cmd, root.PersistentFlags())
		help(cmd, args)
	})
	root.AddCommand(
		devCommand(g), serverCommand(g),
		actorCommand(g), runnerCommand(g), poolCommand(g), rolloutCommand(g), namespaceCommand(g), statusCommand(g), operatorCommand(g), versionCommand(g),
	)
	return root, g
}
