package fsm

import (
	"fmt"
	"slices"
)

// What a walk draws.

// drawPace makes the part of a config that says at what pace actors are evicted.
func (w *walk) drawPace() string {
	rate := one[uint64](w.t, "rate", 1, 300_000, 1_000_000, 2_500_000, 1_000_000_000, 100_000_000_000, 0, 1<<60)
	return fmt.Sprint("eviction_rate_micros_per_s=", rate, " eviction_delay_s=", one(w.t, "delay", 0, 0, 2),
		" eviction_period_s=", one[uint32](w.t, "period", 0, 1, 60, 1<<32-1))
}

// draw makes an op that is legal more often than not.
func (w *walk) draw() string {
	t, m := w.t, w.model
	pick := func(label string, of ...string) string { return one(t, label, of...) }
	oneOf := func(label string, ids []string, fallback string) string {
		slices.Sort(ids)
		if len(ids) == 0 || evenly(t, "stray", 20) == 0 {
			return fallback
		}
		return one(t, label, ids...)
	}
	actorIn := func(phases ...string) string {
		var ids []string
		for id, a := range m.actors {
			if slices.Contains(phases, a.phase) {
				ids = append(ids, id)
			}
		}
		return oneOf("actor", ids, pick("any actor", "a1", "a2", "a3", "a4", "a5", "a6"))
	}
	ref := func(id string) string {
		generation := uint64(0)
		if a := m.actors[id]; a != nil {
			generation = a.generation
		}
		switch evenly(t, "generation", 20) {
		case 0:
			generation++
		case 1:
			generation = max(generation, 1) - 1
		}
		return fmt.Sprint(id, "/", generation)
	}
	unused := func(label string, taken func(id string) bool, ids ...string) string {
		return oneOf(label, slices.DeleteFunc(slices.Clone(ids), taken), ids[0])
	}
	runner := func() string {
		var ids []string
		for id, r := range m.runners {
			if r.end == "" {
				ids = append(ids, id)
			}
		}
		return oneOf("runner", ids, pick("any runner", "r1", "r2", "r3", "r4"))
	}
	ended := func() string {
		var ids []string
		for id, r := range m.runners {
			if r.end != "" {
				ids = append(ids, id)
			}
		}
		return oneOf("ended runner", ids, "r1")
	}
	session := func() string { return pick("session", "", "", "", "", "", " session=other", " session=s1") }
	namespace := func() string {
		return pick("namespace", "default", "default", "default", "default", "default", "default", "default", "games", "nowhere")
	}
	anyPool := func() string { return pick("pool", "p", "p", "p", "p", "q", "q", "q", "x") }

	handles := func() string {
		return pick("handles", "", "", "", " actor_names=counter", " actor_names=bell", " actor_names=bell,counter", " actor_names=counter,bell")
	}

	if evenly(t, "of a drain", 5) < 2 {
		return w.drawDrain(pick, oneOf, ref)
	}
	switch evenly(t, "op", 44) {
	case 0, 1, 2, 3, 4:
		key := pick("key", "", "", "", " key=k1", " key=k1", " key=k2", " key=''")
		return fmt.Sprint("create-actor ", unused("new actor", func(id string) bool { return m.actors[id] != nil }, "a1", "a2", "a3", "a4", "a5", "a6"), " namespace=", namespace(), " pool=", anyPool(),
			" name=", pick("name", "counter", "counter", "bell"), key, " input=", pick("input", "", "hi", "hello"), " crash_policy=", pick("policy", "1", "2", "3", "1", "2", "3", "1", "2", "3", "0", "4"))
	case 5, 6, 7, 8, 9, 10, 11:
		a := actorIn("pending")
		next := uint64(1)
		if m.actors[a] != nil {
			next = m.actors[a].nextGeneration() - 1 + one[uint64](t, "next generation", 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 2)
		}
		return fmt.Sprint("assign-actor ", a, "/", next, " ", runner(), session())
	case 12, 13:
		return "actor-running " + ref(actorIn("starting"))
	case 14, 15, 16:
		reason := pick("reason", "sleep", "destroy", "evict", "reschedule", "no_response", "replaced", "shutdown", "orphan", "none")
		return fmt.Sprint("stop-actor ", ref(actorIn("starting", "running", "stopping")), " reason=", reason, pick("deadline", "", "", "", " deadline=1"))
	case 17, 18, 19, 20:
		next := pick("next", "pending", "pending", "pending", "backing_off", "backing_off", "sleeping", "destroyed", "unspecified")
		reschedule := fmt.Sprint(" reschedule=", m.clockMs+one[int64](t, "wait", 1, 2_000, 100_000, 0))
		if next == "pending" {
			reschedule = pick("turn", "", "", "", reschedule)
		}
		return fmt.Sprint("actor-stopped ", ref(actorIn("starting", "running", "stopping")), " next=", next, reschedule, pick("forced", "", "", " forced"),
			" cause=", pick("cause", "confirmed", "abandoned", "fenced", "lost", "no_response", "vanished", "finished", "refused"), pick("clean", "", " clean"), pick("penalty", "", " penalty"), pick("prefer", "", " prefer_runner"), pick("keep key", "", " keep_key"), pick("earlier", "", " remember_earlier"))
	case 21:
		return "enqueue-actor " + actorIn("backing_off", "pending")
	case 22:
		return "sleep-actor " + actorIn("pending", "backing_off")
	case 23, 24:
		return "wake-actor " + actorIn("sleeping", "stopping") + pick("keep alarm", "", " keep_alarm")
	case 25:
		return fmt.Sprint("set-alarm ", actorIn("sleeping", "running"), " at_unix_ms=", pick("at", "0", "1700000000000", "1700000030000", "1800000000000", "-5"))
	case 26:
		return "destroy-actor " + actorIn("pending", "sleeping", "backing_off") + pick("keep key", "", " keep_key")
	case 27:
		return "forget-actor " + actorIn("destroyed")
	case 28:
		return fmt.Sprint("save-state ", ref(actorIn("starting", "running", "stopping")), " state=", pick("state", "", "score", "points", "bytes:65537"))
	case 29:
		return fmt.Sprint("raise-generation ", actorIn("pending", "sleeping", "backing_off", "starting", "running"), " ", pick("raised", "1", "4", "9", "4503599627370497"))
	case 30, 31:
		replaces := pick("replaces", "", "", "", " replaces=r1", " replaces=r9")
		return fmt.Sprint("register-runner ", unused("new runner", func(id string) bool { return m.runners[id] != nil }, "r1", "r2", "r3", "r4", "r5"), " namespace=", namespace(), " pool=", anyPool(), " key=", pick("runner key", "x", "y"),
			" version=", pick("version", "0", "1", "2", "3"), " slots=", pick("slots", "1", "2", "2", "3", "4", "1", "2", "3", "0", "1000001"), " threshold=", pick("T", "15000", "15000", "10000", "10000", "10000", "0"), handles(), replaces)
	case 32:
		return fmt.Sprint("resume-runner ", runner(), " session=", pick("new session", "s1", "s2"), " slots=", pick("new slots", "1", "2", "4", "0"), " version=", pick("new version", "1", "2"), pick("attempt", "", "", "", "", " attempt=1"), handles())
	case 33:
		return "disconnect-runner " + runner() + session()
	case 34:
		return "runners-seen " + pick("seen", "1", "1 2 3 4", "2 3", "9", "")
	case 35:
		return "mark-lost " + runner() + session() + pick("last seen", "", "", "", " last_seen=1")
	case 36:
		return "end-runner " + runner()
	case 37:
		of := pick("orphan of", actorIn("pending"), "a1", "a2", "x1")
		generation := uint64(1)
		if a := m.actors[of]; a != nil {
			generation = a.generation + one[uint64](t, "orphan generation", 0, 1, 1, 7)
		}
		if pick("orphan", "hold", "hold", "release") == "release" {
			return fmt.Sprint("release-orphan ", runner(), " ", of, "/", generation)
		}
		return fmt.Sprint("hold-orphan ", runner(), " ", of, "/", generation, pick("holds", "", " holds_actor", " holds_actor"))
	case 38, 39:
		return "forget-runner " + ended()
	case 40, 41:
		return pick("rare",
			fmt.Sprint("hold-verdict ", runner(), session(), " until=", m.clockMs+one[int64](t, "until", 0, 3_000, 20_000)),
			"set-runner-threshold "+runner()+" "+pick("new T", "20000", "10000", "0")+session(),
			"put-pool namespace=default name=q placement="+pick("placement", "spread", "binpack"),
			"put-pool namespace=default name=p placement="+pick("placement of p", "spread", "binpack")+" "+w.drawPace(),
			"put-pool namespace="+namespace()+" name="+pick("pool name", "p", "x", "'a b'"),
			"delete-pool namespace="+namespace()+" name="+anyPool(),
			"forget-pool namespace="+pick("forgotten pool", "default name=q", "default name=x", "games name=p"), // the walk needs p
			"put-namespace "+pick("new namespace", "games", "toys")+" name="+pick("namespace name", "toys", "Toys"))
	default:
		return pick("rarer", "put-pool namespace=games name=p", "remember-outcome key="+pick("outcome", "o1", "o2", "")+" outcome=done", fmt.Sprint("forget-outcomes before=", m.clockMs-60_000),
			"put-settings stored_bytes_limit="+pick("limit", "1048576", "reset", "5"))
	}
}
