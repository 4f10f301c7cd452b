package fsm

import "testing"

// rollingOut has something in every index of drains, rollouts and buckets.
func rollingOut() *View {
	return play(
		"put-namespace ns1 name=games", "put-pool ns1 q", "put-pool default p eviction_rate_micros_per_s=100000000",
		"register-runner r1 slots=9", "register-runner r2 slots=9 version=2", "register-runner r3 slots=9", "register-runner q1 namespace=ns1 pool=q",
		"create-actor a1", "create-actor a2", "create-actor a3", "create-actor a4",
		"assign-actor a1/1 r1", "assign-actor a2/1 r1", "assign-actor a3/1 r1", "assign-actor a4/1 r3",
		"open-rollout version=1", "open-rollout version=2", // the first one is superseded
		"open-rollout version=2 namespace=ns1 pool=q", "close-rollout state=called_off namespace=ns1 pool=q",
		"start-drain r1 cause=newer_version", "start-drain r3 cause=operator deadline=90000",
		"plan-evictions a2/1@5000 window_from=5000 window_turns=10",
		"evict-actor a1/1 promised_runner=r2",
		"create-actor a5", "assign-actor a5/1 r2", "actor-stopped a5/1 next=pending reschedule=60000 cause=lost",
	)
}

func TestRollingOutIsSound(t *testing.T) {
	v := rollingOut()
	if err := v.CheckAll(); err != nil {
		t.Fatal(err)
	}
	if err := restore(t, &v.State).CheckAll(); err != nil {
		t.Fatalf("restored: %v", err)
	}
}

// As TestEveryBrokenInvariantIsSeen, for drains, rollouts and buckets: each of these is seen by the leader, before it proposes.
func TestEveryBrokenInvariantOfADrainIsSeen(t *testing.T) {
	actor := func(tx *Tx, id string) *Actor { return tx.Actor(ActorID(idOf(id))) }
	row := func(tx *Tx, id string, change func(*Actor)) {
		next := *actor(tx, id)
		change(&next)
		tx.setActor(&next)
		tx.noteActor(next.ordinal)
	}
	runner := func(tx *Tx, number uint32, change func(*Runner)) {
		next := *tx.runners.Get(number)
		change(&next)
		tx.runners.Set(number, &next)
		tx.touchRunner(number)
	}
	rollout := func(tx *Tx, id uint64, change func(*Rollout)) {
		old := tx.rollout(1, id)
		next := *old
		change(&next)
		tx.replaceRollout(old, &next)
	}
	bucket := func(tx *Tx, change func(*Bucket)) {
		b := tx.buckets.Get(1)
		change(&b)
		tx.putBucket(tx.pools.Get(1), b)
	}
	nothing := func(*Runner) {}
	tests := []struct {
		name, want string
		harm       func(tx *Tx)
	}{
		{"a runner is lost from its pool", "runners of the pool", func(tx *Tx) { tx.poolRunners.Delete(poolRunnerKey{1, 1, 1}); runner(tx, 1, nothing) }},
		{"a stray runner of a pool", "growth of the indexes", func(tx *Tx) { tx.poolRunners.Put(poolRunnerKey{1, 1, 9}) }},
		{"a runner is never emptied", "runners to be emptied", func(tx *Tx) { tx.evictables.Delete(tx.evictableKey(tx.runners.Get(1))); runner(tx, 1, nothing) }},
		{"a delay never ends", "delays", func(tx *Tx) { tx.delays.Delete(tx.runners.Get(1).delayKey()); runner(tx, 1, nothing) }},
		{"a pool is never looked at", "when it is to be looked at", func(tx *Tx) { bucket(tx, func(*Bucket) {}); tx.settleLooks(); tx.lookAt.Set(1, 0) }},
		{"a pool is not on the agenda", "pools to be looked at", func(tx *Tx) {
			bucket(tx, func(*Bucket) {})
			tx.settleLooks()
			tx.looks.Delete(lookKey{tx.lookAt.Get(1), 1})
		}},
		{"what a rollout has moved counts wrong", "has moved: should be 1, is 5", func(tx *Tx) {
			row(tx, "a2", func(a *Actor) { a.MovedIn = 1 })
			k := actor(tx, "a2").movedKey()
			k.actors = 5
			tx.moved.Put(k)
		}},
		{"a stray runner to be emptied", "growth of the indexes", func(tx *Tx) { tx.evictables.Put(evictableKey{pool: 7}) }},
		{"a deadline never comes", "what falls due", func(tx *Tx) { tx.agenda.Delete(tx.runners.Get(3).drainAgenda()); runner(tx, 3, nothing) }},
		{"versions count wrong", "counts of its version", func(tx *Tx) {
			tx.versions.Put(versionKey{pool: 1, version: 1, outdated: 9})
			runner(tx, 1, nothing)
		}},
		{"the slots of a move are nobody's", "should be {0 0 1}, is {0 0 2}", func(tx *Tx) { tx.keep(2, +1) }},
		{"a slot is not kept", "should be {0 0 1}, is {0 0 0}", func(tx *Tx) { tx.keep(2, -1) }},
		{"its own runner keeps a slot", "its own runner has promised a slot for it", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Promise = 1 }) }},
		{"a runner of another pool keeps a slot", "pool of the runner that keeps a slot", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Promise = 4 }) }},
		{"nobody keeps a slot", "runner that keeps a slot for it", func(tx *Tx) { row(tx, "a1", func(a *Actor) { a.Promise = 44 }) }},
		{"a promise to one that stays", "slot promised while starting", func(tx *Tx) { row(tx, "a2", func(a *Actor) { a.Promise = 2 }) }},
		{"a turn is lost", "turns", func(tx *Tx) { tx.named.Delete(keysOf(actor(tx, "a2")).named); row(tx, "a2", func(*Actor) {}) }},
		{"a stray turn", "growth of the indexes", func(tx *Tx) { tx.named.Put(namedKey{pool: 9}) }},
		{"a turn of one that waits", "turn or time of its eviction while pending", func(tx *Tx) { row(tx, "a5", func(a *Actor) { a.EvictMs = 5 }) }},
		{"a receipt is not awaited", "missing receipts", func(tx *Tx) {
			tx.unreceived.Delete(keysOf(actor(tx, "a1")).unreceived)
			row(tx, "a1", func(*Actor) {})
		}},
		{"a stray receipt", "growth of the indexes", func(tx *Tx) { tx.unreceived.Put(unreceivedKey{runner: 9}) }},
		{"a receipt of one that is not evicted", "eviction flags and rollout while starting", func(tx *Tx) {
			row(tx, "a2", func(a *Actor) { a.Eviction = evictionUnreceived })
		}},
		{"moved by a rollout to come", "eviction flags and rollout", func(tx *Tx) { row(tx, "a2", func(a *Actor) { a.MovedIn = 99 }) }},
		{"a place in the queue of one whose turn comes", "place in the queue", func(tx *Tx) { row(tx, "a5", func(a *Actor) { a.QueueSeq = 1 }) }},
		{"a drain without a cause", "drain while it does not drain", func(tx *Tx) { runner(tx, 2, func(r *Runner) { r.Drain.Total = 1 }) }},
		{"a drain that is over and has not ended", "after the end of its drain", func(tx *Tx) { runner(tx, 1, func(r *Runner) { r.Drain.FinishWall = 1 }) }},
		{"it stands by for an operator", "it stands by", func(tx *Tx) { runner(tx, 3, func(r *Runner) { r.Drain.Standby = true }) }},

		{"a rollout moves nobody", "rollout 2: actors on the move: should be 1, is 0", func(tx *Tx) { rollout(tx, 2, func(r *Rollout) { r.Moving = 0 }) }},
		{"an actor is moved by no rollout", "rollout 2: actors on the move: should be 0, is 1", func(tx *Tx) {
			row(tx, "a1", func(a *Actor) { a.Eviction = 0 })
		}},
		{"two are open", "it is open, and the rollout 2 of its pool came later", func(tx *Tx) { rollout(tx, 1, func(r *Rollout) { r.State = RolloutOpen }) }},
		{"a rollout in no state", "state: should be open to superseded, is invalid", func(tx *Tx) { rollout(tx, 1, func(r *Rollout) { r.State = 9 }) }},
		{"an ended one is paused", "pause and end while superseded", func(tx *Tx) { rollout(tx, 1, func(r *Rollout) { r.Paused = true }) }},
		{"a reason without a pause", "pause and end while open", func(tx *Tx) { rollout(tx, 2, func(r *Rollout) { r.PauseReason = "x" }) }},
		{"a superseded one makes the next wait", "wait for the next while superseded", func(tx *Tx) { rollout(tx, 1, func(r *Rollout) { r.WaitMs = 1 << 40 }) }},
		{"it ends before it begins", "start and end", func(tx *Tx) { rollout(tx, 1, func(r *Rollout) { r.EndMs = 0 }) }},
		{"it begins tomorrow", "start and end", func(tx *Tx) { rollout(tx, 2, func(r *Rollout) { r.StartMs = 1 << 40 }) }},
		{"a rollout of an id to come", "of an id that was not given out", func(tx *Tx) { tx.replaceRollout(nil, &Rollout{ID: 99, State: RolloutOpen, pool: 1}) }},
		{"a stray rollout", "growth of the indexes", func(tx *Tx) { tx.rollouts.Put(rolloutKey{pool: 9, id: 99}) }},
		{"an ended one is lost", "ended rollouts", func(tx *Tx) {
			rollout(tx, 1, func(*Rollout) {})
			tx.endedRollouts.Delete(endedRolloutKey{id: 1})
		}},
		{"ended ones count wrong", "namespace ordinal 0: ended rollouts: should be 1, is 7", func(tx *Tx) {
			rollout(tx, 1, func(*Rollout) {})
			tx.endedRolloutCount.Set(0, 7)
		}},
		{"it is never forgotten", "what falls due", func(tx *Tx) {
			rollout(tx, 1, func(*Rollout) {})
			tx.agenda.Delete(tx.rollout(1, 1).agendaKey())
		}},
		{"a wait never ends", "what falls due", func(tx *Tx) {
			r := tx.rollout(2, 3)
			tx.replaceRollout(r, r)
			tx.agenda.Delete(r.waitKey())
		}},

		{"too much is saved up", "nano-actors: should be -1000000000000 to 11000000000, is 11000000001", func(tx *Tx) {
			bucket(tx, func(b *Bucket) { b.Nanos = 11_000_000_001 })
		}},
		{"too much is owed", "nano-actors", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.Nanos = -1_000_000_000_001 }) }},
		{"a bucket of tomorrow", "clock: should be 0 to", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.AtMs = 1 << 40 }) }},
		{"a window without a rate", "window", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.WindowRateMicros = 0 }) }},
		{"a window that is too great", "window", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.WindowTurns = MaxWindowTurns + 1 }) }},
		{"nobody is being emptied", "runner that is being emptied", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.Emptying = 44 }) }},
		{"a pool is forgotten too soon", "to be forgotten: should be false, is true", func(tx *Tx) { bucket(tx, func(*Bucket) {}); tx.idlePools.Put(tx.pools.Get(1).idleKey()) }},
		{"another pool's is being emptied", "runner that is being emptied", func(tx *Tx) { bucket(tx, func(b *Bucket) { b.Emptying = 4 }) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := rollingOut()
			tx := v.Begin(v.clockMs, v.wallMs)
			test.harm(tx)
			expectError(t, tx.CheckAll(), test.want)
			expectError(t, tx.Check(), test.want)
		})
	}
}
