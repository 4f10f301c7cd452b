// Package counter is an actor that counts: one number, which goes on across sleeps, moves, upgrades and crashes, because each
// count is saved before it is shown.
package counter

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/runner"
)

// Name is the actor name that counters are created under.
const Name = "counter"

// Counter is how counters count. The zero value counts once a second, silently.
type Counter struct {
	Every time.Duration
	// Counted is told each number once it is saved.
	Counted func(a *runner.Actor, n uint64)
}

// Run is the handler: register it with runner.Handle(counter.Name, counter.Counter{}.Run). It begins at the saved number, or at
// the actor's input (a decimal number) in its first life.
func (c Counter) Run(ctx context.Context, a *runner.Actor) error {
	state, _ := a.State()
	n, err := begin(state, a.Input())
	if err != nil {
		return err
	}
	every := c.Every
	if every <= 0 {
		every = time.Second
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		n++
		if err := a.Save(ctx, strconv.AppendUint(nil, n, 10)); err != nil {
			return err // also how the end of ctx shows; the library tells the two apart
		}
		if c.Counted != nil {
			c.Counted(a, n)
		}
	}
}

func begin(state, input []byte) (uint64, error) {
	if state == nil {
		state = input
	}
	s := strings.TrimSpace(string(state))
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("counter: the number to begin with: %w", err)
	}
	return n, nil
}
