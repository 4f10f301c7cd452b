package scheduler

import (
	"cmp"
	"slices"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func (p *process) end(ref fsm.Ref) {
	delete(p.bodies, ref)
	p.endedAt[ref.Actor] = max(p.endedAt[ref.Actor], ref.Generation)
}

// observe looks at what it should run, as its session would tell it.
func (p *process) observe(w *world) {
	if !p.up() || p.silent || p.cut || !p.connected || p.manual {
		return
	}
	r := w.view.Runner(p.runner)
	if r == nil || r.End != fsm.NotEnded || r.Session != p.session {
		return
	}
	for a := range w.view.ActorsOf(r, 0) {
		switch a.Phase {
		case fsm.Starting:
			p.obeyStart(w, a.Ref())
		case fsm.Stopping:
			p.obeyStop(w, a.Ref())
		default: // running: it runs
		}
	}
	for o := range w.view.OrphansOf(r) {
		p.obeyStop(w, o.Ref)
	}
	p.acknowledge(w, r)
	if p.leaves && r.Held == 0 && r.Draining() && len(p.said) == 0 {
		goodbye := p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Goodbye{Goodbye: &callboardv1.Goodbye{}}})
		p.said = []saying{{w.clockMs, goodbye, p.die}}
	}
}

// acknowledge says that it has heard of evictions.
func (p *process) acknowledge(w *world, r *fsm.Runner) {
	if _, some := w.view.UnreceivedSinceMs(r); !some {
		return
	}
	received := &nodev1.EvictionsReceived{}
	for a := range w.view.ActorsOf(r, 0) {
		if a.Evicting() && w.view.AwaitsReceipt(a.Ref()) && !p.received[a.Ref()] {
			received.Refs = append(received.Refs, refOf(a.Ref()))
			if p.received == nil {
				p.received = map[fsm.Ref]bool{}
			}
			p.received[a.Ref()] = true
		}
	}
	if len(received.GetRefs()) > 0 {
		receipt := p.in(&nodev1.SessionReport{Report: &nodev1.SessionReport_Receipt{Receipt: received}})
		p.said = append(p.said, saying{w.clockMs + p.lags, receipt, nil})
		slices.SortStableFunc(p.said, func(a, b saying) int { return cmp.Compare(a.atMs, b.atMs) })
	}
}

func (p *process) obeyStart(w *world, ref fsm.Ref) {
	if p.deaf || p.bodies[ref] != nil || ref.Generation <= p.endedAt[ref.Actor] {
		return
	}
	if p.refuses {
		p.end(ref)
		p.say(w, p.slowMs, refused(ref), nil)
		return
	}
	b := &body{ref: ref, starting: true}
	p.bodies[ref] = b
	p.say(w, p.slowMs, running(ref), func() { b.starting = false })
}

func (p *process) obeyStop(w *world, ref fsm.Ref) {
	b := p.bodies[ref]
	if b == nil {
		if !p.willSay(ref) { // never started, and refused from now on
			p.end(ref)
			p.say(w, 0, stopped(ref, true, ""), nil)
		}
		return
	}
	if b.stopping {
		return
	}
	b.stopping = true
	if p.hangs {
		event := stopped(ref, false, "did not return")
		event.GetStopped().Abandoned = true
		p.say(w, w.view.Setting(fsm.ActorStopThreshold)-1000, event, func() { p.end(ref) })
		return
	}
	p.say(w, p.slowMs, stopped(ref, true, ""), func() { p.end(ref) })
}

// finish ends a body by itself: with an error, or of its own accord.
func (p *process) finish(w *world, ref fsm.Ref, clean bool) {
	p.said = slices.DeleteFunc(p.said, func(s saying) bool { return s.about(ref) })
	event := stopped(ref, false, "boom")
	if clean {
		event = finished(ref)
	}
	p.say(w, 0, event, func() { p.end(ref) })
}
