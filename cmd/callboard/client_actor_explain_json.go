package main

import callboardv1 "github.com/callboard/callboard/proto/callboard/v1"

type explanationJSON struct {
	Actor        actorJSON     `json:"actor"`
	Summary      string        `json:"summary"`
	Steps        []string      `json:"steps"`
	Decision     *decisionJSON `json:"decision"`
	NextChangeTs *int64        `json:"next_change_ts"`
	NextChange   string        `json:"next_change"`
	Index        uint64        `json:"index"`
}

type decisionJSON struct {
	Index    uint64 `json:"index"`
	Ts       *int64 `json:"ts"`
	InPool   uint32 `json:"in_pool"`
	Eligible uint32 `json:"eligible"`
	Newest   uint32 `json:"newest"`
	Chosen   string `json:"chosen"`
	RunnerUp string `json:"runner_up"`
	Rule     string `json:"rule"`
	Version  uint32 `json:"version"`
}

func explanationOf(e *callboardv1.ExplainResponse) explanationJSON {
	j := explanationJSON{
		Actor: actorOf(e.GetActor()), Summary: e.GetSummary(), Steps: append([]string{}, e.GetSteps()...),
		NextChangeTs: ts(e.GetNextChangeTs()), NextChange: e.GetNextChange(), Index: e.GetIndex(),
	}
	if d := e.GetDecision(); d != nil {
		j.Decision = &decisionJSON{
			Index: d.GetIndex(), Ts: ts(d.GetTs()), InPool: d.GetInPool(), Eligible: d.GetEligible(), Newest: d.GetNewest(),
			Chosen: d.GetChosen(), RunnerUp: d.GetRunnerUp(), Rule: d.GetRule(), Version: d.GetVersion(),
		}
	}
	return j
}
