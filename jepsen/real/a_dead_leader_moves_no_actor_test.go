//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The leader is killed under writes. Within 3 s writes are acknowledged again; no actor has moved, no body has begun or ended, and the
// runners that the leader held are back as the runners that they were. Started again, the node catches up.
func aDeadLeaderMovesNoActor(s *scenario) {
	before := s.allRunning(room, actors)
	runnersBefore := s.connected(pool, s.runners...)
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	writers := s.write(20*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	s.written(0)

	killed := int64(history.Now())
	s.must(leader.Kill())
	took := s.written(killed)
	s.promised(fmt.Sprintf("from the death of %s, the leader, until a write is acknowledged", leader.ID), took, 3*time.Second)
	s.until("the runners that it held are back", func(ctx context.Context) error {
		back, err := s.connectedNow(ctx, pool, s.runners)
		if err == nil {
			err = sameRunners(runnersBefore, back)
		}
		return err
	})
	s.Logf("all runners are held by a living node %v after its death", round(history.Now()-time.Duration(killed)))
	writers.end()
	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(room, actors)))
	if moved := s.bodyEvents(room, killed); moved > 0 {
		s.Errorf("bodies began or ended %d times while the leader was away", moved)
	}

	restarted := time.Now()
	s.must(s.cluster.Start(s.Context(), leader))
	s.caughtUp(leader)
	s.Logf("%s has caught up %v after its start", leader.ID, round(time.Since(restarted)))
}

// written waits until a write is acknowledged that began after an instant, and returns how long after it that was.
func (s *scenario) written(after int64) time.Duration {
	s.Helper()
	var at int64
	s.until("a write is acknowledged", func(context.Context) error {
		events, err := s.History()
		if err != nil {
			return err
		}
		if at = firstWriteAfter(events, after); at == 0 {
			return errors.New("none is")
		}
		return nil
	})
	return time.Duration(at - after)
}

func sameRunners(before, after map[string]*callboardv1.Runner) error {
	for key, was := range before {
		if is := after[key]; is.GetRunnerId() != was.GetRunnerId() {
			return fmt.Errorf("runner %s was %s and is %s", key, was.GetRunnerId(), is.GetRunnerId())
		}
	}
	return nil
}

// bodyEvents counts how often actors of a name began or ended since an instant.
func (s *scenario) bodyEvents(name string, since int64) int {
	s.Helper()
	n := 0
	for _, e := range s.events() {
		if e.AtNs > since && e.Name == name && (e.Kind == history.BodyStart || e.Kind == history.BodyStop) {
			n++
		}
	}
	return n
}
