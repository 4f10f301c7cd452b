//go:build unix

package real_test

import (
	"context"
	"fmt"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
)

// A runner process with a quarter of the actors is killed. At most 18 s later they all run elsewhere, in the next generation, and
// the others have not noticed.
func theActorsOfAKilledRunnerRunElsewhere(s *scenario) {
	victim := s.runners[0]
	id := s.connected(pool, s.runners...)[victim.Config.Key].GetRunnerId()
	before := s.allRunning(room, actors)
	onVictim := func(a history.Actor) bool { return a.Runner == id }
	n := 0
	for _, a := range before {
		if onVictim(a) {
			n++
		}
	}
	if n != actors/4 {
		s.Errorf("the runner has %d actors, want %d: they were not spread", n, actors/4)
	}

	killed := time.Now()
	s.must(victim.Kill())
	s.runners = s.runners[1:]
	var after []history.Actor
	s.until("all actors run elsewhere", func(ctx context.Context) (err error) {
		if after, err = s.runningNow(ctx, room, actors); err != nil {
			return err
		}
		for _, a := range after {
			if onVictim(a) {
				return fmt.Errorf("actor %s is listed on the dead runner", a.ID)
			}
		}
		return nil
	})
	s.promised(fmt.Sprintf("from the kill until all %d actors run elsewhere", n), time.Since(killed), 18*time.Second)
	s.verdict("those that moved have the next generation", check.GenerationsMoved(before, after, onVictim))
}
