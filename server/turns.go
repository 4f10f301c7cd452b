package server

import (
	"fmt"
	"sync/atomic"
	"time"
)

// turns tells how long a turn of the leader's loop takes, to somebody who does not wait for it. A turn that does not end keeps every
// write of the cluster waiting, and the others from electing a leader that can, whatever it is that holds it.
type turns struct {
	current atomic.Int64 // number of the turn that is under way; 0: none is
	begun   int64
}

func (t *turns) begin() {
	t.begun++
	t.current.Store(t.begun)
}

func (t *turns) end() { t.current.Store(0) }

// turnWatch counts how many seconds the same turn has been seen. Like await it counts the ticks of a ticker, which drops those that the
// whole process slept through.
type turnWatch struct {
	of      *turns
	seen    int64
	seconds int
}

// tick follows each tick of a second.
func (w *turnWatch) tick() error {
	current := w.of.current.Load()
	if current == 0 || current != w.seen {
		w.seen, w.seconds = current, 0
		return nil
	}
	// await, within the turn, has given up on an entry by then and says more exactly why.
	if w.seconds++; w.seconds <= stuckAfter+1 {
		return nil
	}
	return fmt.Errorf("%w: a turn of its loop has not ended within %d s although this node leads", errStuck, w.seconds)
}

// watched waits for the end of an epoch, or until a turn of its loop is stuck. Tests let the whole process stand still in still.
func watched(done <-chan error, of *turns, still func()) <-chan error {
	result := make(chan error, 1)
	go func() { // ends with the epoch; if that is stuck, the process ends
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		watch := turnWatch{of: of}
		for {
			select {
			case err := <-done:
				result <- err
				return
			case <-ticker.C:
				still()
				if err := watch.tick(); err != nil {
					result <- err
					return
				}
			}
		}
	}()
	return result
}
