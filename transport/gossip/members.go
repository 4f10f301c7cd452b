package gossip

import (
	"slices"
	"sync"
)

// Peer is what a node tells about itself, and whether it seems to be there.
type Peer struct {
	Name      string
	NodeID    string
	ClusterID string // empty: belongs to no cluster yet
	RaftAddr  string
	GRPCAddr  string
	HTTPAddr  string
	Version   string
	Blank     bool // it came without any state and has not been taken in anywhere yet: it may found a cluster
	Alive     bool // false: silent, or gone; as of the last that was heard
	Start     Start
	Running   bool // its Raft has started: this start has found no other one of its node that answers
}

// Members tells who is there.
type Members interface {
	// Peers returns every node known, this one too, by name; of one that was started several times the start that counts. A node that is
	// gone stays known for a day. What it returns is shared, and must not be changed.
	Peers() []Peer
	// Changed returns a channel that is closed when Peers next answers differently. Take it before Peers.
	Changed() <-chan struct{}
}

var (
	_ Members = (*Gossip)(nil)
	_ Members = (*Static)(nil)
)

// Static is a Members whose peers a test, or a node alone, sets itself.
type Static struct{ board board }

// NewStatic makes a Static with these peers.
func NewStatic(peers ...Peer) *Static {
	s := &Static{}
	s.Set(peers...)
	return s
}

// Set replaces the peers.
func (s *Static) Set(peers ...Peer) {
	peers = slices.Clone(peers)
	slices.SortFunc(peers, byName)
	s.board.publish(peers)
}

func (s *Static) Peers() []Peer            { return s.board.read() }
func (s *Static) Changed() <-chan struct{} { return s.board.wait() }

// board shows the current peers. Not a loop: memberlist publishes from its callbacks, which must not wait for one.
type board struct {
	mu      sync.Mutex
	peers   []Peer // never changed in place
	changed chan struct{}
}

func (b *board) read() []Peer {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers
}

func (b *board) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

func (b *board) publish(peers []Peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Equal(b.peers, peers) {
		return
	}
	b.peers = peers
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}
