//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/callboard/callboard/jepsen/real"
)

// unary is as many creates under way at once as the scale says, each a call of its own, over all nodes and four runners.
func unary(ctx context.Context, b *bench) error {
	return b.sustained(ctx, "unary", b.scale.outstanding, 1, createOne)
}

const sustainedRunners = 4

func (b *bench) sustained(
	ctx context.Context, name string, workers, each int,
	create func(ctx context.Context, l *load, worker int, n int64) (int, error),
) error {
	c, leader, followers, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	at := []string{leader.Addrs.GRPC, followers[0].Addrs.GRPC, followers[1].Addrs.GRPC}
	a := newArrivals(workers, each)
	var endpoints []string
	for i := range sustainedRunners {
		endpoints = append(endpoints, at[i%len(at)])
	}
	stop, err := startRunners(ctx, name, 1_000_000, a.run, endpoints...)
	if err != nil {
		return err
	}
	defer stop()
	clients, err := callers(workers, at...)
	if err != nil {
		return err
	}
	defer func() { _ = closeAll(clients) }()
	l := &load{pool: name, workers: workers, clients: clients, arrivals: a, create: create}
	l.start(ctx)
	wait(ctx, b.scale.warmUp)
	profiled := b.profile(ctx, name, c)
	rate, perActor, err := b.watch(ctx, name, c, a)
	err = errors.Join(err, profiled())
	times, ended := l.end()
	if err := errors.Join(err, ended); err != nil {
		return err
	}
	b.record.add(name+"/rate", rate)
	b.record.add(name+"/cpu", perActor)
	b.record.addTimes(name+"/time", times)
	return b.settled(ctx, name, leader, a)
}

// profile begins to profile every node, and this process of callers and runners, for as long as a rate is watched, if that was
// asked for. Done waits for it.
func (b *bench) profile(ctx context.Context, name string, c *real.Cluster) (done func() error) {
	if b.options.profiles == "" {
		return func() error { return nil }
	}
	var all sync.WaitGroup
	errs := make([]error, len(c.Nodes))
	for i, n := range c.Nodes {
		all.Go(func() {
			var text string
			url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", n.Addrs.Metrics, max(1, int(b.scale.window.Seconds())-1))
			if text, errs[i] = get(ctx, url); errs[i] == nil {
				errs[i] = os.WriteFile(filepath.Join(b.options.profiles, name+"-"+n.ID+".prof"), []byte(text), 0o600)
			}
		})
	}
	own, err := os.Create(filepath.Join(b.options.profiles, name+"-callers.prof"))
	if err == nil {
		err = pprof.StartCPUProfile(own)
	}
	return func() error {
		all.Wait()
		pprof.StopCPUProfile()
		return errors.Join(append(errs, err, own.Close())...)
	}
}

// watch returns how many actors began to run in a second, and what that cost all nodes together, in milliseconds each.
func (b *bench) watch(ctx context.Context, name string, c *real.Cluster, a *arrivals) (rate, perActor float64, err error) {
	cpu, err := cpuOf(processesOf(c)...)
	if err != nil {
		return 0, 0, err
	}
	own, err := cpuTime(os.Getpid())
	if err != nil {
		return 0, 0, err
	}
	began, from := time.Now(), a.count.Load()
	wait(ctx, b.scale.window)
	arrived, took := float64(a.count.Load()-from), time.Since(began)
	after, err := cpuOf(processesOf(c)...)
	if err == nil && arrived == 0 {
		err = errors.New("nothing ran")
	}
	if ownAfter, ownErr := cpuTime(os.Getpid()); ownErr == nil {
		b.record.add(name+"/own-cpu", milliseconds(ownAfter-own)/arrived)
	}
	return arrived / took.Seconds(), milliseconds(after-cpu) / arrived, err
}

// settled waits until the engine knows of every actor that runs. It would tell if the rate were one of starts whose reports pile up.
func (b *bench) settled(ctx context.Context, name string, leader *real.Node, a *arrivals) error {
	took, err := real.Until(ctx, time.Minute, "the engine knows of all that run", func(ctx context.Context) error {
		running, err := metric(ctx, leader, `callboard_actors{state="running"}`)
		if want := a.count.Load(); err == nil && int64(running) != want {
			err = fmt.Errorf("%.0f run, as the engine knows; %d do", running, want)
		}
		return err
	})
	b.record.add(name+"/settled", took.Seconds())
	return err
}
