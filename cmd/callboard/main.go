// Command callboard is the whole product in one binary: the engine node, the development cluster, a trial runner, and the commands
// that speak to a cluster.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/grpclog"

	"github.com/callboard/callboard/internal/logqueue"
)

func main() {
	logs := logsOfLibraries()
	code := run(os.Args[1:], os.Stdout, os.Stderr)
	logs.Flush(lastWords)
	os.Exit(code)
}

// lastWords is how long a process that ends waits until its last lines are written.
const lastWords = time.Second

// logsOfLibraries puts a queue before what gRPC, and whoever uses Go's own logs, write to standard error: a pipe that nobody reads must
// not hold a stream.
func logsOfLibraries() *logqueue.Queue {
	logs := logqueue.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(slog.New(logs.Handler()))
	if os.Getenv("GRPC_GO_LOG_SEVERITY_LEVEL") == "" { // otherwise somebody looks for something, and reads it
		errorLines := slog.NewLogLogger(logs.Handler(), slog.LevelError).Writer()
		grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, errorLines))
	}
	return logs
}

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
		globals.printLast(err)
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
		actorCommand(g), runnerCommand(g), poolCommand(g), rolloutCommand(g), namespaceCommand(g), statusCommand(g), operatorCommand(g), tlsCommand(g), versionCommand(g),
	)
	return root, g
}
