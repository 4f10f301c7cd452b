package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	// DefaultLabel keeps the packets of other programs that use memberlist out.
	DefaultLabel = "callboard"

	tcpTimeout   = 2 * time.Second
	leaveTimeout = 2 * time.Second
)

// Options say how a node gossips.
type Options struct {
	Bind      string   // host:port, TCP and UDP
	Advertise string   // host:port that others use; empty: the bound address, which then must not be a wildcard
	Seeds     []string // host:port of other nodes; this node's own address among them does no harm
	Label     string   // the same on all nodes; empty: DefaultLabel
	Self      Peer
	Keys      [][]byte // the first encrypts, all are understood; empty: plain text
	Log       *slog.Logger

	tune func(*memberlist.Config) // for tests
	pace *pace                    // for tests
}

// pace is how often a node calls seeds and silent peers, and how long it stands a rival.
type pace struct{ alone, fewer, settled, rival time.Duration }

// A node alone asks often, for that is how a cluster starts. Later the seeds are asked now and then, for memberlist by itself does
// not heal a cluster that was split longer than it remembers the dead.
var defaultPace = pace{alone: time.Second, fewer: 15 * time.Second, settled: time.Minute, rival: rivalGrace}

// ErrAdvertise is the mistake of an address that is told to others: they cannot use it, or it cannot be looked up.
var ErrAdvertise = errors.New("advertise a host that other nodes can reach")

// Gossip is this node among the others.
type Gossip struct {
	list    *memberlist.Memberlist
	roster  *roster
	self    Peer   // as it was at the start
	bound   string // where this process listens; empty: everywhere
	seeds   seeds
	log     *slog.Logger
	pace    pace
	updated chan struct{}  // this node's meta has changed
	calls   sync.WaitGroup // of Meet, which may return before the last has ended
	end     sync.Once      // memberlist panics when it leaves after the end
}

// Listen binds the address and answers others at once; Run looks for them. End it with Leave or Close.
func Listen(o Options) (*Gossip, error) {
	own, err := encode(o.Self)
	if err != nil {
		return nil, err
	}
	for _, seed := range o.Seeds {
		if _, _, err := net.SplitHostPort(seed); err != nil {
			return nil, fmt.Errorf("gossip: seed %q: want host:port: %w", seed, err)
		}
	}
	roster := newRoster(Caller(o.Self.NodeID, o.Self.Start))
	roster.meta.Store(&own)
	config, err := o.config(roster)
	if err != nil {
		return nil, err
	}
	list, err := memberlist.Create(config)
	if err != nil {
		return nil, fmt.Errorf("gossip address %s: %w", o.Bind, cmp.Or(bindError(config), err))
	}
	g := &Gossip{
		list: list, roster: roster, self: o.Self, seeds: newSeeds(o.Seeds), log: o.Log, pace: defaultPace, updated: make(chan struct{}, 1),
	}
	if ip := net.ParseIP(config.BindAddr); ip != nil && !ip.IsUnspecified() {
		g.bound = net.JoinHostPort(config.BindAddr, strconv.Itoa(config.BindPort))
	}
	if o.pace != nil {
		g.pace = *o.pace
	}
	return g, nil
}

func (o Options) config(roster *roster) (*memberlist.Config, error) {
	bind, err := resolve(o.Bind)
	if err != nil {
		return nil, err
	}
	config := memberlist.DefaultLANConfig()
	config.Name = roster.self
	config.BindAddr, config.BindPort = bind.IP.String(), bind.Port
	config.AdvertisePort = bind.Port
	if bind.IP.IsUnspecified() && o.Advertise == "" {
		return nil, fmt.Errorf("gossip: %s cannot be reached by other nodes: %w", o.Bind, ErrAdvertise)
	}
	if o.Advertise != "" {
		advertise, err := resolve(o.Advertise)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrAdvertise, err)
		}
		if advertise.IP.IsUnspecified() || advertise.Port == 0 {
			return nil, fmt.Errorf("gossip: %s cannot be reached by other nodes: %w", o.Advertise, ErrAdvertise)
		}
		config.AdvertiseAddr, config.AdvertisePort = advertise.IP.String(), advertise.Port
	}
	config.Label = o.Label
	if config.Label == "" {
		config.Label = DefaultLabel
	}
	if len(o.Keys) > 0 { // of an empty keyring memberlist makes plain text
		if config.Keyring, err = memberlist.NewKeyring(o.Keys, o.Keys[0]); err != nil {
			return nil, fmt.Errorf("gossip key: %w", err)
		}
	}
	config.TCPTimeout = tcpTimeout
	config.MsgpackUseNewTimeFormat = true
	config.Logger = standardLog(o.Log)
	config.Delegate, config.Events, config.Conflict, config.Alive, config.Merge = roster, roster, roster, roster, roster
	if o.tune != nil {
		o.tune(config)
	}
	return config, nil
}

// bindError is why the address cannot be had, nil if it can: of the system's error memberlist keeps the text alone, by which nobody
// could tell an address that is taken from any other mistake.
func bindError(config *memberlist.Config) error {
	at := net.JoinHostPort(config.BindAddr, strconv.Itoa(config.BindPort))
	stream, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	_ = stream.Close() // it was for the question alone
	packets, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	_ = packets.Close()
	return nil
}

// resolve looks a host up: memberlist takes numbers only, and would listen everywhere for a name.
func resolve(hostPort string) (*net.TCPAddr, error) {
	address, err := net.ResolveTCPAddr("tcp", hostPort)
	if err != nil {
		return nil, fmt.Errorf("gossip address %s: %w", hostPort, err)
	}
	if address.IP == nil {
		address.IP = net.IPv4zero
	}
	return address, nil
}

// Addr returns the host:port under which others reach this node.
func (g *Gossip) Addr() string {
	node := g.list.LocalNode()
	return net.JoinHostPort(node.Addr.String(), strconv.Itoa(int(node.Port)))
}

func (g *Gossip) Peers() []Peer            { return g.roster.board.read() }
func (g *Gossip) Changed() <-chan struct{} { return g.roster.board.wait() }

// Update tells the others what has changed about this node; its name, its id and its start stay. It fails when that is too much to tell.
func (g *Gossip) Update(self Peer) error {
	self.Name, self.NodeID, self.Start = g.self.Name, g.self.NodeID, g.self.Start
	own, err := encode(self)
	if err != nil {
		return err
	}
	g.roster.meta.Store(&own)
	select {
	case g.updated <- struct{}{}:
	default:
	}
	return nil
}

// Run looks for others and passes updates on until ctx ends, or until this process is one too many of its node: then the error is an
// OtherStartError. It does not leave.
func (g *Gossip) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var tasks sync.WaitGroup
	var ended error
	tasks.Go(func() {
		defer stop()
		ended = g.watchRivals(ctx)
	})
	for g.join(ctx); g.wait(ctx, time.Now()); g.join(ctx) {
		g.roster.forget(time.Now())
	}
	tasks.Wait()
	g.calls.Wait()
	return ended
}

// wait returns true when it is time to join again, counted from the last time, and false when ctx ends.
func (g *Gossip) wait(ctx context.Context, last time.Time) bool {
	for {
		changed := g.Changed()
		timer := time.NewTimer(time.Until(last.Add(g.rest())))
		select {
		case <-timer.C:
			return true
		case <-changed: // someone fell silent: the next time may be sooner
		case <-g.updated:
			if err := g.list.UpdateNode(tcpTimeout); err != nil {
				g.log.Warn("gossip: an update has reached nobody yet", "error", err)
			}
		case note := <-g.roster.notes:
			g.log.Warn(note)
		case <-ctx.Done():
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// rest is how long to wait before the seeds are asked again.
func (g *Gossip) rest() time.Duration {
	switch others, silent := g.roster.silent(); {
	case others == 0 && g.seeds.any(), g.seeds.fresh():
		return g.pace.alone
	case len(silent) > 0:
		return g.pace.fewer
	}
	return g.pace.settled
}

// Leave says goodbye, so that the others need not find out, and closes. Run must have returned.
func (g *Gossip) Leave() (err error) {
	g.end.Do(func() {
		if err = g.list.Leave(leaveTimeout); err != nil {
			err = fmt.Errorf("gossip: leave: %w", err)
		}
		err = errors.Join(err, g.list.Shutdown())
	})
	return err
}

// Close stops at once. The others will find this node silent. After Leave it does nothing.
func (g *Gossip) Close() (err error) {
	g.calls.Wait()
	g.end.Do(func() { err = g.list.Shutdown() })
	return err
}
