package main

import (
	"context"
	"math"
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
	return config, nil
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
