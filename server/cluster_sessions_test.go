package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// A failover breaks no stream of the nodes that live: the runners that they hold keep their sessions, and those of the dead node are
// back soon, wherever in the time between two heartbeats it died. What a holder had to say while nobody led must not be lost when the
// holder itself is the next leader.
func TestAFailoverKeepsTheSessionsOfTheLiving(t *testing.T) {
	for offset := time.Duration(0); offset < 3*time.Second; offset += 500 * time.Millisecond {
		t.Run(offset.String(), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				leader := c.leader()
				var all []*testRunner
				for i := range 6 {
					// Each begins at a node of its own, and finds its way from there.
					r := c.run(runner.Config{Key: fmt.Sprintf("r%d", i), Slots: 20, Endpoint: c.GRPCAddr(c.names[i%3])})
					defer r.end()
					all = append(all, r)
				}
				c.eventually(20*time.Second, "all connected", func() bool {
					v := c.leader().core.replica.Current()
					p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
					return p != nil && v.PoolStats(p).Connected == 6
				})
				for i := range 60 {
					if _, err := c.create(leader, fmt.Sprint(i)); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(5*time.Second + offset)
				before := map[string]fsm.Runner{}
				for _, r := range c.rows() {
					before[r.Key] = *r
				}
				c.kill(leader.name)
				died := time.Now()
				c.leader()
				leaderless := time.Since(died)
				time.Sleep(12 * time.Second) // longer than a lease
				for _, r := range c.rows() {
					was := before[r.Key]
					if r.ID != was.ID || r.End != fsm.NotEnded || !r.Connected {
						t.Errorf("runner %s is not the one that it was: connected %v, end %d", r.Key, r.Connected, r.End)
					}
					// 3 s between two heartbeats, a second until they are committed, and 5 s of patience leave the election one, less
					// the ways there and back and the ticks on which each of these is noticed.
					if was.Holder != leader.name && r.Session != was.Session && leaderless < 800*time.Millisecond {
						t.Errorf("runner %s was held by %s, which lives, and is in another session, at %s, after %v without a leader",
							r.Key, was.Holder, r.Holder, leaderless)
					}
				}
				for _, r := range all {
					r.livedOnce(t)
				}
			})
		})
	}
}

// rows returns the runners as the leader has them.
func (c *testCluster) rows() (all []*fsm.Runner) {
	v := c.leader().core.replica.Current()
	for r := range v.Runners(v.Namespace("default"), 0) {
		all = append(all, r)
	}
	return all
}
