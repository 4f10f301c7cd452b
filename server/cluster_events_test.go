package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callboard/callboard/runner"
)

// journal is a log that keeps the lines about runners.
type journal struct {
	mu    *sync.Mutex
	lines *[]slog.Record
}

func (j journal) Enabled(context.Context, slog.Level) bool { return true }
func (j journal) WithAttrs([]slog.Attr) slog.Handler       { return j }
func (j journal) WithGroup(string) slog.Handler            { return j }
func (j journal) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "runner ") {
		j.mu.Lock()
		defer j.mu.Unlock()
		*j.lines = append(*j.lines, r)
	}
	return nil
}

// with returns how many lines tell of an event, and how many of them name the runner's key and holder.
func (j journal) with(event string) (lines, complete int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, r := range *j.lines {
		if r.Message != "runner "+event {
			continue
		}
		lines++
		named := 0
		r.Attrs(func(a slog.Attr) bool {
			if (a.Key == "runner_id" || a.Key == "key" || a.Key == "holder") && a.Value.String() != "" {
				named++
			}
			return true
		})
		if named == 3 {
			complete++
		}
	}
	return lines, complete
}

// Everything that happens to runners is a line in the leader's log, which names the runner, and counted.
func TestEventsAreToldAndCounted(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		lines := journal{mu: &sync.Mutex{}, lines: &[]slog.Record{}}
		c.leader()
		c.stopNode("n1")
		c.log = slog.New(lines)
		c.start("n1")
		count := func(event string) (n int) {
			families, err := c.leader().told.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, family := range families {
				for _, m := range family.GetMetric() {
					if family.GetName() == "callboard_runner_events_total" && m.GetLabel()[0].GetValue() == event {
						n = int(m.GetCounter().GetValue())
					}
				}
			}
			return n
		}
		happened := func(event string, want int) {
			t.Helper()
			c.eventually(40*time.Second, event, func() bool { return count(event) >= want })
			synctest.Wait()
			if told, complete := lines.with(event); told != count(event) || complete != told {
				t.Errorf("%s: %d lines of which %d name the runner, counted %d", event, told, complete, count(event))
			}
		}
		var all []*testRunner
		for _, key := range []string{"a", "b", "c", "d"} {
			r := c.run(runner.Config{Key: key, Slots: 1})
			defer r.end()
			all = append(all, r)
		}
		happened("connected", 4)
		for range 4 {
			if _, err := c.create(c.leader(), ""); err != nil {
				t.Fatal(err)
			}
		}
		c.eventually(5*time.Second, "all running", func() bool { return all[0].running()+all[1].running()+all[2].running()+all[3].running() == 4 })

		c.silence("a") // shorter than the threshold: fenced, and it resumes
		time.Sleep(12 * time.Second)
		c.heal()
		happened("fenced", 1)
		happened("resumed", 1)
		happened("disconnected", 1) // whether its holder knew of it first, or the runner

		for _, key := range []string{"a", "b", "c"} { // three of four: the brake
			c.silence(key)
		}
		happened("brake", 3)
		happened("lost", 3)
		c.heal()
		happened("returned", 3)

		other := c.run(runner.Config{Key: "d", Slots: 1})
		defer other.end()
		happened("replaced", 1)
		happened("stopped", 1)

		gone := c.run(runner.Config{Key: "e", Slots: 1})
		defer gone.end()
		happened("connected", 6)
		broken := count("disconnected")
		gone.runner.Kill()
		happened("disconnected", broken+1)
		if got := count("connected"); got != 6 {
			t.Errorf("%d runners connected, want 6: those that returned are not counted as new", got)
		}
	})
}
