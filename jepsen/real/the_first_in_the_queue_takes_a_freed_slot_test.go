//go:build unix

package real_test

import (
	"context"
	"fmt"
	"strconv"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

const guest = "guest"

// A pool is full and three actors wait. When an actor ends, the first in the queue starts, in the very entry that frees the slot: no
// reading shows the one ended and the other waiting. The others wait on.
func theFirstInTheQueueTakesAFreedSlot(s *scenario) {
	const full, slots, waiting = "full", 5, 3
	runner := s.run(real.RunnerConfig{Key: "full", Pool: full, Slots: slots})
	s.connected(full, runner)
	keys := make([]string, slots+waiting)
	for i := range keys {
		keys[i] = strconv.Itoa(i + 1)
		_, err := s.caller.Create(s.Context(), full, guest, keys[i])
		s.must(err)
	}
	byKey := func(ctx context.Context) (map[string]history.Actor, error) {
		shown, err := s.caller.List(ctx, guest)
		actors := map[string]history.Actor{}
		for _, a := range shown {
			actors[a.Key] = a
		}
		return actors, err
	}
	states := func(want map[string]string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			shown, err := byKey(ctx)
			for key, state := range want {
				if err == nil && shown[key].State != state {
					err = fmt.Errorf("actor %s is %s, want %s", key, shown[key].State, state)
				}
			}
			return err
		}
	}
	want := map[string]string{}
	for i, key := range keys {
		want[key] = history.StateRunning
		if i >= slots {
			want[key] = history.StatePending
		}
	}
	s.until("the pool is full and three wait", states(want))

	for freed := range waiting {
		shown, err := byKey(s.Context())
		s.must(err)
		leaver, first := keys[freed], keys[slots+freed]
		s.must(s.caller.Destroy(s.Context(), shown[leaver]))
		shown, err = byKey(s.Context())
		s.must(err)
		if shown[leaver].State != history.StateDestroyed || shown[first].State == history.StatePending {
			s.Errorf("actor %s is %s, and actor %s, the first in the queue, %s", leaver, shown[leaver].State, first, shown[first].State)
		}
		want[leaver], want[first] = history.StateDestroyed, history.StateRunning
		s.until("the first in the queue runs and the others wait", states(want))
	}
	s.runners = s.runners[:len(s.runners)-1] // not of the main pool
}
