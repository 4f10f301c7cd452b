package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// compass is a fake Leaders and Views.
type compass struct {
	mu      sync.Mutex
	address string
	changed chan struct{}
	index   uint64
	moved   chan struct{}
}

func newCompass(address string) *compass {
	return &compass{address: address, changed: make(chan struct{}), index: 1 << 60, moved: make(chan struct{})}
}

func (c *compass) Leader() (string, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.address, c.changed
}

func (c *compass) point(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.address = address
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *compass) WaitIndex(ctx context.Context, index uint64) error {
	for {
		c.mu.Lock()
		reached, moved := c.index >= index, c.moved
		c.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *compass) setIndex(index uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = index
	close(c.moved)
	c.moved = make(chan struct{})
}

// desk is a fake leader's loop that keeps what it was told and answers when the test says so.
type desk struct {
	loop
	mu       sync.Mutex
	node     string
	messages [][]string // the sessions of each message
	waiting  []func(index uint64, unknown bool)
	refuse   error
	gate     chan struct{} // when set, Relay waits for it
}

func newDesk() *desk {
	d := &desk{}
	d.relay = d.take
	return d
}

func (d *desk) take(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error {
	if d.gate != nil {
		select {
		case <-d.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	d.node = node
	var names []string
	for _, report := range reports {
		names = append(names, string(report.GetSessionId()))
		d.waiting = append(d.waiting, func(index uint64, unknown bool) {
			answer(index, []*nodev1.SessionAnswer{{Tag: report.GetTag(), SessionId: report.GetSessionId(), Unknown: unknown}})
		})
	}
	d.messages = append(d.messages, names)
	return nil
}

// answer answers the first n reports that wait.
func (d *desk) answer(n int, index uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, answer := range d.waiting[:n] {
		answer(index, false)
	}
	d.waiting = d.waiting[n:]
}

func (d *desk) got() (all []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, message := range d.messages {
		all = append(all, message...)
	}
	return all
}

// office is one node's relay with what it has been answered.
type office struct {
	t     *testing.T
	relay *Relay
	stop  func()

	mu      sync.Mutex
	answers []string
}

func newOffice(t *testing.T, town *town, compass *compass) *office {
	o := &office{t: t, relay: NewRelay(town.client(), "n9", compass, compass, quiet)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.relay.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(o.stop)
	synctest.Wait()
	return o
}

func (o *office) note(name string) func(*nodev1.SessionAnswer) {
	return func(answer *nodev1.SessionAnswer) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if answer.GetUnknown() {
			name += "?"
		}
		o.answers = append(o.answers, name)
	}
}

func report(session string) *nodev1.SessionReport {
	return &nodev1.SessionReport{SessionId: []byte(session)}
}

func (o *office) report(names ...string) {
	o.t.Helper()
	for _, name := range names {
		if err := o.relay.Report(o.t.Context(), report(name), o.note(name)); err != nil {
			o.t.Fatal(err)
		}
	}
}

func (o *office) expect(want ...string) {
	o.t.Helper()
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.answers, want) {
		o.t.Fatalf("answered %q, want %q", o.answers, want)
	}
}

// pass lets time pass, and everything come to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (d *desk) expect(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if got := d.got(); !slices.Equal(got, want) {
		t.Fatalf("the leader got %q, want %q", got, want)
	}
}

func TestReportsAreAnsweredInTheLeadersOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		office.report("a", "b", "c")
		desk.expect(t, "a", "b", "c")
		if desk.node != "n9" {
			t.Fatalf("from node %q", desk.node)
		}
		slices.Reverse(desk.waiting)
		desk.answer(3, 5)
		office.expect("c", "b", "a")
		office.stop()
	})
}

// While one message is under way the next reports gather; a message holds at most 1 000, and at most a mebibyte.
func TestReportsGatherWhileOneMessageIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		compass := newCompass("")
		office := newOffice(t, town, compass)
		for i := range 2500 {
			office.report(fmt.Sprint(i))
		}
		big := strings.Repeat("x", 600<<10)
		office.report(big, big, strings.Repeat("y", 2<<20), "last")
		compass.point("n1:1")
		pass(time.Second)
		var sizes []int
		for _, message := range desk.messages {
			sizes = append(sizes, len(message))
		}
		if want := []int{1000, 1000, 501, 1, 1, 1}; !slices.Equal(sizes, want) {
			t.Fatalf("messages of %v reports, want %v", sizes, want)
		}
		desk.answer(2504, 1)
		synctest.Wait()
		if len(office.answers) != 2504 || office.answers[1234] != "1234" {
			t.Fatalf("%d answers", len(office.answers))
		}
		office.stop()
	})
}

func TestAnAnswerWaitsForTheView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		compass := newCompass("n1:1")
		compass.setIndex(10)
		office := newOffice(t, town, compass)
		office.report("a", "b", "c")
		synctest.Wait()
		desk.answer(1, 10)
		desk.answer(1, 12)
		desk.answer(1, 12)
		pass(time.Minute)
		office.expect("a")
		compass.setIndex(11)
		office.expect("a")
		compass.setIndex(12)
		office.expect("a", "b", "c")
		office.stop()
	})
}

func TestALeaderChangeLeavesNothingWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, first, second := newTown(t), newDesk(), newDesk()
		defer town.serve("n1:1", first)()
		defer town.serve("n2:1", second)()
		compass := newCompass("n1:1")
		office := newOffice(t, town, compass)
		office.report("a", "b", "c")
		synctest.Wait()
		first.answer(1, 1)
		office.expect("a")
		compass.point("n2:1")
		office.expect("a", "b?", "c?")
		office.report("d")
		second.expect(t, "d")
		first.answer(2, 2) // too late: on a stream that is gone
		second.answer(1, 3)
		office.expect("a", "b?", "c?", "d")
		office.stop()
	})
}

func TestReportsWaitWhileNobodyLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		compass := newCompass("n1:1")
		office := newOffice(t, town, compass)
		office.report("a")
		desk.expect(t, "a")
		compass.point("")
		office.expect("a?")
		office.report("b", "c")
		pass(time.Hour)
		office.expect("a?")
		compass.point("n1:1")
		desk.expect(t, "a", "b", "c")
		office.stop()
		office.expect("a?", "b?", "c?")
	})
}

// A session that sends again at once, in reply to unknown, keeps its order: what was queued behind the break does not overtake.
func TestABrokenStreamIsReplacedAndOrderIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		var send func(name string, bytes int)
		send = func(name string, bytes int) {
			out := report(name)
			out.RunnerId = make([]byte, bytes)
			if err := office.relay.Report(t.Context(), out, func(answer *nodev1.SessionAnswer) {
				office.note(name)(answer)
				if answer.GetUnknown() {
					send(name+"'", 0)
				}
			}); err != nil {
				t.Error(err)
			}
		}
		gate := make(chan struct{})
		desk.gate = gate // the leader's loop is busy: the first messages fill the pipe, the others queue
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			send(name, 2<<20)
			synctest.Wait()
		}
		if len(office.relay.inbox) == 0 {
			t.Fatal("nothing is queued: the test shows nothing")
		}
		town.hangUp("n1:1")
		synctest.Wait()
		close(gate)
		office.expect("a?", "b?", "c?", "d?", "e?", "f?")
		pass(2 * time.Second)
		desk.expect(t, "a'", "b'", "c'", "d'", "e'", "f'")
		desk.answer(6, 1)
		office.expect("a?", "b?", "c?", "d?", "e?", "f?", "a'", "b'", "c'", "d'", "e'", "f'")
		office.stop()
	})
}

// Someone who does not lead is asked again and again, but not in a tight loop.
func TestANodeThatDoesNotLeadIsNotFlooded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		desk.refuse = ErrNotLeader
		calls := 0
		desk.relay = func(ctx context.Context, node string, reports []*nodev1.SessionReport, answer func(uint64, []*nodev1.SessionAnswer)) error {
			calls++
			return desk.take(ctx, node, reports, answer)
		}
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		for range 600 {
			if err := office.relay.Report(t.Context(), report("a"), func(*nodev1.SessionAnswer) {}); err != nil {
				t.Fatal(err)
			}
			pass(100 * time.Millisecond)
		}
		if calls < 50 || calls > 80 { // in a minute
			t.Fatalf("asked %d times in a minute", calls)
		}
		office.stop()
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		office := newOffice(t, newTown(t), newCompass(""))
		answered := 0
		count := func(*nodev1.SessionAnswer) { answered++ }
		for range maxQueued {
			if err := office.relay.Report(t.Context(), report("a"), count); err != nil {
				t.Fatal(err)
			}
		}
		if err := office.relay.Report(t.Context(), report("a"), count); !errors.Is(err, callboardv1.ErrOverloaded) {
			t.Fatalf("one report too many: %v", err)
		}
		office.stop()
		if answered != maxQueued || office.relay.queued.Load() != 0 {
			t.Fatalf("%d answered, %d bytes left", answered, office.relay.queued.Load())
		}
		if err := office.relay.Report(t.Context(), report("a"), count); !errors.Is(err, ErrUnreachable) {
			t.Fatalf("after the end: %v", err)
		}
	})
}

func TestTheQueueIsBoundedByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		office := newOffice(t, newTown(t), newCompass(""))
		huge := strings.Repeat("x", maxQueuedBytes/4)
		office.report(huge, huge, huge)
		for _, name := range []string{huge, strings.Repeat(huge, 4)} {
			err := office.relay.Report(t.Context(), report(name), func(*nodev1.SessionAnswer) {})
			if refusal, ok := callboardv1.AsRefusal(err); !ok || refusal.GetCode() != map[bool]string{true: "overloaded", false: "payload_too_large"}[name == huge] {
				t.Fatalf("%d bytes: %v", len(name), err)
			}
		}
		office.report("small")
		office.stop()
	})
}

// A leader that takes reports and answers none gets at most so many.
func TestOutstandingReportsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		accepted := 0
		for range 3 * maxQueued {
			if err := office.relay.Report(t.Context(), report("a"), office.note("a")); err == nil {
				accepted++
			}
			if accepted%100 == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		taken := len(desk.got())
		if taken < maxOutstanding || taken > maxOutstanding+maxBatchReports || accepted != taken+maxQueued {
			t.Fatalf("%d accepted, %d sent", accepted, taken)
		}
		for range accepted/1000 + 2 {
			desk.answer(min(1000, len(desk.waiting)), 1)
			synctest.Wait()
		}
		if len(office.answers) != accepted {
			t.Fatalf("%d of %d answered", len(office.answers), accepted)
		}
		office.stop()
	})
}

func TestAWithdrawnReportIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		compass := newCompass("")
		office := newOffice(t, town, compass)
		ctx, cancel := context.WithCancel(t.Context())
		for name, ctx := range map[string]context.Context{"gone": ctx, "here": t.Context()} {
			if err := office.relay.Report(ctx, report(name), office.note(name)); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		compass.point("n1:1")
		desk.expect(t, "here")
		office.expect("gone?")
		office.stop()
	})
}

// A node whose View stands still reads no answers; the leader's loop does not notice.
func TestAStuckNodeHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		compass := newCompass("n1:1")
		compass.setIndex(0)
		stuck, well := newOffice(t, town, compass), newOffice(t, town, newCompass("n1:1"))
		for range maxOutstanding {
			stuck.report("a")
		}
		synctest.Wait()
		desk.answer(maxOutstanding, 1)
		well.report("b")
		synctest.Wait()
		desk.answer(1, 2)
		well.expect("b")
		stuck.expect()
		compass.setIndex(1)
		synctest.Wait()
		if len(stuck.answers) != maxOutstanding {
			t.Fatalf("%d answers", len(stuck.answers))
		}
		stuck.stop()
		well.stop()
	})
}

func TestADeadConnectionIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		office.report("a")
		desk.expect(t, "a")
		town.freeze("n1:1")
		pass(pingEvery + pingTimeout + time.Second)
		office.expect("a?")
		office.report("b")
		desk.expect(t, "a", "b") // over a new connection
		office.stop()
	})
}

func TestAnIdleStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		office.report("a")
		pass(time.Hour)
		desk.answer(1, 1)
		office.expect("a")
		office.stop()
	})
}

// A leader that was deposed while it held reports answers unknown itself; the stream stays.
func TestUnknownFromTheLeaderIsPassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town, desk := newTown(t), newDesk()
		defer town.serve("n1:1", desk)()
		office := newOffice(t, town, newCompass("n1:1"))
		office.report("a")
		synctest.Wait()
		desk.waiting[0](1, true)
		office.expect("a?")
		office.stop()
	})
}
