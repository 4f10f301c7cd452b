package server

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// spoil writes into the state of one node what the log does not say, as a flipped bit would.
func (c *testCluster) spoil(n *testNode) {
	c.t.Helper()
	synctest.Wait() // nothing is being applied
	v := n.core.replica.Current()
	tx := v.Begin(v.ClockMs(), v.WallMs())
	op := &logv1.Op{Op: &logv1.Op_PutSettings{PutSettings: &logv1.PutSettings{Values: []*logv1.SettingValue{{Name: "base_retry_timeout", Value: 77}}}}}
	if res := tx.Do(op); res.Code != fsm.CodeOK {
		c.t.Fatal(res.Code)
	}
	n.core.replica.publish(tx.Seal(v.Index()))
}

// ended waits for a node that stops by itself.
func (c *testCluster) ended(n *testNode, within time.Duration) error {
	c.t.Helper()
	select {
	case err := <-n.done:
		c.forget(n.name)
		n.stop()
		return err
	case <-time.After(within):
		return nil
	}
}

// changeState commits an entry that leaves something in the state.
func (c *testCluster) changeState() {
	c.t.Helper()
	put := &callboardv1.PoolServicePutRequest{Namespace: "default", Name: "default", Config: &callboardv1.PoolConfig{}}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := c.leader().core.engine.Submit(ctx, &nodev1.SubmitRequest{Command: &nodev1.Command{Command: &nodev1.Command_PutPool{PutPool: put}}})
	if err == nil {
		_, err = c.create(c.leader(), "")
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// metric reads a metric of a node.
func (n *testNode) metric(t *testing.T, name string, label ...string) float64 {
	t.Helper()
	families, err := prometheus.Gatherer(n.told).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == name && (len(label) == 0 || m.GetLabel()[0].GetValue() == label[0]) {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// A node whose state is not that of the two others stops, whether it leads or follows. They go on.
func TestANodeWhoseStateDiffersStops(t *testing.T) {
	for _, which := range []string{"a follower", "the leader"} {
		t.Run(which, func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				c.changeState()
				wrong := c.follower()
				if which == "the leader" {
					wrong = c.leader()
				}
				c.spoil(wrong)
				c.changeState()
				err := c.ended(wrong, compareStatesEvery+compareStatesTimeout)
				if !errors.Is(err, errStateDiffers) {
					t.Fatalf("%s: %v", wrong.name, err)
				}
				for _, want := range []string{"index", "a majority of the 3 voters"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				for range 3 {
					time.Sleep(compareStatesEvery)
					c.changeState()
				}
				for _, n := range c.nodes {
					select {
					case err := <-n.done:
						t.Fatalf("%s stopped too: %v", n.name, err)
					default:
					}
					if found := n.core.comparer.differs(); found != "" {
						t.Errorf("%s still finds: %s", n.name, found)
					}
				}
			})
		})
	}
}

// One against one is no majority: both say so, and both go on. So it is with two nodes, and with three of which one is away.
func TestOneAgainstOneIsAnAlarm(t *testing.T) {
	for _, nodes := range []int{2, 3} {
		inCluster(t, nodes, func(t *testing.T, c *testCluster) {
			c.leader()
			if nodes == 3 {
				c.stopNode(c.follower().name)
			}
			wrong := c.follower()
			c.spoil(wrong)
			for range 3 {
				c.changeState()
				time.Sleep(compareStatesEvery)
			}
			for _, n := range c.nodes {
				select {
				case err := <-n.done:
					t.Fatalf("%d nodes: %s stopped: %v", nodes, n.name, err)
				default:
				}
				if found := n.core.comparer.differs(); !strings.Contains(found, "the state hash at index") {
					t.Errorf("%d nodes: %s finds %q", nodes, n.name, found)
				}
				if n.metric(t, "callboard_state_differs") != 1 || n.metric(t, "callboard_state_comparisons_total", "different") < 2 {
					t.Errorf("%d nodes: the metrics of %s do not tell", nodes, n.name)
				}
			}
			if nodes == 3 { // the third one comes back, and says who is wrong
				for _, name := range c.names {
					if c.nodes[name] == nil {
						c.start(name)
					}
				}
				if err := c.ended(wrong, compareStatesEvery+2*compareStatesTimeout); !errors.Is(err, errStateDiffers) {
					t.Errorf("with a third one: %v", err)
				}
			}
		})
	}
}

// Nodes whose states are equal say so, with snapshots, restores and elections between them, and one that lags behind.
func TestNodesWithOneStateAgree(t *testing.T) {
	inCluster(t, 3, func(t *testing.T, c *testCluster) {
		c.changeState()
		for range 3 {
			away := c.follower().name
			c.kill(away)
			for range 20 {
				c.changeState()
			}
			leader := c.leader()
			if err := leader.core.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			c.start(away)
			c.stopNode(leader.name)
			c.start(leader.name)
			c.leader()
			time.Sleep(compareStatesEvery)
		}
		c.changeState()
		time.Sleep(2 * compareStatesEvery)
		for _, n := range c.nodes {
			if n.metric(t, "callboard_state_comparisons_total", "equal") == 0 || n.metric(t, "callboard_state_comparisons_total", "different") != 0 {
				t.Errorf("%s: %v equal, %v different: %s", n.name, n.metric(t, "callboard_state_comparisons_total", "equal"),
					n.metric(t, "callboard_state_comparisons_total", "different"), n.core.comparer.differs())
			}
		}
	})
}
