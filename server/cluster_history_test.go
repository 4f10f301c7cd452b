package server

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// skewedClock is a runner's clock that runs faster or slower than the engine's, and whose wall clock somebody may set.
type skewedClock struct {
	start time.Time
	rate  float64

	mu  sync.Mutex
	set time.Duration
}

func (s *skewedClock) Now() time.Duration {
	return time.Duration(float64(time.Since(s.start)) * s.rate)
}

func (s *skewedClock) Wall() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.start.Add(s.Now() + s.set)
}

func (s *skewedClock) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set += d
}

// rateOf draws how fast a runner's clock is: a tenth apart from the engine's, one way or the other, more often than in between.
func rateOf(random *rand.Rand) float64 {
	switch random.IntN(4) {
	case 0:
		return 1.1
	case 1, 2:
		return 1 / 1.1
	default:
		return 1/1.1 + random.Float64()*(1.1-1/1.1)
	}
}

// Random histories of a cluster and its runners, whose clocks are up to a tenth apart from the engine's: runners fall silent, are killed or
// taken over by another process with their key, and have their wall clocks set; leaders die or stand still; nodes are cut off from all or
// from one, lag behind, and come back; the threshold changes. Whatever happens:
//
//   - the bodies of an actor never overlap, on whichever runners (G2): held against what really ran there
//   - no runner is lost before its threshold, nor later than that and 2 s on the cluster clock, and a heartbeat interval if the brake held
//     (G8), on any node, at any entry; and none for no cause: one that nothing befell is never lost
//   - when all is healed every actor runs once, and the nodes agree
//
// That the checks can fail is shown by TestWithoutFenceActorsRunTwice, and by `make mutants`. CALLBOARD_SEEDS says how many histories; a
// failure names its seed.
func TestRandomHistories(t *testing.T) {
	seeds := 4
	if n, err := strconv.Atoi(os.Getenv("CALLBOARD_SEEDS")); err == nil {
		seeds = n
	}
	moved, lost := 0, 0
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) {
				h := &randomHistory{testCluster: c, random: rand.New(rand.NewPCG(uint64(seed), 1)), troubled: map[string]time.Time{}}
				h.run()
				moved, lost = moved+h.moved, lost+h.lost
			})
		})
	}
	if moved == 0 || lost == 0 {
		t.Errorf("%d lives ended on the way and %d runners were lost: the histories test nothing", moved, lost)
	}
}

const (
	historyRunners = 4
	historyActors  = 24
	historySteps   = 60
)

// randomHistory is one history under way.
type randomHistory struct {
	*testCluster
	random  *rand.Rand
	runners []*historyRunner // those that run or should
	all     []*testRunner    // also those that were replaced or killed
	down    string           // a node that was killed
	goOn    func()           // ends a stall
	until   time.Time        // when to

	mu       sync.Mutex // guards what follows: nodes apply their logs at the same time
	troubled map[string]time.Time
	wrong    []string
	lost     int
	moved    int
}

type historyRunner struct {
	*testRunner
	key   string
	clock *skewedClock
}

func (h *randomHistory) run() {
	h.watch(h.judge)
	defer h.watch(nil)
	h.leader()
	h.putThreshold(15)
	for i := range historyRunners {
		h.runners = append(h.runners, h.newRunner(fmt.Sprintf("r%d", i)))
	}
	defer func() { endAll(h.all) }()
	h.connected(historyRunners)
	for i := range historyActors {
		if _, err := h.create(h.leader(), fmt.Sprint(i)); err != nil {
			h.t.Fatal(err)
		}
	}
	for range historySteps {
		time.Sleep(time.Duration(200+h.random.IntN(6000)) * time.Millisecond)
		if h.goOn != nil && time.Now().After(h.until) {
			h.endStall()
		}
		h.step()
	}
	h.healAll()
	if h.down != "" {
		h.start(h.down)
	}
	time.Sleep(2 * time.Minute)
	h.leader()
	h.eventually(10*time.Minute, "every actor running once", func() bool {
		return running(h.all) == historyActors && h.leader().core.replica.Current().Count(fsm.Running) == historyActors
	})
	neverTwice(h.t, h.all...)
	h.sameEverywhere()
	h.report()
}

func (h *randomHistory) newRunner(key string) *historyRunner {
	r := &historyRunner{key: key, clock: &skewedClock{start: time.Now(), rate: rateOf(h.random)}}
	r.testRunner = h.runWith(r.clock, runner.Config{Key: key, Slots: historyActors})
	h.all = append(h.all, r.testRunner)
	return r
}

// step does one thing to the cluster.
func (h *randomHistory) step() {
	i := h.random.IntN(historyRunners)
	r, node := h.runners[i], h.names[h.random.IntN(len(h.names))]
	switch what := h.random.IntN(100); {
	case what < 25:
		h.befell(r.key)
		h.silence(r.key)
	case what < 48:
		h.healAll()
	case what < 54:
		h.befell()
		h.isolate(node)
	case what < 60:
		h.befell()
		h.part(node, h.names[h.random.IntN(len(h.names))])
	case what < 66:
		h.befell()
		h.setLag(node, time.Duration(1+h.random.IntN(8))*time.Second)
	case what < 74:
		if leader := h.leads(); leader != nil && h.goOn == nil {
			h.befell()
			h.until = time.Now().Add(time.Duration(h.random.IntN(20_000)) * time.Millisecond)
			h.goOn = h.stall(leader.name)
		}
	case what < 79: // another process with the same key
		h.befell(r.key)
		h.runners[i] = h.newRunner(r.key)
	case what < 83: // killed, and another one is there at once
		h.befell(r.key)
		r.runner.Kill()
		h.runners[i] = h.newRunner(r.key)
	case what < 86:
		r.clock.jump(time.Duration(h.random.IntN(20_000)-10_000) * time.Millisecond)
	case what < 90:
		if leader := h.leads(); leader != nil && h.goOn == nil {
			err := h.tryThreshold(leader, []uint32{10, 15, 30}[h.random.IntN(3)])
			h.log.Debug("the threshold was changed", "error", err) // or not: there may be no majority
		}
	case h.down != "":
		h.start(h.down)
		h.down = ""
	default:
		h.befell()
		if h.down = node; h.goOn != nil {
			h.endStall()
		}
		h.kill(node)
	}
}

// leads returns a node that takes requests now, if there is one.
func (h *randomHistory) leads() *testNode {
	for _, n := range h.nodes {
		if n.core.engine.inbox.gate.isOpen() {
			return n
		}
	}
	return nil
}

func (h *randomHistory) endStall() {
	h.goOn()
	h.goOn = nil
	h.befell()
}

func (h *randomHistory) healAll() {
	if h.goOn != nil {
		h.endStall()
	}
	h.befell()
	h.heal()
	for _, name := range h.names {
		h.setLag(name, 0)
	}
}

// befell notes that something happens to a runner, or to nodes and so perhaps to every runner.
func (h *randomHistory) befell(keys ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(keys) == 0 {
		keys = []string{"r0", "r1", "r2", "r3"}
	}
	for _, key := range keys {
		h.troubled[key] = time.Now()
	}
}

// judge looks at each View of each node.
func (h *randomHistory) judge(before, v *fsm.View) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ns := v.Namespace("default")
	if ns == nil {
		return
	}
	for r := range v.Runners(ns, 0) {
		was := before.Runner(r.ID)
		silent := v.SilentMs(r)
		switch {
		case r.End == fsm.NotEnded:
			latest := r.ThresholdMs + 2_000
			if v.VerdictHeld(r) {
				latest += r.ThresholdMs / 5
			}
			if silent > latest {
				h.wrong = append(h.wrong, fmt.Sprintf("runner %s is not lost after a silence of %d ms; its threshold is %d", r.Key, silent, r.ThresholdMs))
			}
		case r.End == fsm.EndLost && was != nil && was.End == fsm.NotEnded:
			h.lost++
			if silent < r.ThresholdMs {
				h.wrong = append(h.wrong, fmt.Sprintf("runner %s was lost after a silence of %d ms; its threshold is %d", r.Key, silent, r.ThresholdMs))
			}
			// What befell it may have begun long before, but nothing has ended it a threshold and more ago.
			if quiet := time.Since(h.troubled[r.Key]); h.undisturbed() && quiet > 2*time.Duration(r.ThresholdMs)*time.Millisecond {
				h.wrong = append(h.wrong, fmt.Sprintf("runner %s was lost although nothing has befallen it for %v", r.Key, quiet))
			}
		}
	}
}

// undisturbed tells that nothing is cut, so that a runner that is quiet has no excuse.
func (h *randomHistory) undisturbed() bool {
	h.testCluster.mu.Lock()
	defer h.testCluster.mu.Unlock()
	return len(h.cuts) == 0
}

func (h *randomHistory) report() {
	v := h.leader().core.replica.Current()
	if err := v.CheckAll(); err != nil {
		h.t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for a := range v.Actors(v.Namespace("default"), "counter", 0) {
		h.moved += int(a.Generation) - 1
	}
	for _, wrong := range h.wrong[:min(len(h.wrong), 10)] {
		h.t.Error(wrong)
	}
	h.t.Logf("%d lives ended on the way, %d processes ran, %d verdicts were seen on 3 nodes", h.moved, len(h.all), h.lost)
}

// watcher is a state machine that shows each View to a test.
type watcher struct {
	raft.FSM
	replica *replica
	look    func() func(before, v *fsm.View)
}

func (w watcher) Apply(entry *raft.Log) any {
	before := w.replica.Current()
	out := w.FSM.Apply(entry)
	if look := w.look(); look != nil {
		look(before, w.replica.Current())
	}
	return out
}
