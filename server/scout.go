package server

import (
	"context"
	"sync"
	"time"
)

const (
	// scoutEvery is how often a node that knows no leader which takes its calls looks for one.
	scoutEvery = 20 * time.Millisecond
	// unscouted is how long a call waits at most for the scout's news before it tries itself.
	unscouted = 500 * time.Millisecond
)

// scouts lets one call of a node at a time look for a leader while all the others wait for what it finds. If each looked for itself, a
// node with thousands of calls would be so busy with that while there is no leader that it delays the election of one.
type scouts struct {
	mu    sync.Mutex    // not a loop: whoever finds no leader passes here, for a few instructions
	away  bool          // a scout is on its way
	found chan struct{} // closed when the scout comes back: with news, or because its own time was up
}

func newScouts() *scouts { return &scouts{found: make(chan struct{})} }

// untilLeader repeats a try that took no effect for want of a leader.
func (s *scouts) untilLeader(ctx context.Context, try func() error) error {
	give, scouting := time.Now().Add(retryLeaderFor), false
	for {
		err := try()
		if err == nil || !tookNoEffect(err) || time.Now().After(give) {
			s.back(scouting)
			return noLeader(err)
		}
		pause := scoutEvery
		var found <-chan struct{}
		if !scouting {
			if scouting, found = s.send(); !scouting {
				pause = unscouted
			}
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-found:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			s.back(scouting)
			return noLeader(err)
		}
	}
}

// send makes the caller the scout, or returns what tells when the scout is back.
func (s *scouts) send() (scouting bool, found <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.away {
		s.away = true
		return true, nil
	}
	return false, s.found
}

// back wakes those who wait for the scout, if the caller is it.
func (s *scouts) back(scouting bool) {
	if !scouting {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.found)
	s.away, s.found = false, make(chan struct{})
}
