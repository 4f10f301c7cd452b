//go:build unix

package real_test

import (
	"context"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
)

// The leader is told to end, as in every upgrade. It hands over, ends with code 0, and no actor notices; started again, it catches up.
func aLeaderThatEndsHandsOver(s *scenario) {
	before := s.allRunning(room, actors)
	runnersBefore := s.connected(pool, s.runners...)
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	writers := s.write(20*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	s.written(0)

	told := int64(history.Now())
	s.must(leader.Terminate())
	code, err := leader.Wait(s.Context(), patience)
	s.must(err)
	if code != 0 {
		s.Errorf("%s ended with code %d", leader.ID, code)
	}
	ended := int64(history.Now())
	s.Logf("%s ended %v after SIGTERM", leader.ID, round(time.Duration(ended-told)))
	s.written(ended)
	s.promised("the longest time without an acknowledged write", longestPause(s.events(), told), time.Second)
	s.until("the runners that it held are back", func(ctx context.Context) error {
		back, err := s.connectedNow(ctx, pool, s.runners)
		if err == nil {
			err = sameRunners(runnersBefore, back)
		}
		return err
	})
	writers.end()
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(room, actors)))
	if moved := s.bodyEvents(room, told); moved > 0 {
		s.Errorf("bodies began or ended %d times while the leader changed", moved)
	}
	s.must(s.cluster.Start(s.Context(), leader))
	s.caughtUp(leader)
}

// longestPause returns the longest time after an instant between two acknowledged writes.
func longestPause(events []history.Event, instant int64) time.Duration {
	longest, last := int64(0), instant
	for _, e := range events {
		if e.Op == history.Create && e.Kind == history.OK && e.AtNs > instant {
			longest, last = max(longest, e.AtNs-last), e.AtNs
		}
	}
	return time.Duration(longest)
}
