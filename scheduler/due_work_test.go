package scheduler

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// Callers who fill every entry (as many bytes of commands as one Step takes) must not keep the scheduler from what falls due: a silent
// runner is lost no later than 2 s after its threshold (G8), and who is created is placed (G9).
func TestFullEntriesHoldUpNothingThatIsDue(t *testing.T) {
	w := newWorld(t)
	w.start(&process{name: "gone", slots: 10, dials: true})
	w.turn(Input{})
	w.start(&process{name: "here", slots: 1_000_000, dials: true})
	w.turn(Input{})
	gone := w.process("gone")
	gone.die() // silent from now on
	from := w.clockMs
	var placedAt, lostAt int64
	for n := range 90 { // 18 s, an entry each 200 ms
		w.clockMs += 200
		in := Input{Commands: fullOfCreates()}
		for _, p := range w.processes {
			if p.name == "here" && n%5 == 0 {
				p.beat(w, p.knownMs)
			}
		}
		for _, b := range w.waiting {
			in.Heartbeats = append(in.Heartbeats, b.report)
		}
		tx := w.view.Begin(w.clockMs, w.wallMs())
		out := Step(tx, in)
		if out.Heartbeats != nil {
			w.waiting = nil
		}
		w.view = tx.Seal(w.view.Index() + 1)
		if placedAt == 0 && w.view.Count(fsm.Starting)+w.view.Count(fsm.Running) > 0 {
			placedAt = w.clockMs - from
		}
		if r := w.view.Runner(gone.runner); r != nil && r.End == fsm.EndLost && lostAt == 0 {
			lostAt = w.clockMs - from
		}
		if w.view.StoredBytes() > 900<<20 {
			t.Logf("stored bytes are used up after %d ms", w.clockMs-from)
			break
		}
	}
	if placedAt == 0 {
		t.Errorf("nobody was placed in %d ms although a runner has a million free slots", w.clockMs-from)
	}
	if lostAt == 0 || lostAt > 17_000 {
		t.Errorf("the silent runner was lost after %d ms (0: never): at most 17 000", lostAt)
	}
}

// fullOfCreates is more commands than a leader takes into one entry.
func fullOfCreates() (commands []Command) {
	for i, size := 0, 0; size <= MaxOpBytes; i++ {
		c := create("", "", "default", callboardv1.CrashPolicy_CRASH_POLICY_RESTART)
		c.GetCreateActor().Input, c.GetCreateActor().Name = make([]byte, 1<<10), fmt.Sprintf("n%d", i)
		commands = append(commands, Command{Command: c})
		size += proto.Size(c)
	}
	return commands
}

// A pool that has much to place must not keep another one, which has a free slot and somebody who waits for it, from its turn.
func TestAPoolWithManyPendingHoldsUpNoOther(t *testing.T) {
	c := newCostly(t)
	c.pool("a", &logv1.PoolConfig{})
	c.pool("z", &logv1.PoolConfig{})
	c.runners("a", "r", 10, 1, 1_000_000, 600_000)
	c.runners("z", "r", 1, 1, 10, 600_000)
	c.pending("a", 100_000)
	c.pending("z", 1)
	z := c.w.view.Pool(fsm.PoolID{Namespace: c.ns().ID, Name: "z"})
	for steps := 1; ; steps++ {
		c.w.clockMs += 10
		c.step(Input{Sweep: true})
		if c.w.view.PoolStats(z).Pending == 0 {
			if steps > 2 {
				t.Errorf("pool z got its turn in Step %d", steps)
			}
			return
		}
	}
}
