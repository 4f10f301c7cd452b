package peer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

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

// When the relay's own node comes to lead nobody will ever fetch what waits here: it is given back, and so is what comes late.
func TestReportsAreGivenBackWhenThisNodeLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		compass := newCompass("")
		office := newOffice(t, town, compass)
		office.report("a", "b")
		pass(time.Minute)
		office.expect()
		compass.pointHere()
		office.expect("a?", "b?")
		office.report("c")
		office.expect("a?", "b?", "c?")
		compass.point("")
		office.report("d")
		pass(time.Minute)
		office.expect("a?", "b?", "c?")
		office.stop()
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
