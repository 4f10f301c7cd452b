package grpcapi

import (
	"encoding/json"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// Ranges of a pool's fields.
const (
	minLostThresholdS = 10
	maxLostThresholdS = 600
)

// checkPoolConfig refuses what no pool can have.
func checkPoolConfig(c *callboardv1.PoolConfig) *callboardv1.Error {
	if c == nil {
		return nil
	}
	if rate := c.GetActorEvictionRateMicros(); c.ActorEvictionRateMicros != nil && (rate < fsm.MinEvictionRateMicros || rate > fsm.MaxEvictionRateMicros) {
		return invalidConfig("actor_eviction_rate",
			"actor_eviction_rate is %g: want 0.000001 to 100000 actors a second; `rollout pause` stops evictions, and `unlimited` on the command line is 100000",
			float64(rate)/1e6)
	}
	if t := c.GetRunnerLostThreshold(); c.RunnerLostThreshold != nil && (t < minLostThresholdS || t > maxLostThresholdS) {
		return invalidConfig("runner_lost_threshold", "runner_lost_threshold is %d s: want %d to %d s", t, minLostThresholdS, maxLostThresholdS)
	}
	if _, known := callboardv1.Placement_name[int32(c.GetPlacement())]; !known {
		return invalidConfig("placement", "placement %d is not known: want spread or binpack", c.GetPlacement())
	}
	if len(c.GetMetadataJson()) > scheduler.MaxPoolMetadata {
		return invalidConfig("metadata", "metadata has %d bytes, and at most %d are allowed", len(c.GetMetadataJson()), scheduler.MaxPoolMetadata)
	}
	if c.GetMetadataJson() != "" && !json.Valid([]byte(c.GetMetadataJson())) {
		return invalidConfig("metadata", "metadata is not valid JSON")
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
		drain      = p.DrainOn()
		delayS     = uint32(p.EvictionDelayMs() / 1000)
		periodS    = uint32(p.EvictionPeriodMs() / 1000)
		rate       = p.EvictionRateMicros()
		thresholdS = uint32(v.LostThresholdMs(p) / 1000)
	)
	return &callboardv1.PoolConfig{
		DrainOnVersionUpgrade: &drain, ActorEvictionDelay: &delayS, ActorEvictionPeriod: &periodS, ActorEvictionRateMicros: &rate,
		RunnerLostThreshold: &thresholdS, Placement: callboardv1.Placement(p.Placement()), MetadataJson: c.GetMetadataJson(),
		Serverless: effectiveServerless(v, p),
	}
}

// effectiveServerless returns the serverless part of a pool's config with its defaults; nil: the pool is a normal one. Values of headers are
// secrets and stay here.
func effectiveServerless(v *fsm.View, p *fsm.Pool) *callboardv1.Serverless {
	c := p.Config.GetServerless()
	if c == nil {
		return nil
	}
	var (
		most    = p.MaxConcurrentActors()
		graceS  = uint32(v.DrainGraceMs(p) / 1000)
		pollMs  = uint64(v.MetadataPollMs(p))
		headers []*callboardv1.Header
	)
	for _, h := range c.GetHeaders() {
		headers = append(headers, &callboardv1.Header{Name: h.GetName(), Set: h.GetValue() != ""})
	}
	return &callboardv1.Serverless{
		Url: c.GetUrl(), Headers: headers, RequestLifespan: c.GetRequestLifespanS(), MaxConcurrentActors: &most, DrainGracePeriod: &graceS,
		MetadataPollInterval: &pollMs, SlotsPerRunner: c.SlotsPerRunner, MinRunners: c.MinRunners, MaxRunners: c.MaxRunners, RunnersMargin: c.RunnersMargin,
	}
}
