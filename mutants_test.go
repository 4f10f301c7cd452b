package callboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A mutant is the product with one guard taken out, and the tests that must then fail: each of them, by itself. It is how it is shown that
// what guards liveness and "at most one body" is tested: a test that passes without what it tests is worth nothing.
type mutant struct {
	name  string
	edits []edit
	red   []suite
}

// edit replaces a text that is in a file exactly once.
type edit struct{ file, old, new string }

// suite is some tests of one package.
type suite struct{ dir, run string }

// Where the suites are.
const (
	inRunner    = "./runner"
	inServer    = "./server"
	inSession   = "./transport/session"
	inScheduler = "./scheduler"
	inFSM       = "./fsm"
	inRelay     = "./transport/peer"
)

var mutants = []mutant{
	{
		"the runner does not fence its actors",
		[]edit{{"runner/fence.go", "		l.fenceUntil(now, a, ErrLeaseLost, abandonAt)\n", "		_, _ = a, abandonAt\n"}},
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
		[]suite{{inRunner, "^TestStuckCodeIsAbandonedAtEightyFivePercent$"}, {inRunner, "^TestStuckCodeEndsTheProcess$"}},
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
		[]edit{{"runner/commands.go", "	case !l.lease.valid(now):\n", "	case false:\n"}},
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
		[]edit{{"runner/lease.go", "	l.smallest = min(announced, b.threshold)\n", "	l.smallest = announced\n"}},
		[]suite{{inRunner, "^TestLeaseUsesTheSmallestThresholdThatMayHold$"}},
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
		[]edit{{"fsm/runner.go", "	if tx.seen.Get(r.Number) != op.GetLastSeenMs() || tx.clockMs < r.lostMs(op.GetLastSeenMs()) {\n		return refuse(CodeStale)\n	}\n", ""}},
		[]suite{{inFSM, "^TestStateAgainstModel$"}},
	},
	{
		"Do takes a verdict on another session",
		[]edit{{"fsm/runner.go", "func (tx *Tx) markLost(op *logv1.MarkLost) Result {\n	r, res := tx.runnerInSession(op.GetRunnerId(), op.GetSessionId())\n", "func (tx *Tx) markLost(op *logv1.MarkLost) Result {\n	r, res := tx.liveRunner(op.GetRunnerId())\n"}},
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
			{"fsm/runner.go", "	if tx.VerdictHeld(r) || op.GetUntilMs()", "	if op.GetUntilMs()"},
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
		[]edit{{"fsm/candidate.go", "		if s.SilentMs(r) < s.EligibleThresholdMs(r) && !yield(r) {\n", "		if !yield(r) {\n"}},
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
		[]suite{{inRelay, "^TestReportsAreGivenBackWhenThisNodeLeads$"}, {inServer, "^TestHolderBecomesLeader$"}},
	},
}

// Every mutant still fits the code. Whether its tests go red takes a while, and is tried by `make mutants`, which sets CALLBOARD_MUTANTS
// to the beginning of a name, or to "all".
func TestMutantsAreCaught(t *testing.T) {
	chosen := os.Getenv("CALLBOARD_MUTANTS")
	tried := 0
	for _, m := range mutants {
		files, err := m.files()
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if chosen == "" || chosen != "all" && !strings.HasPrefix(m.name, chosen) {
			continue
		}
		tried++
		t.Run(m.name, func(t *testing.T) { m.try(t, files) })
	}
	switch {
	case chosen == "":
		t.Logf("!!! SKIPPED: whether the tests of %d mutants go red is not tried: run `make mutants`", len(mutants))
	case tried == 0:
		t.Errorf("CALLBOARD_MUTANTS=%s: no mutant begins like that", chosen)
	}
}

// files returns the changed files.
func (m mutant) files() (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, known := changed[e.file]
		if !known {
			original, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(original)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times what it would change:\n%s\nchange the mutant with the code", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// try runs the suites on the changed code. It changes no file of the tree: the compiler is shown others in their place.
func (m mutant) try(t *testing.T, files map[string]string) {
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range files {
		original, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[original] = changed
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range m.red {
		if red, output := s.goesRed(t.Context(), list); !red {
			t.Errorf("%s %s does not fail:\n%s", s.dir, s.run, output)
		}
	}
}

// goesRed tells whether the tests were built, ran and failed.
func (s suite) goesRed(ctx context.Context, overlay string) (bool, string) {
	output, err := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-count=1", "-timeout=10m", "-run", s.run, s.dir).CombinedOutput()
	failed := (*exec.ExitError)(nil)
	return errors.As(err, &failed) && strings.Contains(string(output), "--- FAIL: Test"), string(output)
}
