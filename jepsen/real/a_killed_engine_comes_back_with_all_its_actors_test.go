//go:build unix

package real_test

import (
	"context"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
)

// The engine is killed and started on its data directory. All actors are listed running within 5 s of the node being up, in the same
// generation, because they never stopped: the runners came back by themselves, as the runners that they were.
func aKilledEngineComesBackWithAllItsActors(s *scenario) {
	before := s.allRunning(room, actors)
	runnersBefore := s.connected(pool, s.runners...)
	node := s.cluster.Nodes[0]

	killed, instant := time.Now(), int64(history.Now())
	s.must(node.Kill())
	s.must(node.Start(s.Context()))
	up := time.Now()
	var after []history.Actor
	s.until("everything is as before", func(ctx context.Context) (err error) {
		if after, err = s.runningNow(ctx, room, actors); err != nil {
			return err
		}
		back, err := s.connectedNow(ctx, pool, s.runners)
		if err != nil {
			return err
		}
		return sameRunners(runnersBefore, back)
	})
	s.Logf("the node is up %v after it was killed", round(up.Sub(killed)))
	s.promised("from the node being up until all runners are back and all actors are listed running", time.Since(up), 5*time.Second)
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, after))
	if moved := s.bodyEvents(room, instant); moved > 0 {
		s.Errorf("bodies began or ended %d times while the engine was away", moved)
	}
}
