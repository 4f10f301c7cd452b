//go:build unix

package real_test

import "testing"

func TestOneNode(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1")
	s.fill()
	s.tell("a killed engine comes back with all its actors", aKilledEngineComesBackWithAllItsActors)
	s.tell("the actors of a killed runner run elsewhere", theActorsOfAKilledRunnerRunElsewhere)
	s.tell("new actors go to the newest version", newActorsGoToTheNewestVersion)
	s.tell("the first in the queue takes a freed slot", theFirstInTheQueueTakesAFreedSlot)
	s.judge(room, newcomer, guest)
}
