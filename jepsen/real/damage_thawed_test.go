//go:build unix

package real_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/callboard/callboard/jepsen/real"
)

// judgeThawed damages a node of three while the old leader, which alone has all that was acknowledged besides it, is frozen; the third node
// does not know the late writes. The damaged node says so, or nothing on it does. Then the others may have elected a leader without
// the late writes, and the thawed one, which has shown them, must not go on beside them in silence.
func (w *wreck) judgeThawed(kind damage) {
	w.Helper()
	w.restore()
	third := w.cluster.Nodes[2]
	w.must(w.cluster.Start(w.Context(), w.cluster.Nodes[:2]...))
	frozen, err := w.cluster.Leader(w.Context())
	w.must(err)
	damaged := w.cluster.Nodes[0]
	if damaged == frozen {
		damaged = w.cluster.Nodes[1]
	}
	w.must(frozen.Freeze(w.Context()))
	w.must(damaged.Kill())
	if !w.spoil(kind, damaged) {
		w.must(frozen.Thaw())
		return
	}
	what := fmt.Sprintf("%s on %s, %s thawed", kind.name, damaged.ID, frozen.ID)
	w.start(damaged)
	w.start(third)
	if !kind.unseen {
		if wrong := w.refused(damaged, damaged.DataDir); wrong != "" {
			w.count(what, "refused without a name", wrong)
		}
		w.must(frozen.Thaw())
		outcome, wrong := w.settle([]*real.Node{frozen, damaged, third}, []*real.Node{damaged}, true)
		w.count(what, outcome, wrong...)
		return
	}
	for _, n := range []*real.Node{damaged, third} { // they cannot know better
		if _, err := w.missingAt(n, patience, false); err != nil {
			w.count(what, "silent", err.Error())
		}
	}
	w.must(frozen.Thaw())
	w.count(what, w.toldApart())
}

// toldApart waits until somebody has said that the nodes differ: a node that hears of two leaders of one term ends; what no node hears of
// the comparison of states finds, which is an alarm while there is no majority.
func (w *wreck) toldApart() (outcome string) {
	w.Helper()
	w.until("somebody has said that the nodes differ", func(context.Context) error {
		for _, n := range w.cluster.Nodes {
			switch said := n.Log(); {
			case !n.Alive() && strings.Contains(lastLine(said), "contradict each other"):
				outcome = "refused by name"
				return nil
			case strings.Contains(said, "the states of the members differ"):
				outcome = "told apart by the states"
				return nil
			}
		}
		return errors.New("none has")
	})
	return outcome
}
