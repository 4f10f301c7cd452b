package gossip

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// seedGrace is how long a seed may take to answer before it is named: nodes start one after the other.
	seedGrace = 3 * time.Second
	// seedFresh is how long after the start seeds that never answered are called as often as by a node alone, so that a wrong one is named
	// soon.
	seedFresh = 8 * time.Second
	// seedRepeat is how often a seed is named that still does not answer.
	seedRepeat = 5 * time.Minute
)

// seeds are the addresses that this node was told, with what came of them.
type seeds struct {
	since    time.Time
	answered chan struct{} // holds a token when one has answered
	mu       *sync.Mutex   // not a loop: seeds are called side by side, and each only writes down what came of it
	state    []seed
}

type seed struct {
	address  string
	answered bool
	named    time.Time
}

func newSeeds(addresses []string) seeds {
	s := seeds{since: time.Now(), answered: make(chan struct{}, 1), mu: &sync.Mutex{}, state: make([]seed, len(addresses))}
	for i, address := range addresses {
		s.state[i].address = address
	}
	return s
}

func (s *seeds) any() bool { return len(s.state) > 0 }

// fresh reports whether a seed has never answered, and the start is not long ago.
func (s *seeds) fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.since) < seedFresh && slices.ContainsFunc(s.state, func(s seed) bool { return !s.answered })
}

// join calls the seeds side by side, and the peers that fell silent.
func (g *Gossip) join(ctx context.Context) {
	var calls sync.WaitGroup
	for i := range g.seeds.state {
		calls.Go(func() { g.joinSeed(ctx, i) })
	}
	_, silent := g.roster.silent()
	for _, address := range silent {
		if ctx.Err() != nil {
			break
		}
		_, _ = g.call(ctx, address)
	}
	calls.Wait()
}

// joinSeed calls a seed, and names it when it has not answered for a while.
func (g *Gossip) joinSeed(ctx context.Context, i int) {
	met, err := g.call(ctx, g.seeds.state[i].address)
	g.seeds.mu.Lock()
	s, now := &g.seeds.state[i], time.Now()
	s.answered = s.answered || err == nil
	keys := otherKey(err)
	name := err != nil && ctx.Err() == nil && !s.answered && (keys || now.Sub(g.seeds.since) > seedGrace) && now.Sub(s.named) > seedRepeat
	if name {
		s.named = now
	}
	g.seeds.mu.Unlock()
	if met {
		select {
		case g.seeds.answered <- struct{}{}:
		default:
		}
	}
	switch {
	case name && keys:
		g.log.Error("--join: the node at this address has another gossip key, or one of the two has none: give all nodes the same --gossip-key",
			"join", s.address, "error", err)
	case name:
		g.log.Warn("--join: no node has answered at this address yet: is it the gossip address of another node, and is that node up?",
			"join", s.address, "error", err)
	}
}

// otherKey reports whether a call failed for the keys of the two sides. memberlist has texts alone.
func otherKey(err error) bool {
	if err == nil {
		return false
	}
	said := strings.ToLower(err.Error())
	return slices.ContainsFunc([]string{"no installed keys could decrypt", "encryption is not configured", "remote state is not encrypted"},
		func(text string) bool { return strings.Contains(said, text) })
}

// call exchanges what is known with the nodes at an address, and tells whether one answered; this process itself is no mistake. memberlist's
// own calls know no ctx, but end after tcpTimeout.
func (g *Gossip) call(ctx context.Context, address string) (met bool, err error) {
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	found, err := lookup(ctx, address)
	if err == nil {
		found = slices.DeleteFunc(found, func(address string) bool { return address == g.Addr() || address == g.bound })
		var answered int
		if answered, err = g.list.Join(found); answered > 0 || len(found) == 0 {
			return answered > 0, nil
		}
	}
	g.log.Debug("gossip: nobody answers", "address", address, "error", err)
	return false, err
}

// lookup finds the addresses of a seed; a name may have several.
func lookup(ctx context.Context, seed string) ([]string, error) {
	host, port, err := net.SplitHostPort(seed)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, tcpTimeout)
	defer cancel()
	hosts, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(hosts) == 0 {
		return nil, errors.New("the name has no address")
	}
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(host, port)
	}
	return hosts, nil
}
