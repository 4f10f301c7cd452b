package scheduler

import (
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A leader's wall clock may be behind the one that the state has seen. Its alarms wait until that clock has caught up: neither do they
// come early, nor does Step ask again and again whether it is time.
func TestAlarmsWaitForAWallClockThatIsBehind(t *testing.T) {
	const alarmMs, behindMs = 5_000, 60_000
	w := newWorld(t)
	p := w.start(&process{name: "r1", manual: true, dials: true})
	w.turn(Input{})
	w.command(create("a1", "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART), "")
	ref := w.actor("a1").Ref()
	at := w.wallMs() + alarmMs
	w.report(p.events(running(ref), &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Alarm{
		Alarm: &callboardv1.AlarmEvent{AtUnixMs: &at},
	}}, &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Sleep{Sleep: &callboardv1.SleepEvent{}}}))
	w.report(p.events(stopped(ref, true, "")))

	w.advance(alarmMs - 1)
	w.turn(Input{})
	w.wallSkew = -behindMs
	before := w.turns
	w.advance(behindMs)
	// Heartbeats every 3 s, and whatever Step asks for: with a millisecond to go it asked sixty thousand times.
	if steps := w.turns - before; steps > behindMs/3_000+10 {
		t.Errorf("%d Steps in %v", steps, behindMs*time.Millisecond)
	}
	if phase := w.actor("a1").Phase; phase != fsm.Sleeping {
		t.Errorf("it is %v before its time", phase)
	}
	w.advance(1)
	if phase := w.actor("a1").Phase; phase != fsm.Starting {
		t.Errorf("it is %v when its time has come", phase)
	}
}
