package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/callboard/callboard/server"
)

func devCommand(g *globals) *cobra.Command {
	f := &nodeFlags{}
	var d demos
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run an engine node to try things out, with --demo also runners and actors",
		Long: `Run one engine node for development. Its data is in a temporary directory unless --data-dir names one.
With --demo three runners connect like any user's, and a hundred counters run on them. With --demo-serverless an HTTP
service is the endpoint of a serverless pool, and a hundred counters run in the calls that the engine makes to it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if !cmd.Flags().Changed("log-level") {
				f.logLevel = "warn"
			}
			if err := f.complete(cmd, g.errOut); err != nil {
				return err
			}
			where := f.cfg.DataDir
			if f.cfg.DataDir == "" {
				dir, remove, err := temporaryDir()
				if err != nil {
					return err
				}
				defer func() { _ = remove() }()
				f.cfg.DataDir, where = dir, "a temporary directory: gone when this ends"
			}
			if err := f.cfg.Validate(); err != nil {
				return usage(cmd, "%v", err)
			}
			f.cfg.EndpointLoopback = f.cfg.EndpointLoopback || d.serverless // its endpoint is in this process
			g.service = true
			return runDev(cmd.Context(), f.cfg, d, func(a server.Addrs) { banner(g.out, a, where, d) })
		},
	}
	f.add(cmd.Flags())
	idleForNodes(cmd)
	idle(cmd, ": it speaks no TLS, and only this machine reaches it", "tls-ca", "tls-cert", "tls-key")
	cmd.Flags().BoolVar(&d.runners, "demo", false, "run three runners and a hundred counters too")
	cmd.Flags().BoolVar(&d.serverless, "demo-serverless", false, "run the endpoint of a serverless pool and a hundred counters in it too")
	f.cfg.Name = "dev"
	for name, value := range map[string]string{"raft-addr": "127.0.0.1:0", "gossip-addr": "", "name": "dev"} {
		flag := cmd.Flags().Lookup(name)
		_ = flag.Value.Set(value) // our own values
		flag.DefValue = value
	}
	return cmd
}

// demos are what runs beside the node.
type demos struct{ runners, serverless bool }

// run runs them until ctx ends.
func (d demos) run(ctx context.Context, addr string, log *slog.Logger) error {
	tasks, ctx := errgroup.WithContext(ctx)
	if d.runners {
		tasks.Go(func() error { return runDemo(ctx, addr, log) })
	}
	if d.serverless {
		tasks.Go(func() error { return runServerlessDemo(ctx, addr, log) })
	}
	tasks.Go(func() error {
		<-ctx.Done()
		return nil
	})
	return tasks.Wait()
}

// runDev runs the node and, once its doors are open, the demos.
func runDev(ctx context.Context, cfg server.Config, d demos, tell func(server.Addrs)) error {
	tasks, ctx := errgroup.WithContext(ctx)
	ready := make(chan server.Addrs, 1)
	cfg.Ready = func(a server.Addrs) { ready <- a }
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	tasks.Go(func() error { return server.Run(engineCtx, cfg) })
	tasks.Go(func() error {
		defer stopEngine() // after the demo, so that its runners can say goodbye
		select {
		case a := <-ready:
			tell(a)
			return d.run(ctx, a.GRPC, cfg.Log)
		case <-ctx.Done():
		}
		return nil
	})
	err := tasks.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func banner(out io.Writer, a server.Addrs, data string, d demos) {
	lines := []string{
		"callboard " + version + ": one node, for development",
		"  HTTP API   http://" + a.HTTP,
		"  gRPC       " + a.GRPC + "  (runners and the command line)",
	}
	if a.Metrics != "" {
		lines = append(lines, "  Metrics    http://"+a.Metrics+"/metrics")
	}
	lines = append(lines, "  Data       "+data)
	if d.runners {
		lines = append(lines, "  Demo       3 runners, 100 counters in pool default",
			"  Try        callboard actor list --name counter   ·   callboard runner list   ·   callboard status")
	}
	if d.serverless {
		lines = append(lines, fmt.Sprintf("  Demo       an HTTP endpoint, called for %d s each time, 100 counters in pool %s", demoLifespan, demoPool),
			fmt.Sprintf("  Try        callboard pool show %s   ·   callboard pool requests %s --ended   ·   callboard actor list --name counter", demoPool, demoPool))
	}
	for _, line := range lines {
		_, _ = fmt.Fprintln(out, line)
	}
}

// quiet is the log of the demo's runners: they speak up only when something is wrong.
func quiet(log *slog.Logger, runner string) *slog.Logger { return log.With("demo_runner", runner) }
