package check_test

import (
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
)

// A story is a history with what a check must say about it: part of the sentence of its one finding, or nothing.
type story struct {
	name   string
	events []history.Event
	want   string
}

func tell(t *testing.T, judge func([]history.Event) check.Verdict, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			for i := range s.events {
				if s.events[i].AtNs == 0 {
					s.events[i].AtNs = int64(time.Duration(i+1) * time.Second)
				}
			}
			expect(t, judge(s.events), s.want)
		})
	}
}

func expect(t *testing.T, v check.Verdict, want string) {
	t.Helper()
	if v.Looked == 0 {
		t.Error("nothing was judged")
	}
	switch {
	case want == "" && len(v.Wrong) > 0:
		t.Errorf("found %q in a history that is fine", v.Wrong)
	case want != "" && (len(v.Wrong) != 1 || !strings.Contains(v.Wrong[0], want)):
		t.Errorf("found %q, want one with %q", v.Wrong, want)
	}
}

func at(d time.Duration, e history.Event) history.Event {
	e.AtNs = int64(d)
	return e
}

func start(process, actor string, generation uint64) history.Event {
	return history.Event{Kind: history.BodyStart, Process: process, Actor: actor, Generation: generation}
}

func stopX(process string, generation uint64) history.Event {
	return history.Event{Kind: history.BodyStop, Process: process, Actor: "x", Generation: generation}
}

func done(process string, kind history.Kind) history.Event {
	return history.Event{Kind: kind, Process: process}
}

func TestOneBody(t *testing.T) {
	const grace = 100 * time.Millisecond
	oneBody := func(events []history.Event) check.Verdict { return check.OneBody(events, grace) }
	tell(t, oneBody, []story{
		{"one after the other", []history.Event{start("a", "x", 1), stopX("a", 1), start("b", "x", 2), stopX("b", 2)}, ""},
		{"two actors at once", []history.Event{start("a", "x", 1), start("b", "y", 1)}, ""},
		{"the first goes on", []history.Event{start("a", "x", 1), start("b", "x", 2), stopX("b", 2)}, "ran twice for 1s: generation 1 on a"},
		{"the first ends late", []history.Event{start("a", "x", 1), start("b", "x", 2), stopX("a", 1), stopX("b", 2)}, "ran twice for 1s"},
		{"both go on", []history.Event{start("a", "x", 1), start("b", "x", 2)}, "ran twice"},
		{"within one process", []history.Event{start("a", "x", 1), start("a", "x", 2), stopX("a", 1), stopX("a", 2)}, "ran twice for 1s"},
		{"one life twice in one process", []history.Event{start("a", "x", 1), start("a", "x", 1), stopX("a", 1)}, "ran twice"},
		{"one life in two processes", []history.Event{start("a", "x", 1), start("b", "x", 1), stopX("a", 1), stopX("b", 1)}, "ran twice"},
		{"the third overlaps the first", []history.Event{
			start("a", "x", 1), at(3*time.Second, stopX("b", 2)), start("c", "x", 3), stopX("a", 1),
		}, "ran twice"},
		{"its process was killed", []history.Event{start("a", "x", 1), done("a", history.Killed), start("b", "x", 2)}, ""},
		{"its process ended", []history.Event{start("a", "x", 1), done("a", history.Ended), start("b", "x", 2)}, ""},
		{"another process was killed", []history.Event{start("a", "x", 1), done("c", history.Killed), start("b", "x", 2)}, "ran twice"},
		{"its process was killed too late", []history.Event{start("a", "x", 1), start("b", "x", 2), done("a", history.Killed)}, "ran twice for 1s"},
		{"its process stands still for good", []history.Event{start("a", "x", 1), done("a", history.Frozen), start("b", "x", 2)}, ""},
		{"it fences itself after it stood still", []history.Event{
			start("a", "x", 1), done("a", history.Frozen), start("b", "x", 2),
			at(4*time.Second, done("a", history.Thawed)), at(4*time.Second+grace, stopX("a", 1)),
		}, ""},
		{"it fences itself too late after it stood still", []history.Event{
			start("a", "x", 1), done("a", history.Frozen), start("b", "x", 2),
			at(4*time.Second, done("a", history.Thawed)), at(5*time.Second, stopX("a", 1)), at(9*time.Second, stopX("b", 2)),
		}, "ran twice for 900ms"},
		{"it stood still and went on before", []history.Event{
			start("a", "x", 1), done("a", history.Frozen), done("a", history.Thawed), stopX("a", 1), start("b", "x", 2),
		}, ""},
	})
}

func list(kind history.Kind, call uint64, actors ...history.Actor) history.Event {
	return history.Event{Kind: kind, Op: history.List, Process: "reader", Call: call, Name: "n", Actors: actors}
}

func actor(id string, generation uint64) history.Actor {
	return history.Actor{ID: id, Name: "n", Key: "k" + id, State: history.StateRunning, Generation: generation}
}

func TestGenerationsRise(t *testing.T) {
	tell(t, check.GenerationsRise, []story{
		{"they rise", []history.Event{
			list(history.Invoke, 1), list(history.OK, 1, actor("x", 1)), list(history.Invoke, 2), list(history.OK, 2, actor("x", 3)),
		}, ""},
		{"one falls", []history.Event{
			list(history.Invoke, 1), list(history.OK, 1, actor("x", 2)), list(history.Invoke, 2), list(history.OK, 2, actor("x", 1)),
		}, "with generation 1, after a reading that had shown 2"},
		{"the readings overlap", []history.Event{
			list(history.Invoke, 1), list(history.Invoke, 2), list(history.OK, 1, actor("x", 2)), list(history.OK, 2, actor("x", 1)),
		}, ""},
		{"bodies rise", []history.Event{start("a", "x", 1), start("b", "x", 2), start("b", "y", 1)}, ""},
		{"a body begins again", []history.Event{start("a", "x", 1), start("b", "x", 1)}, "began generation 1 on b, after generation 1 on a"},
		{"an older body begins later", []history.Event{start("a", "x", 2), start("b", "x", 1)}, "began generation 1 on b, after generation 2 on a"},
	})
}

func TestGenerationsMoved(t *testing.T) {
	before := []history.Actor{actor("x", 1), actor("y", 4)}
	onlyX := func(a history.Actor) bool { return a.ID == "x" }
	tests := []struct {
		name  string
		after []history.Actor
		moved func(history.Actor) bool
		want  string
	}{
		{"nothing moved", []history.Actor{actor("y", 4), actor("x", 1)}, nil, ""},
		{"one moved that should not", []history.Actor{actor("y", 4), actor("x", 2)}, nil, "actor x (kx) has generation 2, want 1"},
		{"one went back", []history.Actor{actor("y", 3), actor("x", 1)}, nil, "actor y (ky) has generation 3, want 4"},
		{"one is gone", []history.Actor{actor("x", 1)}, nil, "actor y (ky) is gone"},
		{"one moved", []history.Actor{actor("x", 2), actor("y", 4)}, onlyX, ""},
		{"one did not move", []history.Actor{actor("x", 1), actor("y", 4)}, onlyX, "actor x (kx) has generation 1, want 2"},
		{"one moved twice", []history.Actor{actor("x", 3), actor("y", 4)}, onlyX, "actor x (kx) has generation 3, want 2"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := check.GenerationsUnchanged(before, test.after)
			if test.moved != nil {
				v = check.GenerationsMoved(before, test.after, test.moved)
			}
			expect(t, v, test.want)
		})
	}
}

func wroteX(op history.Op, kind history.Kind) history.Event {
	return history.Event{Op: op, Kind: kind, Process: "c", Name: "n", Key: "kx", Actor: "x"}
}

func TestDurable(t *testing.T) {
	destroyed := actor("x", 1)
	destroyed.State = history.StateDestroyed
	other := actor("x", 1)
	other.Key = "another"
	created := []history.Event{wroteX(history.Create, history.Invoke), wroteX(history.Create, history.OK)}
	ended := append(created[:2:2], wroteX(history.Destroy, history.Invoke), wroteX(history.Destroy, history.OK))
	tests := []struct {
		name   string
		events []history.Event
		final  []history.Actor
		want   string
	}{
		{"it is there", created, []history.Actor{actor("x", 1)}, ""},
		{"it is not there", created, nil, "is not there"},
		{"it is somebody else", append(created[:2:2], history.Event{Op: history.Create, Kind: history.Invoke, Name: "n", Key: "another"}), []history.Actor{other}, "was acknowledged as n kx and is n another"},
		{"unknown, and it is there", []history.Event{wroteX(history.Create, history.Invoke), wroteX(history.Create, history.Unknown)}, []history.Actor{actor("x", 1)}, ""},
		{"nobody asked for it", created, []history.Actor{actor("x", 1), actor("y", 1)}, "actor y (n ky) is there, and all who asked"},
		{"it was refused, and it is there", []history.Event{wroteX(history.Create, history.Invoke), wroteX(history.Create, history.Refused)}, []history.Actor{actor("x", 1)}, "were refused"},
		{"it was refused to one of two", append(created[:2:2], wroteX(history.Create, history.Invoke), wroteX(history.Create, history.Refused)), []history.Actor{actor("x", 1)}, ""},
		{"it has ended", ended, []history.Actor{destroyed}, ""},
		{"it has ended and is forgotten", ended, nil, "is not there"},
		{"it lives on", ended, []history.Actor{actor("x", 1)}, "the end of x was acknowledged to c, and it is running"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { expect(t, check.Durable(test.events, test.final), test.want) })
	}
}

func TestUniqueKeys(t *testing.T) {
	twin := actor("y", 1)
	twin.Key = "kx"
	ended := twin
	ended.State = history.StateDestroyed
	elsewhere := twin
	elsewhere.Name = "m"
	expect(t, check.UniqueKeys([]history.Actor{actor("x", 1), actor("y", 1), ended, elsewhere}), "")
	expect(t, check.UniqueKeys([]history.Actor{actor("x", 1), twin}), "2 live actors have the name n and the key kx: [x y]")
}

func TestOneHolder(t *testing.T) {
	told := func(op history.Op, id string) history.Event {
		return history.Event{Op: op, Kind: history.OK, Name: "n", Key: "k", Actor: id}
	}
	tell(t, check.OneHolder, []story{
		{"all the same", []history.Event{told(history.Create, "x"), told(history.GetOrCreate, "x"), told(history.GetOrCreate, "x")}, ""},
		{"two holders", []history.Event{told(history.GetOrCreate, "x"), told(history.GetOrCreate, "y")}, "different actors for n k: [x y]"},
		{"created twice", []history.Event{told(history.Create, "x"), told(history.Create, "x")}, "2 callers were told that they created n k (x)"},
		{"it changed hands", []history.Event{
			told(history.Create, "x"),
			{Op: history.Destroy, Kind: history.Invoke, Actor: "x"},
			told(history.Create, "y"),
			{Op: history.Create, Kind: history.OK, Name: "n", Key: "other", Actor: "z"},
		}, ""},
	})
}

func TestRecent(t *testing.T) {
	ended := actor("x", 1)
	ended.State = history.StateDestroyed
	created := wroteX(history.Create, history.OK)
	destroy, destroyed := wroteX(history.Destroy, history.Invoke), wroteX(history.Destroy, history.OK)
	tell(t, check.Recent, []story{
		{"it is shown", []history.Event{created, list(history.Invoke, 1), list(history.OK, 1, actor("x", 1))}, ""},
		{"it is not shown", []history.Event{created, list(history.Invoke, 1), list(history.OK, 1)}, "does not show x (kx)"},
		{"it came while the reading was under way", []history.Event{list(history.Invoke, 1), created, list(history.OK, 1)}, ""},
		{"it has another name", []history.Event{
			{Op: history.Create, Kind: history.OK, Name: "m", Actor: "y"}, list(history.Invoke, 1), list(history.OK, 1),
		}, ""},
		{"it is being destroyed", []history.Event{created, destroy, list(history.Invoke, 1), list(history.OK, 1)}, ""},
		{"it is destroyed while the reading is under way", []history.Event{created, list(history.Invoke, 1), destroy, list(history.OK, 1)}, ""},
		{"it has ended", []history.Event{created, destroy, destroyed, list(history.Invoke, 1), list(history.OK, 1, ended)}, ""},
		{"it is shown after its end", []history.Event{created, destroy, destroyed, list(history.Invoke, 1), list(history.OK, 1, actor("x", 1))}, "shows x as running"},
		{"it ended while the reading was under way", []history.Event{
			created, destroy, list(history.Invoke, 1), destroyed, list(history.OK, 1, actor("x", 1)),
		}, ""},
	})
}

func TestSavesKept(t *testing.T) {
	body := func(generation, number uint64) history.Event {
		return history.Event{Kind: history.BodyStart, Process: "a", Actor: "x", Generation: generation, Number: number}
	}
	save := func(kind history.Kind, number uint64) history.Event {
		return history.Event{Kind: kind, Process: "a", Actor: "x", Generation: 1, Number: number}
	}
	tell(t, check.SavesKept, []story{
		{"it goes on", []history.Event{body(1, 0), save(history.Saving, 1), save(history.Saved, 1), body(2, 1)}, ""},
		{"the last save is unknown and lost", []history.Event{body(1, 0), save(history.Saving, 1), save(history.Saved, 1), save(history.Saving, 2), body(2, 1)}, ""},
		{"the last save is unknown and kept", []history.Event{body(1, 0), save(history.Saving, 1), save(history.Saved, 1), save(history.Saving, 2), body(2, 2)}, ""},
		{"a save is lost", []history.Event{body(1, 0), save(history.Saving, 1), save(history.Saved, 1), body(2, 0)}, "2 on a with 0: 1 had been saved"},
		{"a number out of nowhere", []history.Event{body(1, 0), save(history.Saving, 1), save(history.Saved, 1), body(2, 5)}, "nobody saved more than 1"},
	})
}
