//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// The figures of failover: how long after the death of a leader a write is acknowledged again, or the stand-still of its process, how long a node takes to end
// when it is told to, and whether a leader is lost under load although nothing is broken. `make bench-failover` takes them; they are figures, and
// only what is absurd fails.
//
//	CALLBOARD_FAILOVERS=20      how many leaders are killed
//	CALLBOARD_FAILOVER_LOAD=2m  how long the cluster is loaded while nothing is broken

const (
	pacedWriters  = 2  // at every node, all the time, one write after the other
	loadedWriters = 16 // at every node, without a pause
	pacePause     = 5 * time.Millisecond
)

func TestFailoverFigures(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv("CALLBOARD_FAILOVERS"))
	if err != nil || kills < 1 {
		t.Skip("SKIPPED, as meant: the figures of failover are taken by `make bench-failover`, which sets CALLBOARD_FAILOVERS")
	}
	loaded := 2 * time.Minute
	if text := os.Getenv("CALLBOARD_FAILOVER_LOAD"); text != "" {
		if loaded, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	s := begin(t, "n1", "n2", "n3")
	s.run(real.RunnerConfig{Key: "r", Pool: pool, Version: 1, Slots: 1_000_000})
	s.connected(pool, s.runners...)

	w := s.startPace(pacedWriters, pacePause)
	var died []time.Duration
	for range kills {
		died = append(died, s.killLeader(w))
	}
	s.Logf("kill -9 of the leader until the first write that began after it is acknowledged, %d kills: %s", kills, spread(died))

	var hung []time.Duration
	for range min(kills, 10) {
		hung = append(hung, s.freezeLeader(w))
	}
	s.Logf("SIGSTOP of the leader until the same, %d times: %s", len(hung), spread(hung))

	var ended, pauses []time.Duration
	for i := range 9 {
		took, pause := s.endNode(w, s.cluster.Nodes[i%3])
		ended, pauses = append(ended, took), append(pauses, pause)
	}
	s.Logf("SIGTERM of a node until its process has ended, 9 times: %s", spread(ended))
	s.Logf("longest time without an acknowledged write around that: %s", spread(pauses))
	w.end()

	before := leading(s.cluster.Nodes)
	began := time.Now()
	w = s.startPace(loadedWriters, 0)
	time.Sleep(loaded)
	writes := w.end()
	s.Logf("%d writers for %v: %.0f writes/s acknowledged, %d false elections", 3*loadedWriters, loaded,
		float64(writes)/time.Since(began).Seconds(), leading(s.cluster.Nodes)-before)
}

// spread tells the quantiles of some times.
func spread(times []time.Duration) string {
	slices.Sort(times)
	at := func(q float64) time.Duration { return round(times[int(q*float64(len(times)-1)+0.5)]) }
	return fmt.Sprintf("min %v, p50 %v, p90 %v, max %v", at(0), at(0.5), at(0.9), at(1))
}

// killLeader kills the leader and returns how long writes were away. When it returns the node is back and has caught up.
func (s *scenario) killLeader(w *pace) time.Duration {
	s.Helper()
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	killed := time.Now()
	s.must(leader.Kill())
	s.until("a write is acknowledged", func(context.Context) error { return w.since(killed) })
	took := w.first(killed)
	s.must(s.cluster.Start(s.Context(), leader))
	s.caughtUp(leader)
	return took
}

// freezeLeader stops the leader's process, whose connections and doors stay, and returns how long writes were away.
func (s *scenario) freezeLeader(w *pace) time.Duration {
	s.Helper()
	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	s.must(leader.Freeze(s.Context()))
	frozen := time.Now()
	s.until("a write is acknowledged", func(context.Context) error { return w.since(frozen) })
	took := w.first(frozen)
	s.must(leader.Thaw())
	s.caughtUp(leader)
	return took
}

// endNode asks a node to end, and returns how long that took, and the longest time without an acknowledged write around it.
func (s *scenario) endNode(w *pace, n *real.Node) (took, pause time.Duration) {
	s.Helper()
	told := time.Now()
	s.must(n.Terminate())
	code, err := n.Wait(s.Context(), patience)
	s.must(err)
	if took = time.Since(told); code != 0 {
		s.Errorf("%s ended with code %d", n.ID, code)
	}
	s.until("a write is acknowledged", func(context.Context) error { return w.since(time.Now().Add(-pacePause)) })
	pause = w.longest(told)
	s.must(s.cluster.Start(s.Context(), n))
	s.caughtUp(n)
	return took, pause
}

// pace is writers at every node who write one thing after the other, and when their writes were acknowledged.
type pace struct {
	stop context.CancelFunc
	all  sync.WaitGroup

	mu    sync.Mutex
	acked []ack // by the time of the acknowledgement
}

type ack struct{ began, ended time.Time }

func (s *scenario) startPace(writers int, pause time.Duration) *pace {
	s.Helper()
	ctx, stop := context.WithCancel(s.Context())
	w := &pace{stop: stop}
	for _, n := range s.cluster.Nodes {
		c, err := client.Dial(n.Addrs.GRPC) // this node alone: what is measured is the engine, and not how a client finds another node
		s.must(err)
		s.Cleanup(func() { _ = c.Close() })
		for range writers {
			w.all.Go(func() {
				for ctx.Err() == nil {
					w.write(ctx, c)
					time.Sleep(pause)
				}
			})
		}
	}
	return w
}

func (w *pace) write(ctx context.Context, c *client.Client) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := c.Actors.Create(ctx, &callboardv1.CreateRequest{Name: pulse, Pool: pool}); err != nil {
		time.Sleep(pacePause) // its node is away
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked = append(w.acked, ack{began, time.Now()})
}

// first returns how long after an instant the first write was acknowledged that began after it; 0: none yet.
func (w *pace) first(after time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range w.acked {
		if a.began.After(after) {
			return a.ended.Sub(after)
		}
	}
	return 0
}

func (w *pace) since(instant time.Time) error {
	if w.first(instant) == 0 {
		return errors.New("none is")
	}
	return nil
}

// longest returns the longest time between two acknowledgements since an instant.
func (w *pace) longest(since time.Time) (longest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := since
	for _, a := range w.acked {
		if a.ended.After(since) {
			longest, last = max(longest, a.ended.Sub(last)), a.ended
		}
	}
	return longest
}

// end stops the writers and returns how many writes were acknowledged.
func (w *pace) end() int {
	w.stop()
	w.all.Wait()
	return len(w.acked)
}
