package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func rolloutRollbackCommand(g *globals) *cobra.Command {
	var (
		reason string
		force  bool
	)
	cmd := leaf("rollback", "Go back to the version before: drain every runner of the version that the rollout is to", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error { return g.rollBack(ctx, c, args[0], reason, force) })
	})
	cmd.Long = cmd.Short + `.

That calls an open rollout off, and the older runners take actors again. The version is held back from then on: whoever brings it, a
restarted runner or a new one, gets no actors, until ` + "`callboard rollout release`" + ` or until a rollout to a higher version is done.`
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that is shown with the drains")
	cmd.Flags().BoolVar(&force, "force", false, "also when no runner of an older version is connected: the actors wait until one is")
	return cmd
}

// rollBack holds back the version of the newest rollout.
func (g *globals) rollBack(ctx context.Context, c *client.Client, pool, reason string, force bool) error {
	got, err := c.Rollouts.Get(ctx, &callboardv1.RolloutServiceGetRequest{Pool: pool})
	if err != nil {
		return err
	}
	version := got.GetRollout().GetVersion()
	newest, older, err := runnersOfVersion(ctx, c, pool, version)
	if err != nil {
		return err
	}
	if len(newest) == 0 {
		return callboardv1.Refuse("pool", "nothing_to_roll_back", "pool %s has no runner of version %d that could be drained: see `callboard runner list --pool %s`", pool, version, pool)
	}
	if len(older) == 0 && !force {
		return callboardv1.Refuse("pool", "nowhere_to_roll_back_to",
			"no runner of a version older than %d is connected in pool %s, so its actors would have to wait: start some, or use --force", version, pool)
	}
	if reason == "" {
		reason = fmt.Sprintf("rollback of version %d", version)
	}
	held, err := c.Rollouts.Hold(ctx, &callboardv1.HoldRequest{Pool: pool, Version: version, Reason: reason})
	if err != nil {
		return err
	}
	answer := struct {
		Pool    string       `json:"pool"`
		Version uint32       `json:"version"`
		Held    []heldJSON   `json:"held_versions"`
		Runners []runnerJSON `json:"runners"`
		Index   uint64       `json:"index"`
	}{Pool: pool, Version: version, Held: heldOf(held.GetPool().GetHeldVersions()), Runners: []runnerJSON{}, Index: held.GetIndex()}
	for _, r := range newest {
		drained, err := c.Runners.Get(ctx, &callboardv1.RunnerServiceGetRequest{RunnerId: r.GetRunnerId()})
		if err != nil {
			g.progress("Version %d is held back. Its runners could not all be read.", version)
			return err
		}
		answer.Runners = append(answer.Runners, runnerOf(drained.GetRunner()))
	}
	return g.print(answer, func(t *table) {
		t.row("RUNNER ID", "KEY", "VERSION", "DRAIN")
		for _, r := range answer.Runners {
			t.row(r.RunnerID, r.Key, r.Version, r.Drain.progress())
		}
	})
}

func rolloutReleaseCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("release", "Let a version that a rollback holds back get actors again", []string{poolArgument, "VERSION"}, func(cmd *cobra.Command, args []string) error {
		version, err := strconv.ParseUint(args[1], 10, 32)
		if err != nil {
			return usage(cmd, "rollout release: %q is no version: want a number from 0 to 4294967295", args[1])
		}
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Rollouts.Release(ctx, &callboardv1.ReleaseRequest{Pool: args[0], Version: uint32(version), IdempotencyKey: key})
			if err != nil {
				return err
			}
			return g.printPool(poolAnswer{Pool: poolOf(answer.GetPool()), Index: answer.GetIndex()})
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}

// runnersOfVersion lists the runners of a version that do not drain, and those of older ones that could have their actors.
func runnersOfVersion(ctx context.Context, c *client.Client, pool string, version uint32) (newest, older []*callboardv1.Runner, err error) {
	req := &callboardv1.RunnerServiceListRequest{Pool: pool, Limit: pageSize}
	for {
		page, err := c.Runners.List(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range page.GetRunners() {
			cause := r.GetDrain().GetCause()
			switch {
			case r.GetVersion() == version && cause == callboardv1.DrainCause_DRAIN_CAUSE_UNSPECIFIED:
				newest = append(newest, r)
			case r.GetVersion() < version && r.GetState() != callboardv1.RunnerState_RUNNER_STATE_DISCONNECTED &&
				(cause == callboardv1.DrainCause_DRAIN_CAUSE_UNSPECIFIED || cause == callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION):
				older = append(older, r)
			}
		}
		if req.Cursor = page.GetNextCursor(); req.Cursor == "" {
			return newest, older, nil
		}
	}
}
