package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// keptDrainJSON is a drain that outlives its runner, as programs read it. Fields are added, never renamed.
type keptDrainJSON struct {
	Pool       string `json:"pool"`
	Key        string `json:"key"`
	Version    uint32 `json:"version"`
	RunnerID   string `json:"runner_id"`
	Reason     string `json:"reason"`
	DeadlineTs *int64 `json:"deadline_ts"`
	Force      bool   `json:"force"`
	Keep       bool   `json:"keep"`
	Finished   bool   `json:"finished"`
	KeptTs     *int64 `json:"kept_ts"`
	ForgetTs   *int64 `json:"forget_ts"`
}

func keptDrainOf(d *callboardv1.KeptDrain) keptDrainJSON {
	return keptDrainJSON{
		Pool: d.GetPool(), Key: d.GetKey(), Version: d.GetVersion(), RunnerID: d.GetRunnerId(), Reason: d.GetReason(), DeadlineTs: ts(d.GetDeadlineTs()),
		Force: d.GetForce(), Keep: d.GetKeep(), Finished: d.GetFinished(), KeptTs: ts(d.GetKeptTs()), ForgetTs: ts(d.GetForgetTs()),
	}
}

// inheritedBy says who inherits the drain.
func (j keptDrainJSON) inheritedBy() string {
	if j.Finished && !j.Keep {
		return "the same process"
	}
	return "whoever has its key and version"
}

func runnerDrainsCommand(g *globals) *cobra.Command {
	var (
		req   callboardv1.ListDrainsRequest
		limit uint32
		stale bool
	)
	cmd := leaf("drains", "List the drains of a pool that outlive their runners", []string{poolArgument}, func(cmd *cobra.Command, args []string) error {
		req.Pool, req.Consistency = args[0], consistency(stale)
		return g.call(cmd, func(ctx context.Context, c *client.Client) error { return g.listDrains(ctx, c, &req, limit) })
	})
	cmd.Long = cmd.Short + `.

A drain that an operator began is kept for a week under the runner's key. ` + "`callboard runner undrain RUNNER_ID`" + ` calls it off while the
runner is known, ` + "`callboard runner undrain-key POOL KEY`" + ` also when it is not.`
	cmd.Flags().Uint32Var(&limit, "limit", 1000, "list at most `N` drains; 0: all")
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) listDrains(ctx context.Context, c *client.Client, req *callboardv1.ListDrainsRequest, limit uint32) error {
	items, end, err := collect(limit, func(cursor string, size uint32) (*callboardv1.ListDrainsResponse, []*callboardv1.KeptDrain, error) {
		req.Cursor, req.Limit = cursor, size
		page, err := c.Runners.ListDrains(ctx, req)
		return page, page.GetDrains(), err
	}, keptDrainOf)
	if err != nil {
		return err
	}
	answer := struct {
		Drains []keptDrainJSON `json:"drains"`
		listing
	}{items, end}
	return g.print(answer, func(t *table) {
		t.row("KEY", "VERSION", "RUNNER ID", "FINISHED", "INHERITED BY", "KEPT SINCE", "FORGOTTEN", "REASON")
		for _, d := range answer.Drains {
			t.row(d.Key, d.Version, d.RunnerID, d.Finished, d.inheritedBy(), clockTime(at(d.KeptTs)), clockTime(at(d.ForgetTs)), d.Reason)
		}
		g.sayIfMore(end)
	})
}

func runnerUndrainKeyCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("undrain-key", "Call off a drain by the key of its runner, which need not be there", []string{poolArgument, "KEY"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Runners.Undrain(ctx, &callboardv1.UndrainRequest{Pool: args[0], Key: args[1], IdempotencyKey: key})
			if err != nil {
				return err
			}
			j := struct {
				Pool  string `json:"pool"`
				Key   string `json:"key"`
				Index uint64 `json:"index"`
			}{args[0], args[1], answer.GetIndex()}
			return g.print(j, func(t *table) { t.line("the drain of the runner with key %s in pool %s is called off", j.Key, j.Pool) })
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}
