//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A pool of real runner processes moves to a newer version at 50 a second while the leader is killed twice, then to a third one as fast as
// it goes. Every actor moves once each time, at the pace of the pool, and the old processes end by themselves.
//
//	CALLBOARD_ROLLOUT_ACTORS=2000   how many actors move (`make bench-rollout`); 500 otherwise
const rolloutRate = 50

func TestRollout(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	n := rolloutActors(t)
	s.pace(rolloutRate * 1_000_000)
	old := s.fleet(1, n)
	s.connected(pool, old...)
	s.create(room, "", n)
	s.allRunning(room, n)

	plan, err := s.caller.Rollouts.Plan(t.Context(), &callboardv1.PlanRequest{Namespace: "default", Pool: pool, Version: 2})
	s.must(err)
	foretold := time.Duration(plan.GetPlan().GetDurationMs()) * time.Millisecond
	if got := plan.GetPlan().GetMoves(); int(got) != n {
		t.Errorf("the plan moves %d actors, want %d", got, n)
	}

	began := history.Now()
	second := s.fleet(2, n)
	for i := range 2 {
		s.moved((i + 1) * n / 4)
		leader, err := s.cluster.Leader(t.Context())
		s.must(err)
		s.must(leader.Kill())
		s.moved((i+1)*n/4 + n/20)
		s.must(s.cluster.Start(t.Context(), leader))
	}
	moves := s.allMoved(n, 2)
	took := moves.last - began
	s.Logf("%d actors moved within %v; the plan said %v: %+.1f %%", n, round(took), round(foretold), 100*(took.Seconds()/foretold.Seconds()-1))
	s.promised("until the last has moved, with two leaders dying on the way", took, foretold+foretold/20+4*time.Second)
	moves.pace(s, rolloutRate)
	s.drained(old)

	s.pace(100_000 * 1_000_000)
	began = history.Now()
	s.fleet(3, n)
	moves = s.allMoved(n, 3)
	s.promised(fmt.Sprintf("until %d actors have moved without a limit", n), moves.last-began, 3*time.Second)
	slices.Sort(moves.gaps)
	p50, p99 := moves.gaps[n/2], moves.gaps[n*99/100]
	s.Logf("from the stop of an actor there until it runs here: p50 %v, p99 %v, max %v", round(p50), round(p99), round(moves.gaps[n-1]))
	if strict := os.Getenv("CALLBOARD_JEPSEN_STRICT") != ""; strict && (p50 > 30*time.Millisecond || p99 > 200*time.Millisecond) {
		t.Errorf("the gap of a move: p50 %v, p99 %v; promised are 30 ms and 200 ms", p50, p99)
	}
	s.drained(second)
	s.judge(room)
}

func rolloutActors(t *testing.T) int {
	text := os.Getenv("CALLBOARD_ROLLOUT_ACTORS")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 20 {
		t.Fatalf("CALLBOARD_ROLLOUT_ACTORS=%s: want a number from 20 on", text)
	}
	return n
}

// pace sets the rate of the pool, in millionths of an actor a second.
func (s *scenario) pace(micros uint64) {
	s.Helper()
	_, err := s.caller.Pools.Put(s.Context(), &callboardv1.PoolServicePutRequest{
		Namespace: "default", Name: pool, Config: &callboardv1.PoolConfig{ActorEvictionRateMicros: &micros},
	})
	s.must(err)
}

// fleet starts the four runners of a version, spread over the nodes, with room for all.
func (s *scenario) fleet(version uint32, n int) []*real.Runner {
	s.Helper()
	var fleet []*real.Runner
	addrs := s.cluster.GRPCAddrs()
	for i := range 4 {
		at := i % len(addrs)
		fleet = append(fleet, s.run(real.RunnerConfig{
			Key: fmt.Sprintf("v%d-%d", version, i+1), Pool: pool, Version: version, Slots: uint32(n/4 + n/8 + 1),
			Endpoints: append(append([]string(nil), addrs[at:]...), addrs[:at]...),
		}))
	}
	return fleet
}

// moved waits until so many actors have their second life.
func (s *scenario) moved(n int) {
	s.Helper()
	s.until(fmt.Sprintf("%d actors have moved", n), func(context.Context) error {
		lives := 0
		for _, e := range s.events() {
			if e.Kind == history.BodyStart && e.Name == room && e.Generation == 2 {
				lives++
			}
		}
		if lives < n {
			return fmt.Errorf("%d have", lives)
		}
		return nil
	})
}

// moves is what a rollout did, as the runners saw it.
type moves struct {
	stopped []time.Duration // when each old life ended
	gaps    []time.Duration // from there until the new one began
	last    time.Duration   // when the last new life began
}

// allMoved waits until every actor runs in the given generation, and nowhere in a later one.
func (s *scenario) allMoved(n int, generation uint64) moves {
	s.Helper()
	var m moves
	s.until(fmt.Sprintf("%d actors run in generation %d", n, generation), func(context.Context) error {
		stops, starts := map[string]time.Duration{}, map[string]time.Duration{}
		for _, e := range s.events() {
			switch {
			case e.Name != room:
			case e.Kind == history.BodyStop && e.Generation == generation-1:
				stops[e.Actor] = time.Duration(e.AtNs)
			case e.Kind == history.BodyStart && e.Generation == generation:
				starts[e.Actor] = time.Duration(e.AtNs)
			case e.Kind == history.BodyStart && e.Generation > generation:
				s.Fatalf("actor %s has moved to generation %d", e.Actor, e.Generation)
			}
		}
		if len(starts) < n {
			return fmt.Errorf("%d do", len(starts))
		}
		m = moves{}
		for actor, at := range starts {
			stop, ok := stops[actor]
			if !ok {
				return errors.New("a stop is not written down yet")
			}
			m.stopped, m.gaps, m.last = append(m.stopped, stop), append(m.gaps, at-stop), max(m.last, at)
		}
		return nil
	})
	slices.Sort(m.stopped)
	return m
}

// pace holds what the runners received to the bound of guarantee G7 in real time: 1 + ⌈rate⌉ + rate·(1.1·T + 0.1 s) in any window T.
func (m moves) pace(s *scenario, rate float64) {
	s.Helper()
	worst, text := 0.0, ""
	for i := range m.stopped {
		for j := i; j < len(m.stopped); j++ {
			windowS := (m.stopped[j] - m.stopped[i]).Seconds()
			if used := float64(j-i+1) / (1 + rate + rate*(1.1*windowS+0.1)); used > worst {
				worst, text = used, fmt.Sprintf("%d within %.3f s", j-i+1, windowS)
			}
		}
	}
	s.Logf("the worst window at %v/s: %s, %.0f %% of what is allowed", rate, text, 100*worst)
	if worst > 1 {
		s.Errorf("G7: %s at %v/s", text, rate)
	}
}

// drained waits until runner processes have ended by themselves, with 0.
func (s *scenario) drained(runners []*real.Runner) {
	s.Helper()
	s.until("the outdated processes have ended", func(context.Context) error {
		for _, r := range runners {
			if r.Running() {
				return fmt.Errorf("%s runs", r.Name)
			}
		}
		return nil
	})
	for _, r := range runners {
		if code, err := r.Wait(s.Context(), patience); err != nil || code != 0 {
			s.Errorf("%s ended with %d", r.Name, code)
		}
	}
}
