package runner

import (
	"log/slog"
	"sync"
	"time"
)

// watchdog fences when the lease runs out, whatever the loop does meanwhile. It works from a timer. A mutex and no loop: a fence must
// not wait for anybody's turn, and nobody waits for anything while he holds this lock, or an actor's.
type watchdog struct {
	clock Clock
	log   *slog.Logger
	keep  bool            // OnLeaseLost: the lease ends and the actors go on
	exit  func()          // ends the process, once; nil: OnStuck is not ExitProcess
	wake  chan<- struct{} // room for one: the loop has something to do

	mu     sync.Mutex
	timer  *time.Timer
	closed bool
	lease  lease                    // as the loop has seen it last; not held: no fence is due
	actors map[*Actor]time.Duration // those under the lease; of a fenced one, when its code must have returned
	exitAt time.Duration            // the earliest of these; 0: there is none
	fence  *fence                   // that the loop has not heard of
	loopAt time.Duration            // when the loop wants to be woken
}

// fence is the end of a lease.
type fence struct {
	why       string
	abandonAt time.Duration // what has not returned is given up then
}

func (w *watchdog) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.sleep(w.clock.Now()), w.look)
}

func (w *watchdog) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.timer.Stop()
}

// look is what the timer does.
func (w *watchdog) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	now := w.clock.Now()
	w.judge(now)
	w.mindStuck(now)
	if w.fence != nil || now >= w.loopAt {
		select {
		case w.wake <- struct{}{}:
		default: // it is awake already
		}
	}
	w.timer.Reset(w.sleep(now))
}

// sleep is how long nothing can be due. A timer does not see a suspension, so a clock that does is looked at often.
func (w *watchdog) sleep(now time.Duration) time.Duration {
	at := now + pollOf(w.clock)
	if w.lease.held {
		at = min(at, w.lease.validUntil())
	}
	if w.exitAt != 0 {
		at = min(at, w.exitAt)
	}
	return max(at-now, 0)
}

// judge fences when the lease has run out or the clocks have parted. It cancels first: a log line may not be in the way.
func (w *watchdog) judge(now time.Duration) {
	if !w.lease.held {
		return
	}
	var why string
	switch {
	case now >= w.lease.validUntil():
		why = "no acknowledgement in time"
	case jumped(w.lease.skew, skewOf(w.clock, now)):
		why = "the wall clock jumped"
	default:
		return
	}
	share := w.lease.smallest * (abandonPercent - leasePercent) / 100
	w.fence = &fence{why: why, abandonAt: max(min(w.lease.abandonAt(), now+share), now+fenceMinimum)}
	w.lease.end()
	if w.keep {
		w.log.Error("the lease has ended and the actors go on (OnLeaseLost: keep); the engine may run them elsewhere too",
			"reason", why, "actors", len(w.actors))
		return
	}
	for a, exitAt := range w.actors {
		if exitAt == 0 {
			a.kill(ErrLeaseLost)
			w.actors[a] = w.fence.abandonAt
		}
	}
	if w.exit != nil && len(w.actors) > 0 && (w.exitAt == 0 || w.fence.abandonAt < w.exitAt) {
		w.exitAt = w.fence.abandonAt
	}
	w.log.Error("the lease has ended; every actor is cancelled", "reason", why, "actors", len(w.actors))
}

// mindStuck ends the process when fenced code has not returned and the program wants that.
func (w *watchdog) mindStuck(now time.Duration) {
	if w.exitAt == 0 || now < w.exitAt {
		return
	}
	w.exitAt = 0
	for a, exitAt := range w.actors {
		switch {
		case exitAt == 0 || a.returned():
		case now >= exitAt:
			a.log.Error("an actor's code does not return after the lease has ended; the process ends", "on_stuck", ExitProcess)
			w.exit()
			return
		case w.exitAt == 0 || exitAt < w.exitAt:
			w.exitAt = exitAt
		}
	}
}

// check looks as the timer would, and returns the fence that the loop has not heard of yet, or nil.
func (w *watchdog) check(now time.Duration) *fence {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge(now)
	f := w.fence
	w.fence = nil
	return f
}

// renew tells of the loop's lease. After a fence it says nothing: the loop hears of that first.
func (w *watchdog) renew(l lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fence != nil || w.closed {
		return
	}
	w.lease = l
	w.timer.Reset(w.sleep(w.clock.Now()))
}

// wakeAt tells when the loop wants to be woken, should the clock come there before the loop's own timer.
func (w *watchdog) wakeAt(at time.Duration) {
	w.mu.Lock()
	w.loopAt = at
	w.mu.Unlock()
}

// add puts an actor that is about to begin under the lease, and reports whether there is one.
func (w *watchdog) add(a *Actor, now time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.lease.valid(now) {
		return false
	}
	w.actors[a] = 0
	return true
}

func (w *watchdog) remove(a *Actor) {
	w.mu.Lock()
	delete(w.actors, a)
	w.mu.Unlock()
}
