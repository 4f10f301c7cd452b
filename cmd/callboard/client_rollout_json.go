package main

import callboardv1 "github.com/callboard/callboard/proto/callboard/v1"

// rolloutJSON is a rollout as programs read it. Fields are added, never renamed.
type rolloutJSON struct {
	Namespace       string        `json:"namespace"`
	Pool            string        `json:"pool"`
	ID              uint64        `json:"id"`
	Version         uint32        `json:"version"`
	State           string        `json:"state"`
	EndReason       string        `json:"end_reason"`
	Paused          bool          `json:"paused"`
	PauseReason     string        `json:"pause_reason"`
	StartTs         *int64        `json:"start_ts"`
	EndTs           *int64        `json:"end_ts"`
	Moved           uint32        `json:"moved"`
	Moving          uint32        `json:"moving"`
	Waiting         uint32        `json:"waiting"`
	Asleep          uint32        `json:"asleep"`
	Lost            uint32        `json:"lost"`
	Left            uint32        `json:"left"`
	DrainingRunners uint32        `json:"draining_runners"`
	DrainedRunners  uint32        `json:"drained_runners"`
	Rate            float64       `json:"rate"` // actors a second
	RateIsDefault   bool          `json:"rate_is_default"`
	Tokens          float64       `json:"tokens"`
	Binds           string        `json:"binds"`
	BlockedBy       []blockerJSON `json:"blocked_by"`
	EtaTs           *int64        `json:"eta_ts"`
	EtaIsEstimate   bool          `json:"eta_is_estimate"`
	HeldVersions    []heldJSON    `json:"held_versions"`
}

func rolloutOf(r *callboardv1.Rollout) rolloutJSON {
	return rolloutJSON{
		Namespace: r.GetNamespace(), Pool: r.GetPool(), ID: r.GetId(), Version: r.GetVersion(), State: enumText(r.GetState().String(), "ROLLOUT_STATE_"),
		EndReason: r.GetEndReason(), Paused: r.GetPaused(), PauseReason: r.GetPauseReason(), StartTs: ts(r.GetStartTs()), EndTs: ts(r.GetEndTs()),
		Moved: r.GetMoved(), Moving: r.GetMoving(), Waiting: r.GetWaiting(), Asleep: r.GetAsleep(), Lost: r.GetLost(), Left: r.GetLeft(),
		DrainingRunners: r.GetDrainingRunners(), DrainedRunners: r.GetDrainedRunners(), Rate: float64(r.GetRateMicros()) / 1e6,
		RateIsDefault: r.GetRateIsDefault(), Tokens: float64(r.GetTokensMicros()) / 1e6, Binds: r.GetBinds(), BlockedBy: blockersOf(r.GetBlockedBy()),
		EtaTs: ts(r.GetEtaTs()), EtaIsEstimate: r.GetEtaIsEstimate(),
		HeldVersions: heldOf(r.GetHeldVersions()),
	}
}

type rolloutAnswer struct {
	Rollout rolloutJSON `json:"rollout"`
	Index   uint64      `json:"index"`
}

// planJSON is the dry run of a rollout as programs read it. Fields are added, never renamed.
type planJSON struct {
	Namespace  string          `json:"namespace"`
	Pool       string          `json:"pool"`
	Version    uint32          `json:"version"`
	Slots      uint64          `json:"slots"`
	Drain      bool            `json:"drain"`
	Moves      uint32          `json:"moves"`
	Stays      uint32          `json:"stays"`
	Asleep     uint32          `json:"asleep"`
	Runners    uint32          `json:"runners"`
	FirstMs    int64           `json:"first_ms"`
	DurationMs int64           `json:"duration_ms"`
	Estimate   bool            `json:"estimate"`
	PeakPerS   uint32          `json:"peak_per_s"`
	Binds      string          `json:"binds"`
	Points     []planPointJSON `json:"points"`
	BlockedBy  []blockerJSON   `json:"blocked_by"`
}

type planPointJSON struct {
	AtMs    int64  `json:"at_ms"`
	Evicted uint32 `json:"evicted"`
}

func planOf(p *callboardv1.RolloutPlan) planJSON {
	j := planJSON{
		Namespace: p.GetNamespace(), Pool: p.GetPool(), Version: p.GetVersion(), Slots: p.GetSlots(), Drain: p.GetDrain(), Moves: p.GetMoves(),
		Stays: p.GetStays(), Asleep: p.GetAsleep(), Runners: p.GetRunners(), FirstMs: p.GetFirstMs(), DurationMs: p.GetDurationMs(),
		Estimate: p.GetEstimate(), PeakPerS: p.GetPeakPerS(), Binds: p.GetBinds(), Points: []planPointJSON{}, BlockedBy: blockersOf(p.GetBlockedBy()),
	}
	for _, point := range p.GetPoints() {
		j.Points = append(j.Points, planPointJSON{point.GetAtMs(), point.GetEvicted()})
	}
	return j
}
