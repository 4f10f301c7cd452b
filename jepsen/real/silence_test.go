//go:build unix

package real_test

import "testing"

func TestSilence(t *testing.T) {
	t.Parallel()
	s := begin(t, "n1", "n2", "n3")
	s.tell("a silent runner runs no actor twice", aSilentRunnerRunsNoActorTwice)
	s.judge(room, pulse)
}
