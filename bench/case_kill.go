//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// runnerKill kills the process of a runner with many actors while another runner has room for all of them.
func runnerKill(ctx context.Context, b *bench) error {
	const pool = "kill"
	c, leader, _, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	addrs := strings.Join(c.GRPCAddrs(), ",")
	victim, err := b.Start("victim", b.options.binaries.bench, "child-runners", "-endpoints", leader.Addrs.GRPC, "-pool", pool,
		"-slots", strconv.Itoa(b.scale.killedActors))
	if err != nil {
		return err
	}
	if err := b.createAndWait(ctx, leader, pool); err != nil {
		return err
	}
	a := newArrivals(1, b.scale.killedActors)
	stop, err := startRunners(ctx, pool, uint32(b.scale.killedActors), a.run, addrs)
	if err != nil {
		return err
	}
	defer stop()
	began := time.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	for n := range b.scale.killedActors {
		select {
		case <-a.waiting[0]:
		case <-time.After(arrivalLimit):
			return fmt.Errorf("%d of %d run again", n, b.scale.killedActors)
		}
		if n == 0 {
			b.record.add("runner-kill/first", time.Since(began).Seconds())
		}
	}
	b.record.add("runner-kill/last", time.Since(began).Seconds())
	return nil
}

// createAndWait creates the actors that are to be killed, and waits until all run.
func (b *bench) createAndWait(ctx context.Context, leader *real.Node, pool string) error {
	c, err := leader.Client()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = real.Until(ctx, time.Minute, "the runner is connected", func(ctx context.Context) error {
		ready, err := metric(ctx, leader, `callboard_runners{state="ready"}`)
		if err == nil && ready != 1 {
			err = fmt.Errorf("%.0f runners are ready", ready)
		}
		return err
	})
	if err != nil {
		return err
	}
	for n := range b.scale.killedActors {
		key := "0-" + strconv.Itoa(n)
		if _, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "bench", Key: &key, Pool: pool, Input: input}); err != nil {
			return err
		}
	}
	_, err = real.Until(ctx, time.Minute, "all actors run", func(ctx context.Context) error {
		running, err := metric(ctx, leader, `callboard_actors{state="running"}`)
		if err == nil && int(running) != b.scale.killedActors {
			err = fmt.Errorf("%.0f of %d run", running, b.scale.killedActors)
		}
		return err
	})
	return err
}

// leaderKill kills the leader again and again, while a client that knows all nodes goes on writing.
func leaderKill(ctx context.Context, b *bench) error {
	const pool = "idle"
	c, leader, _, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	stop, err := startRunners(ctx, pool, 1_000_000, newArrivals(0, 0).run, strings.Join(c.GRPCAddrs(), ","))
	if err != nil {
		return err
	}
	defer stop()
	var times []time.Duration
	for range b.scale.leaderKills {
		took, err := b.killLeader(ctx, c, leader, pool)
		if err != nil {
			return err
		}
		times = append(times, took)
		if err := c.Start(ctx, leader); err != nil {
			return err
		}
		if leader, err = c.Leader(ctx); err != nil {
			return err
		}
	}
	slices.Sort(times)
	b.record.add("leader-kill/p50", quantile(times, 0.5).Seconds())
	b.record.add("leader-kill/max", quantile(times, 1).Seconds())
	return nil
}

func (b *bench) killLeader(ctx context.Context, c *real.Cluster, leader *real.Node, pool string) (time.Duration, error) {
	var others []string
	for _, n := range c.Nodes {
		if n != leader {
			others = append(others, n.Addrs.GRPC)
		}
	}
	// A client that knows only the others, so that what is measured is the engine and not how a client finds a dead address.
	writer, err := client.Dial(others...)
	if err != nil {
		return 0, err
	}
	defer func() { _ = writer.Close() }()
	write := func() error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		_, err := writer.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "bench", Pool: pool})
		return err
	}
	if err := write(); err != nil {
		return 0, err
	}
	if err := leader.Kill(); err != nil {
		return 0, err
	}
	began := time.Now()
	for {
		err := write()
		if err == nil {
			return time.Since(began), nil
		}
		if ctx.Err() != nil || time.Since(began) > time.Minute {
			return 0, errors.Join(err, ctx.Err())
		}
	}
}
