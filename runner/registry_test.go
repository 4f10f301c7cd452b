package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A Hello lists the names that have handlers, in order; none when a handler takes any.
func TestHandledNames(t *testing.T) {
	r := New(Config{})
	r.Handle("b", untilStopped)
	r.Handle(strings.Repeat("a", maxActorName), untilStopped)
	if got, want := r.registry.handled(), []string{strings.Repeat("a", maxActorName), "b"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, not %q", got, want)
	}
	r = New(Config{})
	r.Handle("b", untilStopped)
	r.HandleAny(untilStopped)
	if got := r.registry.handled(); got != nil {
		t.Errorf("beside a handler for any name, %q are listed", got)
	}
	r.Handle("c", untilStopped) // what it is given does not depend on it
}

// A runner with more handlers than it may list ends at once, and says what to do.
func TestTooManyHandlers(t *testing.T) {
	for n, ends := range map[int]bool{maxHandledNames: false, maxHandledNames + 1: true} {
		r := New(Config{})
		for i := range n {
			r.Handle(fmt.Sprint("name", i), untilStopped)
		}
		if err := r.registry.check(); (err != nil) != ends {
			t.Errorf("%d handlers: %v", n, err)
		}
		if ends {
			if err := r.Run(context.Background()); ExitCode(err) != CodeUsage || !strings.Contains(err.Error(), "HandleAny") {
				t.Errorf("%d handlers: Run returns %v", n, err)
			}
		}
		r.HandleAny(untilStopped)
		if err := r.registry.check(); err != nil {
			t.Errorf("%d handlers and one for any name: %v", n, err)
		}
	}
}
