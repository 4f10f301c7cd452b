package main

import (
	"context"
	"fmt"

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

That calls an open rollout off, and the older runners take actors again. Stop deploying the newer version first: a runner that brings it
again begins the next rollout. ` + "`callboard runner undrain`" + ` takes it back, runner by runner.`
	cmd.Flags().StringVar(&reason, "reason", "", "`text` that is shown with the drains")
	cmd.Flags().BoolVar(&force, "force", false, "also when no runner of an older version is connected: the actors wait until one is")
	return cmd
}

// rollBack drains the runners of the newest rollout's version, one by one: repeated after a failure it does what is left.
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
	answer := struct {
		Pool    string       `json:"pool"`
		Version uint32       `json:"version"`
		Runners []runnerJSON `json:"runners"`
		Index   uint64       `json:"index"`
	}{Pool: pool, Version: version, Runners: []runnerJSON{}}
	for _, r := range newest {
		drained, err := c.Runners.Drain(ctx, &callboardv1.DrainRequest{RunnerId: r.GetRunnerId(), Reason: reason})
		if err != nil {
			g.progress("%d of %d runners drain. The same command again does the rest.", len(answer.Runners), len(newest))
			return err
		}
		answer.Runners = append(answer.Runners, runnerOf(drained.GetRunner()))
		answer.Index = drained.GetIndex()
	}
	return g.print(answer, func(t *table) {
		t.row("RUNNER ID", "KEY", "VERSION", "DRAIN")
		for _, r := range answer.Runners {
			t.row(r.RunnerID, r.Key, r.Version, r.Drain.progress())
		}
	})
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
