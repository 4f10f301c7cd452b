package server

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/callboard/callboard/fsm"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
	"github.com/callboard/callboard/scheduler"
)

// An input on which the scheduler panics is refused, and it alone: those that came with it are done. The leader goes on, and nothing of
// it is in the log.
func TestAPoisonousInputIsRefusedAlone(t *testing.T) {
	isPoison := func(key string) bool { return strings.HasPrefix(key, "poison") }
	poisoned := func(c *testCluster) {
		c.decide = func(tx *fsm.Tx, in scheduler.Input) scheduler.Output {
			out := scheduler.Step(tx, in)
			for _, command := range in.Commands {
				if isPoison(command.Command.GetCreateActor().GetKey()) {
					panic("a bug")
				}
			}
			return out
		}
	}
	inClusterWith(t, 3, poisoned, func(t *testing.T, c *testCluster) {
		c.putThreshold(60) // a pool
		leader := c.leader()
		epoch := leader.core.replica.Current().Epoch()
		goOn := c.stall(leader.name)
		keys := []string{"first", "a", "b", "poison-1", "c", "poison-2", "d"}
		errs := make([]error, len(keys))
		var all sync.WaitGroup
		for i, key := range keys {
			all.Go(func() { _, errs[i] = c.create(leader, key) })
			synctest.Wait() // the loop holds the first, and the others come with one another
		}
		goOn()
		all.Wait()
		v := leader.core.replica.Current()
		for i, key := range keys {
			var refusal *callboardv1.Error
			refused := errors.As(errs[i], &refusal) && refusal.GetCode() == "internal_error"
			if refused != isPoison(key) || !refused && errs[i] != nil {
				t.Errorf("%s: %v", key, errs[i])
			}
			if there := v.ActorByKey(v.Namespace("default").ID, "counter", key) != nil; there == isPoison(key) {
				t.Errorf("%s is there: %v", key, there)
			}
		}
		if v.Epoch() != epoch || c.leader() != leader {
			t.Error("the leader has changed")
		}
		if n := c.counted(leader, "callboard_poisonous_inputs_total"); n != 2 {
			t.Errorf("%v inputs were counted, want 2", n)
		}
	})
}

// counted is what a node's counter or gauge shows.
func (c *testCluster) counted(n *testNode, name string) float64 {
	c.t.Helper()
	families, err := n.told.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			m := family.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	c.t.Fatalf("there is no %s", name)
	return 0
}
