package server

import (
	"testing"
	"testing/synctest"

	"github.com/callboard/callboard/runner"
)

// Every decision is measured phase by phase.
func TestPhasesOfADecisionAreMeasured(t *testing.T) {
	inCluster(t, 1, func(t *testing.T, c *testCluster) {
		r := c.run(runner.Config{Slots: 100})
		defer r.end()
		c.populate(20, r)
		synctest.Wait() // no decision is under way while the figures are read
		families, err := c.leader().told.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var steps uint64
		phases := map[string]uint64{}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				switch family.GetName() {
				case "callboard_step_seconds":
					steps = metric.GetHistogram().GetSampleCount()
				case "callboard_step_phase_seconds":
					phases[metric.GetLabel()[0].GetValue()] = metric.GetHistogram().GetSampleCount()
				}
			}
		}
		for _, phase := range []string{"admit", "judge", "drain", "evict", "place", "wake", "finish", "check"} {
			if steps == 0 || phases[phase] != steps {
				t.Errorf("%s was measured %d times in %d decisions", phase, phases[phase], steps)
			}
		}
		if len(phases) != 8 {
			t.Errorf("phases: %v", phases)
		}
	})
}
