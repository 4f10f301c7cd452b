package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/examples/counter"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

const (
	// demoPool is the serverless pool of the demo.
	demoPool = "serverless"
	// demoCallSlots is how many counters one call runs, and demoLifespan how long a call lasts, in seconds: short, so that counters are seen to move.
	demoCallSlots = 25
	demoLifespan  = 120
	// demoLeaves is how long the calls may take to end with the demo.
	demoLeaves = 10 * time.Second
	// demoDeletes is how long the deletion of the pool's config may take of that.
	demoDeletes = 2 * time.Second
)

// runServerlessDemo is a plain HTTP service, a pool that lives behind it, and a client that asks for actors. It ends with ctx, after the runners
// of its calls have handed their actors back.
func runServerlessDemo(ctx context.Context, addr string, log *slog.Logger) error {
	r := runner.New(runner.Config{Version: 1, ShutdownGrace: 5 * time.Second, Logger: quiet(log, demoPool)})
	r.Handle(counter.Name, counter.Counter{}.Run)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serverless demo: %w", err)
	}
	tasks, ctx := errgroup.WithContext(ctx)
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	defer endCalls()
	server := &http.Server{
		Handler: r.ServerlessHandler(), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return calls },
	}
	tasks.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serverless demo: %w", err)
		}
		return nil
	})
	tasks.Go(func() error {
		<-ctx.Done()
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), demoLeaves)
		defer cancel()
		deleteServerlessPool(leaving, addr) // else the engine goes on calling, and complains
		endCalls()
		return server.Shutdown(leaving)
	})
	tasks.Go(func() error {
		err := putServerlessPool(ctx, addr, "http://"+listener.Addr().String())
		if err == nil {
			err = createCounters(ctx, addr, demoPool, demoPool)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("serverless demo: %w", err)
		}
		return nil
	})
	return tasks.Wait()
}

// putServerlessPool writes the pool's config. A kept data directory has the url of its last run.
func putServerlessPool(ctx context.Context, addr, url string) error {
	c, err := client.Dial(addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	slots := uint32(demoCallSlots)
	_, err = c.Pools.Put(ctx, &callboardv1.PoolServicePutRequest{Namespace: "default", Name: demoPool, Config: &callboardv1.PoolConfig{
		Serverless: &callboardv1.Serverless{Url: url, RequestLifespan: demoLifespan, SlotsPerRunner: &slots},
	}})
	return err
}

// deleteServerlessPool has the engine make no further calls, unless it is gone already. The actors stay; the next run writes the config again.
func deleteServerlessPool(ctx context.Context, addr string) {
	c, err := client.Dial(addr)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, demoDeletes)
	defer cancel()
	_, _ = c.Pools.Delete(ctx, &callboardv1.PoolServiceDeleteRequest{Namespace: "default", Name: demoPool})
}
