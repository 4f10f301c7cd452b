//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

const keeper = "keeper"

// All three nodes are killed at once under writes through each of them, and started again. Every acknowledged write is there, also what
// actors had saved; nobody has moved, for it took less time than a lease lasts. Calls that were under way ended as success, refusal or
// unknown, and what was refused has not happened: the world's end judges that.
func whatWasAcknowledgedSurvivesTheDeathOfAllNodes(s *scenario) {
	const keepers, vault = 20, "vault"
	first := s.run(real.RunnerConfig{Key: "vault-1", Pool: vault, Slots: keepers, SaveEvery: 100 * time.Millisecond})
	s.connected(vault, first)
	for i := range keepers {
		_, err := s.caller.Create(s.Context(), vault, keeper, strconv.Itoa(i))
		s.must(err)
	}
	s.allRunning(keeper, keepers)
	before := s.allRunning(room, actors)
	// One who repeats a call until it knows the outcome, and for each node some who do not: what is on its way now stays unknown.
	callers := []*real.Caller{s.callerOf("pulse", s.cluster.GRPCAddrs())}
	for _, n := range s.cluster.Nodes {
		for range 4 {
			callers = append(callers, s.callerOf("once-"+n.ID, []string{n.Addrs.GRPC}, client.WithoutRetry()))
		}
	}
	writers := s.write(2*time.Millisecond, callers...)
	s.until("a hundred writes and saves are acknowledged", func(context.Context) error {
		counts, err := s.counts()
		if err == nil && (counts[history.Saved] < 100 || counts[history.OK] < 100) {
			err = fmt.Errorf("%v", counts)
		}
		return err
	})

	killed := time.Now()
	s.must(s.cluster.Kill(s.cluster.Nodes...))
	s.must(s.cluster.Start(s.Context(), s.cluster.Nodes...))
	s.Logf("all three read linearizably %v after they were killed", round(time.Since(killed)))
	s.connected(pool, s.runners[:len(s.runners)-1]...)
	s.Logf("all runners are back %v after that", round(time.Since(killed)))
	writers.end()
	if counts, err := s.counts(); err != nil || counts[history.Unknown] == 0 {
		s.Errorf("the kill met no call on its way, so that nothing is shown about outcomes: %v, %v", counts, err)
	}
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(room, actors)))

	// The keepers move to another runner: what their next lives begin with is what was saved.
	s.must(first.Terminate())
	second := s.run(real.RunnerConfig{Key: "vault-2", Pool: vault, Slots: keepers, SaveEvery: time.Hour})
	id := s.connected(vault, second)[second.Config.Key].GetRunnerId()
	s.until("the keepers run on the other runner", func(ctx context.Context) error {
		shown, err := s.runningNow(ctx, keeper, keepers)
		for _, a := range shown {
			if a.Runner != id {
				err = errors.New("one does not")
			}
		}
		return err
	})
	s.runners = s.runners[:len(s.runners)-2]
}
