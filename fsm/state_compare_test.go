package fsm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What a walk compares after each entry: the state with the model.

// compare asks the state and the model the same questions.
func (w *walk) compare() {
	s, m := &w.view.State, w.model
	if err := s.CheckAll(); err != nil {
		w.t.Fatal(err)
	}
	for id, want := range m.actors {
		if got := w.describe(s.Actor(ActorID(idOf(id)))); got != want.describe(id) {
			w.t.Fatalf("the state has\n  %s\nthe model\n  %s", got, want.describe(id))
		}
		w.same("orphans that "+id+" waits for", m.waitsFor(id), s.Actor(ActorID(idOf(id))).Orphans)
	}
	for id, want := range m.runners {
		if got := describeRunner(s, s.Runner(RunnerID(idOf(id)))); got != want.describe(m, id) {
			w.t.Fatalf("the state has\n  %s\nthe model\n  %s", got, want.describe(m, id))
		}
	}
	w.same("how many actors, runners and outcomes", fmt.Sprint(len(m.actors), len(m.runners), len(m.outcomes)),
		fmt.Sprint(s.actorsByID.Len(), s.runnersByID.Len(), s.OutcomeCount()))
	w.same("how many pools", len(m.pools), s.PoolCount())
	for pool, p := range m.pools {
		idle := slices.ContainsFunc(s.IdlePools(99), func(p *Pool) bool { return textOf(ID(p.ID.Namespace))+"/"+p.ID.Name == pool })
		w.same("whether to forget "+pool, !p.written && !m.refersTo(pool), idle)
		w.comparePool(pool)
	}
	w.compareDrains()
	w.compareKeys()
	w.compareDue()
	w.compareLists()
}

func (w *walk) same(what string, want, got any) {
	if fmt.Sprint(want) != fmt.Sprint(got) {
		w.t.Fatalf("%s: the model says %v, the state %v", what, want, got)
	}
}

func (a *modelActor) describe(id string) string {
	return fmt.Sprintf("%s %s/%s %s[%s] %s gen=%d<%d on=%q rev reason=%d limit=%d due=%d kept=%v destroying=%v place=%d floor=%d alarm=%d/%v in=%q saved=%q@%d %+v evict=%d unreceived=%v rollout=%d/%v promise=%q forced=%v",
		id, a.namespace, a.pool, a.name, a.key, a.phase, a.generation, a.claimed, a.runner, a.reason, a.limitMs, a.dueMs, a.wakeKept, a.destroying,
		a.place(), a.floor, a.alarmMs, a.alarmWoke, a.input, a.saved, a.savedVersion, a.trouble,
		a.evictMs, a.unreceived, a.movedIn, a.byRollout, a.promise, a.forced)
}

func (a *modelActor) place() int {
	if a.phase != "pending" {
		return 0
	}
	return a.queueSeq
}

// describe says of a row what the model says of it.
func (w *walk) describe(a *Actor) string {
	if a == nil {
		return "nothing"
	}
	s := &w.view.State
	m := &modelActor{
		namespace: textOf(ID(s.ActorNamespace(a).ID)), pool: s.ActorPool(a).ID.Name, name: a.Name, key: a.Key, phase: a.Phase.String(), generation: a.Generation, claimed: a.Claimed,
		reason: uint32(a.StopReason), limitMs: a.StopLimitMs, dueMs: a.DueMs, wakeKept: a.WakeKept, destroying: a.Destroying,
		queueSeq: int(a.QueueSeq), floor: a.FloorVersion, alarmMs: a.AlarmMs, alarmWoke: a.AlarmWoke, input: a.Input, saved: a.Saved, savedVersion: a.SavedVersion,
		evictMs: a.EvictMs, unreceived: a.Eviction&evictionUnreceived != 0, movedIn: int(a.MovedIn), byRollout: a.Eviction&evictionByRollout != 0, forced: a.Eviction&evictionForced != 0,
	}
	if to := s.RunnerByNumber(a.Promise); to != nil {
		m.promise = textOf(ID(to.ID))
	}
	if a.Runner != 0 {
		m.runner = textOf(ID(s.RunnerByNumber(a.Runner).ID))
	}
	if t := a.Trouble; t != nil {
		m.trouble = modelTrouble{t.Code, idText(ID(t.Runner)), t.Retries, t.RetryMs, t.CrashedMs, idText(ID(t.Preferred)), earlierText(t)}
	}
	return m.describe(textOf(ID(a.ID)))
}

func idText(id ID) string {
	if id.IsZero() {
		return ""
	}
	return textOf(id)
}

func (r *modelRunner) describe(m *model, id string) string {
	slots, stopping := m.held(id)
	return fmt.Sprint(id, " ", r.namespace, "/", r.pool, " key=", r.key, " number=", r.number, " version=", r.version, " slots=", r.slots, " held=", slots, "/", stopping, " promised=", m.promised(id),
		" T=", r.thresholdMs, " seen=", r.seenMs, "/", r.verdictMs, " session=", r.session, " connected=", r.connected, " end=", r.end, r.endedMs, " drain=", r.drain, r.moves, " replaced by ", r.replacedBy,
		" attempt=", r.attempt, " orphans=", slices.Sorted(maps.Keys(r.orphans)), " names=", r.names)
}

func describeRunner(s *State, r *Runner) string {
	if r == nil {
		return "nothing"
	}
	orphans := []string{}
	for o := range s.OrphansOf(r) {
		orphans = append(orphans, fmt.Sprint(textOf(ID(o.Ref.Actor)), "/", o.Ref.Generation))
	}
	slices.Sort(orphans)
	return fmt.Sprint(textOf(ID(r.ID)), " ", textOf(ID(r.Pool.Namespace)), "/", r.Pool.Name, " key=", r.Key, " number=", r.Number, " version=", r.Version, " slots=", r.Slots,
		" held=", r.Held, "/", r.Stopping, " promised=", r.Promised, " T=", r.ThresholdMs, " seen=", s.LastSeenMs(r), "/", r.VerdictMs, " session=", textOf(ID(r.Session)), " connected=", r.Connected,
		" end=", []string{"", "stopped", "lost"}[r.End], r.EndedMs, " drain=", drainOf(r.Drain), r.Moves, " replaced by ", idText(ID(r.ReplacedBy)), " attempt=", r.Attempt, " orphans=", orphans, " names=", r.Names.Names())
}

func (w *walk) comparePool(pool string) {
	s, m := &w.view.State, w.model
	namespace, name, _ := strings.Cut(pool, "/")
	p := s.Pool(PoolID{NamespaceID(idOf(namespace)), name})
	if p == nil {
		w.t.Fatalf("there is no pool %s", pool)
	}
	const seed = ^uint32(0) // one that rarely turns equals around
	names := []string{""}
	if s.ListsNames(p) {
		names = []string{"counter", "bell"}
		w.compareNames(pool, p, names)
	}
	for _, name := range names {
		for _, version := range []uint32{0, 1, 2, 3, ^uint32(0)} {
			first, got := "", ""
			if queue := m.queue(pool, name, version); len(queue) > 0 {
				first = queue[0]
			}
			if a := s.FirstPendingFor(p, name, version); a != nil {
				got = textOf(ID(a.ID))
			}
			w.same(fmt.Sprint("first pending of ", pool, " named ", name, " for version ", version), first, got)
		}
		var candidates []string
		for r := range s.CandidatesFor(p, name, seed-s.runnerNumbers.next) {
			candidates = append(candidates, textOf(ID(r.ID)))
		}
		w.sameButEquals(pool, m.candidates(pool, name), candidates)
	}
	var candidates []string
	for r := range s.Candidates(p, seed-s.runnerNumbers.next) {
		candidates = append(candidates, textOf(ID(r.ID)))
	}
	w.sameButEquals(pool, m.candidates(pool, ""), candidates)
	w.same("counts of "+pool, fmt.Sprintf("%+v", m.stats(pool)), fmt.Sprintf("%+v", s.PoolStats(p)))
	w.compareVersions(pool, p)
	w.comparePace(pool, p)
}

// compareNames compares what is asked by name of a pool whose runners list names.
func (w *walk) compareNames(pool string, p *Pool, names []string) {
	s, m := &w.view.State, w.model
	var want []string
	for _, name := range names {
		if len(m.candidates(pool, name)) > 0 && len(m.queue(pool, name, ^uint32(0))) > 0 {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	w.same("names to be placed in "+pool, want, slices.Sorted(slices.Values(s.NamesToPlace(p))))
	for id, r := range m.runners {
		if r.inPool() != pool || r.end != "" {
			continue
		}
		var want, got []string
		for actor, a := range m.actors {
			if a.onRunner() && a.phase != "stopping" && a.runner == id {
				want = append(want, a.name+" "+actor)
			}
		}
		for like := range s.ActorsByName(s.Runner(RunnerID(idOf(id)))) {
			for a := range like {
				got = append(got, a.Name+" "+textOf(ID(a.ID)))
			}
		}
		w.same("actors of "+id+" by name", slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
	}
}

// sameButEquals compares two orders of candidates. Those that are equal in all but their number may come in any order.
func (w *walk) sameButEquals(pool string, want, got []string) {
	rank := func(ids []string) (ranks []string) {
		for _, id := range ids {
			r := w.model.runners[id]
			ranks = append(ranks, fmt.Sprint(r.lastResort(), " ", r.version, " ", w.model.used(id), "/", r.slots))
		}
		return ranks
	}
	w.same("order of the candidates of "+pool, rank(want), rank(got))
	w.same("candidates of "+pool, slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got)))
}

func (w *walk) compareKeys() {
	for _, namespace := range []string{"default", "games"} {
		for _, name := range []string{"counter", "bell"} {
			for _, key := range []string{"k1", "k2"} {
				got := ""
				if a := w.view.ActorByKey(NamespaceID(idOf(namespace)), name, key); a != nil {
					got = textOf(ID(a.ID))
				}
				w.same("actor of the key "+namespace+"/"+name+"/"+key, w.model.byKey(namespace, name, key), got)
			}
		}
	}
}

// compareDue compares everything that has fallen due, whatever the order among things due at the same time.
func (w *walk) compareDue() {
	s, m := &w.view.State, w.model
	var want, got []string
	for id, a := range m.actors {
		if a.dueMs != 0 && a.dueMs <= m.clockMs {
			want = append(want, fmt.Sprint(a.dueMs, " ", id))
		}
		if a.phase == "sleeping" && a.alarmMs != 0 && a.alarmMs <= m.wallMs {
			want = append(want, fmt.Sprint("alarm ", a.alarmMs, " ", id))
		}
	}
	for id, r := range m.runners {
		at := r.lostMs()
		if r.end != "" {
			if at = r.endedMs; !w.holds(id) {
				at += 3_600_000
			}
		}
		if at <= m.clockMs {
			want = append(want, fmt.Sprint(at, " ", id))
		}
		due := r.drain.deadlineMs
		if r.drain.cause == uint32(DrainShutdown) {
			due += min(r.drain.deadlineMs-r.drain.startMs, 1_800_000)/10 + r.thresholdMs
		}
		if m.drainDue(id) && due <= m.clockMs {
			want = append(want, fmt.Sprint(due, " ", id))
		}
	}
	for _, p := range m.pools {
		for _, r := range p.rollouts {
			if r.waitMs != 0 && r.waitMs <= m.clockMs {
				want = append(want, fmt.Sprint(r.waitMs, " rollout ", r.id))
			}
			if at := r.endMs + 3_600_000; r.state != "open" && at <= m.clockMs {
				want = append(want, fmt.Sprint(at, " rollout ", r.id))
			}
		}
	}
	for name, p := range m.pools {
		if at := p.await.UntilMs; at != 0 && at <= m.clockMs {
			want = append(want, fmt.Sprint(at, " wait of ", name))
		}
	}
	last := int64(0)
	for _, d := range s.Due(1000) {
		if d.AtMs < last {
			w.t.Fatalf("%d is due after %d", d.AtMs, last)
		}
		last = d.AtMs
		switch {
		case d.Actor != nil:
			got = append(got, fmt.Sprint(d.AtMs, " ", textOf(ID(d.Actor.ID))))
		case d.Kind == DueAwait:
			got = append(got, fmt.Sprint(d.AtMs, " wait of ", textOf(ID(d.Pool.ID.Namespace)), "/", d.Pool.ID.Name))
		case d.Rollout != nil:
			got = append(got, fmt.Sprint(d.AtMs, " rollout ", d.Rollout.ID))
		default:
			got = append(got, fmt.Sprint(d.AtMs, " ", textOf(ID(d.Runner.ID))))
		}
	}
	for _, a := range s.DueBackoffs(1000) {
		got = append(got, fmt.Sprint(a.DueMs, " ", textOf(ID(a.ID))))
	}
	for _, a := range s.DueAlarms(1000) {
		got = append(got, fmt.Sprint("alarm ", a.AlarmMs, " ", textOf(ID(a.ID))))
	}
	slices.Sort(want)
	slices.Sort(got)
	w.same("what is due", want, got)
}

func (w *walk) holds(id string) bool {
	slots, _ := w.model.held(id)
	return slots > 0
}

// compareLists compares what pages of the API show: newest first.
func (w *walk) compareLists() {
	s, m := &w.view.State, w.model
	for ns := range s.Namespaces("") {
		namespace := textOf(ID(ns.ID))
		for _, name := range []string{"counter", "bell"} {
			var want, got []string
			for id, a := range m.actors {
				if a.namespace == namespace && a.name == name {
					want = append(want, id)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return m.actors[b].seq - m.actors[a].seq })
			for a := range s.Actors(ns, name, 0) {
				got = append(got, textOf(ID(a.ID)))
			}
			w.same("actors named "+name, want, got)
			if len(want) > 1 {
				second := s.Actor(ActorID(idOf(want[0]))).Seq
				for a := range s.Actors(ns, name, second) {
					w.same("the page after the first actor", want[1], textOf(ID(a.ID)))
					break
				}
			}
		}
		var want, got []string
		for id, r := range m.runners {
			if r.namespace == namespace {
				want = append(want, id)
			}
		}
		slices.SortFunc(want, func(a, b string) int { return m.runners[b].seq - m.runners[a].seq })
		for r := range s.Runners(ns, 0) {
			got = append(got, textOf(ID(r.ID)))
			var has, hasModel []string
			for a := range s.ActorsOf(r, 0) {
				has = append(has, textOf(ID(a.ID)))
			}
			for id, a := range m.actors {
				if a.onRunner() && a.runner == textOf(ID(r.ID)) {
					hasModel = append(hasModel, id)
				}
			}
			slices.Sort(has)
			slices.Sort(hasModel)
			w.same("actors of "+textOf(ID(r.ID)), hasModel, has)
		}
		w.same("runners of "+namespace, want, got)
	}
}

func poolNames(pools []*Pool) (names []string) {
	for _, p := range pools {
		names = append(names, textOf(ID(p.ID.Namespace))+"/"+p.ID.Name)
	}
	return names
}

// earlierText names the earlier runners of a trouble.
func earlierText(t *Trouble) string {
	var names string
	for _, id := range t.Earlier {
		if !ID(id).IsZero() {
			names += " " + idText(ID(id))
		}
	}
	return names
}
