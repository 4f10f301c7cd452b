package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// poolJSON is a pool as programs read it. Fields are added, never renamed.
type poolJSON struct {
	Namespace        string          `json:"namespace"`
	Name             string          `json:"name"`
	Config           *poolConfigJSON `json:"config"`
	AutoCreated      bool            `json:"auto_created"`
	ConnectedRunners uint32          `json:"connected_runners"`
	NewestVersion    uint32          `json:"newest_version"`
	TotalSlots       uint64          `json:"total_slots"`
	FreeSlots        uint64          `json:"free_slots"`
	PendingActors    uint64          `json:"pending_actors"`
	PacedActors      uint64          `json:"paced_actors"`
	LiveActors       uint64          `json:"live_actors"`
	RolloutID        *uint64         `json:"rollout_id"`
	DrainingRunners  uint32          `json:"draining_runners"`
	HeldVersions     []heldJSON      `json:"held_versions"`

	OpenRequests    uint32             `json:"open_requests,omitempty"`
	WaitingRequests uint32             `json:"waiting_requests,omitempty"`
	EndpointVersion uint32             `json:"endpoint_version,omitempty"`
	EndpointRuntime string             `json:"endpoint_runtime,omitempty"`
	EndpointPollTS  int64              `json:"endpoint_poll_ts,omitempty"`
	EndpointError   *endpointErrorJSON `json:"endpoint_error,omitempty"`
}

// serverlessJSON is the serverless part of a pool's config. The values of headers are secrets: true says that there is one.
type serverlessJSON struct {
	URL                  string          `json:"url"`
	Headers              map[string]bool `json:"headers"`
	RequestLifespan      uint32          `json:"request_lifespan"`
	MaxConcurrentActors  uint64          `json:"max_concurrent_actors"`
	DrainGracePeriod     uint32          `json:"drain_grace_period"`
	MetadataPollInterval uint64          `json:"metadata_poll_interval"`
	SlotsPerRunner       *uint32         `json:"slots_per_runner,omitempty"`
}

type endpointErrorJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	TS      int64  `json:"ts"`
	Count   uint32 `json:"count"`
	RetryTS int64  `json:"retry_ts,omitempty"`
}

func serverlessOf(c *callboardv1.Serverless) *serverlessJSON {
	if c == nil {
		return nil
	}
	j := &serverlessJSON{
		URL: c.GetUrl(), Headers: map[string]bool{}, RequestLifespan: c.GetRequestLifespan(), MaxConcurrentActors: c.GetMaxConcurrentActors(),
		DrainGracePeriod: c.GetDrainGracePeriod(), MetadataPollInterval: c.GetMetadataPollInterval(), SlotsPerRunner: c.SlotsPerRunner,
	}
	for _, h := range c.GetHeaders() {
		j.Headers[h.GetName()] = h.GetSet()
	}
	return j
}

// endpointText says in one line how the endpoint is.
func (j poolJSON) endpointText() string {
	e := j.EndpointError
	switch {
	case e == nil && j.EndpointPollTS == 0:
		return "not asked yet"
	case e == nil:
		return "answers, as of " + timeOfDay(j.EndpointPollTS)
	}
	text := fmt.Sprintf("%s: %s (%d times, last at %s)", e.Code, e.Message, e.Count, timeOfDay(e.TS))
	if e.Count == 1 {
		text = fmt.Sprintf("%s: %s (once, at %s)", e.Code, e.Message, timeOfDay(e.TS))
	}
	if e.RetryTS != 0 {
		text += ", called again at " + timeOfDay(e.RetryTS)
	}
	return text
}

// endpointServes says what the endpoint has told of itself.
func (j poolJSON) endpointServes() string {
	if j.EndpointRuntime == "" {
		return ""
	}
	return fmt.Sprintf("version %d, by %s", j.EndpointVersion, j.EndpointRuntime)
}

// requestsText says how many requests are open, and where to see them.
func (j poolJSON) requestsText() string {
	if j.OpenRequests == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, of which %d wait for their runners; `callboard pool requests %s` lists them", j.OpenRequests, j.WaitingRequests, j.Name)
}

// heldJSON is a version that a rollback holds back, as programs read it.
type heldJSON struct {
	Version uint32 `json:"version"`
	Reason  string `json:"reason"`
	StartTs *int64 `json:"start_ts"`
}

func heldOf(list []*callboardv1.HeldVersion) []heldJSON {
	held := []heldJSON{}
	for _, h := range list {
		held = append(held, heldJSON{Version: h.GetVersion(), Reason: h.GetReason(), StartTs: ts(h.GetStartTs())})
	}
	return held
}

// heldRows shows what a pool holds back, and how to let it go.
func heldRows(t *table, pool string, held []heldJSON) {
	for _, h := range held {
		text := fmt.Sprintf("version %d, since %s; `callboard rollout release %s %d` lets it get actors again", h.Version, clockTime(at(h.StartTs)), pool, h.Version)
		if h.Reason != "" {
			text += ": " + h.Reason
		}
		t.row("held back", text)
	}
}

type poolConfigJSON struct {
	DrainOnVersionUpgrade bool            `json:"drain_on_version_upgrade"`
	ActorEvictionDelay    uint32          `json:"actor_eviction_delay"`
	ActorEvictionPeriod   uint32          `json:"actor_eviction_period"`
	ActorEvictionRate     float64         `json:"actor_eviction_rate"`
	RunnerLostThreshold   uint32          `json:"runner_lost_threshold"`
	Placement             string          `json:"placement"`
	Metadata              json.RawMessage `json:"metadata"`
	Serverless            *serverlessJSON `json:"serverless,omitempty"`
}

func poolOf(p *callboardv1.Pool) poolJSON {
	j := poolJSON{
		Namespace: p.GetNamespace(), Name: p.GetName(), AutoCreated: p.GetAutoCreated(), ConnectedRunners: p.GetConnectedRunners(),
		NewestVersion: p.GetNewestVersion(), TotalSlots: p.GetTotalSlots(), FreeSlots: p.GetFreeSlots(),
		PendingActors: p.GetPendingActors(), PacedActors: p.GetPacedActors(), LiveActors: p.GetLiveActors(), DrainingRunners: p.GetDrainingRunners(),
		HeldVersions: heldOf(p.GetHeldVersions()),
	}
	if p.GetRolloutId() != 0 {
		j.RolloutID = &p.RolloutId
	}
	if c := p.GetConfig(); c != nil {
		j.Config = &poolConfigJSON{
			DrainOnVersionUpgrade: c.GetDrainOnVersionUpgrade(), ActorEvictionDelay: c.GetActorEvictionDelay(), ActorEvictionPeriod: c.GetActorEvictionPeriod(),
			ActorEvictionRate: float64(c.GetActorEvictionRateMicros()) / 1e6, RunnerLostThreshold: c.GetRunnerLostThreshold(),
			Placement: enumText(c.GetPlacement().String(), "PLACEMENT_"), Metadata: rawJSON(c.GetMetadataJson()),
			Serverless: serverlessOf(c.GetServerless()),
		}
	}
	j.OpenRequests, j.WaitingRequests = p.GetOpenRequests(), p.GetWaitingRequests()
	j.EndpointVersion, j.EndpointRuntime, j.EndpointPollTS = p.GetEndpointVersion(), p.GetEndpointRuntime(), p.GetEndpointPollTs()
	if e := p.GetEndpointError(); e != nil {
		j.EndpointError = &endpointErrorJSON{Code: e.GetCode(), Message: e.GetMessage(), TS: e.GetTs(), Count: e.GetCount(), RetryTS: e.GetRetryTs()}
	}
	return j
}

func poolCommand(g *globals) *cobra.Command {
	return group("pool", "Look at pools and set what they do", poolListCommand(g), poolShowCommand(g), poolSetCommand(g), poolRequestsCommand(g), poolDeleteCommand(g))
}

func poolListCommand(g *globals) *cobra.Command {
	var stale bool
	cmd := leaf("list", "List pools", nil, func(cmd *cobra.Command, _ []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			page, err := c.Pools.List(ctx, &callboardv1.PoolServiceListRequest{Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			answer := struct {
				Pools []poolJSON `json:"pools"`
				Index uint64     `json:"index"`
			}{[]poolJSON{}, page.GetIndex()}
			for _, p := range page.GetPools() {
				answer.Pools = append(answer.Pools, poolOf(p))
			}
			return g.print(answer, func(t *table) {
				t.row("POOL", "RUNNERS", "NEWEST VERSION", "SLOTS FREE", "ACTORS", "PENDING", "CONFIG", "VERSION UPGRADE", "ROLLOUT")
				for _, p := range answer.Pools {
					t.row(p.Name, p.ConnectedRunners, p.NewestVersion, fmt.Sprintf("%d of %d", p.FreeSlots, p.TotalSlots), p.LiveActors, p.PendingActors, p.configNote(), p.upgradeNote(), p.rolloutText())
				}
			})
		})
	})
	addStale(cmd, &stale)
	return cmd
}

// configNote says where the config comes from.
func (j poolJSON) configNote() string {
	switch {
	case j.Config == nil:
		return "none"
	case j.AutoCreated:
		return "made when a runner connected"
	default:
		return "written"
	}
}

// upgradeNote says what a newer version does to the actors of older ones.
func (j poolJSON) upgradeNote() string {
	if j.Config == nil || !j.Config.DrainOnVersionUpgrade {
		return "coexists"
	}
	return "moves " + rateText(j.Config.ActorEvictionRate)
}

func (j poolJSON) rolloutText() string {
	if j.RolloutID == nil {
		return ""
	}
	return fmt.Sprintf("%d open", *j.RolloutID)
}

func poolShowCommand(g *globals) *cobra.Command {
	var stale bool
	cmd := leaf("show", "Show one pool with its effective config", []string{"POOL"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Name: args[0], Consistency: consistency(stale)})
			if err != nil {
				return err
			}
			return g.printPool(poolAnswer{Pool: poolOf(answer.GetPool()), Index: answer.GetIndex()})
		})
	})
	addStale(cmd, &stale)
	return cmd
}

type poolAnswer struct {
	Pool     poolJSON `json:"pool"`
	Warnings []string `json:"warnings,omitempty"`
	Index    uint64   `json:"index"`
}

func (g *globals) printPool(answer poolAnswer) error {
	return g.print(answer, func(t *table) {
		p := answer.Pool
		t.row("pool", p.Name)
		t.row("namespace", p.Namespace)
		t.row("runners connected", p.ConnectedRunners)
		t.row("runners draining", p.DrainingRunners)
		t.row("newest version", p.NewestVersion)
		t.row("slots free", fmt.Sprintf("%d of %d", p.FreeSlots, p.TotalSlots))
		t.row("actors", p.LiveActors)
		t.row("pending", p.PendingActors)
		t.row("waiting for their turn", p.PacedActors)
		t.row("rollout", p.rolloutText())
		heldRows(t, p.Name, p.HeldVersions)
		t.row("config", p.configNote())
		if c := p.Config; c != nil {
			t.row("  drain_on_version_upgrade", c.DrainOnVersionUpgrade)
			t.row("  actor_eviction_delay", fmt.Sprintf("%d s", c.ActorEvictionDelay))
			t.row("  actor_eviction_period", fmt.Sprintf("%d s", c.ActorEvictionPeriod))
			t.row("  actor_eviction_rate", rateText(c.ActorEvictionRate))
			t.row("  runner_lost_threshold", fmt.Sprintf("%d s", c.RunnerLostThreshold))
			t.row("  placement", c.Placement)
			t.row("  metadata", string(c.Metadata))
			p.serverlessRows(t)
		}
		for _, w := range answer.Warnings {
			t.line("Warning: %s", w)
		}
	})
}

// serverlessRows shows what makes a pool a serverless one, and how its endpoint is.
func (j poolJSON) serverlessRows(t *table) {
	s := j.Config.Serverless
	if s == nil {
		return
	}
	t.row("  url", s.URL)
	t.row("  headers", strings.Join(slices.Sorted(maps.Keys(s.Headers)), ", "))
	t.row("  request_lifespan", fmt.Sprintf("%d s", s.RequestLifespan))
	t.row("  drain_grace_period", fmt.Sprintf("%d s", s.DrainGracePeriod))
	t.row("  max_concurrent_actors", s.MaxConcurrentActors)
	t.row("  metadata_poll_interval", fmt.Sprintf("%d ms", s.MetadataPollInterval))
	if s.SlotsPerRunner != nil {
		t.row("  slots_per_runner", *s.SlotsPerRunner)
	}
	t.row("requests open", j.requestsText())
	t.row("endpoint", j.endpointText())
	t.row("endpoint serves", j.endpointServes())
}

func poolDeleteCommand(g *globals) *cobra.Command {
	var key string
	cmd := leaf("delete", "Delete a pool's config; its runners and actors stay", []string{"POOL"}, func(cmd *cobra.Command, args []string) error {
		return g.call(cmd, func(ctx context.Context, c *client.Client) error {
			answer, err := c.Pools.Delete(ctx, &callboardv1.PoolServiceDeleteRequest{Name: args[0], IdempotencyKey: key})
			if err != nil {
				return err
			}
			j := struct {
				Name  string `json:"name"`
				Index uint64 `json:"index"`
			}{args[0], answer.GetIndex()}
			return g.print(j, func(t *table) { t.line("the config of pool %s is deleted", j.Name) })
		})
	})
	addIdempotencyKey(cmd, &key)
	return cmd
}
