package server

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/runner"
)

// skewedClock is a runner's clock that runs faster or slower than the engine's.
type skewedClock struct {
	start time.Time
	rate  float64
}

func (s skewedClock) Now() time.Duration { return time.Duration(float64(time.Since(s.start)) * s.rate) }
func (s skewedClock) Wall() time.Time    { return s.start.Add(s.Now()) }

// Random histories: runners whose clocks are up to a tenth apart fall silent, leaders die, nodes are cut off and come back. No actor's
// body ever overlaps another of its lives, on any runner; when all is healed every actor runs once, and the nodes agree.
//
// CALLBOARD_SEEDS says how many histories; a failure names its seed.
func TestRandomHistories(t *testing.T) {
	seeds := 4
	if n, err := strconv.Atoi(os.Getenv("CALLBOARD_SEEDS")); err == nil {
		seeds = n
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			inCluster(t, 3, func(t *testing.T, c *testCluster) { randomHistory(t, c, rand.New(rand.NewPCG(uint64(seed), 1))) })
		})
	}
}

const (
	historyRunners = 4
	historyActors  = 24
	historySteps   = 40
)

func randomHistory(t *testing.T, c *testCluster, random *rand.Rand) {
	c.leader()
	runners := make([]*testRunner, historyRunners)
	keys := make([]string, historyRunners)
	for i := range runners {
		keys[i] = fmt.Sprintf("r%d", i)
		clock := skewedClock{start: time.Now(), rate: 0.91 + 0.18*random.Float64()}
		runners[i] = c.runWith(clock, runner.Config{Key: keys[i], Slots: historyActors})
		defer runners[i].end()
	}
	c.eventually(20*time.Second, "runners", func() bool {
		v := c.leader().core.replica.Current()
		p := v.Pool(fsm.PoolID{Namespace: v.Namespace("default").ID, Name: "default"})
		return p != nil && v.PoolStats(p).Connected == historyRunners
	})
	for i := range historyActors {
		if _, err := c.create(c.leader(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	down := ""
	for range historySteps {
		time.Sleep(time.Duration(200+random.IntN(6000)) * time.Millisecond)
		switch what := random.IntN(10); {
		case what < 4:
			c.silence(keys[random.IntN(historyRunners)])
		case what < 6:
			c.heal()
		case what < 7 && down == "":
			c.isolate(c.names[random.IntN(len(c.names))])
		case down != "":
			c.start(down)
			down = ""
		default:
			down = c.names[random.IntN(len(c.names))]
			c.kill(down)
		}
	}
	c.heal()
	if down != "" {
		c.start(down)
	}
	time.Sleep(2 * time.Minute)
	c.leader()
	c.eventually(10*time.Minute, "every actor running once", func() bool {
		total := 0
		for _, r := range runners {
			total += r.running()
		}
		return total == historyActors && c.leader().core.replica.Current().Count(fsm.Running) == historyActors
	})
	neverTwice(t, runners...)
	c.sameEverywhere()
	moved := 0
	v := c.leader().core.replica.Current()
	if err := v.CheckAll(); err != nil {
		t.Error(err)
	}
	for a := range v.Actors(v.Namespace("default"), "counter", 0) {
		moved += int(a.Generation) - 1
	}
	t.Logf("%d lives ended on the way", moved)
	if moved == 0 {
		t.Error("nothing moved: the history tests nothing")
	}
}
