package main

import callboardv1 "github.com/callboard/callboard/proto/callboard/v1"

// actorJSON is an actor as programs read it. Fields are added, never renamed.
type actorJSON struct {
	ActorID             string          `json:"actor_id"`
	Name                string          `json:"name"`
	Key                 *string         `json:"key"`
	Namespace           string          `json:"namespace"`
	NamespaceID         string          `json:"namespace_id"`
	Pool                string          `json:"pool"`
	CrashPolicy         string          `json:"crash_policy"`
	State               string          `json:"state"`
	Generation          uint64          `json:"generation"`
	RunnerID            *string         `json:"runner_id"`
	CreateTs            *int64          `json:"create_ts"`
	StartTs             *int64          `json:"start_ts"`
	ConnectableTs       *int64          `json:"connectable_ts"`
	SleepTs             *int64          `json:"sleep_ts"`
	PendingAllocationTs *int64          `json:"pending_allocation_ts"`
	RescheduleTs        *int64          `json:"reschedule_ts"`
	DestroyTs           *int64          `json:"destroy_ts"`
	AlarmTs             *int64          `json:"alarm_ts"`
	EvictTs             *int64          `json:"evict_ts"`
	InputBytes          uint32          `json:"input_bytes"`
	StateBytes          uint32          `json:"state_bytes"`
	Reason              string          `json:"reason"`
	ReasonCode          string          `json:"reason_code"`
	NextChangeTs        *int64          `json:"next_change_ts"`
	NextChange          string          `json:"next_change"`
	MayRunTwice         bool            `json:"may_run_twice"`
	Error               *actorErrorJSON `json:"error"`
}

type actorErrorJSON struct {
	Code     string `json:"code"`
	Message  string `json:"message"`
	RunnerID string `json:"runner_id"`
}

func actorOf(a *callboardv1.Actor) actorJSON {
	j := actorJSON{
		ActorID: a.GetActorId(), Name: a.GetName(), Key: a.Key, Namespace: a.GetNamespace(), NamespaceID: a.GetNamespaceId(), Pool: a.GetPool(),
		CrashPolicy: enumText(a.GetCrashPolicy().String(), "CRASH_POLICY_"), State: enumText(a.GetState().String(), "ACTOR_STATE_"),
		Generation: a.GetGeneration(), CreateTs: ts(a.GetCreateTs()), StartTs: ts(a.GetStartTs()), ConnectableTs: ts(a.GetConnectableTs()),
		SleepTs: ts(a.GetSleepTs()), PendingAllocationTs: ts(a.GetPendingAllocationTs()), RescheduleTs: ts(a.GetRescheduleTs()),
		DestroyTs: ts(a.GetDestroyTs()), AlarmTs: ts(a.GetAlarmTs()), EvictTs: ts(a.GetEvictTs()), InputBytes: a.GetInputBytes(), StateBytes: a.GetStateBytes(), Reason: a.GetReason(),
		ReasonCode: a.GetReasonCode(), NextChangeTs: ts(a.GetNextChangeTs()), NextChange: a.GetNextChange(),
		MayRunTwice: a.GetMayRunTwice(),
	}
	if a.GetRunnerId() != "" {
		j.RunnerID = &a.RunnerId
	}
	if e := a.GetError(); e != nil {
		j.Error = &actorErrorJSON{Code: e.GetCode(), Message: e.GetMessage(), RunnerID: e.GetRunnerId()}
	}
	return j
}

func (j actorJSON) keyText() string {
	if j.Key == nil {
		return ""
	}
	return *j.Key
}

func (j actorJSON) runnerText() string {
	if j.RunnerID == nil {
		return ""
	}
	return *j.RunnerID
}

// note is the one thing to know about an actor in a list.
func (j actorJSON) note() string {
	switch {
	case j.Reason != "":
		return j.Reason
	case j.Error != nil:
		return j.Error.Code
	case j.MayRunTwice:
		return "may run twice"
	default:
		return ""
	}
}

func at(unixMs *int64) int64 {
	if unixMs == nil {
		return 0
	}
	return *unixMs
}

// asleepTs is since when it sleeps. While it stops the engine tells when it was asked to.
func (j actorJSON) asleepTs() *int64 {
	if j.State != "sleeping" {
		return nil
	}
	return j.SleepTs
}
