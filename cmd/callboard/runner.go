package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/callboard/callboard/runner"
)

// runnerCommand looks at runners, and is one itself: for trials, it takes any actor and keeps it until it is told to stop.
func runnerCommand(g *globals) *cobra.Command {
	cmd := group("runner", "Look at runners, or be one for trials", runnerListCommand(g), runnerShowCommand(g), runnerDrainCommand(g), runnerUndrainCommand(g), runnerDrainsCommand(g), runnerUndrainKeyCommand(g))
	cmd.Long = `Without a command below it, this process is a runner for trials: it accepts actors of any name and keeps each until it is told to stop.

What a flag does not say comes from the environment of a runner: CALLBOARD_ENDPOINT, CALLBOARD_NAMESPACE, CALLBOARD_RUNNER (the pool),
CALLBOARD_RUNNER_KEY, CALLBOARD_RUNNER_VERSION, CALLBOARD_TOTAL_SLOTS, and the same with RIVET_.

Exit codes: 0 drained or clean, 20 replaced, 21 refused, 22 stopped with actors left.`
	var f trialFlags
	f.add(cmd.Flags())
	idle(cmd, ": --endpoint says where the nodes are", "address")
	idle(cmd, " without a command below it", "output", "timeout")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return g.runTrialRunner(cmd, &f) }
	return cmd
}

// trialFlags are the settings of a runner.
type trialFlags struct {
	config  runner.Config
	version versionFlag
}

func (f *trialFlags) add(flags *pflag.FlagSet) {
	c := &f.config
	flags.StringVar(&c.Endpoint, "endpoint", "127.0.0.1:6421", "`addresses` of engine nodes, separated by commas: host:port of their gRPC, or http URLs")
	flags.StringVar(&c.Pool, "pool", "default", "`pool` that the runner belongs to")
	flags.StringVar(&c.Key, "key", "", "`key` of the runner in its pool; another process with the same key replaces it (default random)")
	flags.Var(&f.version, "version", "`version` of the runner: newer ones get actors first")
	flags.Uint32Var(&c.Slots, "slots", runner.DefaultSlots, "how many actors it takes at once")
	flags.StringVar(&c.MetadataJSON, "metadata", "", "any `JSON`, shown with the runner")
	flags.StringVar(&c.AdvertisedAddr, "advertised-addr", "", "`address` that is given to whoever resolves an actor")
	flags.StringVar(&c.Token, "token", "", "`token` shown to the engine")
	flags.DurationVar(&c.ShutdownGrace, "shutdown-grace", runner.DefaultShutdownGrace, "how long it may take to hand over its actors when it is told to end")
	flags.StringVar((*string)(&c.OnStuck), "on-stuck", string(runner.Abandon), "what happens to code that does not return: abandon, or exit")
	flags.StringVar((*string)(&c.OnLeaseLost), "on-lease-lost", string(runner.Fence), "what happens when the lease runs out: fence, or keep")
	flags.StringVar((*string)(&c.WhenDrained), "when-drained", string(runner.Exit), "what happens after a newer version has drained it: exit, or stay")
}

// over puts the flags that were given over what the environment says.
func (f *trialFlags) over(c runner.Config, given func(name string) bool) runner.Config {
	own := f.config
	own.Version = uint32(f.version)
	for name, take := range map[string]func(){
		"endpoint":        func() { c.Endpoint = own.Endpoint },
		"pool":            func() { c.Pool = own.Pool },
		"key":             func() { c.Key = own.Key },
		"version":         func() { c.Version = own.Version },
		"slots":           func() { c.Slots = own.Slots },
		"metadata":        func() { c.MetadataJSON = own.MetadataJSON },
		"advertised-addr": func() { c.AdvertisedAddr = own.AdvertisedAddr },
		"token":           func() { c.Token = own.Token },
		"shutdown-grace":  func() { c.ShutdownGrace = own.ShutdownGrace },
		"on-stuck":        func() { c.OnStuck = own.OnStuck },
		"on-lease-lost":   func() { c.OnLeaseLost = own.OnLeaseLost },
		"when-drained":    func() { c.WhenDrained = own.WhenDrained },
	} {
		if given(name) {
			take()
		}
	}
	return c
}

// check finds what is wrong with the flags that were given.
func (f *trialFlags) check(cmd *cobra.Command, given func(name string) bool) error {
	c := f.config
	for _, choice := range []struct{ flag, value, one, other string }{
		{"on-stuck", string(c.OnStuck), string(runner.Abandon), string(runner.ExitProcess)},
		{"on-lease-lost", string(c.OnLeaseLost), string(runner.Fence), string(runner.Keep)},
		{"when-drained", string(c.WhenDrained), string(runner.Exit), string(runner.Stay)},
	} {
		if choice.value != choice.one && choice.value != choice.other {
			return usage(cmd, "--%s %s: want %s or %s", choice.flag, choice.value, choice.one, choice.other)
		}
	}
	switch {
	case given("slots") && (c.Slots < 1 || c.Slots > runner.MaxSlots):
		return usage(cmd, "--slots %d: want 1 to %d", c.Slots, runner.MaxSlots)
	case given("pool") && c.Pool == "":
		return usage(cmd, "--pool is empty: name the pool, or leave the flag out")
	case given("key") && c.Key == "":
		return usage(cmd, "--key is empty: name the key, or leave the flag out for a random one")
	case c.MetadataJSON != "" && !json.Valid([]byte(c.MetadataJSON)):
		return usage(cmd, "--metadata %s: want JSON, such as '{\"zone\":\"a\"}'", c.MetadataJSON)
	case c.ShutdownGrace <= 0 || c.ShutdownGrace > runner.MaxShutdownGrace:
		return usage(cmd, "--shutdown-grace %v: want a time above zero, at most %v", c.ShutdownGrace, runner.MaxShutdownGrace)
	}
	return nil
}

// runTrialRunner is a runner until it is done. Signals are the library's: it hands the actors over before it ends.
func (g *globals) runTrialRunner(cmd *cobra.Command, f *trialFlags) error {
	given := cmd.Flags().Changed
	if err := f.check(cmd, given); err != nil {
		return err
	}
	config, err := runner.FromEnv()
	if err != nil {
		return usage(cmd, "%v", err)
	}
	config = f.over(config, given)
	if given("namespace") {
		config.Namespace = g.namespace
	}
	if config.TLS, err = g.tls.config(); err != nil {
		return usage(cmd, "TLS: %v", err)
	}
	config.Logger = slog.New(slog.NewTextHandler(g.errOut, nil))
	r := runner.New(config)
	r.HandleAny(func(ctx context.Context, _ *runner.Actor) error {
		<-ctx.Done()
		return nil
	})
	g.service = true
	return r.Run(context.WithoutCancel(cmd.Context()))
}

// versionFlag is a runner version: any number of 32 bits. A time in milliseconds does not fit, and is a common mistake.
type versionFlag uint32

func (v *versionFlag) String() string { return strconv.FormatUint(uint64(*v), 10) }
func (v *versionFlag) Type() string   { return "number" }

func (v *versionFlag) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("want a whole number, 0 to %d", uint32(math.MaxUint32))
	case n > math.MaxUint32 && n >= 1e12 && n < 1e14:
		return fmt.Errorf("%d looks like a time in milliseconds: give seconds (date +%%s) or a build number, at most %d", n, uint32(math.MaxUint32))
	case n > math.MaxUint32:
		return fmt.Errorf("want at most %d", uint32(math.MaxUint32))
	}
	*v = versionFlag(n)
	return nil
}
