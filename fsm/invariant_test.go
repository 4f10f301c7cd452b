package fsm

import (
	"fmt"
	"strings"
	"testing"
)

// crowded is a state with something in every index.
func crowded() *View {
	return play(
		"put-namespace ns1 name=games display_name=Games",
		"put-pool ns1 name=q placement=binpack",
		"register-runner r1 key=k1 slots=3", "register-runner r2 key=k2 slots=3 version=2", "register-runner r3 key=k3 slots=2",
		"register-runner r4 key=k4 slots=2", "register-runner r5 key=k5 slots=2",
		"start-drain r3 cause=replaced", "end-runner r4",
		"hold-orphan r1 x1/7",
		"create-actor a1 key=one input=hello", "create-actor a2 key=two", "create-actor a3 name=bell", "create-actor a4", "create-actor a5 key=five",
		"create-actor a6 key=six",
		"assign-actor a1/1 r1", "actor-running a1/1", "save-state a1/1 state=score",
		"assign-actor a2/1 r2", "stop-actor a2/1 reason=sleep",
		"sleep-actor a3", "set-alarm a3 at_unix_ms=1800000000000",
		"destroy-actor a5",
		"assign-actor a6/1 r2", "actor-stopped a6/1 next=backing_off reschedule=90000 penalty message=oops",
		"remember-outcome key=c/1 outcome=o",
	)
}

func TestCrowdedStateIsSound(t *testing.T) {
	v := crowded()
	if err := v.CheckAll(); err != nil {
		t.Fatal(err)
	}
	if err := restore(t, &v.State).CheckAll(); err != nil {
		t.Fatalf("restored: %v", err)
	}
	if err := NewView().CheckAll(); err != nil {
		t.Fatalf("empty: %v", err)
	}
}

// Each of these breaks one thing that must hold, and must be seen.
func TestEveryBrokenInvariantIsSeen(t *testing.T) {
	actor := func(s *State, id string) *Actor { return s.Actor(ActorID(idOf(id))) }
	runner := func(s *State, id string) *Runner { return s.Runner(RunnerID(idOf(id))) }
	// row replaces a row without what is derived from it.
	row := func(tx *Tx, id string, change func(*Actor)) {
		next := *actor(&tx.State, id)
		change(&next)
		tx.setActor(&next)
		tx.noteActor(next.ordinal)
	}
	runnerRow := func(tx *Tx, id string, change func(*Runner)) {
		next := *runner(&tx.State, id)
		change(&next)
		tx.runners.Set(next.Number, &next)
		tx.touchRunner(next.Number)
	}
	note := func(tx *Tx, id string) { tx.noteActor(actor(&tx.State, id).ordinal) }
	tests := []struct {
		name  string
		want  string
		check string // "all", or "tx": also seen by what looks at touched rows only
		harm  func(tx *Tx)
	}{
		{"an actor is lost from ids", "actors by id", "tx", func(tx *Tx) { note(tx, "a1"); tx.actorsByID.Delete(idKey{id: ID(idOf("a1"))}) }},
		{"a stray id", "growth of the indexes", "tx", func(tx *Tx) { tx.actorsByID.Put(idKey{id: ID(idOf("zz"))}) }},
		{"an id points elsewhere", "actors by id", "tx", func(tx *Tx) { note(tx, "a1"); tx.actorsByID.Put(idKey{id: ID(idOf("a1")), row: 99}) }},
		{"a name's actor is lost", "actors by name", "tx", func(tx *Tx) {
			note(tx, "a3")
			a := actor(&tx.State, "a3")
			tx.actorsByName.Delete(actorNameKey{hash: hashParts(a.namespace, a.Name), seq: halve(a.Seq)})
		}},
		{"a name counts wrong", `the name "bell": actors: should be 1, is 2`, "tx", func(tx *Tx) {
			note(tx, "a3")
			k, _ := tx.actorNames.Get(nameCountKey{namespace: 0, name: "bell"})
			k.actors++
			tx.actorNames.Put(k)
		}},
		{"a key is lost", "keys", "tx", func(tx *Tx) {
			note(tx, "a2")
			a := actor(&tx.State, "a2")
			tx.actorsByKey.Delete(a.liveKey())
		}},
		{"two actors with one key", "has its name \"counter\" and key \"one\" too", "tx", func(tx *Tx) {
			next := *actor(&tx.State, "a2")
			a := actor(&tx.State, "a1")
			tx.actorsByKey.Delete(next.liveKey())
			next.Key = a.Key
			tx.actorsByKey.Put(next.liveKey())
			tx.setActor(&next)
			tx.noteActor(next.ordinal)
		}},
		{"a place in the queue is lost", "the queue", "tx", func(tx *Tx) {
			note(tx, "a4")
			tx.queue.Delete(keysOf(actor(&tx.State, "a4")).queue)
		}},
		{"a stray place in the queue", "growth of the indexes", "tx", func(tx *Tx) { tx.queue.Put(queueKey{pool: 9, seq: halve(9)}) }},
		{"what a runner has is lost", "what runners have", "tx", func(tx *Tx) {
			note(tx, "a1")
			tx.assigned.Delete(keysOf(actor(&tx.State, "a1")).assigned)
		}},
		{"a back-off is lost", "back-offs", "tx", func(tx *Tx) { note(tx, "a6"); tx.backoffs.Delete(keysOf(actor(&tx.State, "a6")).backoff) }},
		{"an alarm is lost", "alarms", "tx", func(tx *Tx) { note(tx, "a3"); tx.alarms.Delete(keysOf(actor(&tx.State, "a3")).alarm) }},
		{"an ended actor is lost", "ended actors", "tx", func(tx *Tx) {
			note(tx, "a5")
			tx.endedActors.Delete(keysOf(actor(&tx.State, "a5")).ended)
		}},
		{"an actor never falls due", "what falls due", "tx", func(tx *Tx) { note(tx, "a2"); tx.agenda.Delete(keysOf(actor(&tx.State, "a2")).agenda) }},
		{"something falls due for nobody", "growth of the indexes", "tx", func(tx *Tx) { tx.agenda.Put(agendaKey{atMs: 5, kind: DueStart, row: 77}) }},
		{"a runner never falls silent", "runners that are not silent", "tx", func(tx *Tx) {
			tx.heard.Delete(tx.heardKey(runner(&tx.State, "r5")))
			tx.touchRunner(5)
		}},
		{"a runner is said to be silent", "candidates", "tx", func(tx *Tx) {
			key := tx.candidateKey(runner(&tx.State, "r2"))
			tx.candidates.Delete(key)
			key.silent = true
			tx.candidates.Put(key)
			runnerRow(tx, "r2", func(*Runner) {})
		}},
		{"an ended runner never falls due", "what falls due", "tx", func(tx *Tx) {
			tx.endRunner(runner(&tx.State, "r5"), EndStopped)
			tx.agenda.Delete(tx.runnerAgenda(runner(&tx.State, "r5")))
		}},
		{"a phase counts wrong", "actors that are running: should be 1, is 2", "tx", func(tx *Tx) { tx.phases[Running]++ }},
		{"stored bytes are wrong", "bytes of inputs and saved states: should be 10, is 11", "tx", func(tx *Tx) { tx.storedBytes++ }},
		{"ended actors count wrong", "ended actors: should be 1, is 5", "tx", func(tx *Tx) { note(tx, "a5"); tx.endedCount.Set(0, 5) }},
		{"a pool counts wrong", `pool "p": counts`, "tx", func(tx *Tx) { note(tx, "a1"); tx.poolStats.Set(1, PoolStats{}) }},
		{"a pool without rows counts", `pool "q": counts`, "all", func(tx *Tx) { tx.poolStats.Set(2, PoolStats{Live: 1}) }},

		{"a running actor without a generation", "generation while running: should be at least 1, is 0", "tx", func(tx *Tx) {
			row(tx, "a1", func(a *Actor) { a.Generation = 0 })
		}},
		{"a generation goes back", "generation: should be at least 1, is 0", "tx only", func(tx *Tx) { row(tx, "a6", func(a *Actor) { a.Generation, a.Claimed = 0, 9 }) }},
		{"what was claimed is forgotten", "next generation: should be at least 2, is 1", "tx only", func(tx *Tx) { row(tx, "a6", func(a *Actor) { a.Generation = 0 }) }},
		{"less is claimed than there was", "generation claimed while running: should be none, or above 1, is 1", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Claimed = 1 }) }},
		{"an actor waits for nothing", "orphans: should be 0, is 1, in the index 0", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Orphans++ }) }},
		{"an actor does not wait", "orphans: should be 1, is 0, in the index 0", "tx", func(tx *Tx) {
			ref := Ref{ActorID(idOf("a4")), 1}
			tx.orphans.Put(orphanKey{runner: 1, ref: ref, rev: 1, holdsActor: true})
			tx.hold(1, holding{slots: +1, stopping: +1})
		}},
		{"one generation on two runners", "runner of this generation: should be 2, is 5", "tx only", func(tx *Tx) {
			next := *actor(&tx.State, "a2")
			old := next
			next.Runner = 5
			tx.replaceActor(&old, &next)
		}},
		{"an actor runs on nothing", "runner and revision while running", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Runner = 0 }) }},
		{"an actor sleeps on a runner", "runner and revision while sleeping", "tx", func(tx *Tx) { row(tx, "a3", func(a *Actor) { a.Runner = 1 }) }},
		{"its runner is forgotten", "runner: should be number 1, is forgotten", "tx", func(tx *Tx) { note(tx, "a1"); tx.runners.Set(1, nil) }},
		{"its runner is in another pool", "pool of its runner", "tx", func(tx *Tx) {
			note(tx, "a1")
			runnerRow(tx, "r1", func(r *Runner) { r.pool = 2 })
		}},
		{"its runner has not heard of it", "revision on its runner", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.RunnerRev = 99 }) }},
		{"it is wanted and unwanted", "an orphan on its own runner", "tx", func(tx *Tx) {
			note(tx, "a1")
			tx.orphans.Put(orphanKey{runner: 1, ref: Ref{ActorID(idOf("a1")), 1}})
		}},
		{"it stops for no reason", "stop reason and limit while stopping", "tx", func(tx *Tx) { row(tx, "a2", func(a *Actor) { a.StopReason = NoStop }) }},
		{"it stops without a limit", "stop reason and limit while stopping", "tx", func(tx *Tx) { row(tx, "a2", func(a *Actor) { a.StopLimitMs = 0 }) }},
		{"a wake is kept for nothing", "a wake is kept while running", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.WakeKept = true }) }},
		{"it is being destroyed and does not stop", "destroying: should be false, is true", "tx", func(tx *Tx) {
			row(tx, "a1", func(a *Actor) { a.Destroying = true })
		}},
		{"nothing ends its back-off", "falls due while backing_off: should be true, is 0", "tx", func(tx *Tx) {
			row(tx, "a6", func(a *Actor) { a.DueMs = 0 })
		}},
		{"it has no place in the queue", "place in the queue while pending", "tx", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.QueueSeq = 0 }) }},
		{"a place in the queue to come", "place in the queue while pending", "tx", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.QueueSeq = 1 << 40 }) }},
		{"an order of creation to come", "order of creation", "tx", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.Seq = 1 << 40 }) }},
		{"an empty key", "has a key", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Key = "" }) }},
		{"a dead actor's input", "input, saved state and alarm while destroyed", "tx", func(tx *Tx) {
			row(tx, "a5", func(a *Actor) { a.Input = "x" })
		}},
		{"an empty trouble", "an empty trouble", "tx", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Trouble = &Trouble{} }) }},
		{"a phase that there is not", "phase: should be pending to destroyed, is none", "tx", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.Phase = NoPhase }) }},
		{"a name changes", "id, name and key", "tx only", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.Name = "other" }) }},
		{"an actor in no pool", "its pool is not there", "tx", func(tx *Tx) { row(tx, "a4", func(a *Actor) { a.pool = 7 }) }},

		{"slots held by nobody", "slots that are held, of those stopping, and promised ones: should be {2 1 0}, is {3 1 0}", "tx", func(tx *Tx) {
			old := runner(&tx.State, "r1")
			next := *old
			next.Held++
			tx.replaceRunner(old, &next)
		}},
		{"stopping slots of nobody", "should be {2 1 0}, is {2 2 0}", "tx", func(tx *Tx) {
			old := runner(&tx.State, "r1")
			next := *old
			next.Stopping++
			tx.replaceRunner(old, &next)
		}},
		{"a runner is lost from ids", "runners by id", "tx", func(tx *Tx) {
			tx.runnersByID.Delete(idKey{id: ID(idOf("r1"))})
			runnerRow(tx, "r2", func(*Runner) {})
			tx.runners.Set(1, &Runner{ID: RunnerID(idOf("r1")), Number: 1, pool: 1})
			tx.touchRunner(1)
		}},
		{"a candidate is lost", "candidates", "tx", func(tx *Tx) {
			tx.candidates.Delete(tx.candidateKey(runner(&tx.State, "r2")))
			runnerRow(tx, "r2", func(*Runner) {})
		}},
		{"a stray candidate", "growth of the indexes", "tx", func(tx *Tx) { tx.candidates.Put(tx.candidateKey(runner(&tx.State, "r3"))) }},
		{"drain work is lost", "drain work", "tx", func(tx *Tx) { tx.drainWork.Delete(drainWorkKey{number: 3}); runnerRow(tx, "r3", func(*Runner) {}) }},
		{"versions count wrong", "counts of its version: should be {pool:1 version:2 registered:1 connected:1 outdated:0 leaving:0 listing:0}, is {pool:1 version:2 registered:9 connected:0 outdated:0 leaving:0 listing:0}", "tx", func(tx *Tx) {
			tx.versions.Put(versionKey{pool: 1, version: 2, registered: 9})
			runnerRow(tx, "r2", func(*Runner) {})
		}},
		{"a version without runners", "index of versions: should be 2, is 3", "all", func(tx *Tx) {
			tx.versions.Put(versionKey{pool: 1, version: 7, registered: 1})
		}},
		{"an ended runner is lost", "ended runners", "tx", func(tx *Tx) {
			tx.endedRunners.Delete(tx.endedRunnerKey(runner(&tx.State, "r4")))
			runnerRow(tx, "r4", func(*Runner) {})
		}},
		{"a stray ended runner", "growth of the indexes", "tx", func(tx *Tx) { tx.endedRunners.Put(endedRunnerKey{seq: 99}) }},
		{"ended runners count wrong", "namespace ordinal 0: ended runners: should be 1, is 7", "tx", func(tx *Tx) {
			runnerRow(tx, "r4", func(*Runner) {})
			tx.endedRunnerCount.Set(0, 7)
		}},
		{"a pool is never forgotten", "index of pools to be forgotten: should be 0, is 1", "all", func(tx *Tx) { tx.idlePools.Put(idlePoolKey{name: "x"}) }},
		{"an ended runner is connected", "it has ended and is connected", "tx", func(tx *Tx) { runnerRow(tx, "r4", func(r *Runner) { r.Connected = true }) }},
		{"an ended runner holds an orphan", "it has ended and holds orphans", "tx", func(tx *Tx) {
			tx.orphans.Put(orphanKey{runner: 4})
			runnerRow(tx, "r4", func(*Runner) {})
		}},
		{"an orphan on no runner", "orphans of registered runners", "tx", func(tx *Tx) { tx.orphans.Put(orphanKey{runner: 44}) }},
		{"a runner without slots", "slots: should be 1 to 1000000, is 0", "tx", func(tx *Tx) { runnerRow(tx, "r4", func(r *Runner) { r.Slots = 0 }) }},
		{"a runner without a threshold", "lost threshold", "tx", func(tx *Tx) { runnerRow(tx, "r4", func(r *Runner) { r.ThresholdMs = 0 }) }},
		{"a heartbeat to come", "last heartbeat", "tx", func(tx *Tx) { tx.seen.Set(4, 1<<40); runnerRow(tx, "r4", func(*Runner) {}) }},
		{"a runner that says another pool", "pool: should be", "tx", func(tx *Tx) { runnerRow(tx, "r4", func(r *Runner) { r.Pool.Name = "x" }) }},

		{"the clock goes back", "clock, wall clock or epoch", "tx only", func(tx *Tx) { tx.clockMs = 0 }},
		{"heartbeats of tomorrow", "clock of the last heartbeats", "all", func(tx *Tx) { tx.seenMs = 1 << 40 }},
		{"a free number with a row", "runner number 2: it is free and has a row", "all", func(tx *Tx) { tx.runnerNumbers.free.Put(2) }},
		{"a number neither free nor taken", "actor ordinal 7", "all", func(tx *Tx) { tx.actorOrdinals.next++ }},
		{"a free number past the next", "free ones below the next", "all", func(tx *Tx) { tx.runnerNumbers.free.Put(99) }},
		{"a namespace is lost from names", "namespaces by name", "all", func(tx *Tx) { tx.namespacesByName.Delete(nameKey{name: "games"}) }},
		{"a stray namespace", "lengths of namespaces", "all", func(tx *Tx) { tx.namespacesByID.Put(idKey{id: ID{9}}) }},
		{"a namespace without a row", "namespace ordinal 1", "all", func(tx *Tx) { tx.namespaces.Set(1, nil) }},
		{"a pool is lost from names", "pools by name", "all", func(tx *Tx) { tx.poolsByName.Delete(poolKey{namespace: 1, name: "q"}) }},
		{"a pool in another namespace", "pool ordinal 2", "all", func(tx *Tx) {
			p := *tx.pools.Get(2)
			p.namespace = 0
			tx.pools.Set(2, &p)
		}},
		{"a pool's row is gone", "pool ordinal 2: it is free and has a row, or neither", "all", func(tx *Tx) { tx.pools.Set(2, nil) }},
		{"a bucket of no pool", "bucket of no pool", "tx", func(tx *Tx) {
			tx.putBucket(tx.pools.Get(2), tx.buckets.Get(2))
			tx.pools.Set(2, nil)
		}},
		{"an outcome without its key", "outcomes by key", "all", func(tx *Tx) {
			k, _ := tx.outcomesByKey.First(outcomeByKey{})
			tx.outcomesByKey.Delete(k)
		}},
		{"an outcome without what it led to", "what it led to is lost", "all", func(tx *Tx) {
			row, _ := tx.outcomes.First(outcomeRow{})
			row.size = longOutcome
			tx.outcomes.Put(row)
		}},
		{"an outcome before its time", "it is older than the one before it", "all", func(tx *Tx) {
			row, _ := tx.outcomes.First(outcomeRow{})
			row.seq, row.atMs = row.seq+1, row.atMs-1
			tx.outcomes.Put(row)
		}},
		{"bytes of no outcome", "outcomes by key, long ones, their bytes", "all", func(tx *Tx) { tx.outcomeLongBytes++ }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := crowded()
			tx := v.Begin(v.clockMs, v.wallMs)
			test.harm(tx)
			if test.check != "tx only" {
				expectError(t, tx.CheckAll(), test.want)
			}
			if test.check != "all" {
				expectError(t, tx.Check(), test.want)
			}
		})
	}
}

// Beyond its slots a runner holds only what nobody placed there.
func TestPlacedBeyondSlots(t *testing.T) {
	v := play("register-runner r1 slots=1", "create-actor a1", "create-actor a2", "assign-actor a1/1 r1")
	place := func(tx *Tx) { // as assignActor does, without its check
		a := tx.Actor(ActorID(idOf("a2")))
		next := *a
		next.Phase, next.Generation, next.Runner, next.DueMs = Starting, 1, 1, 99_000
		tx.replaceActor(a, &next)
	}
	tx := v.Begin(v.clockMs, v.wallMs)
	place(tx)
	expectError(t, tx.Check(), "held slots: should be at most 1, is 2")

	shrunk := playOn(v, "resume-runner r1 slots=2", "assign-actor a2/1 r1", "resume-runner r1 slots=1")
	if err := shrunk.CheckAll(); err != nil {
		t.Errorf("slots shrank below what is there: %v", err)
	}
}

func TestErrorsNameAtMostTwenty(t *testing.T) {
	v := play("register-runner r1 slots=100")
	for i := range 40 {
		v = playOn(v, fmt.Sprintf("create-actor a%d key=k%d", i, i))
	}
	tx := v.Begin(v.clockMs, v.wallMs)
	for i := range 40 {
		tx.actorsByID.Delete(idKey{id: ID(idOf(fmt.Sprint("a", i)))})
	}
	if err := tx.CheckAll(); strings.Count(err.Error(), "\n") != maxProblems-1 {
		t.Error(err)
	}
}

// A Tx that touched more than it notes is checked whole.
func TestCheckOfAHugeTx(t *testing.T) {
	v := crowded()
	tx := v.Begin(v.clockMs, v.wallMs)
	for range maxTouchedActors + 10 {
		tx.noteActor(1)
	}
	if len(tx.touchedActors) != maxTouchedActors+1 {
		t.Errorf("%d noted", len(tx.touchedActors))
	}
	tx.seenMs = 1 << 40 // only CheckAll sees that
	expectError(t, tx.Check(), "clock of the last heartbeats")
}
