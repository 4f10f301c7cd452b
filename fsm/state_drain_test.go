package fsm

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// What the random walks ask of drains, rollouts and buckets, and the ops that they draw for them.

func drainOf(d Drain) modelDrain {
	return modelDrain{
		cause: uint32(d.Cause), startMs: d.StartMs, deadlineMs: d.DeadlineMs, reason: d.Reason,
		force: d.Force, overdue: d.Overdue, standby: d.Standby, held: d.Held, finished: d.FinishWall != 0, total: d.Total,
	}
}

// noteDraw remembers planned evictions, and changes of the pace that they must keep.
func (w *walk) noteDraw(op *logv1.Op) {
	m := w.model
	if o := op.GetEvictActor(); o != nil && !o.GetForced() {
		pool := m.actors[textOf(padded(o.GetRef().GetActorId()))].inPool()
		w.draws[pool] = append(w.draws[pool], pacedDraw{m.clockMs, m.pools[pool].rate})
	}
	if o := op.GetForgetPool(); o != nil {
		everyWindow(w.t, w.draws[poolOf(o)])
		delete(w.draws, poolOf(o)) // the next one of its name is another pool
	}
	if op.GetPutPool() != nil || op.GetDeletePool() != nil {
		for pool, p := range m.pools {
			w.draws[pool] = append(w.draws[pool], pacedDraw{rateChanged, p.rate})
		}
	}
}

// comparePace compares what a pool's pace may take, and what becomes of it.
func (w *walk) comparePace(pool string, p *Pool) {
	s, m := &w.view.State, w.model
	mp := m.pools[pool]
	b := s.Bucket(p)
	emptying := ""
	if r := s.RunnerByNumber(b.Emptying); r != nil {
		emptying = textOf(ID(r.ID))
	}
	w.same("bucket of "+pool, fmt.Sprint(mp.rate, mp.bucket.nanos, mp.bucket.emptying, mp.bucket.from, mp.bucket.turns, mp.bucket.rate),
		fmt.Sprint(p.EvictionRateMicros(), b.Nanos, emptying, b.WindowFromMs, b.WindowTurns, b.WindowRateMicros))
	w.same("window size of "+pool, mp.windowSize(), p.WindowSize())

	var evictable, named []string
	for r := range s.Evictable(p) {
		evictable = append(evictable, textOf(ID(r.ID)))
	}
	for a := range s.NamedActors(p) {
		named = append(named, textOf(ID(a.ID)))
	}
	w.same("order of the runners to be emptied in "+pool, m.evictables(pool), evictable)
	w.same("order of the named of "+pool, m.named(pool), named)

	var want, got []string
	for _, r := range slices.Backward(mp.rollouts) {
		want = append(want, fmt.Sprintf("%+v moving %d", *r, m.moving(r.id)))
	}
	for r := range s.Rollouts(p, 0) {
		got = append(got, fmt.Sprintf("%+v moving %d", modelRollout{
			id: int(r.ID), version: int(r.Version), state: r.State.String(), endReason: r.EndReason, paused: r.Paused, pauseReason: r.PauseReason,
			startMs: r.StartMs, endMs: r.EndMs, moved: int(r.Moved), lost: int(r.Lost), left: int(r.Left), waitMs: r.WaitMs,
		}, r.Moving))
	}
	want, got = append(want, fmt.Sprint(mp.held, mp.await)), append(got, fmt.Sprint(heldOf(s, p), s.Await(p)))
	for _, key := range slices.Sorted(maps.Keys(mp.kept)) {
		want = append(want, fmt.Sprintf("%s %+v", key, *mp.kept[key]))
	}
	for d := range s.KeptDrains(p, "") {
		got = append(got, fmt.Sprintf("%s %+v", d.Key, modelKept{
			int(d.Seq), textOf(ID(d.Instance)), d.Reason, d.Version, d.DeadlineMs, d.AtMs, d.Force, d.Keep, d.Finished,
		}))
	}
	w.same("rollouts of "+pool, strings.Join(want, "\n"), strings.Join(got, "\n"))
}

func heldOf(s *State, p *Pool) map[uint32]string {
	held := map[uint32]string{}
	for h := range s.HeldVersions(p) {
		held[h.Version] = h.Reason
	}
	return held
}

func (p *modelPool) windowSize() int64 {
	if p.periodMs == 0 {
		return 0
	}
	moved := new(big.Int).Mul(new(big.Int).SetUint64(p.rate), big.NewInt(p.periodMs))
	moved.Div(moved, big.NewInt(modelToken))
	return min(max(moved.Int64(), 1), 10_000)
}

// stats counts a pool anew.
func (m *model) stats(pool string) (c PoolStats) {
	is := func(yes bool) uint32 { return uint32(count(yes)) }
	for id, r := range m.runners {
		if r.inPool() != pool || r.end != "" {
			continue
		}
		candidate := (r.placeable() || r.lastResort()) && m.free(id) > 0
		c.Runners++
		c.Connected += is(r.connected)
		c.Listing += is(len(r.names) > 0)
		c.Candidates += is(candidate)
		c.LastResorts += is(candidate && r.lastResort())
		c.Draining += is(r.drain.cause != 0)
		c.Out += is(r.drain.cause == 2)
		c.VersionOut += is(r.drain.cause == 1)
		c.Unfinished += is(m.unfinished(r))
		if r.drain.cause == 0 {
			c.Slots += uint64(r.slots)
		}
		if m.evictable(id) {
			c.Evictable += uint32(m.left(id))
			c.Forceful += uint32(m.left(id) * count(r.drain.force))
		}
	}
	for _, a := range m.actors {
		if a.inPool() != pool {
			continue
		}
		if a.phase == "destroyed" {
			c.Ended++
			continue
		}
		c.Live++
		c.Pending += is(a.phase == "pending" && a.dueMs == 0)
		c.Paced += is(a.phase == "pending" && a.dueMs != 0)
		c.Sleeping += is(a.phase == "sleeping")
		c.Named += is(a.evictMs != 0 && a.phase != "stopping")
		c.Unreceived += is(a.unreceived)
		c.OnRunner += is(a.runner != "")
	}
	return c
}

// compareVersions compares which versions a pool has.
func (w *walk) compareVersions(pool string, p *Pool) {
	s := &w.view.State
	of := func(which func(*modelRunner) bool) (versions []uint32) {
		for _, r := range w.model.runners {
			if r.inPool() == pool && r.end == "" && which(r) {
				versions = append(versions, r.version)
			}
		}
		slices.Sort(versions)
		return versions
	}
	registered := of(func(r *modelRunner) bool { return r.drain.cause == 0 })
	connected := of(func(r *modelRunner) bool { return r.drain.cause == 0 && r.connected })
	outdated := of(func(r *modelRunner) bool { return r.drain.cause == 1 })
	text := func(version uint32, ok bool) string { return fmt.Sprint(version, ok) }
	newest := func(versions []uint32) string {
		if len(versions) == 0 {
			return text(0, false)
		}
		return text(versions[len(versions)-1], true)
	}
	oldest := text(0, false)
	if len(registered) > 0 {
		oldest = text(registered[0], true)
	}
	w.same("newest, newest connected, newest outdated, oldest version of "+pool, []string{newest(registered), newest(connected), newest(outdated), oldest},
		[]string{text(s.NewestVersion(p)), text(s.NewestConnected(p)), text(s.NewestOutdated(p)), text(s.OldestVersion(p))})
	for version := range uint32(4) {
		n := uint32(0)
		for _, v := range registered {
			n += uint32(count(v == version))
		}
		w.same(fmt.Sprint("runners of version ", version, " in ", pool), n, s.RegisteredAt(p, version))
	}
}

// compareDrains compares which drains have work, and which receipts are missing.
func (w *walk) compareDrains() {
	s, m := &w.view.State, w.model
	var want, got []string
	pools := map[string]bool{}
	for id, r := range m.runners {
		if m.drainWork(id) && m.drainWorkMs(id) <= m.clockMs {
			want = append(want, id)
		}
		if m.evictable(id) {
			pools[r.inPool()] = true
		}
		n, since := m.unreceived(r.inPool(), id)
		sinceMs, ok := s.UnreceivedSinceMs(s.Runner(RunnerID(idOf(id))))
		if w.same("missing receipts of "+id, n > 0, ok); ok {
			w.same("oldest missing receipt of "+id, since, sinceMs)
		}
	}
	slices.SortFunc(want, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.drainWorkMs(a), m.drainWorkMs(b)), m.runners[a].number-m.runners[b].number)
	})
	for r := range s.DrainWork() {
		got = append(got, textOf(ID(r.ID)))
	}
	w.same("drain work", want, got)
	want = nil
	for pool := range pools {
		want = append(want, pool)
	}
	slices.Sort(want)
	w.same("pools to evict from", want, poolsToEvict(w.view))
	for id, a := range m.actors {
		w.same("missing receipt of "+id, a.unreceived, s.AwaitsReceipt(Ref{ActorID(idOf(id)), a.generation}))
	}
}

// drawDrain makes an op of drains, rollouts and evictions.
func (w *walk) drawDrain(pick func(string, ...string) string, oneOf func(string, []string, string) string, ref func(string) string) string {
	t, m := w.t, w.model
	runnerThat := func(is func(string, *modelRunner) bool) string {
		var ids []string
		for id, r := range m.runners {
			if is(id, r) {
				ids = append(ids, id)
			}
		}
		return oneOf("runner", ids, pick("any runner", "r1", "r2", "r3", "r4"))
	}
	actorThat := func(is func(*modelActor) bool) string {
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(m.actors)) {
			if is(m.actors[id]) {
				ids = append(ids, id)
			}
		}
		return oneOf("actor", ids, pick("any actor", "a1", "a2", "a3", "a4", "a5", "a6"))
	}
	started := func(a *modelActor) bool { return a.phase == "starting" || a.phase == "running" }
	pool := pick("pool", " pool=p", " pool=p", " pool=p", " pool=q", " pool=x", " pool=p namespace=games")
	ahead := func(label string, of ...int64) int64 { return m.clockMs + one(t, label, of...) }
	ready, forced, paused := false, false, m.pools["default/p"].open() != nil && m.pools["default/p"].open().paused
	for _, a := range m.actors {
		if started(a) {
			ready = ready || m.mayEvict(m.pools[a.inPool()], m.runners[a.runner], a)
			forced = forced || m.runners[a.runner].forced()
		}
	}
	if evenly(t, "what outlives a runner", 10) == 0 {
		version, key := pick("held version", "1", "2"), pick("kept key", "x", "y", "z", "")
		return pick("kept", "hold-version reason=bad version="+version, "release-version version="+version, "forget-drain key="+key,
			fmt.Sprint("await-version version=", pick("awaited", "0", "1", "2", "3"), " until=", pick("until", "0", fmt.Sprint(ahead("until when", 0, 1, 5_000, 20_000)))),
			fmt.Sprint("remember-drain key=", key, " version=", version, " reason=disk deadline=", ahead("kept deadline", 0, 5_000), pick("keep", "", " keep"), pick("finished", "", " finished"))) + pool
	}
	op := evenly(t, "op of a drain", 25)
	switch {
	case op >= 23: // the actors of a lost runner, one after the other
		if waits := actorThat(func(a *modelActor) bool { return a.phase == "pending" && a.dueMs != 0 }); m.actors[waits] != nil && m.actors[waits].dueMs != 0 && op == 23 {
			return "enqueue-actor " + waits
		}
		of := actorThat(func(a *modelActor) bool { return a.onRunner() && !a.destroying })
		return fmt.Sprint("actor-stopped ", ref(of), " next=", pick("after the loss", "pending", "pending", "backing_off"), " cause=lost forced reschedule=", ahead("its turn", 1, 500, 2_000, 60_000))
	case op >= 15 && !ready && evenly(t, "too early", 3) > 0: // what it takes for an eviction
		op = one(t, "first", 0, 0, 0, 6, 12)
	case op == 13 && !forced:
		op = 3
	case op == 15 && paused:
		return "pause-rollout"
	}
	switch op {
	case 0, 1, 2:
		of := runnerThat(func(id string, r *modelRunner) bool { return r.end == "" && r.drain.cause == 0 && m.left(id) > 0 })
		return fmt.Sprint("start-drain ", of, " cause=", pick("planned cause", "newer_version", "newer_version", "operator", "url_changed"),
			pick("deadline of the drain", "", "", fmt.Sprint(" deadline=", ahead("deadline", 0, 2_000, 100_000))), pick("force", "", "", " force"), pick("standby", "", "", "", " standby"), pick("held", "", "", "", "", " held"))
	case 3:
		of := runnerThat(func(_ string, r *modelRunner) bool { return r.end == "" })
		return fmt.Sprint("start-drain ", of, " cause=", pick("any cause", "newer_version", "operator", "shutdown", "shutdown", "replaced", "request_end", "none", "lost", "8"), pick("standby", "", "", " standby"))
	case 4:
		return "cancel-drain " + runnerThat(func(_ string, r *modelRunner) bool { return r.drain.cause != 0 })
	case 5:
		return "finish-drain " + runnerThat(func(id string, r *modelRunner) bool { return r.drain.cause != 0 && m.left(id) == 0 })
	case 6, 7:
		return fmt.Sprint("open-rollout version=", pick("version", "1", "2", "2", "3", "4"), pool)
	case 8:
		return fmt.Sprint("close-rollout state=", pick("state", "done", "called_off", "called_off", "open", "superseded"), pool)
	case 9:
		if last := m.pools["default/p"].last(); last != nil && last.waitMs != 0 && last.waitMs <= m.clockMs {
			return "end-rollout-wait"
		}
		return pick("of a rollout", "pause-rollout paused reason=lunch", "pause-rollout paused", "pause-rollout", "pause-rollout reason=over", "end-rollout-wait", "end-rollout-wait",
			fmt.Sprint("forget-rollout id=", 1+evenly(t, "rollout", max(1, m.rolloutSeq)))) + pool
	case 10, 11:
		words := "plan-evictions"
		for range evenly(t, "evictions", 4) {
			a := actorThat(func(a *modelActor) bool { return started(a) && m.runners[a.runner].planned() })
			words += fmt.Sprint(" ", ref(a), "@", pick("turn", "0", fmt.Sprint(m.clockMs), fmt.Sprint(ahead("at", 1, 1_000, 60_000)), "-1"))
		}
		return fmt.Sprint(words, " window_from=", m.clockMs, " window_turns=", pick("turns", "0", "10", "10000", "10001"), pool)
	case 12:
		var missing []string
		for id, a := range m.actors {
			if a.unreceived {
				missing = append(missing, ref(id))
			}
		}
		slices.Sort(missing)
		return strings.Join(append([]string{"evictions-received"}, append(missing, pick("more receipts", "", "a1/1", "a9/1"))...), " ")
	case 13, 14:
		return fmt.Sprint("evict-actor ", ref(actorThat(func(a *modelActor) bool { return started(a) && m.runners[a.runner].forced() })), " forced", pick("stop deadline", "", "", "", " stop_deadline=1"))
	default:
		of := actorThat(func(a *modelActor) bool {
			return started(a) && m.runners[a.runner].planned() && (evenly(t, "hasty", 8) == 0 || m.mayEvict(m.pools[a.inPool()], m.runners[a.runner], a))
		})
		to := " promised_runner=" + runnerThat(func(id string, r *modelRunner) bool {
			return r.placeable() && m.free(id) > 0 && m.actors[of] != nil && r.inPool() == m.actors[of].inPool()
		})
		return fmt.Sprint("evict-actor ", ref(of), pick("promise", to, to, to, to, to, ""), pick("stop deadline", "", "", "", "", " stop_deadline=1"))
	}
}
