package callboard_test

// The mutants, each with the tests that guard what it takes out.
var mutants = []mutant{
	{
		"the runner does not fence its actors",
		[]edit{
			{"runner/watchdog.go", "			a.kill(ErrLeaseLost)\n", ""},
			{"runner/fence.go", "		l.fenceUntil(a, ErrLeaseLost, f.abandonAt)\n", "		_ = a\n"},
		},
		[]suite{
			{inRunner, "^TestFenceAtSeventyPercent$"},
			{inServer, "^TestSilentRunnerIsLostOnTime$"},
			{inServer, "^TestNoQuorumForAMinute$"},
			{inServer, "^TestReturnOfTheLost$"},
			{inServer, "^TestRunnerThatReachesOneNode$"},
			{inServer, "^TestRandomHistories$"},
		},
	},
	{
		"a fence leaves the stream open",
		[]edit{{"runner/fence.go", "	if k := l.current; k != nil {\n		l.endLink(now, k, ErrLeaseLost)\n	}\n", ""}},
		[]suite{{inRunner, "^TestFenceAtSeventyPercent$"}},
	},
	{
		"the lease is as long as the threshold",
		[]edit{{"runner/limits.go", "leasePercent   = 70", "leasePercent   = 100"}, {"runner/limits.go", "abandonPercent = 85", "abandonPercent = 100"}},
		[]suite{{inRunner, "^TestFenceAtSeventyPercent$"}, {inServer, "^TestRandomHistories$"}},
	},
	{
		"stuck code is not abandoned",
		[]edit{{"runner/fence.go", "		a.giveUp()\n", ""}},
		[]suite{{inRunner, "^TestStuckCodeIsAbandonedAtEightyFivePercent$"}},
	},
	{
		"the process goes on with stuck code",
		[]edit{
			{"runner/watchdog.go", "			w.exit()\n", ""},
			{"runner/reports.go", "			l.exit()\n", ""},
		},
		[]suite{{inRunner, "^TestStuckCodeEndsTheProcess$"}, {inRunner, "^TestTheFenceNeedsNoLoop$"}},
	},
	{
		"the fence needs the loop",
		[]edit{{"runner/watchdog.go", "	w.judge(now)\n	w.mindStuck(now)\n", "	w.mindStuck(now)\n"}},
		[]suite{{inRunner, "^TestTheFenceNeedsNoLoop$"}},
	},
	{
		"an acknowledgement that waited behind a fence brings the lease back",
		[]edit{{"runner/watchdog.go", "	f := w.fence\n	w.fence = nil\n	return f\n", "	w.fence = nil\n	return nil\n"}},
		[]suite{{inRunner, "^TestAFenceIsNotTakenBack$"}},
	},
	{
		"the log is waited for",
		[]edit{{"internal/logqueue/logqueue.go", "	h.queue.put(line{ctx: ctx, to: h, record: settled(r)})\n	return nil\n", "	return h.resolved().Handle(ctx, settled(r))\n"}},
		[]suite{{inRunner, "^TestALogThatIsStuckKeepsNoActorAlive$"}, {inRunner, "^TestALogThatIsStuckCostsNoLease$"}},
	},
	{
		"an acknowledgement renews the lease from when it came",
		[]edit{{"runner/session.go", "		l.lease.acknowledge(b, announced, k.beats)\n", "		b.sentAt = now\n		l.lease.acknowledge(b, announced, k.beats)\n"}},
		[]suite{{inRunner, "^TestLateAcknowledgementRenewsLittle$"}},
	},
	{
		"a jump of the wall clock is nothing",
		[]edit{{"runner/lease.go", "	return d > clockJumpLimit || d < -clockJumpLimit\n", "	return d > 1000*clockJumpLimit\n"}},
		[]suite{{inRunner, "^TestWallClockJumpEndsTheLease$"}},
	},
	{
		"a Start is obeyed without a lease",
		[]edit{
			{"runner/commands.go", "	case !l.lease.valid(now):\n", "	case false:\n"},
			{"runner/watchdog.go", "	if !w.lease.valid(now) {\n", "	if false {\n"},
		},
		[]suite{{inRunner, "^TestKeepGoesOnWithoutALease$"}},
	},
	{
		"a Start is obeyed of a stream that is over",
		[]edit{
			{"runner/session.go", "	if k != l.current && k != l.next {\n		return // of a stream that is over\n	}\n", ""},
			{"runner/session.go", "		if k != l.current {\n			l.endLink(now, k, fmt.Errorf(\"%w: a message before the Welcome\", errProtocol))\n			return\n		}\n", ""},
			{"runner/commands.go", "	if l.current != s.link {\n		return // of a stream that is over; the full set of the next one names it again\n	}\n", ""},
			{"runner/commands.go", "	if l.current != w.link {\n		return\n	}\n", ""},
		},
		[]suite{{inRunner, "^TestBufferedStartAfterASuspension$"}},
	},
	{
		"the lease is not looked at before a message",
		[]edit{
			{"runner/loop.go", "		l.checkLease(now) // first: a message may have waited longer than the lease\n", ""},
			{"runner/commands.go", "	case !l.lease.valid(now):\n", "	case false:\n"},
			{"runner/watchdog.go", "	if !w.lease.valid(now) {\n", "	if false {\n"},
		},
		[]suite{{inRunner, "^TestBufferedStartAfterASuspension$"}},
	},
	{
		"a Start is obeyed of a generation that has ended",
		[]edit{{"runner/commands.go", "	case l.ended.has(id, generation):\n", "	case false:\n"}},
		[]suite{{inRunner, "^TestOlderGenerationIsRefused$"}},
	},
	{
		"a Start is obeyed while a Hello is out",
		[]edit{{"runner/commands.go", "	if l.next == nil || !l.next.greeted {\n", "	if true {\n"}},
		[]suite{{inRunner, "^TestSecondDialWelcomed$"}},
	},
	{
		"a runner does not dial another node when its own is quiet",
		[]edit{{"runner/session.go", "at = max(at, l.current.lastAck+l.lease.smallest/3)", "at = max(at, l.current.lastAck+l.lease.smallest)"}},
		[]suite{{inRunner, "^TestSecondDialWelcomed$"}, {inServer, "^TestHolderCutOff$"}, {inServer, "^TestHolderCutOffFromTheLeaderOnly$"}, {inServer, "^TestHolderLags$"}},
	},
	{
		"the runner counts on a threshold as soon as it is announced",
		[]edit{{"runner/lease.go", "l.smallest = min(l.smallest, announced, b.threshold)", "l.smallest = announced"}},
		[]suite{{inRunner, "^TestLeaseUsesTheSmallestThresholdThatMayHold$"}},
	},
	{
		"the runner counts on a threshold that it has named and the engine does not want any more",
		[]edit{{"runner/lease.go", "l.smallest = min(l.smallest, announced, b.threshold)", "l.smallest = min(announced, b.threshold)"}},
		[]suite{{inRunner, "^TestLeaseUsesTheSmallestThresholdThatMayHold$"}, {inServer, "^TestThresholdRaisedTwice$"}},
	},
	{
		"a changed threshold holds for sessions that have not heard of it",
		[]edit{{"fsm/pool.go", "	tx.replacePool(old, next)\n	tx.settlePool(next.ordinal)\n", `	tx.replacePool(old, next)
	for number := range tx.runnerNumbers.next {
		if r := tx.runners.Get(number); r != nil && r.End == NotEnded && r.Pool == next.ID {
			changed := *r
			changed.ThresholdMs = tx.LostThresholdMs(next)
			tx.replaceRunner(r, &changed)
		}
	}
	tx.settlePool(next.ordinal)
`}},
		[]suite{{inServer, "^TestThresholdLoweredDuringSilence$"}, {inScheduler, "^TestStories$/^liveness$"}},
	},
	{
		"any heartbeat takes the changed threshold over",
		[]edit{{"scheduler/heartbeat.go", "	if knownMs == want && r.ThresholdMs != int64(want) {\n", "	if r.ThresholdMs != int64(want) {\n"}},
		[]suite{{inScheduler, "^TestStories$/^liveness$"}},
	},
	{
		"Do takes a verdict on somebody who was heard since, or before his time",
		[]edit{{"fsm/runner_liveness.go", "	if tx.seen.Get(r.Number) != op.GetLastSeenMs() || tx.clockMs < r.lostMs(op.GetLastSeenMs()) {\n		return refuse(CodeStale)\n	}\n", ""}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"Do takes a verdict on another session",
		[]edit{{"fsm/runner_liveness.go", "func (tx *Tx) markLost(op *logv1.MarkLost) Result {\n	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())\n", "func (tx *Tx) markLost(op *logv1.MarkLost) Result {\n	r, res := tx.liveRunner(op.GetRunnerId())\n"}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"verdicts do not wait for the heartbeats that are there",
		[]edit{{"scheduler/heartbeat.go", " && !tx.LostDue() {", " {"}},
		[]suite{{inScheduler, "^TestStories$/^liveness$"}},
	},
	{
		"the brake holds again and again",
		[]edit{
			{"scheduler/brake.go", " || of[d.Runner.Pool] != nil || s.tx.VerdictHeld(d.Runner) {", " || of[d.Runner.Pool] != nil {"},
			{"scheduler/brake.go", "c == nil || s.tx.VerdictHeld(r) || ", "c == nil || "},
			{"scheduler/brake.go", "		until := s.tx.LastSeenMs(r) + r.ThresholdMs + c.intervalMs\n", "		until := s.tx.ClockMs() + c.intervalMs\n"},
			{"fsm/runner_liveness.go", "	if tx.VerdictHeld(r) || op.GetUntilMs()", "	if op.GetUntilMs()"},
		},
		[]suite{{inScheduler, "^TestStories$/^liveness$"}, {inServer, "^TestEventsAreToldAndCounted$"}},
	},
	{
		"there is no brake",
		[]edit{{"scheduler/brake.go", "const brakeFrom = 3\n", "const brakeFrom = 1 << 30\n"}},
		[]suite{{inScheduler, "^TestStories$/^liveness$"}, {inServer, "^TestEventsAreToldAndCounted$"}},
	},
	{
		"the silent are given actors",
		[]edit{{"fsm/look.go", "		if r.candidate() {\n", "		if false {\n"}},
		[]suite{{inScheduler, "^TestStories$/^placement$"}},
	},
	{
		"a broken stream gets actors",
		[]edit{{"fsm/runner.go", "return r.End == NotEnded && r.Connected && !r.Draining() }", "return r.End == NotEnded && !r.Draining() }"}},
		[]suite{{inScheduler, "^TestStories$/^placement$"}},
	},
	{
		"a replaced process is let in again",
		[]edit{{"scheduler/hello.go", "		case r.Instance == instance && live != nil:\n", "		case false:\n"}},
		[]suite{{inScheduler, "^TestStories$/^sessions$"}},
	},
	{
		"a node lets runners in without looking whether it is behind",
		[]edit{{"transport/session/hello.go", "	if err := s.catchUp(); err != nil {\n		return err\n	}\n", ""}},
		[]suite{{inSession, "^TestANodeThatIsBehindProposesNothing$"}, {inServer, "^TestANodeThatLagsLetsNobodyIn$"}},
	},
	{
		"a runner is welcomed before the View has its session",
		[]edit{{"transport/session/hello.go", "		return r != nil && r.Session == s.id\n", "		return r != nil\n"}},
		[]suite{{inSession, "^TestNothingIsSentBeforeTheViewHasTheSession$"}},
	},
	{
		"a heartbeat is acknowledged before the last command",
		[]edit{{"transport/session/follow.go", "	if err != nil || !settled {\n", "	if _ = settled; err != nil {\n"}},
		[]suite{{inSession, "^TestNoAcknowledgementBeforeTheLastCommand$"}},
	},
	{
		"the cluster clock counts the whole of a stall",
		[]edit{{"server/loop.go", "		return view.ClockMs() + maxClockStep.Milliseconds(), now\n", "		return view.ClockMs() + elapsed.Milliseconds(), now\n"}},
		[]suite{{inServer, "^TestClusterClockOnSlowDisksAndInStalls$"}, {inServer, "^TestLeaderStalled$"}},
	},
	{
		"the cluster clock counts from the last applied entry",
		[]edit{{"server/loop.go", "	l.proposedAt = upTo\n", "	_ = upTo\n	defer func() { l.proposedAt = time.Now() }()\n"}},
		[]suite{{inServer, "^TestClusterClockOnSlowDisksAndInStalls$"}},
	},
	{
		"each heartbeat has an entry of its own",
		[]edit{{"server/loop.go", "			timer.Reset(l.idleFor())\n", "			return nil\n"}},
		[]suite{{inServer, "^TestHeartbeatsShareOneEntryASecond$"}},
	},
	{
		"heartbeats are refused when the inbox is full",
		[]edit{{"server/inbox.go", "		return b.beats.put(r)\n", "		if len(b.requests) >= callerLimit {\n			return callboardv1.ErrOverloaded\n		}\n		return b.beats.put(r)\n"}},
		[]suite{{inServer, "^TestSaturatedLoopLosesNobody$"}},
	},
	{
		"what waits in the relay of a new leader lies there",
		[]edit{{"transport/peer/relay.go", "	if !r.leaders.Here() {\n", "	if true {\n"}},
		[]suite{{inRelay, "^TestReportsAreGivenBackWhenThisNodeLeads$"}},
	},
	{
		"pace: nobody looks whether there is a token",
		[]edit{
			{"scheduler/evict.go", "	case !bucket.HasToken() && bucket.Nanos < 0:\n", "	case false:\n"},
			{"scheduler/evict.go", "	case !bucket.HasToken():\n", "	case false:\n"},
			{"fsm/evict.go", "!tx.Bucket(p).HasToken(), ", ""},
		},
		[]suite{{inScheduler, "^TestPace$"}, {inServer, "^TestRolloutKeepsItsPaceThroughFailovers$"}},
	},
	{
		"pace: Do does not look whether there is a token",
		[]edit{{"fsm/evict.go", "!tx.Bucket(p).HasToken(), ", ""}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"pace: a new leader begins with a full bucket",
		[]edit{{"fsm/entry.go", "	tx.leader = op.GetNode()\n", `	tx.leader = op.GetNode()
	for ordinal := range tx.poolOrdinals.next {
		if p := tx.pools.Get(ordinal); p != nil {
			tx.putBucket(p, Bucket{Nanos: bucketCap(p.EvictionRateMicros()), AtMs: tx.clockMs})
		}
	}
`}},
		[]suite{{inScheduler, "^TestPace$"}, {inServer, "^TestRolloutKeepsItsPaceThroughFailovers$"}},
	},
	{
		"pace: a restore fills the bucket",
		[]edit{{"fsm/restore.go", "			Nanos: b.GetNanos(), AtMs: b.GetAtMs(),", "			Nanos: bucketCap(p.EvictionRateMicros()), AtMs: b.GetAtMs(),"}},
		[]suite{{inScheduler, "^TestPace$"}, {inFSM, "^TestEveryFieldSurvivesASnapshot$"}},
	},
	{
		"pace: another config fills the bucket",
		[]edit{{"fsm/pool.go", "	tx.putBucket(next, tx.Bucket(old).at(tx.clockMs, next.EvictionRateMicros()))\n", "	tx.putBucket(next, Bucket{Nanos: bucketCap(next.EvictionRateMicros()), AtMs: tx.clockMs})\n"}},
		[]suite{{inScheduler, "^TestPace$"}, {inScheduler, "^TestStories$/^rollout$"}, {inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"pace: a bucket saves up without end",
		[]edit{{"fsm/bucket.go", "	burstMs = 100\n", "	burstMs = 5_000\n"}},
		[]suite{{inFSM, "^TestBucketKeepsThePace$"}, {inScheduler, "^TestPace$"}},
	},
	{
		"pace: half the rate is enough",
		[]edit{{"fsm/bucket.go", "			b.Nanos += elapsed * rate\n", "			b.Nanos += elapsed * rate / 2\n"}},
		[]suite{{inScheduler, "^TestPace$"}, {inFSM, "^TestBucketIsNotStingy$"}},
	},
	{
		"pace: nobody waits for receipts",
		[]edit{
			{"scheduler/evict.go", "	case st.PoolStats(p).Unreceived >= p.MaxUnreceived():\n", "	case false:\n"},
			{"fsm/evict.go", ", tx.PoolStats(p).Unreceived >= p.MaxUnreceived():\n", ":\n"},
		},
		[]suite{{inScheduler, "^TestStories$/^rollout$"}},
	},
	{
		"pace: nobody waits for the delay",
		[]edit{
			{"scheduler/evict.go", "begins > st.ClockMs() {\n", "false {\n		_ = begins\n"},
			{"fsm/drain.go", "	k.delayed = s.pools.Get(r.pool).EvictionBeginsMs(r) > s.clockMs\n", ""},
			{"fsm/evict.go", "	case tx.clockMs < r.Drain.StartMs+p.EvictionDelayMs(), ", "	case "},
		},
		[]suite{{inScheduler, "^TestPace$"}, {inScheduler, "^TestStories$/^rollout$"}},
	},
	{
		"pace: a move waits for no room",
		[]edit{
			{"scheduler/evict.go", "	if to.runner == nil && st.PoolStats(p).Forceful == 0 {\n", "	if false {\n"},
			{"scheduler/evict.go", "	return next.runner.Drain.Force || to.takes(st, next)\n", "	return true\n"},
			{"fsm/evict.go", "		if !from.Drain.Force {\n", "		if false {\n"},
		},
		[]suite{{inScheduler, "^TestRandomWorlds$"}, {inScheduler, "^TestStories$/^rollout$"}},
	},
	{
		"pace: forced moves take no token",
		[]edit{{"fsm/bucket.go", "	b.Nanos = min(b.Nanos, max(b.Nanos-tokenNanos, -int64(rateMicros)*debtMs))\n", ""}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}, {inScheduler, "^TestStories$/^rollout$"}},
	},
	{
		"pace: a rollout moves an actor again and again",
		[]edit{
			{"scheduler/evict.go", "open != nil && a.MovedIn != open.ID\n", "open != nil\n"},
			{"scheduler/evict.go", "		return r.Left() - st.MovedOn(r, open.ID)\n", "		return r.Left()\n"},
			{"fsm/evict.go", " || a.MovedIn == open.ID {\n", " {\n"},
		},
		[]suite{{inScheduler, "^TestStories$/^rollout$"}, {inFSM, "^TestStories$"}},
	},
	{
		"pace: who was moved may go back to where it came from",
		[]edit{{"fsm/evict.go", "next.MovedIn, next.FloorVersion = open.ID, max(next.FloorVersion, open.Version)\n", "next.MovedIn = open.ID\n"}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"pace: turns of forced moves stay when the pace changes",
		[]edit{{"fsm/pool.go", "	tx.repace(old, next)\n", ""}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}, {inScheduler, "^TestStories$/^rollout$"}, {inScheduler, "^TestStories$/^shutdown$"}},
	},
}
