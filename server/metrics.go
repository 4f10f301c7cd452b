package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/internal/logqueue"
	"github.com/callboard/callboard/scheduler"
)

// loopMetrics tells what the leader's loop does and costs.
type loopMetrics struct {
	stepSeconds   prometheus.Histogram
	phaseSeconds  *prometheus.HistogramVec
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
		phaseSeconds:  prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "callboard_step_phase_seconds", Help: "Time of one phase of a decision.", Buckets: seconds}, []string{"phase"}),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_turn_seconds", Help: "Time from taking a batch to its entry applied on the leader.", Buckets: seconds}),
		entryBytes:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_entry_bytes", Help: "Size of proposed entries.", Buckets: prometheus.ExponentialBuckets(32, 4, 10)}),
		entryOps:      prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callboard_entry_ops", Help: "Ops per proposed entry.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		inputs:        prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_inputs_total", Help: "Commands and reports that the leader's loop took."}),
		refused:       prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_poisonous_inputs_total", Help: "Inputs that would have broken an invariant and were refused."}),
	}
	registry.MustRegister(m.stepSeconds, m.phaseSeconds, m.commitSeconds, m.entryBytes, m.entryOps, m.inputs, m.refused)
	return m
}

func (m *loopMetrics) stepped(took time.Duration, ops, inputs int) {
	m.stepSeconds.Observe(took.Seconds())
	m.entryOps.Observe(float64(ops))
	m.inputs.Add(float64(inputs))
}

// newLogMetric counts the log lines that nobody will read.
func newLogMetric(logs *logqueue.Queue) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "callboard_log_lines_dropped_total", Help: "Log lines that were dropped because the log did not take them in time.",
	}, func() float64 { return float64(logs.Dropped()) })
}

// phaseCheck follows the scheduler's own phases: the invariants are looked at.
const phaseCheck scheduler.Phase = "check"

// stopwatch measures the phases of one decision.
type stopwatch struct {
	seconds *prometheus.HistogramVec
	phase   scheduler.Phase // empty: none
	since   time.Time
}

func (m *loopMetrics) stopwatch() *stopwatch { return &stopwatch{seconds: m.phaseSeconds} }

// begins ends the phase before, if there is one, and begins the next; an empty one is none.
func (w *stopwatch) begins(next scheduler.Phase) {
	now := time.Now()
	if w.phase != "" {
		w.seconds.WithLabelValues(string(w.phase)).Observe(now.Sub(w.since).Seconds())
	}
	w.phase, w.since = next, now
}

func (m *loopMetrics) proposed(bytes int)           { m.entryBytes.Observe(float64(bytes)) }
func (m *loopMetrics) committed(took time.Duration) { m.commitSeconds.Observe(took.Seconds()) }
func (m *loopMetrics) poisoned()                    { m.refused.Inc() }
