// Command etcd puts keys into etcd from many clients for a while and prints, as JSON, how many and how fast. It is a module of its own
// because nothing of the product needs etcd; its go.mod also names etcd's server as a tool, so that both are of one version.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func main() {
	debug.SetGCPercent(400) // as the bench itself
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "etcd-put:", err)
		os.Exit(1)
	}
}

// result is what the bench reads. Times are milliseconds.
type result struct {
	PerSecond float64 `json:"per_second"`
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
}

func run() error {
	endpoints := flag.String("endpoints", "", "comma list of client addresses")
	clients := flag.Int("clients", 1, "puts under way at once")
	connections := flag.Int("connections", 1, "which they share")
	warmUp := flag.Duration("warm-up", time.Second, "not counted")
	window := flag.Duration("window", 5*time.Second, "counted")
	size := flag.Int("size", 256, "bytes of a value")
	flag.Parse()

	var conns []*clientv3.Client
	all := strings.Split(*endpoints, ",")
	for i := range min(*connections, *clients) {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{all[i%len(all)]}, DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		conns = append(conns, c)
	}
	value := strings.Repeat("x", *size)
	began := time.Now()
	from, until := began.Add(*warmUp), began.Add(*warmUp+*window)
	ctx, cancel := context.WithDeadline(context.Background(), until.Add(30*time.Second))
	defer cancel()
	times, errs := make([][]time.Duration, *clients), make([]error, *clients)
	var done sync.WaitGroup
	for i := range *clients {
		done.Go(func() { times[i], errs[i] = put(ctx, conns[i%len(conns)], value, from, until) })
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	sorted := slices.Sorted(slices.Values(slices.Concat(times...)))
	if len(sorted) == 0 {
		return errors.New("nothing was put")
	}
	ms := func(q float64) float64 {
		return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000
	}
	return json.NewEncoder(os.Stdout).Encode(result{PerSecond: float64(len(sorted)) / window.Seconds(), P50: ms(0.5), P99: ms(0.99)})
}

// put puts one key after the other, and returns how long those took that ended within the window.
func put(ctx context.Context, c *clientv3.Client, value string, from, until time.Time) (times []time.Duration, err error) {
	for {
		began := time.Now()
		if began.After(until) {
			return times, nil
		}
		if _, err := c.Put(ctx, "k"+strconv.Itoa(rand.IntN(1_000_000)), value); err != nil {
			return nil, err
		}
		if ended := time.Now(); ended.After(from) && ended.Before(until) {
			times = append(times, ended.Sub(began))
		}
	}
}
