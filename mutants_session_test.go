package callboard_test

// sessionMutants are mutants of the two ends of a runner's stream.
var sessionMutants = []mutant{
	{
		"session: a stopping body counts as running",
		[]edit{{"scheduler/hello.go", "		case a.Phase == fsm.Starting && !run.GetStarting() && !run.GetStopping():\n", "		case a.Phase == fsm.Starting && !run.GetStarting():\n"}},
		[]suite{{inScheduler, "^TestStories$/^sessions$"}},
	},
	{
		"session: the time of a Stop counts from when it is handled",
		[]edit{{"runner/commands.go", "*time.Millisecond - (now - m.at)\n", "*time.Millisecond\n"}},
		[]suite{{inRunner, "^TestTheTimeOfAStopCountsFromItsReceipt$"}},
	},
	{
		"session: a Start does not wait for abandoned code",
		[]edit{{"runner/commands.go", "	case l.lingering[id] != nil:\n", "	case false:\n"}},
		[]suite{{inRunner, "^TestAStartWaitsForAbandonedCode$"}, {inRunner, "^TestAStartWaitsForCodeThatAStopGaveUp$"}},
	},
	{
		"session: a Start waits for abandoned code without end",
		[]edit{{"runner/lingering.go", "		case now < old.heldUntil:\n			l.due(old.heldUntil)\n", "		case true:\n"}},
		[]suite{{inRunner, "^TestAStartIsRefusedWhenAbandonedCodeStays$"}},
	},
	{
		"session: a Start that waits for abandoned code is not stopped",
		[]edit{{"runner/commands.go", "	for _, a := range []*Actor{l.actors[id], l.lingering[id]} {\n", "	for _, a := range []*Actor{l.actors[id]} {\n"}},
		[]suite{{inRunner, "^TestAHeldStartIsStopped$"}},
	},
	{
		"session: an end is told once",
		[]edit{{"runner/reports.go", "	l.unsettled[keyOf(e.ref)] = e\n", ""}},
		[]suite{{inRunner, "^TestFullSet$"}, {inRunner, "^TestFenceAtSeventyPercent$"}},
	},
	{
		"session: a gap in the commands is nothing",
		[]edit{{"runner/commands.go", "	if d.GetSeq() != k.desiredSeq+1 {\n", "	if false {\n"}},
		[]suite{{inRunner, "^TestGapEndsTheStream$"}},
	},
	{
		"session: what a shutdown stopped counts as ended for good",
		[]edit{{"runner/reports.go", "		end.fenced = true\n		end.message = \"the runner shut down\"\n", ""}},
		[]suite{{inRunner, "^TestShutdownStopsWhatTheEngineForgets$"}},
	},
	{
		"session: a newer generation does not end the older one",
		[]edit{{"runner/commands.go", "			l.fence(now, here, ErrSuperseded)\n", ""}},
		[]suite{{inRunner, "^TestNewerGenerationWaitsForTheOlderToEnd$"}},
	},
	{
		"session: hooks begin after a fence",
		[]edit{{"runner/supervise.go", "		if a.tasksCtx.Err() != nil {\n			break\n		}\n", ""}},
		[]suite{{inRunner, "^TestFenceDuringAStop$"}},
	},
	{
		"session: another cluster has a say",
		[]edit{{"runner/session.go", "	case l.foreign(k, w.GetClusterId()):\n", "	case false:\n"}},
		[]suite{{inRunner, "^TestAnotherClusterHasNoSay$"}},
	},
	{
		"session: a second Stop gives more time",
		[]edit{{"runner/supervise.go", "			if s.stop.deadline.Before(order.deadline) {\n				order.deadline = s.stop.deadline\n			}\n", ""}},
		[]suite{{inRunner, "^TestSecondStopTightens$"}},
	},
	{
		"session: events in flight are lost with their stream",
		[]edit{{"runner/events.go", "		all = append(all, b.events...)\n", "		_ = b\n"}},
		[]suite{{inRunner, "^TestSaveWaitsForTheCommit$"}},
	},
	{
		"session: what the Hello named is started again",
		[]edit{{"transport/session/desired.go", "	case a.Phase == fsm.Starting && !t.claims(ref):\n", "	case a.Phase == fsm.Starting:\n"}},
		[]suite{{inSession, "^TestTheCompleteSetIsTheDifferenceToTheHello$"}},
	},
	{
		"session: a Stop is told with every change",
		[]edit{{"transport/session/desired.go", "	case a.Phase == fsm.Stopping && !t.stopTold(ref):\n", "	case a.Phase == fsm.Stopping:\n"}},
		[]suite{{inSession, "^TestARunnerThatObeysHasWhatTheStateWants$"}},
	},
	{
		"session: a holder reports heartbeats of a runner that has fallen silent",
		[]edit{{"transport/session/report.go", "		o.beat = nil // the next one should be here: a runner that has fallen silent must not live on\n", ""}},
		[]suite{{inSession, "^TestAHeartbeatOutlastsAnElection$"}},
	},
	{
		"session: orphans go on",
		[]edit{{"transport/session/desired.go", "	m.stop(o.Ref, callboardv1.StopReason_STOP_REASON_ORPHAN, view.Setting(fsm.ActorStopThreshold))\n", ""}},
		[]suite{{inSession, "^TestOrphansAreToldToStop$"}},
	},
	{
		"session: a receipt of what was never sent is taken",
		[]edit{{"transport/session/follow.go", "	if seq > last {\n		return false\n	}\n", "	_ = last\n	seq = min(seq, w.acked+uint64(len(w.messages)))\n"}},
		[]suite{{inSession, "^TestAMalformedMessageEndsTheStream$"}},
	},
	{
		"session: a session that was superseded goes on",
		[]edit{{"transport/session/follow.go", "	case r.Session != s.id:\n", "	case false:\n"}},
		[]suite{{inSession, "^TestANewerSessionEndsTheOlder$"}},
	},
	{
		"session: a Goodbye overtakes events",
		[]edit{{"transport/session/report.go", "func (o *outbox) empty() bool { return len(o.events) == 0 }", "func (o *outbox) empty() bool { return true }"}},
		[]suite{{inSession, "^TestAGoodbyeComesBehindTheLastEvents$"}},
	},
	{
		"session: a full backlog is read further",
		[]edit{{"transport/session/report.go", "	return len(o.events) >= cfg.MaxBacklog || o.bytes >= cfg.MaxBacklogBytes\n", "	_ = cfg\n	return false\n"}},
		[]suite{{inSession, "^TestAFullBacklogIsNotReadFurther$"}},
	},
	{
		"session: a Stop whose time is over has none",
		[]edit{{"transport/session/desired.go", "uint32(min(max(ms, 1), 1<<31))", "uint32(min(max(ms, 0), 1<<31))"}},
		[]suite{{inSession, "^TestAStopPastItsDeadlineHasATimeLeftAboveZero$"}},
	},
}
