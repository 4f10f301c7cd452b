package server

import (
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// The leader dies, and its address is given to a node of another cluster at once. Runners that dial it, and nodes that forward to it,
// are not taken for that cluster's own: no actor is stopped, and no write is done there.
func TestTheAddressOfADeadNodeIsGivenToAnotherCluster(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		other := newTestCluster(t, 1, func(*testCluster) {})
		defer other.shutdown()
		its := other.run(runner.Config{Key: "its", Slots: 100})
		defer its.end()
		other.populate(1, its)

		leader := c.leader().name
		r := c.run(runner.Config{Endpoint: c.GRPCAddr(leader), Slots: 1000})
		defer r.end()
		w := c.write(4)
		c.eventually(20*time.Second, "some actors", func() bool { return r.running() > 50 })
		id := c.onlyRunner().ID
		c.kill(leader)
		c.mu.Lock()
		c.doors[c.GRPCAddr(leader)] = other.doors[other.GRPCAddr("n1")]
		c.mu.Unlock()
		time.Sleep(30 * time.Second)
		w.end()
		if row := c.leader().core.replica.Current().Runner(id); row.End != fsm.NotEnded || !row.Connected {
			t.Errorf("the runner is not what it was: end %d, connected %v", row.End, row.Connected)
		}
		r.livedOnce(t)
		if got := other.leader().core.replica.Current().LiveActors(); got != 1 {
			t.Errorf("the other cluster has %d actors, want its own one", got)
		}
		if got := len(other.rows()); got != 1 {
			t.Errorf("the other cluster has met %d runners, want its own one", got)
		}
		c.check(w)
	})
}
