//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// latency is the time from a create call until the actor's code runs, with the caller and the runner at the same node.
func latency(ctx context.Context, b *bench) error {
	_, leader, followers, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	for _, at := range []struct {
		name string
		node *real.Node
	}{{"leader", leader}, {"follower", followers[0]}} {
		for _, inFlight := range []int{1, 64} {
			name := fmt.Sprintf("latency/%s/%d", at.name, inFlight)
			if err := b.latencyAt(ctx, name, at.node, inFlight); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (b *bench) latencyAt(ctx context.Context, name string, at *real.Node, inFlight int) error {
	a := newArrivals(inFlight, 1)
	pool := strings.ReplaceAll(name, "/", "-")
	stop, err := startRunners(ctx, pool, 1_000_000, a.run, at.Addrs.GRPC)
	if err != nil {
		return err
	}
	defer stop()
	clients, err := callers(inFlight, at.Addrs.GRPC)
	if err != nil {
		return err
	}
	defer func() { _ = closeAll(clients) }()
	l := &load{pool: pool, workers: inFlight, clients: clients, arrivals: a, create: createOne}
	l.start(ctx)
	wait(ctx, b.scale.latency)
	times, err := l.end()
	if err != nil {
		return err
	}
	if len(times) < 10*inFlight {
		return errors.New("hardly anything ran")
	}
	b.record.addTimes(name, times)
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
