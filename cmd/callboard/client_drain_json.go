package main

import (
	"fmt"
	"strings"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// drainJSON is a drain as programs read it. Fields are added, never renamed.
type drainJSON struct {
	Cause           string        `json:"cause"`
	Reason          string        `json:"reason"`
	StartTs         *int64        `json:"start_ts"`
	DeadlineTs      *int64        `json:"deadline_ts"`
	Force           bool          `json:"force"`
	Total           uint32        `json:"total"`
	Moved           uint32        `json:"moved"`
	Moving          uint32        `json:"moving"`
	Left            uint32        `json:"left"`
	FinishTs        *int64        `json:"finish_ts"`
	SafeToTerminate bool          `json:"safe_to_terminate"`
	Standby         bool          `json:"standby"`
	Held            bool          `json:"held"`
	BlockedBy       []blockerJSON `json:"blocked_by"`
}

type blockerJSON struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	UntilTs *int64 `json:"until_ts"`
}

func drainOf(d *callboardv1.Drain) *drainJSON {
	if d == nil {
		return nil
	}
	return &drainJSON{
		Cause: enumText(d.GetCause().String(), "DRAIN_CAUSE_"), Reason: d.GetReason(), StartTs: ts(d.GetStartTs()), DeadlineTs: ts(d.GetDeadlineTs()),
		Force: d.GetForce(), Total: d.GetTotal(), Moved: d.GetMoved(), Moving: d.GetMoving(), Left: d.GetLeft(), FinishTs: ts(d.GetFinishTs()),
		SafeToTerminate: d.GetSafeToTerminate(), Standby: d.GetStandby(), Held: d.GetHeld(), BlockedBy: blockersOf(d.GetBlockedBy()),
	}
}

func blockersOf(list []*callboardv1.Blocker) []blockerJSON {
	blockers := []blockerJSON{}
	for _, b := range list {
		blockers = append(blockers, blockerJSON{Code: b.GetCode(), Message: b.GetMessage(), UntilTs: ts(b.GetUntilTs())})
	}
	return blockers
}

// sentence says what blocks, and until when if that is known.
func (b blockerJSON) sentence() string {
	if b.UntilTs == nil {
		return b.Code + ": " + b.Message
	}
	return fmt.Sprintf("%s: %s (until about %s)", b.Code, b.Message, timeOfDay(*b.UntilTs))
}

// blockerCodes is what blocks in a word each.
func blockerCodes(list []blockerJSON) string {
	codes := make([]string, len(list))
	for i, b := range list {
		codes[i] = b.Code
	}
	return strings.Join(codes, ", ")
}

// progress says how far a drain is, in a few words; nil: there is none.
func (j *drainJSON) progress() string {
	switch {
	case j == nil:
		return ""
	case j.SafeToTerminate:
		return fmt.Sprintf("safe to terminate, %d of %d moved", j.Moved, j.Total)
	case j.Standby:
		return "on stand-by: outdated when it connected"
	default:
		return fmt.Sprintf("%d of %d moved, %d moving, %d left", j.Moved, j.Total, j.Moving, j.Left)
	}
}

// timeOfDay shows a time stamp of today or nearly so, in the zone of who reads it.
func timeOfDay(unixMs int64) string { return time.UnixMilli(unixMs).Format(time.TimeOnly) }
