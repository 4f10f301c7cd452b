package scheduler

import (
	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// The audit of evictions: the pace as an observer with a stop watch would check it (G7), one move a rollout (G10), room before a move.

// move is what a rollout may do once.
type move struct {
	rollout uint64
	actor   fsm.ActorID
}

// pace is what was decided in a pool: when each planned eviction was, and which rates were in force from when on.
type pace struct {
	planned []int64
	rates   []rateFrom
}

type rateFrom struct {
	atMs   int64
	micros uint64
}

func (u *audit) paceOf(p *fsm.Pool) *pace {
	if u.pace[p.ID] == nil {
		u.pace[p.ID] = &pace{}
	}
	return u.pace[p.ID]
}

// rates notes the rates that are in force.
func (u *audit) rates(s *fsm.State) {
	for ns := range s.Namespaces("") {
		for p := range s.Pools(ns, "") {
			seen := u.paceOf(p)
			if n := len(seen.rates); n == 0 || seen.rates[n-1].micros != p.EvictionRateMicros() {
				seen.rates = append(seen.rates, rateFrom{s.ClockMs(), p.EvictionRateMicros()})
			}
		}
	}
}

// highest returns the highest rate in force from a time on.
func (p *pace) highest(fromMs int64) (micros uint64) {
	for i := len(p.rates) - 1; i >= 0; i-- {
		micros = max(micros, p.rates[i].micros)
		if p.rates[i].atMs < fromMs {
			break
		}
	}
	return micros
}

// evict checks an eviction before it is applied.
func (u *audit) evict(w *world, s *fsm.State, op *logv1.EvictActor) {
	w.t.Helper()
	if op == nil || op.GetForced() {
		return
	}
	u.events++
	a := s.Actor(fsm.ActorID(op.GetRef().GetActorId()))
	r := s.RunnerByNumber(a.Runner)
	p := s.ActorPool(a)
	what := w.opText(&logv1.Op{Op: &logv1.Op_EvictActor{EvictActor: op}})
	seen := u.paceOf(p)
	seen.planned = append(seen.planned, s.ClockMs())
	for i := len(seen.planned) - 1; i >= 0 && i >= len(seen.planned)-manyOps; i-- {
		count, windowMs := int64(len(seen.planned)-i), s.ClockMs()-seen.planned[i]
		// 1 + rate·(T + 0.1 s), in billionths of an actor
		if allowed := 1_000_000_000 + int64(seen.highest(seen.planned[i]))*(windowMs+100); count*1_000_000_000 > allowed {
			w.t.Fatalf("G7: %s is the %dth within %d ms at %d µ/s", what, count, windowMs, seen.highest(seen.planned[i]))
		}
	}
	if begun := s.ClockMs() - r.Drain.StartMs; begun < p.EvictionDelayMs() {
		w.t.Fatalf("G7: %s, %d ms after the drain began, and the delay is %d ms", what, begun, p.EvictionDelayMs())
	}
	n := int(s.PoolStats(p).Unreceived)
	if w.thorough(1) {
		n = unreceived(s, p.ID) // counted, where that does not cost too much
	}
	if uint64(n)*1_000_000 >= p.EvictionRateMicros()+999_999 {
		w.t.Fatalf("G7: %s, while %d are not received at %d µ/s", what, n, p.EvictionRateMicros())
	}
	if open := s.OpenRollout(p); r.Drain.Cause == fsm.DrainNewerVersion {
		if done := (move{open.ID, a.ID}); u.moved[done] {
			w.t.Fatalf("G10: %s for the second time in the rollout %d", what, open.ID)
		} else {
			u.moved[done] = true
		}
	}
	u.room(w, s, op, a, what)
}

// room checks that an actor is moved only to where there is room that nobody waits for.
func (u *audit) room(w *world, s *fsm.State, op *logv1.EvictActor, a *fsm.Actor, what string) {
	w.t.Helper()
	if len(op.GetPromisedRunnerId()) == 0 {
		if !s.RunnerByNumber(a.Runner).Drain.Force {
			w.t.Fatalf("%s: nobody asked whether there is room", what)
		}
		return
	}
	to := s.Runner(fsm.RunnerID(op.GetPromisedRunnerId()))
	actors := actorsOf(s, to.Pool)
	if why := unfit(s, to); why != "" || to.Draining() || held(s, actors, to) >= to.Slots || to.Number == a.Runner {
		w.t.Fatalf("%s: no room there (%s)", what, why)
	}
	if !w.thorough(1) {
		return
	}
	for b := range pendingOf(actors) {
		if mayUse(s, b, to) {
			w.t.Fatalf("G9: %s, while %s waits for a slot", what, w.label(b.ID[:]))
		}
	}
}

func unreceived(s *fsm.State, pool fsm.PoolID) int {
	n := 0
	for _, a := range actorsOf(s, pool) {
		if a.Evicting() && s.AwaitsReceipt(a.Ref()) {
			n++
		}
	}
	return n
}
