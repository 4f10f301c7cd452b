package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/callboard/callboard/fsm"
	nodev1 "github.com/callboard/callboard/proto/callboard/node/v1"
)

const (
	// compareStatesEvery is how often a node compares its state with those of the others.
	compareStatesEvery = time.Minute
	// compareStatesFirst is when it does so for the first time after it has started.
	compareStatesFirst = 5 * time.Second
	// compareStatesTimeout is how long the others may take to answer.
	compareStatesTimeout = 5 * time.Second
)

// errStateDiffers ends a node whose state is not that of a majority.
var errStateDiffers = errors.New("this node's state is not the cluster's")

// comparer compares the hashes of this node's recent states with those of the other members. Nothing waits for it.
type comparer struct {
	core    *core
	metrics *compareMetrics

	mu    sync.Mutex // guards found: lists of peers read it
	found string     // what the last comparison found; empty: nothing
}

type compareMetrics struct {
	done    *prometheus.CounterVec
	differs prometheus.Gauge
}

func newComparer(c *core) *comparer {
	m := &compareMetrics{
		done: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "callboard_state_comparisons_total", Help: "Comparisons of this node's state with those of the other members, by what they found.",
		}, []string{"result"}),
		differs: prometheus.NewGauge(prometheus.GaugeOpts{Name: "callboard_state_differs", Help: "1 while the last comparison found a member whose state differs."}),
	}
	c.registry.MustRegister(m.done, m.differs)
	return &comparer{core: c, metrics: m}
}

// differs says what the last comparison found; empty: nothing.
func (c *comparer) differs() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.found
}

// run compares once a minute and after each snapshot, until ctx ends or a majority agrees against this node.
func (c *comparer) run(ctx context.Context) error {
	next := time.NewTimer(compareStatesFirst)
	defer next.Stop()
	for {
		select {
		case <-next.C:
			next.Reset(compareStatesEvery)
		case <-c.core.replica.snapshots:
		case <-ctx.Done():
			return nil
		}
		if err := c.compare(ctx); err != nil {
			return err
		}
	}
}

func (c *comparer) compare(ctx context.Context) error {
	servers := c.core.configuration()
	reports := c.ask(ctx, servers)
	result := judge(c.core.replica.hashes.all(), reports, votersOf(servers))
	text := result.text()
	c.mu.Lock()
	c.found = text
	c.mu.Unlock()
	c.metrics.done.WithLabelValues(result.kind()).Inc()
	c.metrics.differs.Set(0)
	if text == "" {
		return nil
	}
	c.metrics.differs.Set(1)
	if result.against {
		return fmt.Errorf("%w: %s", errStateDiffers, text)
	}
	c.core.log.Error("the states of the members differ", "found", text)
	return nil
}

// hashReport is what one other member remembers.
type hashReport struct {
	voter bool
	*nodev1.StateHashesResponse
}

// ask asks the other members. One that does not answer, or is of a build that knows no hashes, has nothing to say.
func (c *comparer) ask(ctx context.Context, servers []raft.Server) (reports []hashReport) {
	ctx, cancel := context.WithTimeout(ctx, compareStatesTimeout)
	defer cancel()
	answers := make([]*nodev1.StateHashesResponse, len(servers))
	var wait sync.WaitGroup
	for i, s := range servers {
		addr := c.core.directory.GRPCAddr(string(s.ID))
		if string(s.ID) == c.core.id || addr == "" {
			continue
		}
		wait.Go(func() {
			if answer, err := c.core.engine.peers.StateHashes(ctx, addr); err == nil && answer.GetNodeId() == string(s.ID) {
				answers[i] = answer
			}
		})
	}
	wait.Wait()
	for i, s := range servers {
		if answers[i] != nil {
			reports = append(reports, hashReport{s.Suffrage == raft.Voter, answers[i]})
		}
	}
	return reports
}

func votersOf(servers []raft.Server) (voters int) {
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	return voters
}

// judgement is what a comparison found.
type judgement struct {
	compared bool // somebody remembers an index that this node remembers
	index    uint64
	own      fsm.StateHash
	others   []otherHash // what others have at the index instead
	same     []string    // who has the same there
	voters   int         // of the cluster
	against  bool        // a majority of them has one other hash
}

type otherHash struct {
	hash   fsm.StateHash
	names  []string
	voters int
}

// judge compares at every index that this node and another remember. It tells of the lowest index at which a majority of the voters has one
// hash and this node another; if there is none, of the lowest at which anybody differs.
func judge(own map[uint64]fsm.StateHash, reports []hashReport, voters int) judgement {
	at := map[uint64]*judgement{}
	compared := false
	for _, report := range reports {
		if report.GetForm() != fsm.HashForm {
			continue
		}
		for _, h := range report.GetHashes() {
			mine, known := own[h.GetIndex()]
			if !known {
				continue
			}
			compared = true
			j := at[h.GetIndex()]
			if j == nil {
				j = &judgement{compared: true, index: h.GetIndex(), own: mine, voters: voters}
				at[h.GetIndex()] = j
			}
			j.add(fsm.StateHash{High: h.GetHigh(), Low: h.GetLow()}, report)
		}
	}
	worst := judgement{compared: compared}
	for _, j := range at {
		if len(j.others) == 0 {
			continue
		}
		j.against = slices.ContainsFunc(j.others, func(o otherHash) bool { return o.voters > voters/2 })
		if len(worst.others) == 0 || j.against && !worst.against || j.against == worst.against && j.index < worst.index {
			worst = *j
		}
	}
	return worst
}

// add takes one member's hash at the index.
func (j *judgement) add(hash fsm.StateHash, from hashReport) {
	if hash == j.own {
		j.same = append(j.same, from.GetName())
		return
	}
	i := slices.IndexFunc(j.others, func(o otherHash) bool { return o.hash == hash })
	if i < 0 {
		i = len(j.others)
		j.others = append(j.others, otherHash{hash: hash})
	}
	j.others[i].names = append(j.others[i].names, from.GetName())
	if from.voter {
		j.others[i].voters++
	}
}

func (j *judgement) kind() string {
	switch {
	case len(j.others) > 0:
		return "different"
	case j.compared:
		return "equal"
	default:
		return "none"
	}
}

// text says which index, and which hashes; empty: nobody differs.
func (j *judgement) text() string {
	if len(j.others) == 0 {
		return ""
	}
	here := "here"
	if len(j.same) > 0 {
		here += " and on " + strings.Join(j.same, ", ")
	}
	text := fmt.Sprintf("the state hash at index %d is %s %s", j.index, j.own, here)
	for _, o := range j.others {
		text += fmt.Sprintf(", and %s on %s", o.hash, strings.Join(o.names, ", "))
	}
	if j.against {
		return text + fmt.Sprintf(": a majority of the %d voters agrees against this node", j.voters)
	}
	return text
}
