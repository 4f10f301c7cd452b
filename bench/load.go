//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// connections bounds how many connections the callers of a load share: the same for the engine and for etcd.
const connections = 30

// callers are as many clients as there are connections, over all addresses in turn.
func callers(workers int, addrs ...string) ([]*client.Client, error) {
	clients := make([]*client.Client, min(workers, connections))
	for i := range clients {
		var err error
		if clients[i], err = client.Dial(addrs[i%len(addrs)]); err != nil {
			return nil, errors.Join(err, closeAll(clients[:i]))
		}
	}
	return clients, nil
}

func closeAll(clients []*client.Client) error {
	var errs []error
	for _, c := range clients {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// load is workers that each create actors and wait until they run, again and again.
type load struct {
	pool     string
	workers  int
	clients  []*client.Client
	arrivals *arrivals
	create   func(ctx context.Context, l *load, worker int, n int64) (actors int, err error)

	created atomic.Int64
	stop    chan struct{}
	done    sync.WaitGroup
	times   [][]time.Duration // by worker
	errs    chan error
}

// arrivalLimit is how long an actor may take until it runs.
const arrivalLimit = 60 * time.Second

func (l *load) start(ctx context.Context) {
	l.stop, l.times, l.errs = make(chan struct{}), make([][]time.Duration, l.workers), make(chan error, l.workers)
	for worker := range l.workers {
		l.done.Go(func() {
			if err := l.work(ctx, worker); err != nil {
				l.errs <- err
			}
		})
	}
}

func (l *load) work(ctx context.Context, worker int) error {
	for n := int64(0); ; n++ {
		select {
		case <-l.stop:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		began := time.Now()
		actors, err := l.create(ctx, l, worker, n)
		if err != nil {
			return err
		}
		l.created.Add(int64(actors))
		limit := time.NewTimer(arrivalLimit)
		for range actors {
			select {
			case <-l.arrivals.waiting[worker]:
			case <-limit.C:
				return fmt.Errorf("an actor of worker %d did not run within %v", worker, arrivalLimit)
			}
		}
		limit.Stop()
		l.times[worker] = append(l.times[worker], time.Since(began))
	}
}

// end lets every worker finish what it has begun, and returns how long each turn took, but for the first of each worker, which may have
// opened its connection.
func (l *load) end() (times []time.Duration, err error) {
	close(l.stop)
	l.done.Wait()
	for _, of := range l.times {
		times = append(times, of[min(1, len(of)):]...)
	}
	select {
	case err = <-l.errs:
	default:
	}
	return times, err
}

// createOne creates one actor with one call.
func createOne(ctx context.Context, l *load, worker int, n int64) (int, error) {
	key := l.arrivals.key(worker, n)
	_, err := l.clients[worker%len(l.clients)].Actors.Create(ctx, &callboardv1.CreateRequest{
		Name: l.pool, Key: &key, Pool: l.pool, Input: input,
	})
	return 1, err
}

// input is what every actor is created with: small, as most are.
var input = []byte("sixty-four bytes of input, which is what an actor may need: 1234")
