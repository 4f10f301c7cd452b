//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Of five runners one stands still for 9 s, one for 40 s, and one is cut off for 40 s while its connections live on. The first is not
// lost and keeps its actors; those of the others run elsewhere after 18 s. Meanwhile the leader and a fourth runner are killed within
// the same second: neither hides the other. When the silent ones come back they are other runners, and have stopped what they ran. No
// actor ever had two bodies: the world's end judges that.
func aSilentRunnerRunsNoActorTwice(s *scenario) {
	const crowd = 200
	link, err := s.NewLink()
	s.must(err)
	start := func(key string, through *real.Link) *real.Runner {
		return s.run(real.RunnerConfig{Key: key, Pool: pool, Version: 1, Slots: crowd, Through: through})
	}
	steady, nap, frozen, cut, killed := start("steady", nil), start("nap", nil), start("frozen", nil), start("cut", link), start("killed", nil)
	was := s.connected(pool, s.runners...)
	s.create(room, "", crowd)
	before := s.allRunning(room, crowd)
	on := func(runners ...*real.Runner) func(history.Actor) bool {
		return func(a history.Actor) bool {
			return slices.ContainsFunc(runners, func(r *real.Runner) bool { return was[r.Config.Key].GetRunnerId() == a.Runner })
		}
	}

	silence := time.Now()
	s.must(nap.Freeze(s.Context()))
	s.must(frozen.Freeze(s.Context()))
	link.Cut()
	s.wait(silence, 9*time.Second)
	s.must(nap.Thaw())
	after := s.runElsewhere(crowd, on(frozen, cut))
	s.promised("from the silence until the actors of both silent runners run elsewhere", time.Since(silence), 18*time.Second)
	s.verdict("those of the silent have the next generation, and those that took a nap perhaps", check.GenerationsMoved(
		slices.DeleteFunc(slices.Clone(before), on(nap)), after, on(frozen, cut)))
	s.tookANap(was["nap"], before, after)

	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	death := time.Now()
	s.must(leader.Kill())
	s.must(killed.Kill())
	gone := on(frozen, cut, killed)
	after = s.runElsewhere(crowd, gone)
	s.promised("from the death of the leader and a runner until its actors run elsewhere", time.Since(death), 20*time.Second)
	s.must(s.cluster.Start(s.Context(), leader))

	s.wait(silence, 40*time.Second)
	s.must(frozen.Thaw())
	link.Heal()
	back := s.connected(pool, steady, nap, frozen, cut)
	for _, r := range []*real.Runner{frozen, cut} {
		if key := r.Config.Key; back[key].GetRunnerId() == was[key].GetRunnerId() {
			s.Errorf("runner %s was lost, and has come back as the same", key)
		}
	}
	s.stopped(frozen, cut)
	s.verdict("nobody moved when they came back", check.GenerationsUnchanged(after, s.allRunning(room, crowd)))
}

// wait lets a fault last: until so long after an instant.
func (s *scenario) wait(after time.Time, length time.Duration) {
	select {
	case <-time.After(time.Until(after.Add(length))):
	case <-s.Context().Done():
	}
}

// runElsewhere waits until all actors run, none of them where it was not to be.
func (s *scenario) runElsewhere(n int, gone func(history.Actor) bool) []history.Actor {
	s.Helper()
	var shown []history.Actor
	s.until("all actors run elsewhere", func(ctx context.Context) (err error) {
		shown, err = s.runningNow(ctx, room, n)
		if err == nil && slices.ContainsFunc(shown, gone) {
			err = errors.New("some are listed on a dead runner")
		}
		return err
	})
	return shown
}

// tookANap judges the runner that stood still for less than its threshold: it was never lost, and its actors, which it may have fenced
// itself, run there again.
func (s *scenario) tookANap(was *callboardv1.Runner, before, after []history.Actor) {
	s.Helper()
	now := map[string]history.Actor{}
	for _, a := range after {
		now[a.ID] = a
	}
	fenced := 0
	for _, a := range before {
		if a.Runner != was.GetRunnerId() {
			continue
		}
		is := now[a.ID]
		if is.Runner != a.Runner || is.Generation > a.Generation+1 {
			s.Errorf("actor %s was %+v before its runner took a nap, and is %+v", a.ID, a, is)
		}
		fenced += int(is.Generation - a.Generation)
	}
	s.Logf("%d actors of the runner that stood still for 9 s were fenced", fenced)
}

// stopped fails unless every body of these runners, of which there were some, has ended, and logs how long that took once they went on.
func (s *scenario) stopped(runners ...*real.Runner) {
	s.Helper()
	for _, r := range runners {
		s.until(r.Name+" has stopped what it ran", func(context.Context) error {
			events, err := s.History()
			if err != nil {
				return err
			}
			var thawed, last int64
			began, ended := 0, 0
			for _, e := range events {
				switch {
				case e.Process != r.Name:
				case e.Kind == history.Thawed:
					thawed = e.AtNs
				case e.Kind == history.BodyStart:
					began++
				case e.Kind == history.BodyStop:
					ended, last = ended+1, e.AtNs
				}
			}
			if began == 0 || began != ended {
				return fmt.Errorf("%d bodies began and %d ended", began, ended)
			}
			if thawed > 0 {
				s.Logf("%s stopped its %d actors %v after it went on", r.Name, ended, round(time.Duration(last-thawed)))
			}
			return nil
		})
	}
}
