package server

import (
	"context"
	"errors"
	"testing"
	"time"

	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

// The leader's machine vanishes: no connection to it breaks, nothing answers any more. What was on its way to it through another node
// does not wait for the connection to be given up, but for the next leader only: a read is asked again there, and a write is unknown.
func TestWhatWasOnItsWayToALeaderThatVanished(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		old := c.leader()
		r := c.run(runner.Config{Slots: 100})
		defer r.end()
		c.populate(3, r)
		at := c.follower()
		if _, err := c.create(at, "a connection"); err != nil {
			t.Fatal(err)
		}
		c.isolate(old.name)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		type result struct {
			what string
			err  error
			took time.Duration
		}
		results := make(chan result, 2)
		go func() {
			_, err := at.core.engine.View(ctx, callboardv1.Consistency_CONSISTENCY_LINEARIZABLE)
			results <- result{"a read", err, time.Since(began)}
		}()
		go func() {
			_, err := at.core.engine.Submit(ctx, &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_CreateActor{
				CreateActor: &callboardv1.CreateRequest{Namespace: "default", Name: "counter", Pool: "default"},
			}}})
			results <- result{"a write", err, time.Since(began)}
		}()
		for range 2 {
			got := <-results
			t.Logf("%s: %v after %v", got.what, got.err, got.took)
			if got.took > 4*time.Second {
				t.Errorf("%s was answered after %v", got.what, got.took)
			}
			if got.err != nil && (got.what == "a read" || !errors.Is(got.err, callboardv1.ErrOutcomeUnknown)) {
				t.Errorf("%s: %v", got.what, got.err)
			}
		}
		c.heal()
		time.Sleep(15 * time.Second)
		r.livedOnce(t)
	})
}
