package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/callboard/callboard/client"
)

// answerMargin is how much longer than the engine a blocking command waits, for the answer to arrive.
const answerMargin = 5 * time.Second

// globals are the flags that every client command has, and where it writes.
type globals struct {
	addresses string
	namespace string
	output    string
	timeout   time.Duration
	tls       tlsFlags

	out, errOut io.Writer
	begun       bool // the command line was understood
	service     bool // it is a node or a runner, which ends also when nobody reads what it says
}

func (g *globals) addFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&g.addresses, "address", "127.0.0.1:6421", "gRPC `addresses` of engine nodes, separated by commas")
	flags.StringVar(&g.namespace, "namespace", "default", "`namespace` that the command is about")
	g.tls.add(flags)
	flags.StringVarP(&g.output, "output", "o", "table", "`format` of the answer: table, or json for programs")
	flags.DurationVar(&g.timeout, "timeout", 30*time.Second, "how long to wait for an answer, and for an actor; commands that watch a drain or a rollout go on beyond it")
}

// client connects as the global flags say.
func (g *globals) client(cmd *cobra.Command) (*client.Client, error) {
	if g.output != "table" && g.output != "json" {
		return nil, usage(cmd, "--output %s: want table or json", g.output)
	}
	if g.timeout <= 0 {
		return nil, usage(cmd, "--timeout %s: want a time above zero, such as 30s", g.timeout)
	}
	secure, err := g.tls.config()
	if err != nil {
		return nil, usage(cmd, "TLS: %v", err)
	}
	c, err := client.New(strings.Split(g.addresses, ","), client.WithNamespace(g.namespace), client.WithTLS(secure))
	if err != nil {
		return nil, usage(cmd, "--address: %v", err)
	}
	return c, nil
}

// call connects, and runs a command within its time.
func (g *globals) call(cmd *cobra.Command, do func(ctx context.Context, c *client.Client) error) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all calls have ended
	ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
	defer cancel()
	return do(ctx, c)
}

// waiting is call for a command that asks the engine to wait: for the whole time-out, which it passes on.
func (g *globals) waiting(cmd *cobra.Command, do func(ctx context.Context, c *client.Client, timeoutMs uint32) error) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // all calls have ended
	if g.timeout > 10*time.Minute {
		return usage(cmd, "--timeout %s: the engine waits for 10m at most", g.timeout)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout+answerMargin)
	defer cancel()
	return do(ctx, c, uint32(max(1, g.timeout.Milliseconds())))
}

// environmentPrefix begins the name of the variable of every flag: --log-level is CALLBOARD_LOG_LEVEL.
const environmentPrefix = "CALLBOARD_"

// onlyGlobals marks the client commands: of their flags only the global ones come from the environment. A node's own variables, such
// as CALLBOARD_NAME, are there for whoever runs a client command beside it, and must not choose what that command is about.
const onlyGlobals = "callboard/only-globals"

// flagsFromEnvironment sets the flags that the command line did not.
func flagsFromEnvironment(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	flags := cmd.Flags()
	if cmd.Annotations[onlyGlobals] != "" {
		flags = cmd.InheritedFlags()
	}
	var problem error
	flags.VisitAll(func(f *pflag.Flag) {
		name := environmentPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, there := lookup(name)
		if f.Changed || !there || f.Name == "help" || problem != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			problem = usage(cmd, "%s=%s (in the environment): %s", name, value, flagProblem(err))
		}
	})
	return problem
}

// progress writes a line for people, not for programs.
func (g *globals) progress(format string, args ...any) {
	_, _ = fmt.Fprintf(g.errOut, format+"\n", args...) // nowhere to tell that stderr is broken
}
