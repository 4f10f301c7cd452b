package scheduler

import (
	"fmt"
	"strings"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// What stories print of rollouts.

func (s *story) poolOf(l line) *fsm.Pool {
	ns := s.view.Namespace(l.text("namespace", "default"))
	p := s.view.Pool(fsm.PoolID{Namespace: ns.ID, Name: l.name(0)})
	if p == nil {
		s.t.Fatalf("there is no pool %q", l.name(0))
	}
	return p
}

func (s *story) showRollout(l line) string {
	var out []string
	for r := range s.view.Rollouts(s.poolOf(l), 0) {
		if len(out) > 0 && !l.has("history") {
			break
		}
		out = append(out, s.rolloutText(RolloutStatus(s.view, r)))
	}
	if len(out) == 0 {
		return "none\n"
	}
	return joined(out)
}

func (s *story) rolloutText(r *callboardv1.Rollout) string {
	text := fmt.Sprintf("%d to version %d: %s", r.GetId(), r.GetVersion(), short("ROLLOUT_STATE_", r.GetState()))
	if r.GetPaused() {
		text += ", paused"
	}
	text += fmt.Sprintf("; moved %d moving %d waiting %d asleep %d lost %d left %d", r.GetMoved(), r.GetMoving(), r.GetWaiting(), r.GetAsleep(), r.GetLost(), r.GetLeft())
	if r.GetState() == callboardv1.RolloutState_ROLLOUT_STATE_OPEN {
		text += fmt.Sprintf("\n  %d runners draining, %d drained; %d µtokens", r.GetDrainingRunners(), r.GetDrainedRunners(), r.GetTokensMicros())
	}
	if r.GetBinds() != "" {
		text += "\n  " + r.GetBinds()
	}
	if r.GetEtaTs() != 0 {
		text += fmt.Sprintf("\n  ends in %s", seconds(r.GetEtaTs()-s.view.WallMs()))
	}
	return text + s.blockersText(r.GetBlockedBy())
}

func (s *story) blockersText(blockers []*callboardv1.Blocker) string {
	var text string
	for _, b := range blockers {
		text += "\n  blocked by " + b.GetCode()
		if b.GetUntilTs() != 0 {
			text += fmt.Sprintf(" for %s", seconds(b.GetUntilTs()-s.view.WallMs()))
		}
	}
	return text
}

// showDrain tells how far the drain of a process's runner is, and what holds it up.
func (s *story) showDrain(l line) string {
	d := DrainStatus(s.view, s.view.Runner(s.process(l.name(0)).runner))
	return fmt.Sprintf("%d of %d moved, %d moving, %d left", d.GetMoved(), d.GetTotal(), d.GetMoving(), d.GetLeft()) + s.blockersText(d.GetBlockedBy()) + "\n"
}

func (s *story) showPlan(l line) string {
	plan := Plan(s.view, s.poolOf(l), uint32(l.number("to", 0)), uint64(l.number("slots", 0)))
	text := fmt.Sprintf("%d move, %d stay, %d runners drain, %d slots; first after %s, last after %s, at most %d a second",
		plan.GetMoves(), plan.GetStays(), plan.GetRunners(), plan.GetSlots(), seconds(plan.GetFirstMs()), seconds(plan.GetDurationMs()), plan.GetPeakPerS())
	if plan.GetBinds() != "" {
		text += "\n  " + plan.GetBinds()
	}
	return text + s.blockersText(plan.GetBlockedBy()) + "\n"
}

// plotMoves lets time pass and plots how many actors were moved in each part of it.
func (s *story) plotMoves(l line) string {
	total, parts := l.ms("for"), l.number("parts", 20)
	begin, before := s.clockMs, s.watch
	planned, forced := make([]int, parts+1), make([]int, parts+1)
	s.watch = func(ops []*logv1.Op) {
		if before != nil {
			before(ops)
		}
		at := min((s.clockMs-begin)*parts/total, parts)
		for _, op := range ops {
			switch o := op.GetOp().(type) {
			case *logv1.Op_EvictActor:
				if o.EvictActor.GetForced() {
					forced[at]++
				} else {
					planned[at]++
				}
			case *logv1.Op_EnqueueActor:
				forced[at]++
			}
		}
	}
	s.advance(total)
	s.watch = before
	s.trace.Reset()
	most := 1
	for i := range planned {
		most = max(most, planned[i]+forced[i])
	}
	var out strings.Builder
	for i := range planned {
		if int64(i) == parts && planned[i]+forced[i] == 0 {
			break
		}
		bar := func(sign string, n int) string { return strings.Repeat(sign, (n*50+most-1)/most) }
		line := fmt.Sprintf("%7s %4d |%s%s", seconds(begin+int64(i)*total/parts), planned[i]+forced[i], bar("#", planned[i]), bar("!", forced[i]))
		out.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return out.String()
}
