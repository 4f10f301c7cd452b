package scheduler

import (
	"strings"
	"testing"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// TestALifeBelowItsSavedStateIsWarnedOf: an actor that goes to a version below the one that wrote its saved state has a warning, one for all of
// a pool in a Step; so has no other. The wait before is 30 s in a pool whose runners may be silent for longer.
func TestALifeBelowItsSavedStateIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	drain := false
	w.putPoolConfig(&callboardv1.PoolConfig{DrainOnVersionUpgrade: &drain, RunnerLostThreshold: new(uint32(60))})
	w.startOne("old", 1, 4)
	newer := w.startOne("new", 2, 4)
	newer.manual = true
	var refs []fsm.Ref
	for _, name := range []string{"a1", "a2", "a3"} {
		w.command(create(name, "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART), "")
		refs = append(refs, w.actor(name).Ref())
	}
	save := func(ref fsm.Ref) *callboardv1.ActorEvent {
		return &callboardv1.ActorEvent{Ref: refOf(ref), Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: []byte("x")}}}
	}
	w.report(newer.events(running(refs[0]), running(refs[1]), running(refs[2]), save(refs[0]), save(refs[1])))
	w.report(newer.draining(120_000))
	out := w.turn(Input{Reports: []*nodev1.SessionReport{newer.events(stopped(refs[0], true, ""), stopped(refs[1], true, ""), stopped(refs[2], true, ""))}})
	left, until := w.clockMs, w.view.Await(w.defaultPool()).UntilMs
	if until != left+maxAwaitMs || len(out.Warnings) != 0 {
		t.Fatalf("they wait until %d, want %d; warnings %v", until, left+maxAwaitMs, out.Warnings)
	}
	w.advance(maxAwaitMs - 1)
	if a := w.actor("a1"); a.Phase != fsm.Pending {
		t.Fatalf("a1 is %v before its time", a.Phase)
	}
	w.clockMs++
	out = w.turn(Input{})
	var texts []string
	for _, warning := range out.Warnings {
		if warning.Code == WarnBelowSaved {
			texts = append(texts, warning.Message)
		}
	}
	if len(texts) != 1 || !strings.HasPrefix(texts[0], `2 actors of pool "default", `) || !strings.Contains(texts[0], "go to version 1 with state that version 2 saved") {
		t.Errorf("warnings: %q", texts)
	}
	if a := w.actor("a3"); !a.Phase.OnRunner() {
		t.Errorf("a3 is %v", a.Phase)
	}
}
