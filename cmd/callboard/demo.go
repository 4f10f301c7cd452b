package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/examples/counter"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

const (
	demoRunners = 3
	demoActors  = 100
	demoSlots   = 100
	// demoPause is how long the demo waits before it tries a step again.
	demoPause = 200 * time.Millisecond
)

// runDemo is what a user of the engine would run: runners that dial it, and a client that asks for actors. It ends with ctx, after the
// runners have handed their actors back.
func runDemo(ctx context.Context, addr string, log *slog.Logger) error {
	tasks, ctx := errgroup.WithContext(ctx)
	for i := range demoRunners {
		r := runner.New(runner.Config{
			Endpoint: addr, Key: fmt.Sprintf("demo-%d", i+1), Version: 1, Slots: demoSlots, IgnoreSignals: true,
			ShutdownGrace: 5 * time.Second, Logger: quiet(log, fmt.Sprintf("demo-%d", i+1)),
		})
		r.Handle(counter.Name, counter.Counter{}.Run)
		tasks.Go(func() error {
			if err := r.Run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("demo runner %d: %w", i+1, err)
			}
			return nil
		})
	}
	tasks.Go(func() error {
		if err := createCounters(ctx, addr, "default", "demo"); err != nil && ctx.Err() == nil {
			return fmt.Errorf("demo: %w", err)
		}
		return nil
	})
	return tasks.Wait()
}

// createCounters asks for the counters of a pool by key: those that a kept data directory has already go on.
func createCounters(ctx context.Context, addr, pool, prefix string) error {
	c, err := client.Dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for i := range demoActors {
		for {
			_, err = c.Actors.GetOrCreate(ctx, &callboardv1.GetOrCreateRequest{
				Namespace: "default", Name: counter.Name, Key: fmt.Sprintf("%s-%03d", prefix, i+1), Pool: pool,
			})
			refusal, refused := callboardv1.AsRefusal(err)
			if !refused || refusal.GetCode() != "no_runner_config_configured" {
				break
			}
			select { // the runners are still connecting
			case <-time.After(demoPause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
