package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

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
		e.create([]byte("from 7"))
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
			e.create(nil)
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
				e.create(nil)
				e.create(nil)
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

// A runner that says more than the leader takes is not read any further.
func TestAFullBacklogIsNotReadFurther(t *testing.T) {
	t.Run("by number", func(t *testing.T) { testFullBacklog(t, Config{MaxBacklog: 3}) })
	t.Run("by bytes", func(t *testing.T) { testFullBacklog(t, Config{MaxBacklogBytes: 3 * proto.Size(batch(1).GetEvents())}) })
}

func testFullBacklog(t *testing.T, cfg Config) {
	inBubble(t, cfg, func(t *testing.T, e *engine, host *Host) {
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
			e.create(nil)
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
			e.create(nil)
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
	const input = 1000
	t.Run("by number", func(t *testing.T) { testUnacked(t, Config{MaxUnacked: 4}, nil) })
	t.Run("by bytes", func(t *testing.T) { testUnacked(t, Config{MaxUnackedBytes: 4 * input}, make([]byte, input)) })
}

func testUnacked(t *testing.T, cfg Config, input []byte) {
	inBubble(t, cfg, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		c.mu.Lock()
		c.mute = true
		c.mu.Unlock()
		for range 10 {
			e.create(input)
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
		time.Sleep(5 * time.Second) // past 10 s since the window was full for the first time
		c.wantOpen()
	})
}

// A runner that does not keep up with its commands gets no acknowledgement before it has been told all of them: its lease would say that
// it knows what it does not know.
func TestNoAcknowledgementBeforeTheLastCommand(t *testing.T) {
	inBubble(t, Config{MaxUnacked: 4}, func(t *testing.T, e *engine, host *Host) {
		c, _ := welcomed(t, host)
		c.mu.Lock()
		c.mute = true
		c.mu.Unlock()
		for range 6 {
			e.create(nil)
			synctest.Wait()
		}
		if n := len(starts(c.heard())); n != 4 {
			t.Fatalf("%d starts without a receipt, want 4: the window is not full", n)
		}
		c.heartbeat()
		time.Sleep(5 * time.Second)
		if got := c.heard(); len(got) != 0 {
			t.Fatalf("heard %v before the runner was told everything", got)
		}
		c.ack(5)
		got := c.heard()
		if n := len(starts(got)); n != 2 || got[len(got)-1].GetHeartbeatAck().GetSeq() != 1 {
			t.Errorf("heard %v, want the other 2 starts and then the acknowledgement", got)
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
