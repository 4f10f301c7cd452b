package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/callboard/callboard/fsm"
	"github.com/callboard/callboard/scheduler"
	"github.com/callboard/callboard/transport/peer"
	"github.com/callboard/callboard/transport/raftnet"
	"github.com/callboard/callboard/transport/serverless"
	"github.com/callboard/callboard/transport/session"
)

const (
	// handOverLimit is how long a node that ends tries to hand the leadership over.
	handOverLimit = 3 * time.Second
	// shutdownLimit is how long Raft may take to end: until what it writes is on disk.
	shutdownLimit = 10 * time.Second
)

// parts is what a core is made of: real ones for a node, in-memory ones for a test in virtual time.
type parts struct {
	name      string // of the node
	id        string // of the node, as Raft knows it
	caller    string // of the process, as other nodes know it
	log       *slog.Logger
	registry  prometheus.Registerer
	timing    raftnet.Timing
	wall      func() time.Time        // nil: time.Now
	tune      func(*raft.Config)      // nil: as it is
	fsm       func(*replica) raft.FSM // nil: the replica itself
	decide    decide                  // nil: scheduler.Step
	still     func()                  // where a test lets the whole process stand still; nil: it does not
	stores    *raftnet.Stores
	transport raft.Transport
	directory directory
	dial      peer.Dial          // nil: TCP
	addrs     func() []string    // gRPC addresses of the engine nodes, for runners
	urls      func() []string    // their HTTP URLs; nil: none
	policy    *serverless.Policy // what requests to serverless endpoints may call; nil: this node carries none
}

// core is an engine node without its doors: the replica, the leadership, and the sessions of its runners.
type core struct {
	parts
	raft       *raft.Raft
	voting     *raftnet.Voting
	replica    *replica
	engine     *engine
	leadership *leadership
	relay      *peer.Relay
	sessions   *session.Host
	reporter   *reporter
	comparer   *comparer
	carrier    *serverless.Carrier // nil: this node carries no requests
	poller     *poller
}

// newCore starts Raft on what the stores hold. Run must follow.
func newCore(p parts) (*core, error) {
	c := &core{parts: p, replica: newReplica(p.log)}
	config := raftnet.Config(p.id, p.timing, p.log)
	if p.tune != nil {
		p.tune(config)
	}
	if p.wall == nil {
		p.wall = time.Now
	}
	if p.decide == nil {
		p.decide = scheduler.Step
	}
	if p.still == nil {
		p.still = func() {}
	}
	var machine raft.FSM = c.replica
	if p.fsm != nil {
		machine = p.fsm(c.replica)
	}
	voting, err := raftnet.NewVoting(p.id, p.stores, p.transport, p.log)
	if err != nil {
		return nil, err
	}
	voting.Serve()
	r, err := startRaft(config, machine, p.stores, voting)
	if err != nil {
		return nil, errors.Join(err, voting.Close())
	}
	c.raft, c.voting = r, voting
	box := newInbox()
	where := newLeaders(p.id, r, p.directory, &box.gate)
	peers := peer.NewClient(c.replica.cluster, p.caller, p.dial)
	c.engine = &engine{replica: c.replica, inbox: box, leaders: where, peers: peers, writes: admitWrites(p.registry), reads: admitReads(p.registry), scouts: newScouts()}
	c.engine.ferries.ask = c.engine.askIndex
	c.leadership = &leadership{carriers: &c.engine.carriers, log: p.log, node: p.name, wall: p.wall, decide: p.decide, still: p.still, raft: r, replica: c.replica, inbox: box, leaders: where, metrics: newLoopMetrics(p.registry), events: newEvents(p.log, p.registry)}
	c.relay = peer.NewRelay(peers, p.name, where, c.replica, p.log)
	c.reporter = &reporter{engine: c.engine, relay: c.relay}
	c.sessions = session.NewHost(session.Config{Node: p.name, EngineAddrs: p.addrs, Logger: p.log}, c.replica, c.reporter)
	c.comparer = newComparer(c)
	c.carryRequests()
	p.registry.MustRegister(newStateMetrics(c.replica, c.sessions), newRaftMetrics(r, voting, box))
	return c, nil
}

// carryRequests lets this node carry requests to serverless endpoints, and ask them for their versions when it leads.
func (c *core) carryRequests() {
	if c.policy == nil {
		return
	}
	var entropy [10]byte
	_, _ = rand.Read(entropy[:]) // never fails
	self := scheduler.Carrier{Node: c.name, Start: fsm.StartID(fsm.MintID(c.leadership.wall().UnixMilli(), entropy))}
	endpoint := func() string { return strings.Join(c.addrs(), ",") }
	urls := func() string {
		if c.urls == nil {
			return ""
		}
		return strings.Join(c.urls(), ",")
	}
	c.carrier = serverless.New(serverless.Config{Start: self.Start, Endpoint: endpoint, URLs: urls, Policy: c.policy, Logger: c.log}, c.replica, carrierReports{c.engine, self})
	c.poller = &poller{log: c.log, engine: c.engine, policy: c.policy}
	c.leadership.tasks = append(c.leadership.tasks, c.poller.run)
}

// WaitIndex lets the relay wait for this node's own View.
func (r *replica) WaitIndex(ctx context.Context, index uint64) error {
	_, err := r.waitIndex(ctx, index)
	return err
}

// run works until ctx ends or the node must stop, then hands the leadership over if it has it, and shuts Raft down.
func (c *core) run(ctx context.Context) error {
	// Sessions and the relay outlive nothing; Raft goes last, so that what is on its way can still be answered.
	tasks, ctx := errgroup.WithContext(ctx)
	c.reporter.ctx = ctx
	tasks.Go(func() error { return c.leadership.run(ctx) })
	tasks.Go(func() error { return c.relay.Run(ctx) })
	if c.carrier != nil {
		tasks.Go(func() error { return c.carrier.Run(ctx) })
	}
	tasks.Go(func() error { return c.watchLeader(ctx) })
	tasks.Go(func() error { return c.stores.Run(ctx) })
	tasks.Go(func() error { return c.watchDisk(ctx) })
	tasks.Go(func() error { return c.voting.Ask(ctx, c.timing.Heartbeat, c.configuration) })
	tasks.Go(func() error { return c.voting.Save(ctx) })
	tasks.Go(func() error { return c.comparer.run(ctx) })
	if w, ok := c.transport.(witness); ok {
		heirs := &succession{log: c.log, self: raft.ServerID(c.id), raft: c.raft, voters: c.voters, mayStand: c.voting.MayStand, witness: w}
		tasks.Go(func() error { return heirs.run(ctx) })
	}
	defer c.engine.peers.Close()
	err := tasks.Wait()
	if errors.Is(err, errStuck) || c.stores.Held() {
		return err // Raft would hand over and shut down when its disk answers, which is never: the end of the process is all there is
	}
	c.handOver()
	stop, ended := within(shutdownLimit, c.raft.Shutdown())
	if !ended {
		stop = fmt.Errorf("%w: its Raft has not shut down within %s: its disk is stuck or far too slow", errStuck, shutdownLimit)
	}
	if err == nil || !ended {
		err = stop
	}
	return err
}

// within waits for an answer of Raft's, which comes never when its disk hangs.
func within(limit time.Duration, future raft.Future) (err error, ended bool) {
	done := make(chan error, 1)
	go func() { done <- future.Error() }() // ends with Raft, or with the process
	select {
	case err := <-done:
		return err, true
	case <-time.After(limit):
		return nil, false
	}
}

// watchLeader tells the relay when the leader, or the place where it is, may have changed.
func (c *core) watchLeader(ctx context.Context) error {
	news := make(chan raft.Observation, 16)
	observer := raft.NewObserver(news, false, func(o *raft.Observation) bool {
		_, leader := o.Data.(raft.LeaderObservation)
		return leader
	})
	c.raft.RegisterObserver(observer)
	defer c.raft.DeregisterObserver(observer)
	for {
		select {
		case <-news:
		case <-c.directory.Changed():
		case <-time.After(time.Second): // an observation may have been dropped: looking again costs nothing
		case <-ctx.Done():
			return nil
		}
		c.engine.leaders.note()
	}
}

// watchDisk ends the node when it cannot write or read its log: what it does not store it must not promise.
func (c *core) watchDisk(ctx context.Context) error {
	select {
	case err := <-c.stores.Failed():
		return err
	case <-ctx.Done():
		return nil
	}
}

// handOver gives the leadership to another node, if this one has it. A node that ends does so before it shuts its doors: a leader that
// nobody can reach any more holds all writes up.
func (c *core) handOver() {
	if c.raft.State() == raft.Leader && !c.stores.Held() {
		_, _ = within(handOverLimit, c.raft.LeadershipTransfer()) // alone, or nobody is ready: they will elect
	}
}
