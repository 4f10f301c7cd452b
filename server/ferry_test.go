package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Reads that come together ask the leader together, however many they are. A runner that connects shares their question and does not
// wait behind them.
func TestReadsShareAQuestion(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		const callers = maxUnderWay + 1500
		leader, follower := c.leader(), c.follower()
		goOn := c.stall(leader.name)
		var calls sync.WaitGroup
		errs := make([]error, callers+1)
		for i := range callers {
			calls.Go(func() {
				_, errs[i] = follower.core.engine.View(context.Background(), callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
			})
		}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		calls.Go(func() { _, errs[callers] = follower.core.reporter.ReadIndex(context.Background()) })
		synctest.Wait()
		if waiting := len(leader.core.engine.inbox.requests); waiting > maxFerries {
			t.Errorf("%d questions wait at the leader, want %d at most", waiting, maxFerries)
		}
		goOn()
		calls.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
}

// TestAReadTakesNoOlderAnswer: whoever shares an answer came before the question was put, and no question is put for each of a crowd.
func TestAReadTakesNoOlderAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers = 5000
		began := time.Now()
		var questions atomic.Int64
		s := &ferries{ask: func(context.Context) (uint64, error) {
			questions.Add(1)
			put := time.Since(began)
			time.Sleep(rand.N(10 * time.Millisecond))
			return uint64(put), nil
		}}
		var all sync.WaitGroup
		for range readers {
			all.Go(func() {
				time.Sleep(rand.N(time.Second))
				came := time.Since(began)
				put, err := s.index(t.Context())
				if err != nil || time.Duration(put) < came {
					t.Errorf("came at %v, took the answer to a question of %v: %v", came, time.Duration(put), err)
				}
			})
		}
		all.Wait()
		if n := questions.Load(); n > readers/2 {
			t.Errorf("%d questions for %d reads", n, readers)
		}
		expectNoneAway(t, s)
	})
}

// TestAQuestionEndsWithWhoPutIt: when the last read has gone, and not before.
func TestAQuestionEndsWithWhoPutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan uint64)
		var givenUp atomic.Int64
		s := &ferries{ask: func(ctx context.Context) (uint64, error) {
			select {
			case index := <-answer:
				return index, nil
			case <-ctx.Done():
				givenUp.Add(1)
				return 0, ctx.Err()
			}
		}}
		read := func(patience time.Duration) (result chan error) {
			result = make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			go func() {
				defer cancel()
				_, err := s.index(ctx)
				result <- err
			}()
			synctest.Wait()
			return result
		}
		var first []chan error
		for range maxFerries {
			first = append(first, read(time.Second))
		}
		short, long, waits := read(time.Second), read(time.Hour), read(2*time.Second) // all aboard the same, which has not left
		time.Sleep(time.Second)
		synctest.Wait()
		for _, r := range append(first, short) {
			if err := <-r; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("its time was up: %v", err)
			}
		}
		if n := givenUp.Load(); n != maxFerries {
			t.Errorf("%d questions were given up, want %d", n, maxFerries)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if err := <-waits; !errors.Is(err, context.DeadlineExceeded) || givenUp.Load() != maxFerries {
			t.Errorf("its time was up, another's is not: %v, %d given up", err, givenUp.Load())
		}
		answer <- 7
		if err := <-long; err != nil {
			t.Error(err)
		}
		expectNoneAway(t, s)
	})
}

// TestNoReadWaitsLongerForALeader: one that waits for its turn to ask is told as early as if it had asked at once.
func TestNoReadWaitsLongerForALeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &ferries{ask: func(ctx context.Context) (uint64, error) {
			<-ctx.Done() // nobody leads
			return 0, ctx.Err()
		}}
		var all sync.WaitGroup
		for i := range 3 * maxFerries {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				came := time.Now()
				if _, err := s.index(t.Context()); !errors.Is(err, callboardv1.ErrNoLeader) {
					t.Errorf("read %d: %v", i, err)
				}
				if took := time.Since(came); took > retryLeaderFor {
					t.Errorf("read %d was told after %v", i, took)
				}
			})
		}
		all.Wait()
		expectNoneAway(t, s)
	})
}

func expectNoneAway(t *testing.T, s *ferries) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away != 0 || s.next != nil {
		t.Errorf("%d are away at the end, one boards: %v", s.away, s.next != nil)
	}
}
