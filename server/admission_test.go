package server

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// However many callers a node has: no more of them than make sense are on their way to the leader, the others wait for their turn, and
// every one gets through. While the leader decides nothing its inbox shows how many came.
func TestWritesWaitForTheirTurn(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		const callers = 2*maxUnderWay + 500
		leader, follower := c.leader(), c.follower()
		goOn := c.stall(leader.name)
		var calls sync.WaitGroup
		errs := make([]error, callers)
		ask := func(n *testNode, i int) {
			_, errs[i] = n.core.engine.Submit(context.Background(), nothingToDo())
		}
		for i := range callers {
			calls.Go(func() { ask(follower, i) })
		}
		synctest.Wait()
		time.Sleep(3 * time.Second) // long enough for whatever would send more
		if waiting := len(leader.core.engine.inbox.requests); waiting > maxUnderWay {
			t.Errorf("%d writes wait at the leader, want %d at most", waiting, maxUnderWay)
		}
		if follower.core.engine.writes.turns.TryAcquire(1) {
			t.Error("a turn is free while writes wait for theirs")
		}
		if n := follower.core.engine.writes.admitted.Load(); n != callers {
			t.Errorf("%d writes are admitted, want %d", n, callers)
		}
		goOn()
		calls.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
		if a := follower.core.engine.writes; a.admitted.Load() != 0 || a.bytes.Load() != 0 {
			t.Errorf("%d writes with %d bytes are left", a.admitted.Load(), a.bytes.Load())
		}
	})
}

// nothingToDo is a write that is refused by the scheduler.
func nothingToDo() *nodev1.SubmitRequest {
	return &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_DestroyActor{DestroyActor: &callboardv1.DestroyRequest{Namespace: "default"}}}}
}

// A node that is full refuses at once; one whose writes do not move refuses those that have waited too long.
func TestAdmissionHasBounds(t *testing.T) {
	tests := []struct {
		name  string
		size  int
		fits  int // so many are admitted, each with its turn or waiting for it
		after time.Duration
	}{
		{"too many", 10, maxAdmitted, 0},
		{"too large together", maxAdmittedBytes / 8, 8, 0},
		{"one that is larger than all together may be", maxAdmittedBytes + 1, 1, 0},
		{"no turn", 10, maxUnderWay, maxTurnWait},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.Background())
				a := admitWrites(prometheus.NewRegistry())
				var all sync.WaitGroup
				for range test.fits {
					all.Go(func() {
						if leave, err := a.enter(ctx, test.size); err == nil {
							<-ctx.Done()
							leave()
						}
					})
				}
				synctest.Wait()
				began := time.Now()
				_, err := a.enter(ctx, test.size)
				if took := time.Since(began); !errors.Is(err, callboardv1.ErrOverloaded) || took != test.after {
					t.Errorf("one more: %v after %v, want a refusal after %v", err, took, test.after)
				}
				cancel()
				all.Wait()
				if a.admitted.Load() != 0 || a.bytes.Load() != 0 {
					t.Errorf("%d writes with %d bytes are left", a.admitted.Load(), a.bytes.Load())
				}
				if leave, err := a.enter(context.Background(), test.size); err != nil {
					t.Errorf("after all have gone: %v", err)
				} else {
					leave()
				}
			})
		})
	}
}

// The leader's inbox is bounded by how many wait: commands by three quarters of it, so that reports of runners find room.
func TestInboxIsBounded(t *testing.T) {
	b := newInbox()
	b.gate.set(true)
	command := func() error { return b.put(commandRequest(&scheduler.Command{Command: nothingToDo().GetCommand()})) }
	report := func() error { return b.put(reportRequest(&nodev1.SessionReport{}, func(outcome) {})) }
	for _, kind := range []struct {
		name  string
		put   func() error
		limit int
	}{{"command", command, inboxLimit * 3 / 4}, {"report", report, inboxLimit}} {
		for len(b.requests) < kind.limit {
			if err := kind.put(); err != nil {
				t.Fatalf("a %s behind %d inputs: %v", kind.name, len(b.requests), err)
			}
		}
		if err := kind.put(); !errors.Is(err, callboardv1.ErrOverloaded) {
			t.Errorf("a %s behind %d inputs: %v, want %v", kind.name, len(b.requests), err, callboardv1.ErrOverloaded)
		}
	}
}

// The leader's inbox is bounded by what its commands hold, too. Reports of runners are taken all the same.
func TestInboxIsBoundedByBytes(t *testing.T) {
	b := newInbox()
	b.gate.set(true)
	large := func() *request {
		r := commandRequest(&scheduler.Command{Command: nothingToDo().GetCommand()})
		r.size, r.reply = callerBytes/4, func(outcome) {}
		return r
	}
	for range 4 {
		if err := b.put(large()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.put(large()); !errors.Is(err, callboardv1.ErrOverloaded) {
		t.Errorf("a fifth quarter: %v", err)
	}
	if err := b.put(reportRequest(&nodev1.SessionReport{}, func(outcome) {})); err != nil {
		t.Errorf("a report: %v", err)
	}
	b.took(<-b.requests)
	if err := b.put(large()); err != nil {
		t.Errorf("after one was taken: %v", err)
	}
	b.gate.set(false)
	b.refuseAll()
	if b.bytes.Load() != 0 {
		t.Errorf("%d bytes are left", b.bytes.Load())
	}
}

// Without a leader a node looks for one with one call at a time, however many it has, and when there is one all of them know at once.
func TestOneCallLooksForTheLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, without = 1000, 5 * time.Second
		s, began := newScouts(), time.Now()
		var mu sync.Mutex
		tries := 0
		try := func() error {
			mu.Lock()
			defer mu.Unlock()
			if time.Since(began) < without {
				tries++
				return callboardv1.ErrNoLeader
			}
			return nil
		}
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if i%10 == 0 { // some go away meanwhile, the first scout among them
					time.AfterFunc(time.Second, cancel)
				}
				err := s.untilLeader(ctx, try)
				if err != nil && ctx.Err() == nil {
					t.Errorf("%v after %v", err, time.Since(began))
				}
				if late := time.Since(began) - without; late > 2*scoutEvery {
					t.Errorf("a caller was told %v after there was a leader", late)
				}
			})
		}
		all.Wait()
		if most := callers * int(without/unscouted+1) * 2; tries > most {
			t.Errorf("%d tries for %d callers in %v, want %d at most", tries, callers, without, most)
		}
	})
}

// An entry takes what is there: at most three quarters of a mebibyte, or one input that is larger than that, and so many.
func TestAnEntryIsBounded(t *testing.T) {
	l := &loop{inbox: newInbox()}
	l.inbox.gate.set(true)
	put := func(size int) {
		r := commandRequest(&scheduler.Command{Command: nothingToDo().GetCommand()})
		r.size, r.reply = size, func(outcome) {}
		if err := l.inbox.put(r); err != nil {
			t.Fatal(err)
		}
	}
	takes := func(want ...int) {
		t.Helper()
		for i, n := range want {
			b, _ := l.gather(t.Context(), true)
			if got := b.inputs(); got != n {
				t.Errorf("entry %d has %d inputs, want %d", i, got, n)
			}
		}
	}
	for _, size := range []int{maxBatchBytes / 2, maxBatchBytes / 2, 1, 5 * maxBatchBytes, maxBatchBytes - 1, 2} {
		put(size)
	}
	takes(2, 1, 1, 1, 1, 0)
	for range maxBatch + 3 {
		put(1)
	}
	takes(maxBatch, 3, 0)
}
