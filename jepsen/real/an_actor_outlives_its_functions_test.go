//go:build unix

package real_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Requests end after seconds, and actors go on for minutes: each counts on from function to function, moves cleanly, is never away for longer
// than a second, and never runs twice.
//
//	CALLBOARD_SERVERLESS_LONG=1   200 actors in functions of 20 s, for 2 minutes (`make serverless`)
func TestServerlessActorsOutliveTheirFunctions(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	p := &servedPool{scenario: s, name: "counters", n: 20, slots: 10, version: 1, every: 100 * time.Millisecond}
	lifespanS, graceS, lasts := uint32(6), uint32(3), 12*time.Second
	if serverlessLong() {
		p.n, p.slots, p.every = 200, 25, 250*time.Millisecond
		lifespanS, graceS, lasts = 20, 8, 2*time.Minute
	}
	p.begin(&callboardv1.PoolConfig{Serverless: &callboardv1.Serverless{RequestLifespan: lifespanS, DrainGracePeriod: &graceS}})
	began := time.Now()
	_, err := real.Until(t.Context(), lasts+patience, "the run is over", func(context.Context) error {
		if left := lasts - time.Since(began); left > 0 {
			return fmt.Errorf("it goes on for %v", round(left))
		}
		return nil
	})
	s.must(err)
	p.running()
	p.endWell(time.Duration(lifespanS) * time.Second)
	lives := p.lives()
	const functions = 5
	var gaps []time.Duration
	for actor, of := range lives {
		if len(of) < functions {
			t.Errorf("actor %s has been in %d functions, want %d", actor, len(of), functions)
		}
		for i, next := range of[1:] {
			last := of[i]
			if last.stopped == 0 || next.began < last.stopped {
				t.Errorf("actor %s: generation %d had not stopped when %d began", actor, last.generation, next.generation)
			}
			if next.first <= last.first {
				t.Errorf("actor %s: generation %d began with %d, and generation %d with %d", actor, last.generation, last.first, next.generation, next.first)
			}
			gaps = append(gaps, next.began-last.stopped)
		}
	}
	slices.Sort(gaps)
	if len(lives) != p.n || len(gaps) == 0 {
		t.Fatalf("%d actors, %d moves", len(lives), len(gaps))
	}
	t.Logf("%d moves of %d actors; the gap: p50 %v, p99 %v", len(gaps), len(lives), round(gaps[len(gaps)/2]), round(gaps[len(gaps)*99/100]))
	s.promised("the longest that an actor was away", gaps[len(gaps)-1], time.Second)
	for _, line := range strings.Split(p.process.Log(), "\n") {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			t.Errorf("the endpoint complains: %s", line)
		}
	}
	s.judge(p.name)
}

// endWell holds every request that has ended to a normal end, within its time.
func (p *servedPool) endWell(lifespan time.Duration) {
	p.Helper()
	var cursor string
	ended, ends := 0, map[callboardv1.RequestEnd]int{}
	for {
		page, err := p.caller.Pools.ListRequests(p.Context(), &callboardv1.ListRequestsRequest{Namespace: "default", Pool: p.name, IncludeEnded: true, Cursor: cursor})
		p.must(err)
		for _, q := range page.GetRequests() {
			if q.GetEndTs() == 0 {
				continue
			}
			ended++
			ends[q.GetEnd()]++
			if took := time.Duration(q.GetEndTs()-q.GetSendTs()) * time.Millisecond; q.GetEnd() != callboardv1.RequestEnd_REQUEST_END_FINISHED || took > lifespan {
				p.Errorf("request %s has ended after %v: %v %v", q.GetRequestId(), took, q.GetEnd(), q.GetError())
			}
		}
		if cursor = page.GetNextCursor(); cursor == "" {
			break
		}
	}
	if ended == 0 {
		p.Error("no request has ended")
	}
	p.Logf("%d requests have ended: %v", ended, ends)
}

// functionLife is one life of an actor, in one function.
type functionLife struct {
	generation     uint64
	began, stopped time.Duration // 0: it has not
	first          uint64        // the number that it began with
}

// lives returns what each actor went through, one life after the other.
func (p *servedPool) lives() map[string][]functionLife {
	p.Helper()
	lives := map[string][]functionLife{}
	for _, e := range p.events() {
		of := lives[e.Actor]
		switch e.Kind {
		case history.BodyStart: // there is no other pool
			lives[e.Actor] = append(of, functionLife{generation: e.Generation, began: time.Duration(e.AtNs), first: e.Number})
		case history.BodyStop:
			i := slices.IndexFunc(of, func(l functionLife) bool { return l.generation == e.Generation })
			if i < 0 {
				p.Fatalf("actor %s: generation %d has not begun", e.Actor, e.Generation)
			}
			of[i].stopped = time.Duration(e.AtNs)
		default:
		}
	}
	return lives
}
