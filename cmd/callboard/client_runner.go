package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// runnerJSON is a runner as programs read it. Fields are added, never renamed.
type runnerJSON struct {
	RunnerID         string          `json:"runner_id"`
	Namespace        string          `json:"namespace"`
	NamespaceID      string          `json:"namespace_id"`
	Pool             string          `json:"pool"`
	Key              string          `json:"key"`
	Version          uint32          `json:"version"`
	TotalSlots       uint32          `json:"total_slots"`
	RemainingSlots   uint32          `json:"remaining_slots"`
	State            string          `json:"state"`
	IneligibleReason string          `json:"ineligible_reason"`
	DrainCause       string          `json:"drain_cause"`
	Holder           string          `json:"holder"`
	AdvertisedAddr   string          `json:"advertised_addr"`
	Metadata         json.RawMessage `json:"metadata"`
	LostThresholdMs  uint32          `json:"lost_threshold_ms"`
	LeaseAgeMs       int64           `json:"lease_age_ms"`
	OnLeaseLost      string          `json:"on_lease_lost"`
	ActorNames       []string        `json:"actor_names"` // empty: any
	CreateTs         *int64          `json:"create_ts"`
	DrainTs          *int64          `json:"drain_ts"`
	StopTs           *int64          `json:"stop_ts"`
	LastPingTs       *int64          `json:"last_ping_ts"`
	LastConnectedTs  *int64          `json:"last_connected_ts"`
	Drain            *drainJSON      `json:"drain"`
}

func runnerOf(r *callboardv1.Runner) runnerJSON {
	onLeaseLost := runner.Fence
	if r.GetKeepOnLeaseLost() {
		onLeaseLost = runner.Keep
	}
	return runnerJSON{
		RunnerID: r.GetRunnerId(), Namespace: r.GetNamespace(), NamespaceID: r.GetNamespaceId(), Pool: r.GetPool(), Key: r.GetKey(),
		Version: r.GetVersion(), TotalSlots: r.GetTotalSlots(), RemainingSlots: r.GetRemainingSlots(),
		State: enumText(r.GetState().String(), "RUNNER_STATE_"), IneligibleReason: r.GetIneligibleReason(),
		DrainCause: enumText(r.GetDrainCause().String(), "DRAIN_CAUSE_"), Holder: r.GetHolder(), AdvertisedAddr: r.GetAdvertisedAddr(),
		Metadata: rawJSON(r.GetMetadataJson()), LostThresholdMs: r.GetLostThresholdMs(), LeaseAgeMs: r.GetLeaseAgeMs(),
		OnLeaseLost: string(onLeaseLost), ActorNames: append([]string{}, r.GetActorNames()...),
		CreateTs: ts(r.GetCreateTs()), DrainTs: ts(r.GetDrainTs()), StopTs: ts(r.GetStopTs()), LastPingTs: ts(r.GetLastPingTs()), LastConnectedTs: ts(r.GetLastConnectedTs()),
		Drain: drainOf(r.GetDrain()),
	}
}

// rawJSON passes metadata on as it is; null when there is none or it is no JSON.
func rawJSON(text string) json.RawMessage {
	if text == "" || !json.Valid([]byte(text)) {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}

func runnerListCommand(g *globals) *cobra.Command {
	var (
		req   callboardv1.RunnerServiceListRequest
		stale bool
		limit uint32
	)
	cmd := leaf("list", "List runners", nil, func(cmd *cobra.Command, _ []string) error {
		req.Consistency = consistency(stale)
		return g.call(cmd, func(ctx context.Context, c *client.Client) error { return g.listRunners(ctx, c, &req, limit) })
	})
	cmd.Flags().StringVar(&req.Pool, "pool", "", "only the runners of this `pool`")
	cmd.Flags().BoolVar(&req.IncludeStopped, "include-stopped", false, "also those that stopped or were lost within the last hour")
	cmd.Flags().Uint32Var(&limit, "limit", 1000, "list at most `N` runners; 0: all")
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) listRunners(ctx context.Context, c *client.Client, req *callboardv1.RunnerServiceListRequest, limit uint32) error {
	items, end, err := collect(limit, func(cursor string, size uint32) (*callboardv1.RunnerServiceListResponse, []*callboardv1.Runner, error) {
		req.Cursor, req.Limit = cursor, size
		page, err := c.Runners.List(ctx, req)
		return page, page.GetRunners(), err
	}, runnerOf)
	if err != nil {
		return err
	}
	answer := struct {
		Runners []runnerJSON `json:"runners"`
		listing
	}{items, end}
	return g.print(answer, func(t *table) {
		t.row("RUNNER ID", "POOL", "KEY", "VERSION", "STATE", "SLOTS USED", "LAST HEARD", "HOLDER", "NO NEW ACTORS", "ON LEASE LOST", "DRAIN")
		for _, r := range answer.Runners {
			t.row(r.RunnerID, r.Pool, r.Key, r.Version, r.State, fmt.Sprintf("%d/%d", r.TotalSlots-min(r.TotalSlots, r.RemainingSlots), r.TotalSlots),
				r.lastHeard(), r.Holder, r.IneligibleReason, r.OnLeaseLost, r.Drain.progress())
		}
		g.sayIfMore(end)
	})
}

// lastHeard is on the cluster clock, which stands still without a leader.
func (j runnerJSON) lastHeard() string {
	if j.StopTs != nil {
		return ""
	}
	return (time.Duration(j.LeaseAgeMs) * time.Millisecond).Truncate(100*time.Millisecond).String() + " ago"
}

func runnerShowCommand(g *globals) *cobra.Command {
	var stale bool
	cmd := leaf("show", "Show one runner", []string{runnerIDArgument}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Runners.Get(ctx, &callboardv1.RunnerServiceGetRequest{RunnerId: args[0], Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			return g.printRunner(runnerOf(answer.GetRunner()), answer.GetIndex())
		})
	})
	addStale(cmd, &stale)
	return cmd
}

func (g *globals) printRunner(r runnerJSON, index uint64) error {
	answer := struct {
		Runner runnerJSON `json:"runner"`
		Index  uint64     `json:"index"`
	}{r, index}
	return g.print(answer, func(t *table) {
		t.row("runner id", r.RunnerID)
		t.row("namespace", r.Namespace)
		t.row("pool", r.Pool)
		t.row("key", r.Key)
		t.row("version", r.Version)
		t.row("state", r.State)
		if r.IneligibleReason != "" {
			t.row("no new actors", r.IneligibleReason)
		}
		if r.DrainCause != "" {
			t.row("drains because", r.DrainCause)
		}
		t.row("slots used", fmt.Sprintf("%d of %d", r.TotalSlots-min(r.TotalSlots, r.RemainingSlots), r.TotalSlots))
		t.row("actors", r.actorsCommand())
		if len(r.ActorNames) > 0 {
			t.row("actor names", strings.Join(r.ActorNames, ", "))
		}
		t.row("address", r.AdvertisedAddr)
		t.row("held by node", r.Holder)
		t.row("last heard", r.lastHeard())
		t.row("on lease lost", r.OnLeaseLost)
		t.row("lost after", time.Duration(r.LostThresholdMs)*time.Millisecond)
		t.row("created at", clockTime(at(r.CreateTs)))
		t.row("connected at", clockTime(at(r.LastConnectedTs)))
		if r.DrainTs != nil {
			t.row("drains since", clockTime(*r.DrainTs))
		}
		drainRows(t, r.Drain)
		if r.StopTs != nil {
			t.row("ended at", clockTime(*r.StopTs))
		}
		t.row("metadata", string(r.Metadata))
	})
}

// actorsCommand lists what the runner holds.
func (j runnerJSON) actorsCommand() string {
	command := "callboard actor list --runner " + j.RunnerID
	if j.Namespace != "default" {
		command += " --namespace " + j.Namespace
	}
	return command
}

func drainRows(t *table, d *drainJSON) {
	if d == nil {
		return
	}
	if d.Reason != "" {
		t.row("reason of the drain", d.Reason)
	}
	if d.DeadlineTs != nil {
		t.row("moves at once after", clockTime(*d.DeadlineTs))
	}
	if d.Force {
		t.row("forced", "moves whether or not there is room")
	}
	t.row("drain", d.progress())
	for _, b := range d.BlockedBy {
		t.row("blocked by", b.sentence())
	}
	if d.FinishTs != nil {
		t.row("drained at", clockTime(*d.FinishTs))
	}
	safe := "no"
	if d.SafeToTerminate {
		safe = "yes"
	}
	t.row("safe to terminate", safe)
}
