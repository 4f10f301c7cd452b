package grpcapi

import (
	"encoding/json"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Ranges of a pool's fields.
const (
	minLostThresholdS   = 10
	maxLostThresholdS   = 600
	minRateMicros       = 1         // 1e-6 actors a second
	maxRateMicros       = 1e5 * 1e6 // 1e5 actors a second
	defaultRateMicros   = 1_000_000
	maxPoolMetadataSize = 64 << 10
)

// notBuilt lists the fields whose behaviour this build does not have yet, with the writes that ask for it. What is accepted is kept:
// so they are refused by name. A field that gets its behaviour loses its row.
var notBuilt = []struct {
	field string
	asked func(c *callboardv1.PoolConfig) bool
}{
	{"drain_on_version_upgrade", func(c *callboardv1.PoolConfig) bool { return c.GetDrainOnVersionUpgrade() }},
	{"actor_eviction_delay", func(c *callboardv1.PoolConfig) bool { return c.ActorEvictionDelay != nil }},
	{"actor_eviction_period", func(c *callboardv1.PoolConfig) bool { return c.ActorEvictionPeriod != nil }},
	{"actor_eviction_rate", func(c *callboardv1.PoolConfig) bool { return c.ActorEvictionRateMicros != nil }},
}

// checkPoolConfig refuses values out of range first, so that a wrong value is told as wrong also before its field is built.
func checkPoolConfig(c *callboardv1.PoolConfig) *callboardv1.Error {
	if c == nil {
		return nil
	}
	if c.ActorEvictionRateMicros != nil && (c.GetActorEvictionRateMicros() < minRateMicros || c.GetActorEvictionRateMicros() > maxRateMicros) {
		return invalidConfig("actor_eviction_rate",
			"actor_eviction_rate is out of range: want 0.000001 to 100000 actors a second; to stop evictions use `rollout pause`, for no limit `unlimited`")
	}
	if t := c.GetRunnerLostThreshold(); c.RunnerLostThreshold != nil && (t < minLostThresholdS || t > maxLostThresholdS) {
		return invalidConfig("runner_lost_threshold", "runner_lost_threshold is %d s: want %d to %d s", t, minLostThresholdS, maxLostThresholdS)
	}
	if _, known := callboardv1.Placement_name[int32(c.GetPlacement())]; !known {
		return invalidConfig("placement", "placement %d is not known: want spread or binpack", c.GetPlacement())
	}
	if len(c.GetMetadataJson()) > maxPoolMetadataSize {
		return invalidConfig("metadata", "metadata has %d bytes, and at most %d are allowed", len(c.GetMetadataJson()), maxPoolMetadataSize)
	}
	if c.GetMetadataJson() != "" && !json.Valid([]byte(c.GetMetadataJson())) {
		return invalidConfig("metadata", "metadata is not valid JSON")
	}
	for _, row := range notBuilt {
		if row.asked(c) {
			return callboardv1.Refuse("pool", "not_built",
				"this build does not do %s yet, and does not accept what it would not do: leave the field out", row.field).With("field", row.field)
		}
	}
	return nil
}

func invalidConfig(field, format string, args ...any) *callboardv1.Error {
	refusal := callboardv1.Refuse("runner_config", "invalid", format, args...)
	return refusal.With("field", field).With("reason", refusal.GetMessage())
}

// effectiveConfig returns what was written with every default filled in; nil: nothing was written.
func effectiveConfig(v *fsm.View, p *fsm.Pool) *callboardv1.PoolConfig {
	c := p.Config
	if c == nil {
		return nil
	}
	var (
		// Reads show false until version drains are built: the default of a written config is then true.
		drain      = c.GetDrainOnVersionUpgrade()
		delay      = c.GetEvictionDelayS()
		period     = c.GetEvictionPeriodS()
		rate       = uint64(defaultRateMicros)
		thresholdS = uint32(v.LostThresholdMs(p) / 1000)
	)
	if c.EvictionRateMicrosPerS != nil {
		rate = c.GetEvictionRateMicrosPerS()
	}
	return &callboardv1.PoolConfig{
		DrainOnVersionUpgrade: &drain, ActorEvictionDelay: &delay, ActorEvictionPeriod: &period, ActorEvictionRateMicros: &rate,
		RunnerLostThreshold: &thresholdS, Placement: callboardv1.Placement(p.Placement()), MetadataJson: c.GetMetadataJson(),
	}
}
