//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	crashPool    = "crash"
	crashName    = "crasher"
	crashWorkers = 64
	// crashRunners have room for all crashers each, so that nothing but their crashes keeps them from running.
	crashRunners = 4
)

// crashLoop creates actors of one pool beside many of another: while those run, then from the moment on at which they all crash and go on
// crashing as soon as they run. Their back-off is that of the defaults, so the first seconds are the worst: those come first.
func crashLoop(ctx context.Context, b *bench) error {
	c, leader, followers, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	at := []string{leader.Addrs.GRPC, followers[0].Addrs.GRPC, followers[1].Addrs.GRPC}
	crashers, err := b.Start("crash-runners", b.options.binaries.bench, "child-runners", "-endpoints", at[0]+","+at[1]+","+at[2], "-pool", crashPool,
		"-count", strconv.Itoa(crashRunners), "-slots", strconv.Itoa(b.scale.crashers), "-crash")
	if err != nil {
		return err
	}
	a := newArrivals(crashWorkers, 1)
	stop, err := startRunners(ctx, "others", 1_000_000, a.run, at...)
	if err != nil {
		return err
	}
	defer stop()
	clients, err := callers(crashWorkers, at...)
	if err != nil {
		return err
	}
	defer func() { _ = closeAll(clients) }()
	if err := b.ready(ctx, leader, crashRunners+len(at)); err != nil {
		return err
	}
	window := func(name string) error {
		return b.createBeside(ctx, name, c, &load{pool: "others", workers: crashWorkers, clients: clients, arrivals: a, create: createNamed(name)})
	}
	for _, step := range []func() error{
		func() error { return window("warm-up") },
		func() error { return createCrashers(ctx, clients[0], b.scale.crashers) },
		func() error { return b.allRun(ctx, leader, a, b.scale.crashers) },
		func() error { return window("without") },
		func() error { return syscall.Kill(crashers.PID(), syscall.SIGUSR1) },
		func() error { return window("with") },
		func() error { return window("with, later") },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	lives, err := livesOf(ctx, clients[0])
	b.record.add("crash-loop/lives", float64(lives))
	return err
}

// allRun waits until the engine knows that the crashers run, beside the actors that have been created.
func (b *bench) allRun(ctx context.Context, leader *real.Node, a *arrivals, crashers int) error {
	_, err := real.Until(ctx, time.Minute, "the crashers run", func(ctx context.Context) error {
		running, err := metric(ctx, leader, `callboard_actors{state="running"}`)
		if want := a.count.Load() + int64(crashers); err == nil && int64(running) != want {
			err = fmt.Errorf("%.0f run, of %d", running, want)
		}
		return err
	})
	return err
}

// ready waits until the engine has so many runners that take actors.
func (b *bench) ready(ctx context.Context, leader *real.Node, runners int) error {
	_, err := real.Until(ctx, time.Minute, "the runners are connected", func(ctx context.Context) error {
		ready, err := metric(ctx, leader, `callboard_runners{state="ready"}`)
		if err == nil && int(ready) != runners {
			err = fmt.Errorf("%.0f of %d runners are ready", ready, runners)
		}
		return err
	})
	return err
}

// createNamed is createOne under another name, for loads that follow each other.
func createNamed(name string) func(ctx context.Context, l *load, worker int, n int64) (int, error) {
	return func(ctx context.Context, l *load, worker int, n int64) (int, error) {
		key := l.arrivals.key(worker, n)
		_, err := l.clients[worker%len(l.clients)].Actors.Create(ctx, &callboardv1.CreateRequest{Name: name, Key: &key, Pool: l.pool, Input: input})
		return 1, err
	}
}

// createBeside runs a load for a window and records its rate and its times.
func (b *bench) createBeside(ctx context.Context, name string, c *real.Cluster, l *load) error {
	l.start(ctx)
	rate, cpu, err := b.watch(ctx, "crash-loop/"+name, c, l.arrivals)
	times, ended := l.end()
	b.record.add("crash-loop/"+name+"/rate", rate)
	b.record.add("crash-loop/"+name+"/cpu", cpu*rate/10) // ms per actor into % of a core
	b.record.addTimes("crash-loop/"+name, times)
	return errors.Join(err, ended)
}

func createCrashers(ctx context.Context, c *client.Client, count int) error {
	const each = 1000
	for made := 0; made < count; made += each {
		req := &callboardv1.CreateBatchRequest{}
		for range min(each, count-made) {
			req.Actors = append(req.Actors, &callboardv1.NewActor{Name: crashName, Pool: crashPool})
		}
		if _, err := c.Actors.CreateBatch(ctx, req); err != nil {
			return err
		}
	}
	return nil
}

// livesOf counts how often the crashers were started.
func livesOf(ctx context.Context, c *client.Client) (lives uint64, err error) {
	req := &callboardv1.ListRequest{Name: crashName, Limit: 1000}
	for {
		page, err := c.Actors.List(ctx, req)
		if err != nil {
			return 0, err
		}
		for _, a := range page.GetActors() {
			lives += a.GetGeneration()
		}
		if req.Cursor = page.GetNextCursor(); req.Cursor == "" {
			return lives, nil
		}
	}
}
