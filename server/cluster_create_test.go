package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// An actor that any node creates runs on a runner that another node holds.
func TestCreateThroughAnyNode(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			inCluster(t, nodes, func(t *testing.T, c *testCluster) {
				c.leader()
				r := c.run(runner.Config{Endpoint: c.GRPCAddr("n1"), Slots: 10})
				defer r.end()
				c.eventually(10*time.Second, "a connected runner", func() bool {
					v := c.nodes["n1"].core.replica.Current()
					p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
					return p != nil && v.PoolStats(p).Connected == 1
				})
				for _, name := range c.names {
					if _, err := c.create(c.nodes[name], "key-"+name); err != nil {
						t.Fatal(err)
					}
				}
				c.eventually(time.Second, "all running", func() bool {
					return c.nodes["n1"].core.replica.Current().Count(fsm.Running) == uint64(nodes) && r.running() == nodes
				})
			})
		})
	}
}
