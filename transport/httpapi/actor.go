package httpapi

import (
	"strconv"
	"strings"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// actorBody is an actor as HTTP shows it. A time stamp (unix ms) is null when it never happened or does not hold.
type actorBody struct {
	ActorID             string      `json:"actor_id"`
	Name                string      `json:"name"`
	Key                 *string     `json:"key" nullable:"true"`
	NamespaceID         string      `json:"namespace_id"`
	Datacenter          string      `json:"datacenter"`
	RunnerNameSelector  string      `json:"runner_name_selector" doc:"The pool."`
	CrashPolicy         string      `json:"crash_policy" enum:"restart,sleep,destroy"`
	State               string      `json:"state" enum:"pending,starting,running,stopping,sleeping,backing_off,destroyed"`
	Generation          uint64      `json:"generation"`
	RunnerID            *string     `json:"runner_id" nullable:"true"`
	Reason              *string     `json:"reason" nullable:"true" doc:"Why it is pending, backing off or stopping."`
	ReasonCode          *string     `json:"reason_code" nullable:"true" doc:"The same, for programs."`
	NextChangeTs        *int64      `json:"next_change_ts" nullable:"true" doc:"When something will happen to it by itself, if that is known."`
	NextChange          *string     `json:"next_change" nullable:"true" doc:"What will happen next."`
	Error               *actorError `json:"error"`
	CreateTs            int64       `json:"create_ts"`
	StartTs             *int64      `json:"start_ts" nullable:"true"`
	ConnectableTs       *int64      `json:"connectable_ts" nullable:"true"`
	SleepTs             *int64      `json:"sleep_ts" nullable:"true"`
	PendingAllocationTs *int64      `json:"pending_allocation_ts" nullable:"true"`
	RescheduleTs        *int64      `json:"reschedule_ts" nullable:"true"`
	DestroyTs           *int64      `json:"destroy_ts" nullable:"true"`
	AlarmTs             *int64      `json:"alarm_ts" nullable:"true"`
	EvictTs             *int64      `json:"evict_ts" nullable:"true" doc:"When it will be, or was, asked to move. Null: no move is planned, or its turn has come and something holds it back (see next_change)."`
	MayRunTwice         bool        `json:"may_run_twice" doc:"Nothing promises that it runs only once: it is, or was when its runner was lost, on one with on_lease_lost: keep."`
}

type actorError struct {
	Code     string  `json:"code"`
	Message  string  `json:"message"`
	RunnerID *string `json:"runner_id" nullable:"true"`
}

func (a *api) actor(m *callboardv1.Actor) actorBody {
	body := actorBody{
		ActorID: m.GetActorId(), Name: m.GetName(), Key: m.Key, NamespaceID: m.GetNamespaceId(), Datacenter: a.Datacenter,
		RunnerNameSelector: m.GetPool(), CrashPolicy: word(m.GetCrashPolicy().String(), "CRASH_POLICY_"),
		State: word(m.GetState().String(), "ACTOR_STATE_"), Generation: m.GetGeneration(), RunnerID: text(m.GetRunnerId()), Reason: text(m.GetReason()), ReasonCode: text(m.GetReasonCode()),
		NextChangeTs: stamp(m.GetNextChangeTs()), NextChange: text(m.GetNextChange()),
		CreateTs: m.GetCreateTs(), StartTs: stamp(m.GetStartTs()), ConnectableTs: stamp(m.GetConnectableTs()), SleepTs: stamp(m.GetSleepTs()),
		PendingAllocationTs: stamp(m.GetPendingAllocationTs()), RescheduleTs: stamp(m.GetRescheduleTs()), DestroyTs: stamp(m.GetDestroyTs()),
		AlarmTs: stamp(m.GetAlarmTs()), EvictTs: stamp(m.GetEvictTs()), MayRunTwice: m.GetMayRunTwice(),
	}
	if e := m.GetError(); e != nil {
		body.Error = &actorError{Code: e.GetCode(), Message: e.GetMessage(), RunnerID: text(e.GetRunnerId())}
	}
	return body
}

// word shows an enum without its prefix, in lower case.
func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func stamp(unixMs int64) *int64 {
	if unixMs == 0 {
		return nil
	}
	return &unixMs
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func indexText(index uint64) string { return strconv.FormatUint(index, 10) }

// commaList reads "a,b,c"; empty: none.
func commaList(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}
