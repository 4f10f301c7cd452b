//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/runner"
)

const (
	// crowdSlots is what each call of the pool with a thousand actors brings, and crowdActors how many there are.
	crowdSlots  = 50
	crowdActors = 1_000
	// endpointPath is where the endpoint is mounted.
	endpointPath = "/api/rivet"
)

// serverless measures pools whose runners live behind HTTP requests. The endpoint is in this process, callers are at the leader, and the
// nodes carry the requests in turn.
func serverless(ctx context.Context, b *bench) (err error) {
	_, leader, _, err := b.cluster(ctx)
	if err != nil {
		return err
	}
	c, err := client.Dial(leader.Addrs.GRPC)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	e, err := serveEndpoint()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := b.cold(ctx, c, e); err != nil {
		return fmt.Errorf("cold: %w", err)
	}
	if err := b.warm(ctx, c, e); err != nil {
		return fmt.Errorf("warm: %w", err)
	}
	if err := b.crowd(ctx, c, e); err != nil {
		return fmt.Errorf("a thousand actors: %w", err)
	}
	return nil
}

// cold is from a create in a pool without requests until the actor's code runs: each sample has a pool of its own. What the endpoint takes of
// that is from the arrival of the call until its runner dials the engine.
func (b *bench) cold(ctx context.Context, c *client.Client, e *endpoint) error {
	pools := make([]string, b.scale.coldStarts)
	for i := range pools {
		pools[i] = "cold-" + strconv.Itoa(i)
		if err := e.pool(ctx, c, pools[i], 10); err != nil {
			return err
		}
	}
	for _, name := range pools { // the first look at each version is over
		if err := polled(ctx, c, name); err != nil {
			return err
		}
	}
	var whole, until, own []time.Duration
	for i, name := range pools {
		e.forget()
		began := time.Now()
		if err := e.create(ctx, c, name, int64(i)); err != nil {
			return err
		}
		whole = append(whole, time.Since(began))
		called, dialled := e.times()
		until, own = append(until, called.Sub(began)), append(own, dialled.Sub(called))
	}
	b.record.addTimes("serverless/cold", whole)
	b.record.addTimes("serverless/called", until)
	b.record.addTimes("serverless/endpoint", own)
	b.record.add("serverless/beyond/p50", milliseconds(quantile(whole, 0.5)-quantile(own, 0.5)))
	return nil
}

// warm is the same in a pool whose request has room.
func (b *bench) warm(ctx context.Context, c *client.Client, e *endpoint) error {
	if err := e.pool(ctx, c, "warm", 1_000_000); err != nil {
		return err
	}
	var times []time.Duration
	for began := time.Now(); time.Since(began) < b.scale.latency; {
		from := time.Now()
		if err := e.create(ctx, c, "warm", int64(len(times))); err != nil {
			return err
		}
		times = append(times, time.Since(from))
	}
	b.record.addTimes("serverless/warm", times[1:]) // the first one was cold
	return nil
}

// crowd creates a thousand actors at once, from zero: how many requests does it take, and how long?
func (b *bench) crowd(ctx context.Context, c *client.Client, e *endpoint) error {
	if err := e.pool(ctx, c, "crowd", crowdSlots); err != nil {
		return err
	}
	before := e.arrivals.count.Load()
	began := time.Now()
	key := func(n int64) string { return "crowd-" + strconv.FormatInt(n, 10) }
	if _, err := c.Actors.CreateBatch(ctx, batchOf("crowd", crowdActors, key)); err != nil {
		return err
	}
	_, err := real.Until(ctx, arrivalLimit, "all run", func(context.Context) error {
		if run := e.arrivals.count.Load() - before; run < crowdActors {
			return fmt.Errorf("%d of %d do", run, crowdActors)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.record.add("serverless/crowd", time.Since(began).Seconds())
	opened, err := c.Pools.ListRequests(ctx, &callboardv1.ListRequestsRequest{Namespace: "default", Pool: "crowd", IncludeEnded: true, Limit: 1000})
	b.record.add("serverless/requests", float64(len(opened.GetRequests())))
	return err
}

// endpoint is the HTTP service behind all pools of the case.
type endpoint struct {
	arrivals *arrivals
	url      string
	server   *http.Server
	served   chan error

	mu              sync.Mutex // calls come on goroutines of their own
	called, dialled time.Time  // of the last call
}

func serveEndpoint() (*endpoint, error) {
	e := &endpoint{arrivals: newArrivals(1, 1), served: make(chan error, 1)}
	r := runner.New(runner.Config{
		Logger: slog.New(slog.DiscardHandler),
		Dial: func(ctx context.Context, addr string) (net.Conn, error) {
			e.note(&e.dialled)
			return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		},
	})
	r.HandleAny(e.arrivals.run)
	handler := r.ServerlessHandler()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e.url = "http://" + listener.Addr().String() + endpointPath
	e.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Base(r.URL.Path) == "start" {
			e.note(&e.called)
		}
		handler.ServeHTTP(w, r)
	})}
	go func() { e.served <- e.server.Serve(listener) }() // close waits for it
	return e, nil
}

// close ends the calls as a crash would: the nodes are ended next.
func (e *endpoint) close() error {
	err := e.server.Close()
	if served := <-e.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// note writes down when something happened for the first time since forget.
func (e *endpoint) note(at *time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.IsZero() {
		*at = time.Now()
	}
}

func (e *endpoint) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.called, e.dialled = time.Time{}, time.Time{}
}

func (e *endpoint) times() (called, dialled time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.called, e.dialled
}

// pool writes the config of a pool that lives behind the endpoint.
func (e *endpoint) pool(ctx context.Context, c *client.Client, name string, slots uint32) error {
	most := uint64(1_000_000)
	_, err := c.Pools.Put(ctx, &callboardv1.PoolServicePutRequest{Namespace: "default", Name: name, Config: &callboardv1.PoolConfig{
		Serverless: &callboardv1.Serverless{Url: e.url, RequestLifespan: 3600, SlotsPerRunner: &slots, MaxConcurrentActors: &most},
	}})
	return err
}

// polled waits until the engine has asked for a pool's version.
func polled(ctx context.Context, c *client.Client, name string) error {
	_, err := real.Until(ctx, time.Minute, name+" was asked for its version", func(ctx context.Context) error {
		got, err := c.Pools.Get(ctx, &callboardv1.PoolServiceGetRequest{Name: name})
		if err == nil && got.GetPool().GetEndpointPollTs() == 0 {
			err = errors.New("not yet")
		}
		return err
	})
	return err
}

// create creates an actor and waits until its code runs.
func (e *endpoint) create(ctx context.Context, c *client.Client, pool string, n int64) error {
	key := e.arrivals.key(0, n)
	if _, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: pool, Key: &key, Pool: pool, Input: input}); err != nil {
		return err
	}
	limit := time.NewTimer(arrivalLimit)
	defer limit.Stop()
	select {
	case <-e.arrivals.waiting[0]:
		return nil
	case <-limit.C:
		return fmt.Errorf("an actor of pool %s did not run within %v", pool, arrivalLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func serverlessTable() table {
	return table{
		title: "Serverless pools",
		note: "The endpoint is a plain Go service on the same machine; callers are at the leader, the nodes carry requests in turn. What the endpoint " +
			"takes is from the arrival of a call until its runner dials the engine.",
		rows: []row{
			{"create to running, from zero, p50", "serverless/cold/p50", "ms", ""},
			{"p99", "serverless/cold/p99", "ms", ""},
			{"of that until the endpoint is called, p50", "serverless/called/p50", "ms", ""},
			{"of that what the endpoint takes, p50", "serverless/endpoint/p50", "ms", ""},
			{"create to running, from zero, beyond what the endpoint takes, p50", "serverless/beyond/p50", "ms", "≤ 25"},
			{"create to running, with room, p50", "serverless/warm/p50", "ms", ""},
			{"p99", "serverless/warm/p99", "ms", ""},
			{fmt.Sprintf("%d actors in one call, from zero, %d slots a request: until all run", crowdActors, crowdSlots), "serverless/crowd", "s", ""},
			{"requests opened for them", "serverless/requests", "", fmt.Sprintf("≤ %d", (crowdActors+crowdSlots-1)/crowdSlots+1)},
		},
	}
}
