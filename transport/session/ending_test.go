package session

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func TestANewerSessionEndsTheOlder(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		old, w, refs := startedOn(t, e, host, 2)
		fresh := dial(t, host)
		fresh.hello(running(refs...))
		if err := old.wantEnd("session.superseded", false); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		got := fresh.heard()
		if len(got) != 2 || !got[0].GetWelcome().GetResumed() || got[0].GetWelcome().GetRunnerId() != w.GetRunnerId() {
			t.Fatalf("heard %v, want to resume", got)
		}
		if d := got[1].GetDesired(); len(d.GetStart())+len(d.GetStop()) != 0 {
			t.Errorf("told %v although all is as it should be", d)
		}
		time.Sleep(10 * time.Second)
		if n := e.reported(isBroken); n != 0 || !e.headRunner(w.GetRunnerId()).Connected {
			t.Error("the older stream reported the runner broken")
		}
		fresh.wantOpen()
	})
}

func TestAReplacedRunnerStaysToConfirmItsStops(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		old, _, refs := startedOn(t, e, host, 2)
		fresh, _ := welcomed(t, host, instance(2))
		got := old.heard()
		if n := len(stops(got)); n != 2 || stops(got)[0].GetReason() != callboardv1.StopReason_STOP_REASON_REPLACED {
			t.Fatalf("heard %v, want two stops", got)
		}
		if notice := got[0].GetDrainNotice(); notice.GetCause() != callboardv1.DrainCause_DRAIN_CAUSE_REPLACED {
			t.Errorf("heard %v, want the drain first", got[0])
		}
		old.tell(stopped(refs[0]))
		old.wantOpen()
		if n := len(starts(fresh.heard())); n != 1 {
			t.Errorf("%d starts elsewhere after one confirmed stop, want 1", n)
		}
		old.tell(stopped(refs[1]))
		_ = old.wantEnd("session.replaced", false)
		if n := len(starts(fresh.heard())); n != 1 {
			t.Errorf("%d starts elsewhere after the other confirmed stop, want 1", n)
		}
		if n := e.reported(isBroken); n != 0 {
			t.Error("a replaced runner that has ended is reported broken")
		}
	})
}

func TestALostRunnerIsToldToComeBack(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		time.Sleep(14900 * time.Millisecond)
		c.wantOpen()
		time.Sleep(2200 * time.Millisecond)
		_ = c.wantEnd("session.lost", true)
		if n := e.reported(isBroken); n != 0 {
			t.Error("a lost runner is reported broken")
		}
		again, w2 := welcomed(t, host)
		if w2.GetRunnerId() == w.GetRunnerId() || w2.GetResumed() {
			t.Errorf("the lost runner resumed: %v", w2)
		}
		again.wantOpen()
	})
}

func TestABrokenStreamIsReportedUntilALeaderKnows(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		e.set(func(e *engine) { e.leaderless = true })
		c.cut()
		time.Sleep(8 * time.Second)
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(4 * time.Second)
		<-c.ended
		if e.headRunner(w.GetRunnerId()).Connected || e.reported(isBroken) != 1 {
			t.Errorf("reported broken %d times, want once", e.reported(isBroken))
		}
		if !errors.Is(c.result, errCut) {
			t.Errorf("Serve returned %v", c.result)
		}
	})
}

func TestAGoodbyeComesBehindTheLastEvents(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, refs := startedOn(t, e, host, 2)
		e.set(func(e *engine) { e.delay = 200 * time.Millisecond })
		c.events += 2
		c.offer(batch(2, stopped(refs[0])))
		c.offer(batch(3, stopped(refs[1])))
		c.goodbye()
		close(c.pipe.up) // as the runner library does
		time.Sleep(300 * time.Millisecond)
		c.wantOpen()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		<-c.ended
		if c.result != nil {
			t.Errorf("Serve returned %v, want a clean end", c.result)
		}
		if r := e.headRunner(w.GetRunnerId()); r.End != fsm.EndStopped || r.Held != 0 {
			t.Errorf("the leader has %+v, want a stopped runner", r)
		}
		if e.reported(isGoodbye) != 1 || e.reported(isBroken) != 0 || e.reported(isEvents) != 3 {
			t.Errorf("%d goodbyes, %d broken, %d events", e.reported(isGoodbye), e.reported(isBroken), e.reported(isEvents))
		}
		for _, m := range c.heard() {
			if m.GetDisconnect() != nil {
				t.Errorf("heard %v after a goodbye", m)
			}
		}
	})
}

func TestAGoodbyeReachesTheLeaderThoughTheRunnerHasGone(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, refs := startedOn(t, e, host, 2)
		e.set(func(e *engine) { e.leaderless = true })
		c.tell(stopped(refs[0]))
		c.tell(stopped(refs[1]))
		c.goodbye()
		c.cut()
		time.Sleep(5 * time.Second)
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(8 * time.Second)
		<-c.ended
		if r := e.headRunner(w.GetRunnerId()); r.End != fsm.EndStopped || e.reported(isEvents) != 3 {
			t.Errorf("the leader has %+v and %d batches of events, want a stopped runner and 3", r, e.reported(isEvents))
		}
	})
}

func TestAShutdownOfTheRunnerIsReported(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, _ := startedOn(t, e, host, 2)
		e.set(func(e *engine) { e.leaderless = true })
		c.say(&callboardv1.ConnectRequest{Message: &callboardv1.ConnectRequest_Draining{Draining: &callboardv1.Draining{DeadlineMs: 60_000}}})
		time.Sleep(2 * time.Second)
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(3 * time.Second)
		got := c.heard()
		notice := got[0].GetDrainNotice()
		if notice.GetCause() != callboardv1.DrainCause_DRAIN_CAUSE_SHUTDOWN || notice.GetDeadlineMs() > 58_000 || notice.GetDeadlineMs() < 54_000 {
			t.Errorf("heard %v, want what is left of 60 s", got[0])
		}
		if len(stops(got)) != 2 || e.headRunner(w.GetRunnerId()).Drain.Cause != fsm.DrainShutdown || e.reported(isDraining) != 1 {
			t.Errorf("heard %v, want two stops", got)
		}
	})
}

func TestDrainsOfOtherCausesAreToldAsTheyChange(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, _ := startedOn(t, e, host, 1)
		for _, cause := range []fsm.DrainCause{fsm.DrainURLChanged, fsm.DrainOperator} {
			e.do(startDrain(w.GetRunnerId(), cause))
			wantNotice(t, c, callboardv1.DrainCause(cause), false)
		}
	})
}

// A newer version comes: the runner is told, gives up its actor, and hears that it is drained when the stop is confirmed; once.
func TestARunnerHearsThatItIsDrained(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, refs := startedOn(t, e, host, 1)
		e.do(newerRunner(e.headRunner(w.GetRunnerId())))
		e.set(func(e *engine) { e.unfinished = true }) // the scheduler did not see it come
		e.nudge()
		got := c.heard()
		if n := got[0].GetDrainNotice(); n.GetCause() != callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION || n.GetDrained() {
			t.Errorf("heard %v, want a drain", got)
		}
		if s := stops(got); len(s) != 1 || s[0].GetReason() != callboardv1.StopReason_STOP_REASON_EVICT {
			t.Errorf("heard %v, want a stop", got)
		}
		ref := fsm.Ref{Actor: fsm.ActorID(mustID(refs[0].GetActorId())), Generation: refs[0].GetGeneration()}
		if e.Current().AwaitsReceipt(ref) {
			t.Error("the eviction was acknowledged, and the leader has not heard of it")
		}
		c.tell(stopped(refs[0]))
		wantNotice(t, c, callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION, true)
		stray := &callboardv1.ActorRef{ActorId: testID(77).String(), Generation: 1} // it holds a slot for a while
		c.tell(runs(stray))
		c.tell(stopped(stray))
		c.heartbeat()
		time.Sleep(2 * time.Second)
		for _, m := range c.heard() {
			if m.GetDrainNotice() != nil {
				t.Errorf("heard %v again", m)
			}
		}
	})
}

func wantNotice(t *testing.T, c *client, cause callboardv1.DrainCause, drained bool) {
	t.Helper()
	got := c.heard()
	n := got[0].GetDrainNotice()
	if n.GetCause() != cause || n.GetDrained() != drained || n.GetCancelled() || n.GetDeadlineMs() != 0 {
		t.Errorf("heard %v, want cause %v, drained %v", got, cause, drained)
	}
}

func startDrain(runner string, cause fsm.DrainCause) *logv1.Op {
	id := mustID(runner)
	return &logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id[:], Cause: uint32(cause)}}}
}

// newerRunner registers one of a newer version beside a runner, in a pool that drains.
func newerRunner(r *fsm.Runner) (*logv1.Op, *logv1.Op) {
	id := testID(900)
	return &logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: r.Pool.Namespace[:], Name: r.Pool.Name, Config: &logv1.PoolConfig{}}}},
		&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
			RunnerId: id[:], NamespaceId: r.Pool.Namespace[:], Pool: r.Pool.Name, Key: "newer", InstanceId: id[:], SessionId: id[:],
			Holder: "elsewhere", Version: r.Version + 1, Slots: 10, ThresholdMs: 15_000,
		}}}
}

func mustID(text string) fsm.ID {
	id, err := fsm.ParseID(text)
	if err != nil {
		panic(err)
	}
	return id
}
