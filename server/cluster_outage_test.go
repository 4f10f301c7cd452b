package server

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/callboard/callboard/runner"
)

// sureOutage is an outage that stops no actor, whenever it begins, at a lost threshold of 15 s. A lease lasts 10.5 s from when the last
// heartbeat was sent that was acknowledged. Take from that: 3 s until the next one, up to 1 s for which it waits for its entry, and at the
// end up to 2 s until a runner is heard again (a pause before it dials, or two entries of heartbeats), and a little for dials and commits.
const sureOutage = 4400 * time.Millisecond

// surelyTooLong is an outage that stops every actor: no lease lasts longer.
const surelyTooLong = 10500 * time.Millisecond

// outage takes a cluster's leader and quorum away, with healthy runners, and returns how long it was until a node led again, and how many
// of the runners' actors were stopped.
func outage(t *testing.T, lasts time.Duration, runners int, begin, end func(c *testCluster)) (took time.Duration, stopped int) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.leader()
		all := make([]*testRunner, runners)
		for i := range all {
			all[i] = c.run(runner.Config{Key: fmt.Sprint("r", i), Slots: 1, Endpoint: c.GRPCAddr(c.names[i%3])})
			defer all[i].end()
		}
		c.connected(runners)
		for i := range runners {
			if _, err := c.create(c.leader(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
		}
		c.eventually(5*time.Second, "all running", func() bool { return running(all) == runners })
		time.Sleep(10 * time.Second)
		began := time.Now()
		begin(c)
		time.Sleep(lasts)
		end(c)
		c.leader()
		took = time.Since(began)
		time.Sleep(20 * time.Second)
		stopped = c.nobodyLost()
		neverTwice(t, all...)
		t.Logf("after %v the cluster was whole and after %v a node led: %d of %d actors were stopped", lasts, took.Round(10*time.Millisecond), stopped, runners)
	})
	return took, stopped
}

func killAll(c *testCluster) {
	for _, name := range c.names {
		c.kill(name)
	}
}

func startAll(c *testCluster) {
	for _, name := range c.names {
		c.start(name)
	}
}

func cutAll(c *testCluster) {
	for _, name := range c.names {
		c.isolate(name)
	}
}

// An outage shorter than the bound that the documents name stops no actor; one as long as a lease stops all. CALLBOARD_OUTAGES=1 shows
// what those between them do.
func TestAShortOutageStopsNoActor(t *testing.T) {
	const runners = 36
	lengths := []time.Duration{2 * time.Second, 3500 * time.Millisecond, surelyTooLong}
	if os.Getenv("CALLBOARD_OUTAGES") != "" {
		lengths = nil
		for d := 500 * time.Millisecond; d <= surelyTooLong; d += 500 * time.Millisecond {
			lengths = append(lengths, d)
		}
	}
	for _, kind := range []struct {
		name       string
		begin, end func(*testCluster)
	}{
		{"all nodes are killed", killAll, startAll},
		{"all nodes are cut off from each other", cutAll, (*testCluster).heal},
	} {
		t.Run(kind.name, func(t *testing.T) {
			for _, lasts := range lengths {
				took, stopped := outage(t, lasts, runners, kind.begin, kind.end)
				switch {
				case took <= sureOutage && stopped > 0:
					t.Errorf("an outage of %v stopped %d actors", took, stopped)
				case lasts >= surelyTooLong && stopped != runners:
					t.Errorf("an outage of %v stopped %d of %d actors: the others run without a lease", took, stopped, runners)
				}
			}
		})
	}
}
