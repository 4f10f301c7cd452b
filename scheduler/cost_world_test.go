package scheduler

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	logv1 "github.com/callboard/callboard/proto/callboard/log/v1"
)

// costly is a world that is built by ops, without Steps: large ones cost less so. Its names say which pool a runner is of.
type costly struct {
	t    testing.TB
	w    *world
	turn uint64
	made int // actors

	visited uint64        // rows, by all Steps
	longest time.Duration // of a Step and its check
	busy    string        // pool to create actors in
}

func newCostly(t testing.TB) *costly {
	t.Helper()
	w := newWorld(t)
	w.clockMs = 1_000
	return &costly{t: t, w: w, busy: "p"}
}

func (c *costly) ns() *fsm.Namespace { return c.w.defaultNamespace() }

func (c *costly) pool(name string, config *logv1.PoolConfig) {
	ns := c.ns()
	c.w.seed(func(do func(*logv1.Op)) {
		do(&logv1.Op{Op: &logv1.Op_PutPool{PutPool: &logv1.PutPool{NamespaceId: ns.ID[:], Name: name, Config: config}}})
	})
}

func (c *costly) runners(pool, prefix string, n int, version, slots uint32, thresholdMs uint32) {
	ns := c.ns()
	c.w.seed(func(do func(*logv1.Op)) {
		for i := range n {
			name := fmt.Sprintf("%s %s %d", pool, prefix, i)
			id, session := idOf(name), idOf("session "+name)
			do(&logv1.Op{Op: &logv1.Op_RegisterRunner{RegisterRunner: &logv1.RegisterRunner{
				RunnerId: id[:], NamespaceId: ns.ID[:], Pool: pool, Key: name, InstanceId: id[:], SessionId: session[:],
				Holder: "n1", Slots: slots, ThresholdMs: thresholdMs, Version: version, Attempt: 1,
			}}})
		}
	})
}

// runner finds a runner of the pool p.
func (c *costly) runner(prefix string, i int) *fsm.Runner {
	return c.w.view.Runner(fsm.RunnerID(idOf(fmt.Sprintf("p %s %d", prefix, i))))
}

// actors makes running actors, so many on each of n runners.
func (c *costly) actors(pool, prefix string, n, each int) {
	ns := c.ns()
	for from := 0; from < n; from += 100 {
		c.w.seed(func(do func(*logv1.Op)) {
			for i := from; i < min(n, from+100); i++ {
				name := fmt.Sprintf("%s %s %d", pool, prefix, i)
				runner, session := idOf(name), idOf("session "+name)
				for range each {
					c.made++
					var entropy [10]byte
					binary.BigEndian.PutUint32(entropy[4:], uint32(c.made))
					id := fsm.MintID(1, entropy)
					ref := &logv1.Ref{ActorId: id[:], Generation: 1}
					do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
						ActorId: id[:], NamespaceId: ns.ID[:], Name: "counter", Pool: pool, CrashPolicy: uint32(fsm.PolicyRestart),
					}}})
					do(&logv1.Op{Op: &logv1.Op_AssignActor{AssignActor: &logv1.AssignActor{
						Ref: ref, RunnerId: runner[:], SessionId: session[:], StartDeadlineMs: 1_000_000,
					}}})
					do(&logv1.Op{Op: &logv1.Op_ActorRunning{ActorRunning: &logv1.ActorRunning{Ref: ref}}})
				}
			}
		})
	}
}

// pending makes actors that wait for a place.
func (c *costly) pending(pool string, n int) {
	ns := c.ns()
	c.w.seed(func(do func(*logv1.Op)) {
		for range n {
			c.made++
			var entropy [10]byte
			binary.BigEndian.PutUint32(entropy[4:], uint32(c.made))
			id := fsm.MintID(1, entropy)
			do(&logv1.Op{Op: &logv1.Op_CreateActor{CreateActor: &logv1.CreateActor{
				ActorId: id[:], NamespaceId: ns.ID[:], Name: "counter", Pool: pool, CrashPolicy: uint32(fsm.PolicyRestart),
			}}})
		}
	})
}

// step runs one Step with its check, and commits.
func (c *costly) step(in Input) Output {
	c.turn++
	binary.LittleEndian.PutUint64(in.Seed[:], c.turn)
	began := time.Now()
	tx := c.w.view.Begin(c.w.clockMs, c.w.wallMs())
	out := Step(tx, in)
	c.visited += tx.Visited()
	err := tx.Check()
	c.longest = max(c.longest, time.Since(began))
	if err != nil {
		c.t.Fatal(err)
	}
	c.w.view = tx.Seal(c.w.view.Index() + 1)
	return out
}

// settle runs Steps as after an election, until nothing is left to be done at once.
func (c *costly) settle() {
	for out := c.step(Input{Sweep: true}); out.Unfinished; {
		out = c.step(Input{Sweep: true})
	}
	c.w.clockMs += 10
	c.step(Input{})
}
