package callboard_test

// coreMutants are mutants of what decides and of what holds the state.
var coreMutants = []mutant{
	{
		"core: an actor on its way takes the slot that was kept for it though a newer version has come",
		[]edit{{"scheduler/place.go", "best.Version == to.Version {", "best != nil {"}},
		[]suite{{inScheduler, "^TestStories$/^rollout$/^newer_while_moving$"}},
	},
	{
		"core: a fenced actor returns to a draining runner",
		[]edit{{"scheduler/place.go", "own.Handles(a.Name) && s.tx.Ineligible(own) == \"\" {", "own.Handles(a.Name) && (s.tx.Ineligible(own) == \"\" || own.LastResort()) {"}},
		[]suite{{inScheduler, "^TestStories$/^placement$/^return_draining$"}},
	},
	{
		"core: actors that were stopping on a lost runner are paced again",
		[]edit{{"scheduler/ending.go", "e.cause == logv1.StopCause_STOP_CAUSE_LOST && a.Phase != fsm.Stopping\n", "e.cause == logv1.StopCause_STOP_CAUSE_LOST\n"}},
		[]suite{{inScheduler, "^TestStories$/^shutdown$/^lost_stopping$"}},
	},
	{
		"core: unlimited is not portioned",
		[]edit{{"scheduler/evict.go", "p.Portioned() && next", "false && next"}},
		[]suite{{inScheduler, "^TestStories$/^rollout$/^unlimited$"}},
	},
	{
		"core: a clone shares the pools that are to be forgotten",
		[]edit{{"fsm/view.go", "c.poolOrdinals, c.idlePools = s.poolOrdinals.clone(), s.idlePools.Clone()", "c.poolOrdinals = s.poolOrdinals.clone()"}},
		[]suite{{inFSM, "^TestACloneSharesNoTable$"}},
	},
	{
		"core: a clone shares the long outcomes",
		[]edit{{"fsm/view.go", "c.outcomes, c.outcomesByKey, c.longOutcomes = s.outcomes.Clone(), s.outcomesByKey.Clone(), s.longOutcomes.Clone()", "c.outcomes, c.outcomesByKey = s.outcomes.Clone(), s.outcomesByKey.Clone()"}},
		[]suite{{inFSM, "^TestACloneSharesNoTable$"}},
	},
	{
		"core: a clone shares the buckets",
		[]edit{{"fsm/view.go", "c.buckets, c.poolRunners, c.evictables, c.drainWork = s.buckets.Clone(), s.poolRunners", "c.poolRunners, c.evictables, c.drainWork = s.poolRunners"}},
		[]suite{{inFSM, "^TestACloneSharesNoTable$"}},
	},
	{
		"core: an actor is placed while a body of it runs elsewhere",
		[]edit{{"fsm/actor.go", "	if a.Orphans > 0 {\n		return refuse(CodeIllegal) // a body of it still runs somewhere\n	}\n", ""}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: a generation that is wanted is an orphan",
		[]edit{{"fsm/orphan.go", "a.Generation == ref.Generation && a.Runner == r.Number {", "false {"}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: a rollout is done before its runners are empty",
		[]edit{{"fsm/rollout.go", "state == RolloutDone && tx.PoolStats(p).Unfinished > 0", "false"}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: a rollout does not wait after one was called off",
		[]edit{{"fsm/rollout.go", "	if tx.RolloutWaitMs(p) != 0 {\n		return refuse(CodeIllegal)\n	}\n", ""}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: a drain gives way to a lighter cause",
		[]edit{{"fsm/drain.go", "r.Draining() && cause != r.Drain.Cause && !cause.Outweighs(r.Drain.Cause)", "false"}},
		[]suite{{inFSM, "^TestStories$"}, {inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"core: a shutdown is called off",
		[]edit{{"fsm/drain.go", "	if !r.Drain.Cause.planned() {\n", "	if false {\n"}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: a life that is over saves",
		[]edit{{"fsm/actor.go", "a == nil || a.Generation != op.GetRef().GetGeneration() || !a.Phase.OnRunner()", "a == nil || !a.Phase.OnRunner()"}},
		[]suite{{inFSM, "^TestStories$"}},
	},
	{
		"core: bytes of forgotten outcomes count on",
		[]edit{{"fsm/outcome.go", "			tx.outcomeLongBytes -= int64(len(long.outcome))\n", ""}},
		[]suite{{inFSM, "^Test.*Outcome.*$"}},
	},
	{
		"core: an alarm rings again although the life that it woke runs",
		[]edit{{"fsm/actor.go", "		next.AlarmMs, next.AlarmWoke = 0, false // it has done its work\n", "		next.AlarmWoke = false\n"}},
		[]suite{{inScheduler, "^TestStories$/^lifecycle$"}},
	},
	{
		"core: a fence counts as a crash",
		[]edit{{"scheduler/ending.go", "after{next: toPending, prefer: a.Phase", "after{next: toPending, penalty: true, prefer: a.Phase"}},
		[]suite{{inScheduler, "^TestStories$/^lifecycle$/^fenced$"}},
	},
	{
		"core: a rollout goes on without its version",
		[]edit{{"scheduler/rollout.go", "	case !some || newest < open.Version:\n", "	case false:\n"}},
		[]suite{{inScheduler, "^TestStories$/^rollout$/^called_off$"}},
	},
	{
		"core: a late comer is drained like one with actors",
		[]edit{{"scheduler/rollout.go", "	return r.Held == 0 && (s.newcomers", "	return false && (s.newcomers"}},
		[]suite{{inScheduler, "^TestStories$/^rollout$/^late_comer$"}},
	},
	{
		"core: a start that a Hello does not name has vanished",
		[]edit{{"scheduler/hello.go", "case a.Phase != fsm.Starting:", "case true:"}},
		[]suite{{inScheduler, "^TestStories$/^sessions$"}},
	},
	{
		"core: a generation that only a runner knows is given again",
		[]edit{{"scheduler/report.go", "s.believes(r, ref) && ref.Generation >= s.tx.Actor(ref.Actor).NextGeneration()", "false"}},
		[]suite{{inScheduler, "^TestStories$/^sessions$"}},
	},
	{
		"core: a key finds an actor that is being destroyed",
		[]edit{{"scheduler/command_actor.go", "if getOrCreate && !live.Destroying && live.Phase", "if getOrCreate && live.Phase"}},
		[]suite{{inScheduler, "^TestStories$/^keys$"}},
	},
}
