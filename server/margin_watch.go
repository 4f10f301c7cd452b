package server

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
)

// marginWatch warns while voters cannot be reached: in the leader's log and in its metrics.
type marginWatch struct {
	mu   sync.Mutex // guards what follows; metrics are read from other goroutines
	seen margin
	held map[raft.ServerID]time.Time // when it was last said that a new member gets no vote

	voters, unreachable, left *prometheus.Desc
}

func newMarginWatch() *marginWatch {
	return &marginWatch{
		held:        map[raft.ServerID]time.Time{},
		voters:      prometheus.NewDesc("callboard_voters", "Members with a vote, as the leader sees them; no value on other nodes.", nil, nil),
		unreachable: prometheus.NewDesc("callboard_voters_unreachable", "Voters that the leader does not reach; no value on other nodes.", nil, nil),
		left: prometheus.NewDesc("callboard_voters_margin",
			"How many more voters may be lost before nothing can be written any more; no value on nodes that do not lead.", nil, nil),
	}
}

// Describe lists the metrics.
func (w *marginWatch) Describe(to chan<- *prometheus.Desc) {
	to <- w.voters
	to <- w.unreachable
	to <- w.left
}

// Collect tells what was seen last, on a leader.
func (w *marginWatch) Collect(to chan<- prometheus.Metric) {
	m := w.last()
	if m.voters == 0 {
		return
	}
	to <- prometheus.MustNewConstMetric(w.voters, prometheus.GaugeValue, float64(m.voters))
	to <- prometheus.MustNewConstMetric(w.unreachable, prometheus.GaugeValue, float64(len(m.unreachable)))
	to <- prometheus.MustNewConstMetric(w.left, prometheus.GaugeValue, float64(m.left()))
}

func (w *marginWatch) last() margin {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

func (w *marginWatch) note(m margin) (before margin) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, w.seen = w.seen, m
	return before
}

// sayAgain is how often the same is said.
const sayAgain = time.Minute

// watchMargin is the leader's eye on its voters.
func (n *node) watchMargin(ctx context.Context) error {
	defer n.margins.note(margin{})
	var said time.Time
	tick := time.NewTicker(marginEvery)
	defer tick.Stop()
	for {
		m := n.margin(ctx)
		if ctx.Err() != nil {
			return nil
		}
		before := n.margins.note(m)
		changed := len(before.unreachable) != len(m.unreachable)
		switch {
		case len(m.unreachable) > 0 && (changed || time.Since(said) >= sayAgain):
			said = time.Now()
			n.cfg.Log.Warn("voters cannot be reached", "unreachable", m.unreachable, "voters", m.voters, "may_still_be_lost", m.left(),
				"alarm", "start them, or remove those that are lost for good: `callboard operator raft remove-peer`")
		case len(m.unreachable) == 0 && len(before.unreachable) > 0:
			n.cfg.Log.Info("every voter is reached again", "voters", m.voters, "may_still_be_lost", m.left())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// holdBack says, not too often, why a new member has no vote yet.
func (n *node) holdBack(id raft.ServerID, name string, why error) {
	n.margins.mu.Lock()
	defer n.margins.mu.Unlock()
	if time.Since(n.margins.held[id]) >= sayAgain {
		n.margins.held[id] = time.Now()
		n.cfg.Log.Warn("a new member has caught up and gets no vote yet", "node", name, "error", why)
	}
}
