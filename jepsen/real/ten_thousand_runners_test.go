//go:build linux

package real_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/crowd"
	"github.com/callboard/callboard/jepsen/real"
)

// What ten thousand runners may cost, and how fast they are back.
const (
	crowdSize       = 10_000
	crowdWatched    = 60 * time.Second
	crowdCoreLimit  = 1.0 / 3 // of a core, per node
	crowdLogLimit   = 20 << 10
	crowdHelloLimit = 10 * time.Second
)

// Ten thousand runners, spread over three nodes, and then all of them on the leader, which is killed: a third of a core per node and
// 20 KiB of log a second are what they may cost, and all of them are registered again within 10 s.
//
// It takes some minutes, and 10 000 file descriptors here and in a node: `make bench-runners` runs it.
func TestTenThousandRunners(t *testing.T) {
	size, err := strconv.Atoi(os.Getenv("CALLBOARD_CROWD"))
	if err != nil {
		t.Skip("!!! SKIPPED: what ten thousand runners cost is not measured: run `make bench-runners`, which sets CALLBOARD_CROWD=10000")
	}
	if size < crowdSize {
		t.Logf("!!! only %d runners: what is promised is promised for %d", size, crowdSize)
	}
	s := begin(t, "n1", "n2", "n3")
	c := s.gather(size, "spread")
	s.costs("spread over three nodes")
	c.Leave()
	s.settle(size)

	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	c = s.gather(size, "together", leader.Addrs.GRPC)
	s.costs("all on the leader")
	death := time.Now()
	s.must(leader.Kill())
	s.welcome(c, size)
	s.promised(fmt.Sprintf("from the death of the leader until its %d runners are registered elsewhere", size), time.Since(death), crowdHelloLimit)
	slowest, broken := c.Told()
	s.Logf("they are at: %s; the slowest Welcome took %v; streams broke by %v", s.spread(c), round(slowest), broken)
	s.settle(size)
	s.costs("after the failover")
	c.Leave()
}

// gather brings n runners to the nodes, 1 000 a second: the first dial of each goes to the next of the given nodes.
func (s *scenario) gather(n int, pool string, first ...string) *crowd.Crowd {
	s.Helper()
	c, err := crowd.New(n, pool, s.cluster.GRPCAddrs(), first...)
	s.must(err)
	began := time.Now()
	c.Start(s.Context(), 1000)
	s.Cleanup(c.Leave)
	s.welcome(c, n)
	slowest, broken := c.Told()
	s.Logf("%d new runners, 1 000 a second, are welcome after %v: %s; the slowest Welcome took %v; streams broke by %v", n,
		round(time.Since(began)), s.spread(c), round(slowest), broken)
	return c
}

// welcome waits until everybody is welcome on a node that lives.
func (s *scenario) welcome(c *crowd.Crowd, n int) {
	s.Helper()
	_, err := real.Until(s.Context(), 3*time.Minute, "all runners are welcome", func(context.Context) error {
		of, _ := c.At()
		alive := 0
		for _, node := range s.cluster.Alive() {
			alive += of[node.Addrs.GRPC]
		}
		if alive < n {
			return fmt.Errorf("%d of %d are", alive, n)
		}
		return nil
	})
	if err != nil {
		_, broken := c.Told()
		s.Fatalf("%v; %s; streams broke by %v", err, s.spread(c), broken)
	}
}

func (s *scenario) spread(c *crowd.Crowd) string {
	of, _ := c.At()
	var parts []string
	for _, n := range s.cluster.Nodes {
		parts = append(parts, fmt.Sprintf("%s %d", n.ID, of[n.Addrs.GRPC]))
	}
	return strings.Join(parts, ", ")
}

// settle waits until no runner is on its way out, and as many as possible are ready: what a change left to do is not what runners cost.
func (s *scenario) settle(most int) {
	s.Helper()
	_, err := real.Until(s.Context(), 3*time.Minute, "nobody is on his way", func(context.Context) error {
		states := s.runnersByState()
		for state, n := range states {
			if state != "ready" && n > 0 || n > most {
				return fmt.Errorf("runners by state: %v", states)
			}
		}
		return nil
	})
	s.must(err)
}

// costs measures what the nodes use for a while, and holds it to the limits.
func (s *scenario) costs(when string) {
	s.Helper()
	type usage struct {
		cpu   time.Duration
		bytes float64
	}
	look := func() map[*real.Node]usage {
		used := map[*real.Node]usage{}
		for _, n := range s.cluster.Alive() {
			cpu, err := cpuTime(n.PID())
			s.must(err)
			metrics, err := scrape(s.Context(), n)
			s.must(err)
			used[n] = usage{cpu, metrics["callboard_entry_bytes_sum"]}
		}
		return used
	}
	before, began := look(), time.Now()
	time.Sleep(crowdWatched)
	after, took := look(), time.Since(began)
	logged := 0.0
	for n, a := range after {
		cores := (a.cpu - before[n].cpu).Seconds() / took.Seconds()
		logged += (a.bytes - before[n].bytes) / took.Seconds()
		s.Logf("%s: %s uses %.3f of a core, resident %d MiB", when, n.ID, cores, residentBytes(n.PID())>>20)
		if cores > crowdCoreLimit {
			s.Errorf("%s: %s uses %.3f of a core, promised are %.3f", when, n.ID, cores, crowdCoreLimit)
		}
	}
	s.Logf("%s: %.1f KiB of log a second", when, logged/1024)
	if logged > crowdLogLimit {
		s.Errorf("%s: %.1f KiB of log a second, promised are %d", when, logged/1024, crowdLogLimit>>10)
	}
}

// cpuTime is what a process has used so far, in user and in system mode.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after)
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on every Linux that runs Go
}

func residentBytes(pid int) int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(statm))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// scrape reads a node's metrics, by name with labels.
func scrape(ctx context.Context, n *real.Node) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addrs.Metrics+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	values := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); ok && err == nil && name != "#" {
			values[name] = number
		}
	}
	return values, nil
}

// runnersByState is what a living node's View holds.
func (s *scenario) runnersByState() map[string]int {
	s.Helper()
	metrics, err := scrape(s.Context(), s.cluster.Alive()[0])
	s.must(err)
	states := map[string]int{}
	for name, n := range metrics {
		if state, ok := strings.CutPrefix(name, `callboard_runners{state="`); ok {
			states[strings.TrimSuffix(state, `"}`)] = int(n)
		}
	}
	return states
}
