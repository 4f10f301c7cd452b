//go:build unix

package real_test

import "testing"

func TestThreeNodes(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	s.fill()
	s.tell("every node takes writes and reads", everyNodeTakesWritesAndReads)
	s.tell("a dead leader moves no actor", aDeadLeaderMovesNoActor)
	s.tell("a leader that ends hands over", aLeaderThatEndsHandsOver)
	s.tell("an unanswered write takes effect once", anUnansweredWriteTakesEffectOnce)
	s.tell("the new addresses of a member are taken over", theNewAddressesOfAMemberAreTakenOver)
	s.tell("a wiped node rejoins", aWipedNodeRejoins)
	s.tell("what was acknowledged survives the death of all nodes", whatWasAcknowledgedSurvivesTheDeathOfAllNodes)
	s.judge(room, visitor, pulse, keeper)
}
