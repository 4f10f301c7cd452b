//go:build unix

package real_test

import (
	"testing"

	"github.com/callboard/callboard/jepsen/check"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

// bystander is the name of the actors that live on the node while others send it nonsense.
const bystander = "bystander"

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1")
	const bystanders = 20
	s.connected(pool, s.run(real.RunnerConfig{Key: "r1", Pool: pool, Version: 1, Slots: 1000}))
	s.create(bystander, "", bystanders)
	before := s.allRunning(bystander, bystanders)
	instant := int64(history.Now())

	deafRunnersAreCutOff := deafRunnersHarmNobody(s)
	s.tell("bad input gets a clear error", badInputGetsAClearError)
	s.tell("a runner that cannot be meant is refused", aRunnerThatCannotBeMeantIsRefused)
	s.tell("a node that cannot start says why", aNodeThatCannotStartSaysWhy)
	s.tell("deaf runners are cut off", deafRunnersAreCutOff)
	s.tell("broken frames harm nobody", brokenFramesHarmNobody)

	s.verdict("generations are unchanged", check.GenerationsUnchanged(before, s.allRunning(bystander, bystanders)))
	if moved := s.bodyEvents(bystander, instant); moved > 0 {
		s.Errorf("bodies began or ended %d times", moved)
	}
	s.judge(bystander)
}

// serves fails unless the node that was there from the beginning still takes a write.
func (s *scenario) serves(after string) {
	s.Helper()
	if !s.cluster.Nodes[0].Alive() {
		s.Fatalf("the node has ended after %s:\n%s", after, s.cluster.Nodes[0].Log())
	}
	if _, err := s.caller.GetOrCreate(s.Context(), pool, bystander, "1"); err != nil {
		s.Fatalf("after %s: %v", after, err)
	}
}
