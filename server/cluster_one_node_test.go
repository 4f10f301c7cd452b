package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// A runner whose node wins an election keeps its session: what it reported while nobody led is taken up by the loop of its own node.
// (It used to wait in the relay for a leader elsewhere, and the runners had to dial again.)
func TestHolderBecomesLeader(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		dead := c.leader().name
		for _, name := range c.names {
			if name == dead {
				continue
			}
			for i := range 8 { // so that some heartbeat falls into the election
				r := c.run(runner.Config{Key: fmt.Sprintf("r%d at %s", i, name), Endpoint: c.GRPCAddr(name), Slots: 10})
				defer r.end()
			}
		}
		time.Sleep(10 * time.Second)
		sessions := func() map[string]fsm.SessionID {
			of := map[string]fsm.SessionID{}
			v := c.leader().core.replica.Current()
			for r := range v.Runners(v.Namespace("default"), 0) {
				of[r.Key] = r.Session
			}
			return of
		}
		before := sessions()
		c.kill(dead)
		died := time.Now()
		leader := c.leader().name
		leaderless := time.Since(died)
		time.Sleep(30 * time.Second)
		for key, session := range sessions() {
			// 3 s between two heartbeats and a second until they are committed: of a runner's 5 s of patience one is left.
			if before[key] != session && leaderless < time.Second {
				t.Errorf("runner %s had to begin a new session; %s leads after %v", key, leader, leaderless)
			}
		}
		if len(before) != 16 {
			t.Errorf("%d runners, want 16", len(before))
		}
		c.start(dead)
	})
}
