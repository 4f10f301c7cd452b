package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

func contextWithTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(context.Background(), d)
}

func TestWhatShouldRunFollowsTheView(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		e.create("counter", []byte("from 7"))
		got := c.heard()
		if len(got) != 1 || len(starts(got)) != 1 {
			t.Fatalf("heard %v, want one start", got)
		}
		start := starts(got)[0]
		if start.GetName() != "counter" || string(start.GetInput()) != "from 7" || start.GetRef().GetGeneration() != 1 || start.GetCreateUnixMs() == 0 {
			t.Errorf("start %v", start)
		}
		if d := got[0].GetDesired(); d.GetSeq() != 2 || d.GetComplete() {
			t.Errorf("increment %v, want seq 2", d)
		}
		c.tell(runs(start.GetRef()))
		if got := c.heard(); len(got) != 1 || got[0].GetEventsAck().GetSeq() != 1 || len(got[0].GetEventsAck().GetRefused()) != 0 {
			t.Fatalf("heard %v, want an acknowledgement", got)
		}
		e.sleep(start.GetRef().GetActorId())
		got = c.heard()
		if len(stops(got)) != 1 || stops(got)[0].GetReason() != callboardv1.StopReason_STOP_REASON_SLEEP || stops(got)[0].GetTimeoutMs() != 30_000 {
			t.Fatalf("heard %v, want a stop for sleep", got)
		}
		// Another reason for the same stop is not another stop.
		e.destroy(start.GetRef().GetActorId())
		if got := c.heard(); len(got) != 0 {
			t.Errorf("heard %v: the stop was told before", got)
		}
		c.tell(stopped(start.GetRef()))
		if got := c.heard(); len(got) != 1 || got[0].GetEventsAck().GetSeq() != 2 {
			t.Errorf("heard %v, want an acknowledgement", got)
		}
	})
}

func TestRefusedEventsAreNamed(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, _, refs := startedOn(t, e, host, 1)
		save := func(ref *callboardv1.ActorRef) *callboardv1.ActorEvent {
			return &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Save{Save: &callboardv1.SaveEvent{State: []byte("7")}}}
		}
		c.tell(save(refs[0]), save(&callboardv1.ActorRef{ActorId: refs[0].GetActorId(), Generation: 9}))
		got := c.heard()
		refused := got[0].GetEventsAck().GetRefused()
		if len(refused) != 1 || refused[0].GetPosition() != 1 || refused[0].GetError().GetCode() != "stale_generation" {
			t.Errorf("heard %v, want the second event refused", got)
		}
	})
}

// Whoever holds a lease has received every command of the View that has its heartbeat.
func TestAcknowledgementsComeBehindTheCommands(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		for i := range 20 { // the order of two wake-ups at once is chance
			c, _ := welcomed(t, host, key(fmt.Sprint("key-", i)), instance(uint64(200+i)))
			time.Sleep(1500 * time.Millisecond)
			e.set(func(e *engine) { e.lagging = true })
			c.heartbeat()
			e.create("counter", nil)
			time.Sleep(500 * time.Millisecond)
			if got := c.heard(); len(got) != 0 {
				t.Fatalf("heard %v of a View that is not there", got)
			}
			e.set(func(e *engine) { e.lagging = false })
			got := c.heard()
			if len(got) != 2 || len(got[0].GetDesired().GetStart()) != 1 || got[1].GetHeartbeatAck().GetSeq() != 1 || got[1].GetHeartbeatAck().GetLostThresholdMs() != 15_000 {
				t.Fatalf("heard %v, want the start and then the acknowledgement", got)
			}
			c.cut()
			time.Sleep(20 * time.Second)
		}
	})
}

func TestOfHeartbeatsThatWaitOnlyTheLatestCounts(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		time.Sleep(2 * time.Second)
		e.set(func(e *engine) { e.delay = time.Second })
		for range 5 {
			c.heartbeat()
		}
		time.Sleep(5 * time.Second)
		var seqs []uint64
		for _, m := range c.heard() {
			seqs = append(seqs, m.GetHeartbeatAck().GetSeq())
		}
		if !slices.Equal(seqs, []uint64{1, 5}) {
			t.Errorf("acknowledged %v, want 1 and 5", seqs)
		}
	})
}

func TestAHeartbeatOutlastsAnElection(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		time.Sleep(2 * time.Second)
		e.set(func(e *engine) { e.leaderless = true })
		c.heartbeat()
		time.Sleep(time.Second)
		if got := c.heard(); len(got) != 0 {
			t.Fatalf("heard %v without a leader", got)
		}
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(2 * time.Second)
		if got := c.heard(); len(got) != 1 || got[0].GetHeartbeatAck().GetSeq() != 1 {
			t.Errorf("heard %v after the election, want the acknowledgement", got)
		}
		// One older than the interval is not made again: a runner that fell silent must not live on.
		e.set(func(e *engine) { e.leaderless = true })
		c.heartbeat()
		time.Sleep(3500 * time.Millisecond)
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(4 * time.Second)
		if got := c.heard(); len(got) != 0 {
			t.Errorf("heard %v: the heartbeat was too old", got)
		}
	})
}

func TestEventsOutlastAnElectionInTheirOrder(t *testing.T) {
	for name, trouble := range map[string]func(e *engine, on bool){
		"no leader":  func(e *engine, on bool) { e.leaderless = on },
		"overloaded": func(e *engine, on bool) { e.overloaded = on },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c, _ := welcomed(t, host)
				e.create("counter", nil)
				e.create("counter", nil)
				refs := starts(c.heard())
				e.set(func(e *engine) { trouble(e, true) })
				c.tell(runs(refs[0].GetRef()))
				c.tell(runs(refs[1].GetRef()))
				time.Sleep(3 * time.Second)
				c.wantOpen()
				e.set(func(e *engine) { trouble(e, false) })
				time.Sleep(5 * time.Second)
				var acked []uint64
				for _, m := range c.heard() {
					acked = append(acked, m.GetEventsAck().GetSeq())
				}
				if !slices.Equal(acked, []uint64{1, 2}) || e.Current().Count(fsm.Running) != 2 {
					t.Errorf("acknowledged %v, %d run; want 1 and 2", acked, e.Current().Count(fsm.Running))
				}
			})
		})
	}
}

func TestAGapOrARepeatEndsTheStream(t *testing.T) {
	for _, seqs := range [][]uint64{{2}, {0}, {1, 1}, {1, 3}} {
		t.Run(fmt.Sprint(seqs), func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c, w := welcomed(t, host)
				for _, seq := range seqs {
					c.say(batch(seq))
				}
				if err := c.wantEnd("session.sequence_gap", true); !errors.Is(err, callboardv1.Refuse("session", "sequence_gap", "")) {
					t.Errorf("Serve returned %v, want a status", err)
				}
				if e.headRunner(w.GetRunnerId()).Connected || e.reported(isBroken) != 1 {
					t.Error("the end of the stream is not reported once")
				}
			})
		})
	}
}

func TestAMalformedMessageEndsTheStream(t *testing.T) {
	ref := &callboardv1.ActorRef{ActorId: testID(9).String(), Generation: 1}
	many := make([]*callboardv1.ActorEvent, 1_001)
	for i := range many {
		many[i] = runs(ref)
	}
	tests := map[string]*callboardv1.ConnectRequest{
		"nothing":          {},
		"an empty oneof":   {Message: &callboardv1.ConnectRequest_Events{}},
		"a second Hello":   helloMessage(testHello()),
		"too many events":  batch(1, many...),
		"a nil event":      batch(1, nil),
		"an empty event":   batch(1, &callboardv1.ActorEvent{Ref: ref}),
		"an event of none": batch(1, runs(nil)),
		"a bad id":         batch(1, runs(&callboardv1.ActorRef{ActorId: "0190a1b2"})),
		"a state too large": batch(1, &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Save{
			Save: &callboardv1.SaveEvent{State: make([]byte, 64<<10+1)},
		}}),
		"a message too long": batch(1, &callboardv1.ActorEvent{Ref: ref, Event: &callboardv1.ActorEvent_Stopped{
			Stopped: &callboardv1.StoppedEvent{Message: string(make([]byte, 1025))},
		}}),
		"a receipt of nothing": {Message: &callboardv1.ConnectRequest_CommandsAck{CommandsAck: &callboardv1.CommandsAck{Seq: 7}}},
	}
	for name, m := range tests {
		t.Run(name, func(t *testing.T) {
			inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
				c, _ := welcomed(t, host)
				c.say(m)
				code := "session.bad_message"
				if name == "an empty oneof" {
					code = "session.sequence_gap" // a batch without a seq
				}
				_ = c.wantEnd(code, true)
				if c.result == nil {
					t.Error("Serve returned nil, want a status")
				}
			})
		})
	}
}

// A runner that says more than the leader takes is not read any further.
func TestAFullBacklogIsNotReadFurther(t *testing.T) {
	inBubble(t, Config{MaxBacklog: 3}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		e.set(func(e *engine) { e.leaderless = true })
		sent := make(chan int, 100)
		go func() {
			for seq := range uint64(50) {
				c.offer(batch(seq + 1))
				sent <- 1
			}
		}()
		synctest.Wait()
		// 3 in the backlog, 8 in the inbox, 1 in the reader's hand, 1 on the wire
		if len(sent) != 13 {
			t.Errorf("%d batches were read, want 13", len(sent))
		}
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(3 * time.Second)
		if acks := c.heard(); len(acks) != 50 || acks[49].GetEventsAck().GetSeq() != 50 {
			t.Errorf("%d acknowledgements, want 50", len(acks))
		}
	})
}

func TestARunnerThatTakesNothingIsCutOff(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		resume := c.stopListening()
		for range 5 {
			e.create("counter", nil)
			synctest.Wait()
		}
		time.Sleep(9900 * time.Millisecond)
		c.wantOpen()
		time.Sleep(200 * time.Millisecond)
		<-c.ended
		if !errors.Is(c.result, callboardv1.Refuse("session", "slow_reader", "")) {
			t.Errorf("Serve returned %v, want slow_reader", c.result)
		}
		if e.headRunner(w.GetRunnerId()).Connected || e.reported(isBroken) != 1 {
			t.Error("the end of the stream is not reported once")
		}
		resume()
	})
}

func TestARunnerThatAcknowledgesNothingIsCutOff(t *testing.T) {
	inBubble(t, Config{MaxUnacked: 4}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		c.mu.Lock()
		c.mute = true
		c.mu.Unlock()
		for range 6 {
			e.create("counter", nil)
			synctest.Wait()
		}
		if n := len(starts(c.heard())); n != 4 {
			t.Fatalf("%d starts without a receipt, want 4", n)
		}
		time.Sleep(1500 * time.Millisecond)
		c.heartbeat()
		time.Sleep(8400 * time.Millisecond)
		if got := c.heard(); len(got) != 0 {
			t.Errorf("heard %v: a lease must not be renewed past commands that wait", got)
		}
		c.wantOpen()
		time.Sleep(200 * time.Millisecond)
		_ = c.wantEnd("session.slow_reader", true)
	})
}

func TestCommandsGoOnWhenTheyAreAcknowledged(t *testing.T) {
	inBubble(t, Config{MaxUnacked: 4}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		c.mu.Lock()
		c.mute = true
		c.mu.Unlock()
		for range 10 {
			e.create("counter", nil)
			synctest.Wait()
		}
		if n := len(starts(c.heard())); n != 4 {
			t.Fatalf("%d starts without a receipt, want 4", n)
		}
		time.Sleep(9 * time.Second)
		c.ack(5)
		got := c.heard()
		if n := len(starts(got)); n != 6 || got[0].GetDesired().GetSeq() != 6 {
			t.Errorf("%d starts after the receipt, want the other 6 with seq 6: %v", n, got)
		}
		time.Sleep(30 * time.Second)
	})
}

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
		c, w, refs := startedOn(t, e, host, 1)
		e.set(func(e *engine) { e.leaderless = true })
		c.tell(stopped(refs[0]))
		c.goodbye()
		c.cut()
		time.Sleep(5 * time.Second)
		e.set(func(e *engine) { e.leaderless = false })
		time.Sleep(8 * time.Second)
		<-c.ended
		if r := e.headRunner(w.GetRunnerId()); r.End != fsm.EndStopped || e.reported(isEvents) != 2 {
			t.Errorf("the leader has %+v and %d batches of events, want a stopped runner and 2", r, e.reported(isEvents))
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
		if len(stops(got)) != 2 || e.headRunner(w.GetRunnerId()).DrainCause != fsm.DrainShutdown || e.reported(isDraining) != 1 {
			t.Errorf("heard %v, want two stops", got)
		}
	})
}

func TestDrainsOfOtherCausesAreToldAsTheyChange(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w, refs := startedOn(t, e, host, 1)
		id, _ := fsm.ParseID(w.GetRunnerId())
		drain := func(cause fsm.DrainCause) *logv1.Op {
			return &logv1.Op{Op: &logv1.Op_StartDrain{StartDrain: &logv1.StartDrain{RunnerId: id[:], Cause: uint32(cause)}}}
		}
		want := func(cause callboardv1.DrainCause, drained bool) {
			t.Helper()
			got := c.heard()
			n := got[0].GetDrainNotice()
			if n.GetCause() != cause || n.GetDrained() != drained || n.GetCancelled() || n.GetDeadlineMs() != 0 {
				t.Errorf("heard %v, want cause %v, drained %v", got, cause, drained)
			}
		}
		e.do(drain(fsm.DrainOperator))
		want(callboardv1.DrainCause_DRAIN_CAUSE_OPERATOR, false)
		e.do(drain(fsm.DrainNewerVersion))
		want(callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION, false)
		e.destroy(refs[0].GetActorId())
		c.heard()
		c.tell(stopped(refs[0]))
		want(callboardv1.DrainCause_DRAIN_CAUSE_NEWER_VERSION, true)
		c.heartbeat()
		time.Sleep(2 * time.Second)
		for _, m := range c.heard() {
			if m.GetDrainNotice() != nil {
				t.Errorf("heard %v again", m)
			}
		}
	})
}

func TestOrphansAreToldToStop(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		stray := &callboardv1.ActorRef{ActorId: testID(77).String(), Generation: 3}
		c.tell(runs(stray))
		got := c.heard()
		if len(stops(got)) != 1 || stops(got)[0].GetReason() != callboardv1.StopReason_STOP_REASON_ORPHAN || stops(got)[0].GetRef().GetGeneration() != 3 {
			t.Fatalf("heard %v, want the orphan told to stop", got)
		}
		if held := e.headRunner(w.GetRunnerId()).Held; held != 1 {
			t.Errorf("the orphan holds %d slots, want 1", held)
		}
		c.tell(stopped(stray))
		if held := e.headRunner(w.GetRunnerId()).Held; held != 0 {
			t.Errorf("%d slots are held after the confirmed stop", held)
		}
	})
}

func TestAnAnswerThatRefusesTheSessionEndsIt(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, e *engine, host *Host) {
		c, w := welcomed(t, host)
		e.set(func(e *engine) { e.lagging, e.early = true, true })
		id, _ := fsm.ParseID(w.GetRunnerId())
		e.do(&logv1.Op{Op: &logv1.Op_EndRunner{EndRunner: &logv1.EndRunner{RunnerId: id[:]}}})
		c.tell()
		_ = c.wantEnd("session.ended", true)
		if e.reported(func(*nodev1.SessionReport) bool { return true }) < 2 {
			t.Error("nothing was reported")
		}
	})
}
