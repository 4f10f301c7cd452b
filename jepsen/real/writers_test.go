//go:build unix

package real_test

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

// pulse is the name of the actors that writers create.
const pulse = "pulse"

// writers create actors one after the other until they are stopped, whatever happens to the nodes meanwhile. A call that fails is one
// that failed: the history has it.
type writers struct {
	stop context.CancelFunc
	all  sync.WaitGroup
}

// write starts one writer for each caller. Each writes at most every pause, in the main pool.
func (s *scenario) write(pause time.Duration, callers ...*real.Caller) *writers {
	ctx, stop := context.WithCancel(s.Context())
	w := &writers{stop: stop}
	for i, c := range callers {
		prefix := s.Name() + "-" + strconv.Itoa(i) + "-"
		w.all.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for n := 0; ; n++ {
				// The call outlives the stop: an outcome that nobody waited for would count as unknown.
				call, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
				_, _ = c.Create(call, pool, pulse, prefix+strconv.Itoa(n))
				cancel()
				select {
				case <-tick.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	return w
}

// end stops the writers and waits for their last calls.
func (w *writers) end() {
	w.stop()
	w.all.Wait()
}

// firstWriteAfter returns when the first write was acknowledged that began after an instant; 0: none was.
func firstWriteAfter(events []history.Event, instant int64) int64 {
	type call struct {
		process string
		number  uint64
	}
	began := map[call]bool{}
	for _, e := range events {
		c := call{process: e.Process, number: e.Call}
		switch {
		case e.Op != history.Create:
		case e.Kind == history.Invoke && e.AtNs > instant:
			began[c] = true
		case e.Kind == history.OK && began[c]:
			return e.AtNs
		}
	}
	return 0
}
