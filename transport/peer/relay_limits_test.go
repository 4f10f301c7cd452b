package peer

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

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
