package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"
)

// Two processes may call themselves the same node: one that was started again while the others still take the former one for alive, or
// one whose data directory was copied. Who counts is settled by one question: does the former one still answer, under its own name, at
// its address? As long as it does it counts. When it does not, the newest start that is there takes its place, for good: an older start
// never comes back. The same rules hold at the two processes themselves, so that the one that does not count ends.

const (
	// callTimeout bounds the question whether anybody listens at an address.
	callTimeout = time.Second
	// enough is how long the other seeds have when one has answered: who knows one knows all.
	enough = 300 * time.Millisecond
	// meetLimit bounds what a node waits at its start for a former one of which it is unclear whether it is there: until memberlist of the
	// others has found it dead.
	meetLimit = 15 * time.Second
	// rivalGrace is how long a process that runs stands an older start beside it that answers. It is longer than an older one that was
	// suspended takes to see that it has been replaced, and to end.
	rivalGrace = 6 * time.Second
	// suspended is a gap between two looks that only a process has that was stopped.
	suspended = 4 * time.Second
	// wakeFor is how long a process that was suspended looks for one that has taken its place.
	wakeFor = 10 * time.Second
	// lookEvery is how often rivals are looked at.
	lookEvery = 500 * time.Millisecond
)

// ErrUnclear says that a start cannot be judged yet: another one of its node may still be there.
var ErrUnclear = errors.New("another start of this node may still be there")

// OtherStartError tells that a process must not act for its node, for another start of it does.
type OtherStartError struct {
	NodeID  string
	Here    Start // of the process that must not
	There   Start // the one that counts
	Address string
	Gone    bool // the other one is newer, and not there now
}

func (e *OtherStartError) Error() string {
	if e.Gone {
		return fmt.Sprintf("node %s ran last as its %s, at %s, and this process, its %s, is an older one: is its data directory an older copy?",
			e.NodeID, e.There.Describe(), e.Address, e.Here.Describe())
	}
	return fmt.Sprintf("node %s runs already: its %s answers at %s, and this process is its %s: was its data directory copied?",
		e.NodeID, e.There.Describe(), e.Address, e.Here.Describe())
}

type presence int

const (
	absent presence = iota
	unclear
	answers
)

// probe asks a start, by its name, whether it is there. Nobody else answers to that, not even another start at its address.
func (g *Gossip) probe(ctx context.Context, m member, heirs []member) presence {
	if m.address == g.bound {
		return absent // this process has its place
	}
	at, err := net.ResolveUDPAddr("udp", m.address)
	if err != nil {
		return absent
	}
	replaced := slices.ContainsFunc(heirs, func(heir member) bool { return heir.address == m.address }) // who listens there is a newer one
	for range 2 {
		if _, err := g.list.Ping(m.name, at); err == nil {
			return answers
		}
		if replaced {
			continue
		}
		if conn, err := (&net.Dialer{Timeout: callTimeout}).DialContext(ctx, "tcp", m.address); err == nil {
			_ = conn.Close()
		} else if ctx.Err() == nil {
			return absent // nobody listens there
		}
		if ctx.Err() != nil {
			return unclear
		}
	}
	if replaced || !m.gone.IsZero() {
		return absent
	}
	return unclear // its machine takes connections: it may be suspended, or packets may not get there; memberlist asks on
}

// Meet calls the seeds, and looks whether another start of this node is there: then the error is an OtherStartError. It must come before
// this process does anything in the name of its node.
func (g *Gossip) Meet(ctx context.Context) error {
	if err := g.callSeeds(ctx); err != nil {
		return err
	}
	deadline := time.Now().Add(meetLimit)
	for {
		changed := g.Changed()
		open, err := g.face(ctx)
		if err != nil || !open || time.Now().After(deadline) {
			return err
		}
		select {
		case <-changed:
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// callSeeds returns when the seeds have answered, or soon after the first has.
func (g *Gossip) callSeeds(ctx context.Context) error {
	called := make(chan struct{})
	g.calls.Go(func() {
		defer close(called)
		g.join(ctx)
	})
	late := time.NewTimer(meetLimit)
	defer late.Stop()
	for {
		select {
		case <-g.seeds.answered:
			late.Reset(enough)
		case <-called:
			return nil
		case <-late.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// face judges this process before it runs, by the other starts of its node that are there; open: it cannot be told yet.
func (g *Gossip) face(ctx context.Context) (open bool, err error) {
	self, others, _ := g.roster.of(g.self.NodeID)
	for _, other := range others {
		if older := other.peer.Start.Compare(g.self.Start) < 0; !older && !other.peer.Running {
			continue // it has begun later, and will find this one
		}
		switch g.probe(ctx, other, []member{self}) {
		case answers:
			return false, g.otherStart(other)
		case unclear:
			open = true
		case absent:
		}
	}
	return open, ctx.Err()
}

func (g *Gossip) otherStart(other member) error {
	return &OtherStartError{NodeID: g.self.NodeID, Here: g.self.Start, There: other.peer.Start, Address: other.address, Gone: !other.gone.IsZero()}
}

// watchRivals settles which start of each node counts, whenever two are there, until ctx ends. It ends with an OtherStartError when this
// process does not.
func (g *Gossip) watchRivals(ctx context.Context) error {
	var rival rival
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-g.roster.rivals:
		case <-ctx.Done():
			return nil
		}
		if err := rival.look(ctx, g); err != nil {
			return err
		}
		for _, node := range g.roster.contested() {
			if node != g.self.NodeID {
				g.settle(ctx, node)
			}
		}
		rival.looked = time.Now() // what is asked takes its time
	}
}

// settle lets the newest start of a node take the place of one that does not answer any more.
func (g *Gossip) settle(ctx context.Context, node string) {
	counts, others, ok := g.roster.of(node)
	if !ok || len(others) == 0 || !others[0].follows(counts) || g.probe(ctx, counts, others) != absent {
		return
	}
	g.log.Info("gossip: a node has been started again", "node", others[0].peer.Name, "node_id", node, "start", others[0].peer.Start.Count,
		"address", others[0].address)
	g.roster.succeed(counts, others[0])
}

// rival is another start of this node beside this process that runs.
type rival struct {
	looked  time.Time // the wall clock too: it goes on while the machine is suspended
	woke    time.Time
	name    string
	answers time.Time // since when
}

func (r *rival) look(ctx context.Context, g *Gossip) error {
	now := time.Now()
	if !r.looked.IsZero() && max(now.Sub(r.looked), now.Round(0).Sub(r.looked.Round(0))) > suspended {
		r.woke = now
	}
	self, others, _ := g.roster.of(g.self.NodeID)
	if len(others) == 0 {
		r.name = ""
		return nil
	}
	for _, other := range others {
		newer := other.peer.Start.Compare(g.self.Start) > 0
		if newer && (!other.peer.Running || now.Sub(r.woke) > wakeFor) {
			continue // it has found this one, or will: it ends
		}
		there := g.probe(ctx, other, []member{self}) == answers
		switch {
		case !there && r.name == other.name:
			r.name = ""
		case !there:
		case newer:
			return g.otherStart(other)
		case r.name != other.name:
			r.name, r.answers = other.name, now
		case now.Sub(r.answers) > g.pace.rival:
			return g.otherStart(other)
		}
	}
	return nil
}

// Judge reports whether a process may act for its node: nil when it may, as far as is known here; an OtherStartError when it may not;
// ErrUnclear when that cannot be told yet.
func (g *Gossip) Judge(ctx context.Context, nodeID string, start Start) error {
	if g.roster.startOf(nodeID) == start || start.IsZero() {
		return nil
	}
	counts, others, ok := g.roster.of(nodeID)
	if !ok || counts.peer.Start == start {
		return nil
	}
	refused := &OtherStartError{NodeID: nodeID, Here: start, There: counts.peer.Start, Address: counts.address, Gone: !counts.gone.IsZero()}
	there := g.probe(ctx, counts, others)
	if counts.peer.Start.Compare(start) > 0 && counts.peer.Running {
		refused.Gone = there != answers // a process that was suspended may not have heard that it is
		return refused
	}
	switch there {
	case answers:
		return refused
	case unclear:
		return ErrUnclear
	case absent:
	}
	return nil
}

// Answers reports whether a node is there: the start of it that counts answers under its name.
func (g *Gossip) Answers(ctx context.Context, nodeID string) bool {
	counts, others, ok := g.roster.of(nodeID)
	return ok && g.probe(ctx, counts, others) == answers
}
