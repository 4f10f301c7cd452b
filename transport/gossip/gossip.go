package gossip

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
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
	// deadNodeReclaim is how long a name stays bound to the address of a node that has died.
	deadNodeReclaim = 30 * time.Second
)

// Options say how a node gossips.
type Options struct {
	Bind      string   // host:port, TCP and UDP
	Advertise string   // host:port that others use; empty: the bound address, or a private one when that is a wildcard
	Seeds     []string // host:port of other nodes; this node's own address among them does no harm
	Label     string   // the same on all nodes; empty: DefaultLabel
	Self      Peer
	Log       *slog.Logger

	tune func(*memberlist.Config) // for tests
	pace *pace                    // for tests
}

// pace is how often a node calls seeds and silent peers.
type pace struct{ alone, fewer, settled time.Duration }

// A node alone asks often, for that is how a cluster starts. Later the seeds are asked now and then, for memberlist by itself does
// not heal a cluster that was split longer than it remembers the dead.
var defaultPace = pace{alone: time.Second, fewer: 15 * time.Second, settled: time.Minute}

// Gossip is this node among the others.
type Gossip struct {
	list    *memberlist.Memberlist
	roster  *roster
	name    string
	seeds   []string
	log     *slog.Logger
	pace    pace
	updated chan struct{} // this node's meta has changed
	end     sync.Once     // memberlist panics when it leaves after the end
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
	roster := newRoster()
	roster.meta.Store(&own)
	config, err := o.config(roster)
	if err != nil {
		return nil, err
	}
	list, err := memberlist.Create(config)
	if err != nil {
		return nil, fmt.Errorf("gossip address %s: %w", o.Bind, cmp.Or(bindError(config), err))
	}
	g := &Gossip{list: list, roster: roster, name: o.Self.Name, seeds: o.Seeds, log: o.Log, pace: defaultPace, updated: make(chan struct{}, 1)}
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
	config.Name = o.Self.Name
	config.BindAddr, config.BindPort = bind.IP.String(), bind.Port
	config.AdvertisePort = bind.Port
	if bind.IP.To4() == nil && bind.IP.IsUnspecified() && o.Advertise == "" {
		return nil, fmt.Errorf("gossip: %s cannot be reached by other nodes: advertise an address and port", o.Bind)
	}
	if o.Advertise != "" {
		advertise, err := resolve(o.Advertise)
		if err != nil {
			return nil, err
		}
		if advertise.IP.IsUnspecified() || advertise.Port == 0 {
			return nil, fmt.Errorf("gossip: %s cannot be reached by other nodes: advertise an address and port", o.Advertise)
		}
		config.AdvertiseAddr, config.AdvertisePort = advertise.IP.String(), advertise.Port
	}
	config.Label = o.Label
	if config.Label == "" {
		config.Label = DefaultLabel
	}
	config.TCPTimeout = tcpTimeout
	config.DeadNodeReclaimTime = deadNodeReclaim
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

// Update tells the others what has changed about this node; its name stays. It fails when that is too much to tell.
func (g *Gossip) Update(self Peer) error {
	self.Name = g.name
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

// Run looks for others and passes updates on until ctx ends. It does not leave.
func (g *Gossip) Run(ctx context.Context) error {
	for {
		g.join(ctx)
		g.roster.forget(time.Now())
		if !g.wait(ctx, time.Now()) {
			return nil
		}
	}
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
	switch others, silent := g.roster.silent(g.name); {
	case others == 0 && len(g.seeds) > 0:
		return g.pace.alone
	case len(silent) > 0:
		return g.pace.fewer
	}
	return g.pace.settled
}

// join calls the seeds, and the peers that fell silent, one by one: memberlist's own calls know no ctx.
func (g *Gossip) join(ctx context.Context) {
	_, silent := g.roster.silent(g.name)
	for _, seed := range slices.Concat(g.seeds, silent) {
		if ctx.Err() != nil {
			return
		}
		addresses, err := lookup(ctx, seed)
		if err != nil {
			g.log.Debug("gossip: a seed is unknown", "seed", seed, "error", err)
			continue
		}
		addresses = slices.DeleteFunc(addresses, func(address string) bool { return address == g.Addr() })
		if _, err := g.list.Join(addresses); err != nil {
			g.log.Debug("gossip: a seed does not answer", "seed", seed, "error", err)
		}
	}
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
	for i, host := range hosts {
		hosts[i] = net.JoinHostPort(host, port)
	}
	return hosts, nil
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
	g.end.Do(func() { err = g.list.Shutdown() })
	return err
}
