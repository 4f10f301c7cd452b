//go:build unix

package real_test

import (
	"context"
	"fmt"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
)

// The engine is killed and started on its data directory. All actors are listed running within 5 s of the node being up, in the same
// generation, because they never stopped: the runners came back by themselves, as the runners that they were.
func aKilledEngineComesBackWithAllItsActors(s *scenario) {
	before := s.allRunning(room, actors)
	runnersBefore := s.connected(pool, s.runners...)
	starts, stops := s.count(history.BodyStart), s.count(history.BodyStop)
	node := s.cluster.Nodes[0]

	killed := time.Now()
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
		for key, was := range runnersBefore {
			if id := back[key].GetRunnerId(); id != was.GetRunnerId() {
				return fmt.Errorf("runner %s was %s and is %s", key, was.GetRunnerId(), id)
			}
		}
		return nil
	})
	s.Logf("the node is up %v after it was killed", round(up.Sub(killed)))
	s.promised("from the node being up until all runners are back and all actors are listed running", time.Since(up), 5*time.Second)
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, after))
	if s.count(history.BodyStart) != starts || s.count(history.BodyStop) != stops {
		s.Errorf("bodies began %d times and ended %d times while the engine was away", s.count(history.BodyStart)-starts, s.count(history.BodyStop)-stops)
	}
}
