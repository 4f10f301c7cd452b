//go:build unix

package real_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	lingering = 100 // actors, whose stop hooks take 0 s to nearly 12 s
	stopStep  = 120 * time.Millisecond
	hanging   = "hang" // the key of the actor whose hook never returns
)

// SIGTERM for two runner processes with a hundred actors each whose stop hooks take 0 to 12 s; one of them has one more, whose hook hangs.
// All of them have crashed once, so that whatever counts as a failure now has to wait. The hundred are handed over as they stop: at once,
// and without an error. The one that hangs is abandoned and reported, and placed again after its back-off.
func TestTerminatedRunners(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1")
	var scenes sync.WaitGroup
	for _, pool := range []string{"clean", "hung"} {
		scenes.Go(func() { s.terminate(pool) })
	}
	scenes.Wait()
	s.judge("clean", "hung")
}

// patienceWithHangs are the library's time-outs: shorter than its defaults, unless times are held to what is promised.
func patienceWithHangs() (args []string, abandonedAfter time.Duration) {
	if os.Getenv("CALLBOARD_JEPSEN_STRICT") != "" {
		return nil, 29 * time.Second // a second before the engine's deadline
	}
	return []string{"-sleep-grace", "13s", "-run-stop-timeout", "1s"}, 15 * time.Second // the two, and a second
}

// terminate is the scene of one pool. It runs beside others, so it must not end the test by itself.
func (s *scenario) terminate(pool string) {
	args, abandonedAfter := patienceWithHangs()
	from, to, err := s.fillLingering(pool, append(args, "-stop-step", stopStep.String()))
	if err != nil {
		s.Errorf("%s: %v", pool, err)
		return
	}
	began := time.Now()
	if err := from.Terminate(); err != nil {
		s.Error(err)
		return
	}
	code, err := from.Wait(s.Context(), abandonedAfter+patience)
	took := time.Since(began)
	if err != nil {
		s.Error(err)
		return
	}
	wantCode, wantTook := 0, (lingering-1)*stopStep
	if pool == "hung" {
		wantCode, wantTook = 22, abandonedAfter
	}
	if code != wantCode || took < wantTook {
		s.Errorf("%s: the process ended with code %d after %v, want %d and %v", pool, code, took, wantCode, wantTook)
	}
	s.promised(pool+": from SIGTERM until the process has ended", took, wantTook+2*time.Second)
	s.handedOver(pool, to, abandonedAfter, int64(history.Now())-int64(took))
}

// fillLingering starts a runner process, lets all actors run on it, and starts another one with room for all.
func (s *scenario) fillLingering(pool string, args []string) (from, to *real.Runner, err error) {
	start := func(key string) *real.Runner {
		r, startErr := s.StartRunner(real.RunnerConfig{Key: pool + key, Pool: pool, Slots: 200, Endpoints: s.cluster.GRPCAddrs(), Args: args})
		if startErr != nil {
			err = startErr
			return nil
		}
		_, err = real.Until(s.Context(), patience, pool+key+" is connected", func(ctx context.Context) error {
			shown, err := s.caller.Runners(ctx, pool)
			if err == nil && !slices.ContainsFunc(shown, func(r *callboardv1.Runner) bool {
				return r.GetKey() == pool+key && r.GetState() == callboardv1.RunnerState_RUNNER_STATE_CONNECTED
			}) {
				err = fmt.Errorf("%s is not connected", pool+key)
			}
			return err
		})
		return r
	}
	if from = start("-from"); err != nil {
		return nil, nil, err
	}
	want := lingering
	for i := range lingering {
		if _, err := s.caller.Create(s.Context(), pool, pool, strconv.Itoa(i)); err != nil {
			return nil, nil, err
		}
	}
	if pool == "hung" {
		want++
		if _, err := s.caller.Create(s.Context(), pool, pool, hanging); err != nil {
			return nil, nil, err
		}
	}
	if _, err = real.Until(s.Context(), patience, fmt.Sprintf("%d actors have crashed and run again", want), func(ctx context.Context) error {
		shown, err := s.runningNow(ctx, pool, want)
		for _, a := range shown {
			if err == nil && a.Generation != 2 {
				err = fmt.Errorf("%s has generation %d", a.Key, a.Generation)
			}
		}
		return err
	}); err != nil {
		return nil, nil, err
	}
	to = start("-to")
	return from, to, err
}

// handedOver looks at what became of the actors.
func (s *scenario) handedOver(pool string, to *real.Runner, abandonedAfter time.Duration, told int64) {
	var shown []*callboardv1.Actor
	_, err := real.Until(s.Context(), patience, "all run again", func(ctx context.Context) error {
		page, err := s.caller.Actors.List(ctx, &callboardv1.ListRequest{Name: pool, Limit: 1000})
		shown = page.GetActors()
		for _, a := range shown {
			if err == nil && a.GetState() != callboardv1.ActorState_ACTOR_STATE_RUNNING {
				err = fmt.Errorf("%s is %v: %v", a.GetKey(), a.GetState(), a.GetError())
			}
		}
		return err
	})
	if err != nil {
		s.Errorf("%s: %v", pool, err)
		return
	}
	runners, err := s.caller.Runners(s.Context(), pool)
	if err != nil {
		s.Error(err)
		return
	}
	there := ""
	for _, r := range runners {
		if r.GetKey() == to.Config.Key {
			there = r.GetRunnerId()
		}
	}
	for _, a := range shown {
		switch {
		case a.GetRunnerId() != there:
			s.Errorf("%s: %s runs on %s, want %s", pool, a.GetKey(), a.GetRunnerId(), there)
		case a.GetKey() == hanging:
			if a.GetGeneration() != 3 || a.GetError().GetCode() != "abandoned" {
				s.Errorf("%s: the one that hangs has generation %d and the error %v", pool, a.GetGeneration(), a.GetError())
			}
		case a.GetGeneration() != 3 || a.GetError() != nil:
			s.Errorf("%s: %s has generation %d and the error %v", pool, a.GetKey(), a.GetGeneration(), a.GetError())
		}
	}
	s.gaps(pool, told, abandonedAfter)
}

// gaps holds the times between the end of each life there and the beginning of the next here.
func (s *scenario) gaps(pool string, told int64, abandonedAfter time.Duration) {
	events, err := s.History()
	if err != nil {
		s.Error(err)
		return
	}
	stopped := map[string]int64{}
	var gaps []time.Duration
	for _, e := range events {
		if e.Name != pool || e.AtNs < told {
			continue
		}
		switch {
		case e.Kind == history.BodyStop:
			stopped[e.Actor] = e.AtNs
		case e.Kind == history.BodyStart && e.Key == hanging:
			waited := time.Duration(e.AtNs - told)
			s.Logf("%s: the one that hangs runs again %v after SIGTERM", pool, round(waited))
			if least := abandonedAfter + 2*time.Second; waited < least {
				s.Errorf("%s: the one that hangs runs again after %v, want at least %v", pool, waited, least)
			}
		case e.Kind == history.BodyStart:
			if stopped[e.Actor] == 0 {
				s.Errorf("%s: %s began elsewhere before its hook had ended", pool, e.Key)
			}
			gaps = append(gaps, time.Duration(e.AtNs-stopped[e.Actor]))
		default:
		}
	}
	if len(gaps) != lingering {
		s.Errorf("%s: %d actors began elsewhere, want %d", pool, len(gaps), lingering)
		return
	}
	slices.Sort(gaps)
	s.Logf("%s: from the end there to the beginning here: p50 %v, p99 %v", pool, round(gaps[lingering/2]), round(gaps[lingering-2]))
	s.promised(pool+": the longest time from the end there to the beginning here", gaps[lingering-1], time.Second)
	if gaps[lingering/2] > time.Second { // a penalty would be 2 s
		s.Errorf("%s: half of the actors were away for more than %v", pool, gaps[lingering/2])
	}
}
