package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/transport/session"
)

// stateMetrics tells what this node's View holds, read when somebody asks.
type stateMetrics struct {
	replica  *replica
	sessions *session.Host

	index, clock, actors, runners, leaseAge, stored, streams *prometheus.Desc
}

func newStateMetrics(r *replica, sessions *session.Host) *stateMetrics {
	describe := func(o prometheus.Opts, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(o.Name, o.Help, labels, nil)
	}
	return &stateMetrics{
		replica: r, sessions: sessions,
		index:    describe(prometheus.Opts{Name: "callboard_applied_index", Help: "Log index of this node's View."}),
		clock:    describe(prometheus.Opts{Name: "callboard_cluster_clock_seconds", Help: "The cluster clock: it stands still without a leader."}),
		actors:   describe(prometheus.Opts{Name: "callboard_actors", Help: "Actors by state."}, "state"),
		runners:  describe(prometheus.Opts{Name: "callboard_runners", Help: "Runners that have not ended, by whether they take new actors, and why not."}, "state"),
		leaseAge: describe(prometheus.Opts{Name: "callboard_runner_silence_max_seconds", Help: "Cluster time since the last committed heartbeat of the runner that has been silent longest."}),
		stored:   describe(prometheus.Opts{Name: "callboard_stored_bytes", Help: "Inputs and saved states of all actors."}),
		streams:  describe(prometheus.Opts{Name: "callboard_runner_streams", Help: "Runner streams that this node holds."}),
	}
}

// Describe lists the metrics.
func (m *stateMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.index, m.clock, m.actors, m.runners, m.leaseAge, m.stored, m.streams} {
		to <- d
	}
}

// Collect reads the View.
func (m *stateMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	v := m.replica.Current()
	gauge(m.index, float64(v.Index()))
	gauge(m.clock, float64(v.ClockMs())/1000)
	for p := fsm.Pending; p <= fsm.Destroyed; p++ {
		gauge(m.actors, float64(v.Count(p)), p.String())
	}
	states, silent := map[string]int{"ready": 0}, int64(0)
	for ns := range v.Namespaces("") {
		for r := range v.Runners(ns, 0) {
			if r.End != fsm.NotEnded {
				continue
			}
			silent = max(silent, v.SilentMs(r))
			if why := v.Ineligible(r); why != "" {
				states[why]++
			} else {
				states["ready"]++
			}
		}
	}
	for state, n := range states {
		gauge(m.runners, float64(n), state)
	}
	gauge(m.leaseAge, float64(silent)/1000)
	gauge(m.stored, float64(v.StoredBytes()))
	gauge(m.streams, float64(m.sessions.Streams()))
}
