package peer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// held is a leader that answers nothing until it is let go. A command's key says what it answers: its number as index.
func held() (l *loop, letGo func()) {
	gate := make(chan struct{})
	return &loop{submit: func(request *nodev1.SubmitRequest) (*nodev1.SubmitResponse, error) {
		<-gate
		var n uint64
		if _, err := fmt.Sscanf(request.GetIdempotencyKey(), "%d", &n); err != nil {
			return nil, err
		}
		if n%7 == 0 {
			return nil, somePool
		}
		return &nodev1.SubmitResponse{Index: n}, nil
	}}, sync.OnceFunc(func() { close(gate) })
}

func numbered(n int) *nodev1.SubmitRequest {
	return &nodev1.SubmitRequest{IdempotencyKey: fmt.Sprint(n)}
}

// What comes while all flights are away leaves together, and each caller gets the answer to its own command.
func TestCommandsTravelTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 2000
		town := newTown(t)
		client := town.client()
		leader, letGo := held()
		defer town.serve("n1:1", leader)()
		var all sync.WaitGroup
		for n := 1; n <= callers; n++ {
			all.Go(func() {
				response, err := client.Submit(t.Context(), "n1:1", numbered(n))
				switch {
				case n%7 == 0 && !errors.Is(err, somePool):
					t.Errorf("command %d: %v, %v", n, response, err)
				case n%7 != 0 && (err != nil || response.GetIndex() != uint64(n)):
					t.Errorf("command %d: %v, %v", n, response, err)
				}
			})
			if n <= maxFlights {
				synctest.Wait() // the first ones travel alone
			}
		}
		synctest.Wait()
		letGo()
		all.Wait()
		want := []int{1, 1, 1, 1, maxFlightCommands, callers - maxFlights - maxFlightCommands}
		if got := sorted(leader.carried()); !slices.Equal(got, sorted(want)) {
			t.Errorf("the calls carried %v commands, want %v", got, want)
		}
	})
}

func sorted(numbers []int) []int {
	slices.Sort(numbers)
	return numbers
}

// A flight carries so many bytes, or one command that is larger.
func TestAFlightIsBoundedByBytes(t *testing.T) {
	s := &submitter{}
	for _, size := range []int{maxFlightBytes / 2, maxFlightBytes / 2, 1, 2 * maxFlightBytes, 1} {
		s.waiting = append(s.waiting, &passenger{size: size})
	}
	var carried []int
	for f := s.take(nil); f != nil; f = s.take(nil) {
		carried = append(carried, len(f.passengers))
	}
	if want := []int{2, 1, 1, 1}; !slices.Equal(carried, want) {
		t.Errorf("flights of %v, want %v", carried, want)
	}
}

// A caller who gives up has an unknown outcome when its command is under way, and none when it still waits. The others notice nothing.
func TestACallerLeavesAFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		town := newTown(t)
		client := town.client()
		leader, letGo := held()
		defer town.serve("n1:1", leader)()
		errs := make([]error, maxFlights+4)
		var all sync.WaitGroup
		submit := func(ctx context.Context, i int) {
			all.Go(func() { _, errs[i] = client.Submit(ctx, "n1:1", numbered(i+1)) })
			synctest.Wait()
		}
		for i := range maxFlights {
			submit(t.Context(), i)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		submit(short, maxFlights) // waits
		submit(t.Context(), maxFlights+1)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !errors.Is(errs[maxFlights], ErrUnreachable) {
			t.Errorf("one that waited: %v", errs[maxFlights])
		}
		letGo()
		all.Wait()
		for i, err := range errs[:maxFlights+2] {
			if i != maxFlights && err != nil {
				t.Errorf("command %d: %v", i+1, err)
			}
		}
	})
}

// Two on one flight: one leaves and does not know, the other gets its answer; when both have left the call is ended.
func TestAFlightEndsWithTheLastCaller(t *testing.T) {
	for _, bothLeave := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			town := newTown(t)
			client := town.client()
			leader, letGo := held()
			defer letGo()
			defer town.serve("n1:1", leader)()
			for i := range maxFlights { // they hold the flights until their time is up
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				go func() { _, _ = client.Submit(ctx, "n1:1", numbered(100+i)) }()
				synctest.Wait() // each leaves alone
			}
			var first, second error
			var both sync.WaitGroup
			early, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			late, cancelLate := context.WithTimeout(t.Context(), time.Minute)
			defer cancelLate()
			both.Go(func() { _, first = client.Submit(early, "n1:1", numbered(1)) })
			both.Go(func() { _, second = client.Submit(late, "n1:1", numbered(2)) })
			time.Sleep(2 * time.Second) // they are on one flight, and it has left
			synctest.Wait()
			if calls := leader.carried(); calls[len(calls)-1] != 2 {
				t.Fatalf("the calls carry %v commands, want 2 on the last", calls)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			if !errors.Is(first, callboardv1.ErrOutcomeUnknown) {
				t.Errorf("who left: %v", first)
			}
			if bothLeave {
				cancelLate()
			} else {
				letGo()
			}
			both.Wait()
			if bothLeave != errors.Is(second, callboardv1.ErrOutcomeUnknown) || !bothLeave && second != nil {
				t.Errorf("who stayed (or left too: %v): %v", bothLeave, second)
			}
			synctest.Wait()
			s := client.submitter("n1:1")
			if s.mu.Lock(); s.flights != 0 {
				t.Errorf("%d calls are under way", s.flights)
			}
			s.mu.Unlock()
		})
	}
}
