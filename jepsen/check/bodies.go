package check

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/callboard/callboard/jepsen/history"
)

// interval is when an actor's code ran, in ns.
type interval struct {
	from, to   int64
	process    string
	generation uint64
}

// OneBody says whether at every instant at most one runner ran each actor. A body lasts from its start to its own end or that of its
// process. While its process stands still it does not run, and when that goes on it has the grace to notice (guarantee G2 grants 100 ms).
func OneBody(events []history.Event, grace time.Duration) Verdict {
	var v Verdict
	bodies := intervals(events, grace)
	for _, actor := range slices.Sorted(maps.Keys(bodies)) {
		of := bodies[actor]
		slices.SortFunc(of, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
		v.Looked += len(of)
		var last interval // of those so far the one that ends last
		for i, b := range of {
			if i > 0 && b.from < last.to {
				v.wrong("actor %s ran twice for %v: generation %d on %s, and from %d ns on generation %d on %s",
					actor, time.Duration(min(b.to, last.to)-b.from), last.generation, last.process, b.from, b.generation, b.process)
			}
			if b.to > last.to {
				last = b
			}
		}
	}
	return v
}

// life names one body.
type life struct {
	process, actor string
	generation     uint64
}

func intervals(events []history.Event, grace time.Duration) map[string][]interval {
	still := standstills(events, grace)
	bodies := map[string][]interval{}
	began := map[life]int64{}
	end := func(l life, at int64) {
		for _, piece := range without(began[l], at, still[l.process]) {
			bodies[l.actor] = append(bodies[l.actor], interval{from: piece[0], to: piece[1], process: l.process, generation: l.generation})
		}
		delete(began, l)
	}
	for _, e := range events {
		l := life{process: e.Process, actor: e.Actor, generation: e.Generation}
		_, running := began[l]
		switch e.Kind {
		case history.BodyStart:
			if running {
				end(l, math.MaxInt64) // twice the same life in one process: the two overlap
			}
			began[l] = e.AtNs
		case history.BodyStop:
			if running {
				end(l, e.AtNs)
			}
		case history.Killed, history.Ended:
			for open := range began {
				if open.process == e.Process {
					end(open, e.AtNs)
				}
			}
		default:
		}
	}
	for open := range began {
		end(open, math.MaxInt64)
	}
	return bodies
}

// standstills returns when each process stood still, each time with the grace after it.
func standstills(events []history.Event, grace time.Duration) map[string][][2]int64 {
	still := map[string][][2]int64{}
	for _, e := range events {
		times := still[e.Process]
		switch e.Kind {
		case history.Frozen:
			still[e.Process] = append(times, [2]int64{e.AtNs, math.MaxInt64})
		case history.Thawed:
			if len(times) > 0 {
				times[len(times)-1][1] = e.AtNs + int64(grace)
			}
		default:
		}
	}
	return still
}

// without returns what is left of [from, to) without the gaps, which are in order.
func without(from, to int64, gaps [][2]int64) [][2]int64 {
	var pieces [][2]int64
	for _, gap := range gaps {
		if gap[1] <= from || gap[0] >= to {
			continue
		}
		if gap[0] > from {
			pieces = append(pieces, [2]int64{from, gap[0]})
		}
		from = gap[1]
	}
	if from < to {
		pieces = append(pieces, [2]int64{from, to})
	}
	return pieces
}
