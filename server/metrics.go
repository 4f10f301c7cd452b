package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// loopMetrics tells what the leader's loop does and costs.
type loopMetrics struct {
	stepSeconds   prometheus.Histogram
	commitSeconds prometheus.Histogram
	entryBytes    prometheus.Histogram
	entryOps      prometheus.Histogram
	inputs        prometheus.Counter
	refused       prometheus.Counter
}

func newLoopMetrics(registry prometheus.Registerer) *loopMetrics {
	seconds := prometheus.ExponentialBuckets(0.00005, 2, 18)
	m := &loopMetrics{
		stepSeconds:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_step_seconds", Help: "Time of one decision of the scheduler.", Buckets: seconds}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_turn_seconds", Help: "Time from taking a batch to its entry applied on the leader.", Buckets: seconds}),
		entryBytes:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_entry_bytes", Help: "Size of proposed entries.", Buckets: prometheus.ExponentialBuckets(32, 4, 10)}),
		entryOps:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_entry_ops", Help: "Ops per proposed entry.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		inputs:        prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_inputs_total", Help: "Commands and reports that the leader's loop took."}),
		refused:       prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_poisonous_inputs_total", Help: "Inputs that would have broken an invariant and were refused."}),
	}
	registry.MustRegister(m.stepSeconds, m.commitSeconds, m.entryBytes, m.entryOps, m.inputs, m.refused)
	return m
}

func (m *loopMetrics) stepped(took time.Duration, ops, inputs int) {
	m.stepSeconds.Observe(took.Seconds())
	m.entryOps.Observe(float64(ops))
	m.inputs.Add(float64(inputs))
}

func (m *loopMetrics) proposed(bytes int)           { m.entryBytes.Observe(float64(bytes)) }
func (m *loopMetrics) committed(took time.Duration) { m.commitSeconds.Observe(took.Seconds()) }
func (m *loopMetrics) poisoned()                    { m.refused.Inc() }
