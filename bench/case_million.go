//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// million is one node with very many actors that wait for a runner: what they take, what a snapshot of them costs whoever writes
// meanwhile, and how long a node that comes back needs for them. They have keys and 64 bytes of input.
func million(ctx context.Context, b *bench) error {
	c, err := b.StartCluster(ctx, "n1")
	if err != nil {
		return err
	}
	node := c.Nodes[0]
	caller, err := node.Client()
	if err != nil {
		return err
	}
	defer func() { _ = caller.Close() }()
	if _, err := caller.Pools.Put(ctx, &callboardv1.PoolServicePutRequest{Name: "none", Config: &callboardv1.PoolConfig{}}); err != nil {
		return err
	}
	empty, err := heapOf(ctx, node)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := b.fill(ctx, caller); err != nil {
		return err
	}
	b.record.add("million/filled", float64(b.scale.actors)/time.Since(began).Seconds())
	full, err := heapOf(ctx, node)
	if err != nil {
		return err
	}
	b.record.add("million/heap", (full-empty)/(1<<20))
	if err := b.snapshotUnderWrites(ctx, node, caller); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	now, peak, err := memoryOf(node.PID())
	if err != nil {
		return err
	}
	b.record.add("million/memory", now/(1<<20))
	b.record.add("million/peak", peak/(1<<20))
	return b.restore(ctx, c, node)
}

// fillers is how many batches are on their way at once.
const fillers = 4

func (b *bench) fill(ctx context.Context, caller *client.Client) error {
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, fillers)
	for i := range fillers {
		all.Go(func() {
			for errs[i] == nil {
				from := next.Add(batchSize) - batchSize
				if from >= int64(b.scale.actors) {
					return
				}
				_, errs[i] = caller.Actors.CreateBatch(ctx, batchOf("none", batchSize, func(n int64) string { return strconv.FormatInt(from+n, 10) }))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// snapshotUnderWrites goes on writing until the node has taken a snapshot of all that, and compares how long writes took meanwhile with
// how long they took before and after.
func (b *bench) snapshotUnderWrites(ctx context.Context, node *real.Node, caller *client.Client) error {
	since := len(node.Log())
	type write struct {
		at   time.Time
		took time.Duration
	}
	var during, else_ []time.Duration
	var writes []write
	limit := time.Now().Add(5 * time.Minute)
	var began, ended time.Time
	for ended.IsZero() || time.Since(ended) < 5*time.Second {
		if time.Now().After(limit) || ctx.Err() != nil {
			return errors.Join(fmt.Errorf("none in five minutes after %d writes", len(writes)), ctx.Err())
		}
		// Sixteen writes at once, so that there are enough entries for a snapshot soon; the slowest of them counts.
		at := time.Now()
		if err := b.writeSome(ctx, caller, 16); err != nil {
			return err
		}
		writes = append(writes, write{at, time.Since(at)})
		if len(writes)%64 == 0 || !began.IsZero() && ended.IsZero() {
			began, ended = snapshotTimes(node.Log()[since:])
		}
	}
	for _, w := range writes {
		if w.at.Add(w.took).After(began) && w.at.Before(ended) {
			during = append(during, w.took)
		} else {
			else_ = append(else_, w.took)
		}
	}
	if len(during) == 0 {
		return errors.New("no write met it")
	}
	b.record.add("million/snapshot", ended.Sub(began).Seconds())
	b.record.addTimes("million/write-during", during)
	b.record.addTimes("million/write-else", else_)
	return nil
}

func (b *bench) writeSome(ctx context.Context, caller *client.Client, n int) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			_, errs[i] = caller.Actors.Create(ctx, &callboardv1.CreateRequest{Name: "probe", Pool: "none"})
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// snapshotTimes finds in a log when the first snapshot began and ended; zero: not yet.
func snapshotTimes(log string) (began, ended time.Time) {
	for line := range strings.Lines(log) {
		at, err := time.Parse(time.RFC3339Nano, field(line, "time"))
		switch {
		case err != nil:
		case strings.Contains(line, "starting snapshot up to") && began.IsZero():
			began = at
		case strings.Contains(line, "snapshot complete up to") && ended.IsZero() && !began.IsZero():
			ended = at
		}
	}
	return began, ended
}

// field reads one value of a line of slog's text.
func field(line, name string) string {
	_, after, _ := strings.Cut(line, name+"=")
	value, _, _ := strings.Cut(after, " ")
	return strings.TrimSpace(value)
}

// restore kills the node and starts it again.
func (b *bench) restore(ctx context.Context, c *real.Cluster, node *real.Node) error {
	if err := node.Kill(); err != nil {
		return err
	}
	since := time.Now()
	if err := c.Start(ctx, node); err != nil {
		return err
	}
	b.record.add("million/restart", time.Since(since).Seconds())
	var restored time.Time
	for line := range strings.Lines(node.Log()) {
		if strings.Contains(line, "restored from snapshot") {
			restored, _ = time.Parse(time.RFC3339Nano, field(line, "time"))
		}
	}
	if restored.IsZero() {
		return errors.New("the log does not say that it restored a snapshot")
	}
	b.record.add("million/restore", restored.Sub(since).Seconds())
	now, err := metric(ctx, node, `callboard_actors{state="pending"}`)
	if err == nil && int(now) < b.scale.actors {
		err = fmt.Errorf("only %.0f actors are back", now)
	}
	return err
}

// batchSize is how many actors one call makes, as many as it may.
const batchSize = 1000

func batchOf(pool string, n int, key func(n int64) string) *callboardv1.CreateBatchRequest {
	r := &callboardv1.CreateBatchRequest{}
	for i := range n {
		key := key(int64(i))
		r.Actors = append(r.Actors, &callboardv1.NewActor{Name: "bench", Key: &key, Pool: pool, Input: input})
	}
	return r
}

// batch is sustained creation by batches, with as many actors under way as with single calls.
func batch(ctx context.Context, b *bench) error {
	create := func(ctx context.Context, l *load, worker int, n int64) (int, error) {
		_, err := l.clients[worker%len(l.clients)].Actors.CreateBatch(ctx, batchOf(l.pool, batchSize, func(i int64) string {
			return l.arrivals.key(worker, n*batchSize+i)
		}))
		return batchSize, err
	}
	return b.sustained(ctx, "batch", max(1, b.scale.outstanding/batchSize), batchSize, create)
}
