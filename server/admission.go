package server

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// maxUnderWay is how many writes of a node's callers, and how many linearizable reads, are on their way to the leader and back at
	// once. More make nothing faster, for one entry takes no more; but every one of them is a goroutine that becomes runnable when an
	// entry commits, and Raft's own stand in the same line for a processor: with sixteen thousand of them a leader on a busy machine
	// cannot be heard in time.
	maxUnderWay = 2048
	// maxAdmitted bounds the writes that a node has taken in, and the reads, those that wait for their turn included.
	maxAdmitted = 32_768
	// maxAdmittedBytes bounds what their commands hold. A single one may be larger than what is left when there is no other.
	maxAdmittedBytes = 256 << 20
	// maxTurnWait is how long one may wait for its turn.
	maxTurnWait = 10 * time.Second
)

// admission lets what a node's callers ask of the leader through: a bounded number at once, the others in the order in which they
// came. Whoever waits costs a parked goroutine and a message, and has taken no effect. What is beyond the bounds is refused at once.
type admission struct {
	turns    *semaphore.Weighted
	admitted atomic.Int64
	bytes    atomic.Int64
	refused  prometheus.Counter
}

func newAdmission(refused prometheus.Counter) *admission {
	return &admission{turns: semaphore.NewWeighted(maxUnderWay), refused: refused}
}

// admitWrites is the admission of writes.
func admitWrites(registry prometheus.Registerer) *admission {
	a := newAdmission(prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_writes_refused_total", Help: "Writes that this node refused because it had too many."}))
	registry.MustRegister(a.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callboard_writes", Help: "Writes of this node's callers that have no answer yet, those that wait for their turn included."},
			func() float64 { return float64(a.admitted.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callboard_writes_bytes", Help: "What the commands of these writes hold."},
			func() float64 { return float64(a.bytes.Load()) }),
	)
	return a
}

// admitReads is the admission of linearizable reads, which ask the leader too.
func admitReads(registry prometheus.Registerer) *admission {
	a := newAdmission(prometheus.NewCounter(prometheus.CounterOpts{Name: "callboard_reads_refused_total", Help: "Linearizable reads that this node refused because it had too many."}))
	registry.MustRegister(a.refused,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "callboard_reads", Help: "Linearizable reads of this node's callers that wait for the leader's word, those that wait for their turn included."},
			func() float64 { return float64(a.admitted.Load()) }),
	)
	return a
}

// enter waits for a turn. An error, which is ErrOverloaded, means that nothing took effect; otherwise leave must follow.
func (a *admission) enter(ctx context.Context, size int) (leave func(), err error) {
	if !a.admit(int64(size)) {
		a.refused.Inc()
		return nil, callboardv1.ErrOverloaded
	}
	if !a.turns.TryAcquire(1) {
		wait, cancel := context.WithTimeout(ctx, maxTurnWait)
		defer cancel()
		if err := a.turns.Acquire(wait, 1); err != nil {
			a.dismiss(int64(size))
			a.refused.Inc()
			return nil, callboardv1.ErrOverloaded
		}
	}
	return func() {
		a.turns.Release(1)
		a.dismiss(int64(size))
	}, nil
}

func (a *admission) admit(size int64) bool {
	count, bytes := a.admitted.Add(1), a.bytes.Add(size)
	if count > maxAdmitted || bytes > maxAdmittedBytes && count > 1 {
		a.dismiss(size)
		return false
	}
	return true
}

func (a *admission) dismiss(size int64) {
	a.admitted.Add(-1)
	a.bytes.Add(-size)
}
