//go:build unix

package real_test

import (
	"context"
	"errors"
	"testing"

	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A rollout is rolled back, and the idle runner of the bad version stands still until it is lost. It comes back, and a new process of its key
// and version after it, and a third one under another key: none of them gets an actor, until the version is released.
func TestARollbackHoldsItsVersion(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1")
	const each = 20
	s.pace(1_000_000)
	of := func(key string, version uint32) *real.Runner {
		return s.run(real.RunnerConfig{Key: key, Pool: pool, Version: version, Slots: 10 * each})
	}
	good := of("good", 1)
	s.connected(pool, good)
	s.create(room, "first-", each)
	s.allRunning(room, each)
	bad := of("bad", 2)
	s.present(good, bad)
	s.moved(2)
	_, told, code, err := s.Command(t.Context(), nil, "rollout", "rollback", pool, "--address", s.cluster.GRPCAddrs()[0])
	s.must(err)
	if code != 0 {
		t.Fatalf("rollback: code %d: %s", code, told)
	}
	s.allOn(good, each)

	was := s.present(good, bad)["bad"].GetRunnerId()
	s.must(bad.Freeze(t.Context()))
	s.until("the runner that stands still is lost", func(ctx context.Context) error {
		_, err := s.presentNow(ctx, good)
		return err
	})
	s.must(bad.Thaw())
	if is := s.present(good, bad)["bad"].GetRunnerId(); is == was {
		t.Errorf("it is still runner %s: it was not lost", is)
	}
	s.create(room, "second-", each)
	s.allOn(good, 2*each)

	s.must(bad.Kill())
	again, other := of("bad", 2), of("worse", 2)
	s.present(good, again, other)
	s.create(room, "third-", each)
	s.allOn(good, 3*each)

	_, told, code, err = s.Command(t.Context(), nil, "rollout", "release", pool, "2", "--address", s.cluster.GRPCAddrs()[0])
	s.must(err)
	if code != 0 {
		t.Fatalf("release: code %d: %s", code, told)
	}
	s.create(room, "fourth-", 1)
	s.until("a new actor runs on the version that was released", func(ctx context.Context) error {
		byKey, err := s.presentNow(ctx, good, again, other)
		if err == nil && byKey["bad"].GetRemainingSlots()+byKey["worse"].GetRemainingSlots() == 2*10*each {
			err = errors.New("none does")
		}
		return err
	})
	s.judge(room)
}

// allOn waits until so many actors run, all on one runner.
func (s *scenario) allOn(on *real.Runner, n int) {
	s.Helper()
	s.until("all actors run on "+on.Name, func(ctx context.Context) error {
		shown, err := s.runningNow(ctx, room, n)
		if err != nil {
			return err
		}
		runners, err := s.caller.Runners(ctx, pool)
		if err != nil {
			return err
		}
		for _, r := range runners {
			if r.GetKey() == on.Config.Key {
				for _, a := range shown {
					if a.Runner != r.GetRunnerId() {
						return errors.New("actor " + a.Key + " runs elsewhere")
					}
				}
				return nil
			}
		}
		return errors.New("it is not connected")
	})
}

// present waits until exactly these runners are connected, whether or not they drain, and returns them by key.
func (s *scenario) present(runners ...*real.Runner) (byKey map[string]*callboardv1.Runner) {
	s.Helper()
	s.until("the runners are connected", func(ctx context.Context) (err error) {
		byKey, err = s.presentNow(ctx, runners...)
		return err
	})
	return byKey
}

func (s *scenario) presentNow(ctx context.Context, runners ...*real.Runner) (map[string]*callboardv1.Runner, error) {
	shown, err := s.caller.Runners(ctx, pool)
	if err != nil {
		return nil, err
	}
	byKey := map[string]*callboardv1.Runner{}
	for _, r := range shown {
		if state := r.GetState(); state == callboardv1.RunnerState_RUNNER_STATE_CONNECTED || state == callboardv1.RunnerState_RUNNER_STATE_DRAINING {
			byKey[r.GetKey()] = r
		}
	}
	for _, r := range runners {
		if byKey[r.Config.Key] == nil {
			return nil, errors.New(r.Name + " is not connected")
		}
	}
	if len(byKey) != len(runners) {
		return nil, errors.New("another runner is connected too")
	}
	return byKey, nil
}
