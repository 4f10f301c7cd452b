package server

import (
	"context"
	"sync"
	"time"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// maxFerries is how many questions for an index are under way at once. A read that is alone leaves at once; those that come while all
// are away leave together.
const maxFerries = 4

// ferries ask for the index that linearizable reads wait for, many with one question. A read may only take an answer to a question that
// was put after it came: so it boards the next ferry, and never one that has left.
type ferries struct {
	ask func(context.Context) (uint64, error) // the index of an entry that is proposed after the call

	mu   sync.Mutex // guards what follows, and how many are aboard; nothing waits while holding it
	next *ferry     // boards; nil: nobody waits
	away int
}

type ferry struct {
	aboard int       // reads that still want to know
	since  time.Time // when the first of them came: it waits as long for a leader as if it had left at once
	leave  context.CancelFunc

	back  chan struct{} // closed when the two below are set
	index uint64
	err   error
}

// index returns the index of an entry that was proposed after the call.
func (s *ferries) index(ctx context.Context) (uint64, error) {
	f := s.board()
	select {
	case <-f.back:
		return f.index, f.err
	case <-ctx.Done():
		s.disembark(f)
		return 0, ctx.Err()
	}
}

func (s *ferries) board() *ferry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &ferry{since: time.Now(), back: make(chan struct{})}
	}
	f := s.next
	f.aboard++
	if s.away < maxFerries {
		s.away++
		go s.cross() // ends when nobody waits; a question ends when nobody wants to know
	}
	return f
}

// disembark is for a read whose time is up. A question that nobody wants answered is given up.
func (s *ferries) disembark(f *ferry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.aboard--; f.aboard > 0 {
		return
	}
	if f == s.next {
		s.next = nil
	}
	if f.leave != nil {
		f.leave()
	}
}

// cross puts one question after the other while somebody waits.
func (s *ferries) cross() {
	for {
		f, ctx := s.depart()
		if f == nil {
			return
		}
		f.index, f.err = s.ask(ctx)
		if f.err != nil && ctx.Err() != nil {
			f.err = callboardv1.ErrNoLeader // none answered in time
		}
		close(f.back)
		f.leave()
	}
}

func (s *ferries) depart() (*ferry, context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.next
	if f == nil {
		s.away--
		return nil, nil
	}
	s.next = nil
	ctx, leave := context.WithDeadline(context.Background(), f.since.Add(retryLeaderFor))
	f.leave = leave
	return f, ctx
}
