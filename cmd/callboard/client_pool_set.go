package main

import (
	"context"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// poolFlags are the fields of a pool's config. What is not given gets its default: a write replaces the whole config.
type poolFlags struct {
	drain               bool
	delay, period, lost uint32
	rate                string
	placement, metadata string
	idempotencyKey      string

	serverless                          bool
	url                                 string
	headers                             []string
	lifespan, grace, slots              uint32
	maxConcurrentActors, metadataPollMs uint64
}

func poolSetCommand(g *globals) *cobra.Command {
	var f poolFlags
	cmd := leaf("set", "Write a pool's whole config: what is not named gets its default", []string{"POOL"}, func(cmd *cobra.Command, args []string) error {
		config, err := f.config(cmd)
		if err != nil {
			return err
		}
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Pools.Put(ctx, &callboardv1.PoolServicePutRequest{Name: args[0], Config: config, IdempotencyKey: f.idempotencyKey})
			if err != nil {
				return err
			}
			return g.printPool(poolAnswer{Pool: poolOf(answer.GetPool()), Warnings: answer.GetWarnings(), Index: answer.GetIndex()})
		})
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.drain, "drain-on-version-upgrade", true, "runners of older versions give up their actors; =false: versions coexist")
	flags.Uint32Var(&f.delay, "eviction-delay", 0, "`seconds` after the begin of a drain before its first eviction")
	flags.Uint32Var(&f.period, "eviction-period", 0, "`seconds` of look-ahead of planned evictions, and within which the actors of one lost runner start again")
	flags.StringVar(&f.rate, "eviction-rate", "1", "planned evictions a second, or unlimited")
	flags.Uint32Var(&f.lost, "runner-lost-threshold", 0, "`seconds` of silence after which a runner is lost; default: the cluster's")
	flags.StringVar(&f.placement, "placement", "spread", "how actors fill the runners of one version: spread or binpack")
	flags.StringVar(&f.metadata, "metadata", "", "any `JSON`, kept and shown")
	flags.BoolVar(&f.serverless, "serverless", false, "the engine wakes the pool's runners over HTTP; --url says so as well")
	flags.StringVar(&f.url, "url", "", "`URL` of the endpoint: the engine calls URL/start and URL/metadata")
	flags.StringArrayVar(&f.headers, "header", nil, "`NAME=VALUE` that is sent with every request to the endpoint; may be repeated. The process list shows it: @FILE reads VALUE from a file")
	flags.Uint32Var(&f.lifespan, "request-lifespan", 0, "`seconds` that a request to the endpoint is held open; shorter than your platform's time-out")
	flags.Uint32Var(&f.grace, "drain-grace-period", 0, "`seconds` before the end of a request at which its runner drains")
	flags.Uint64Var(&f.maxConcurrentActors, "max-concurrent-actors", 0, "`number` of actors that may be on runners at once; default 1000")
	flags.Uint64Var(&f.metadataPollMs, "metadata-poll-interval", 0, "`milliseconds` between two looks at the version that the endpoint serves; default 10000")
	flags.Uint32Var(&f.slots, "slots-per-runner", 0, "`number` of slots that a request asks for (deprecated); default 1000")
	addIdempotencyKey(cmd, &f.idempotencyKey)
	return cmd
}

// config turns the flags that are given into a config; the engine checks the ranges.
func (f *poolFlags) config(cmd *cobra.Command) (*callboardv1.PoolConfig, error) {
	given := cmd.Flags().Changed
	config := &callboardv1.PoolConfig{MetadataJson: f.metadata}
	if given("drain-on-version-upgrade") {
		config.DrainOnVersionUpgrade = &f.drain
	}
	if given("eviction-delay") {
		config.ActorEvictionDelay = &f.delay
	}
	if given("eviction-period") {
		config.ActorEvictionPeriod = &f.period
	}
	if given("runner-lost-threshold") {
		config.RunnerLostThreshold = &f.lost
	}
	if given("eviction-rate") {
		micros, err := rateMicros(cmd, f.rate)
		if err != nil {
			return nil, err
		}
		config.ActorEvictionRateMicros = &micros
	}
	placement, known := callboardv1.Placement_value["PLACEMENT_"+strings.ToUpper(f.placement)]
	if !known {
		return nil, usage(cmd, "--placement %s: want spread or binpack", f.placement)
	}
	config.Placement = callboardv1.Placement(placement)
	var err error
	config.Serverless, err = f.serverlessConfig(cmd)
	return config, err
}

// serverlessConfig turns the flags of a serverless pool into its config; nil: the pool is a normal one.
func (f *poolFlags) serverlessConfig(cmd *cobra.Command) (*callboardv1.Serverless, error) {
	given := cmd.Flags().Changed
	if !f.serverless && !given("url") {
		for _, flag := range []string{"header", "request-lifespan", "drain-grace-period", "max-concurrent-actors", "metadata-poll-interval", "slots-per-runner"} {
			if given(flag) {
				return nil, usage(cmd, "--%s is for serverless pools: give --url as well", flag)
			}
		}
		return nil, nil
	}
	c := &callboardv1.Serverless{Url: f.url, RequestLifespan: f.lifespan}
	if given("drain-grace-period") {
		c.DrainGracePeriod = &f.grace
	}
	if given("max-concurrent-actors") {
		c.MaxConcurrentActors = &f.maxConcurrentActors
	}
	if given("metadata-poll-interval") {
		c.MetadataPollInterval = &f.metadataPollMs
	}
	if given("slots-per-runner") {
		c.SlotsPerRunner = &f.slots
	}
	for _, header := range f.headers {
		name, value, ok := strings.Cut(header, "=")
		if !ok {
			return nil, usage(cmd, "--header %q: want NAME=VALUE, or NAME=@FILE", name)
		}
		if file, isFile := strings.CutPrefix(value, "@"); isFile {
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, usage(cmd, "--header %s: %v", name, err)
			}
			value = strings.TrimRight(string(content), "\r\n")
		}
		c.Headers = append(c.Headers, &callboardv1.Header{Name: name, Value: value})
	}
	return c, nil
}

// unlimitedRate is what `unlimited` stores, in actors a second.
const unlimitedRate = 1e5

func rateMicros(cmd *cobra.Command, text string) (uint64, error) {
	if text == "unlimited" {
		return unlimitedRate * 1e6, nil
	}
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(rate) || rate < 1e-6 || rate > unlimitedRate {
		return 0, usage(cmd, "--eviction-rate %s: want 0.000001 to 100000 actors a second, or unlimited; to stop evictions use `callboard rollout pause`", text)
	}
	return uint64(math.Round(rate * 1e6)), nil
}
