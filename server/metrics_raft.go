package server

import (
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/transport/raftnet"
)

// raftMetrics tells how this node stands in Raft, and what waits for it if it leads, read when somebody asks.
type raftMetrics struct {
	raft   *raft.Raft
	voting *raftnet.Voting
	inbox  *inbox

	role, term, last, commit, contact, waiting, probation, short *prometheus.Desc
}

func newRaftMetrics(r *raft.Raft, voting *raftnet.Voting, inbox *inbox) *raftMetrics {
	describe := func(o prometheus.Opts, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(o.Name, o.Help, labels, nil)
	}
	return &raftMetrics{
		raft: r, voting: voting, inbox: inbox,
		role:    describe(prometheus.Opts{Name: "callboard_raft_role", Help: "1 for the role that this node has in Raft: leader, follower or candidate."}, "role"),
		term:    describe(prometheus.Opts{Name: "callboard_raft_term", Help: "Raft's term: it rises with every election."}),
		last:    describe(prometheus.Opts{Name: "callboard_raft_last_index", Help: "Index of the last entry in this node's log."}),
		commit:  describe(prometheus.Opts{Name: "callboard_raft_commit_index", Help: "Index up to which this node knows entries to be committed."}),
		contact: describe(prometheus.Opts{Name: "callboard_raft_leader_silence_seconds", Help: "Time since this node heard from a leader; 0 on the leader, -1: it never did."}),
		waiting: describe(prometheus.Opts{Name: "callboard_inbox_length", Help: "Inputs that wait for the leader's loop; 0 on other nodes."}),
		probation: describe(prometheus.Opts{
			Name: "callboard_raft_probation",
			Help: "1 while this node's log is shorter than what it had acknowledged: it stands for no election, and votes only for a node that has all of that.",
		}),
		short: prometheus.NewDesc("callboard_raft_short_logs_total",
			"How often this node, since its start, has found its log shorter than what it had acknowledged: an older copy of its directory, or a disk that lost what it had promised.", nil, nil),
	}
}

// Describe lists the metrics.
func (m *raftMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.role, m.term, m.last, m.commit, m.contact, m.waiting, m.probation, m.short} {
		to <- d
	}
}

// Collect asks Raft.
func (m *raftMetrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	now := m.raft.State()
	for _, role := range []raft.RaftState{raft.Leader, raft.Follower, raft.Candidate} {
		is := 0.0
		if role == now {
			is = 1
		}
		gauge(m.role, is, strings.ToLower(role.String()))
	}
	gauge(m.term, float64(m.raft.CurrentTerm()))
	gauge(m.last, float64(m.raft.LastIndex()))
	gauge(m.commit, float64(m.raft.CommitIndex()))
	silence := 0.0
	if heard := m.raft.LastContact(); now != raft.Leader {
		if silence = -1; !heard.IsZero() {
			silence = time.Since(heard).Seconds()
		}
	}
	gauge(m.contact, silence)
	gauge(m.waiting, float64(len(m.inbox.requests)))
	probation := 0.0
	if _, _, on := m.voting.Probation(); on {
		probation = 1
	}
	gauge(m.probation, probation)
	to <- prometheus.MustNewConstMetric(m.short, prometheus.CounterValue, float64(m.voting.Alarms()))
}
