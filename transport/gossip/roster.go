package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	forgetAfter = 24 * time.Hour
	// maxGone bounds the nodes that are gone and still known; beyond it the one that went first is forgotten.
	maxGone = 256
	// maxNotes bounds the remarks that wait to be logged; a further one is dropped.
	maxNotes = 16
)

// roster is what memberlist calls back. Its methods run under memberlist's own locks: they never block, never log, and never call
// memberlist.
//
// Several starts of one node may be in it. One of them counts: the first that was seen, until a newer one is there and this one does
// not answer any more (see rivals).
type roster struct {
	board  board
	self   string                 // memberlist's name of this process
	meta   atomic.Pointer[[]byte] // of this node
	notes  chan string            // remarks for Gossip.Run to log
	rivals chan struct{}          // holds a token when two starts of one node are there

	// Not a loop: the callbacks must not wait for one.
	mu      sync.Mutex
	members map[string]member // by memberlist's name
	counts  map[string]string // by node: memberlist's name of the start that counts
}

type member struct {
	name    string // memberlist's
	peer    Peer
	address string    // for gossip
	gone    time.Time // when it was found silent or said goodbye (memberlist does not tell which); zero: there
}

// node is what a member is a start of. One whose meta cannot be read is a node of its own.
func (m member) node() string { return cmp.Or(m.peer.NodeID, m.name) }

func newRoster(self string) *roster {
	return &roster{
		self: self, notes: make(chan string, maxNotes), rivals: make(chan struct{}, 1),
		members: map[string]member{}, counts: map[string]string{},
	}
}

func byName(a, b Peer) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.NodeID, b.NodeID))
}

func (r *roster) note(text string) {
	select {
	case r.notes <- text:
	default:
	}
}

func (r *roster) change(edit func(members map[string]member)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	edit(r.members)
	peers := make([]Peer, 0, len(r.members))
	for node, starts := range r.starts() {
		peers = append(peers, r.elect(node, starts).peer)
	}
	for node, name := range r.counts {
		if _, ok := r.members[name]; !ok {
			delete(r.counts, node)
		}
	}
	slices.SortFunc(peers, byName)
	r.board.publish(peers)
}

// starts lists the members by node, the newest start first.
func (r *roster) starts() map[string][]member {
	starts := map[string][]member{}
	for _, m := range r.members {
		starts[m.node()] = append(starts[m.node()], m)
	}
	for _, of := range starts {
		slices.SortFunc(of, func(a, b member) int { return cmp.Or(b.peer.Start.Compare(a.peer.Start), cmp.Compare(a.name, b.name)) })
	}
	return starts
}

// elect returns the start of a node that counts, and drops those that are gone and do not.
func (r *roster) elect(node string, starts []member) member {
	now, counted := r.members[r.counts[node]]
	ok := counted
	if r.self != "" && node == r.members[r.self].peer.NodeID {
		now, ok, counted = r.members[r.self], true, true
	}
	for _, m := range starts {
		if !ok || !counted && !now.gone.IsZero() && m.gone.IsZero() { // the newest that is there, or else the newest
			now, ok = m, true
		}
	}
	r.counts[node] = now.name
	for _, m := range starts {
		switch {
		case m.name == now.name:
		case m.gone.IsZero():
			select {
			case r.rivals <- struct{}{}:
			default:
			}
		default:
			delete(r.members, m.name)
		}
	}
	return now
}

// follows reports whether a start may take the place of another, when that does not answer any more. A build that knows no starts may
// be gone back to.
func (m member) follows(other member) bool {
	return m.peer.Start.IsZero() || m.peer.Start.Compare(other.peer.Start) > 0
}

// succeed makes another start of its node count, unless it is gone or another one counts by now than the one it is to follow.
func (r *roster) succeed(former, next member) {
	r.change(func(members map[string]member) {
		if now, ok := members[next.name]; ok && now.gone.IsZero() && r.counts[next.node()] == former.name {
			r.counts[next.node()] = next.name
		}
	})
}

// startOf returns the start of a node that counts; zero: none is known.
func (r *roster) startOf(node string) Start {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[r.counts[node]].peer.Start
}

// of returns the start of a node that counts, and the others that are there, the newest first.
func (r *roster) of(node string) (counts member, others []member, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts, ok = r.members[r.counts[node]]
	for _, m := range r.starts()[node] {
		if m.name != counts.name && m.gone.IsZero() {
			others = append(others, m)
		}
	}
	return counts, others, ok
}

// contested lists the nodes of which more than one start is there.
func (r *roster) contested() (nodes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for node, starts := range r.starts() {
		if slices.ContainsFunc(starts, func(m member) bool { return m.gone.IsZero() && m.name != r.counts[node] }) {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// here takes down a start that is there.
func (r *roster) here(node *memberlist.Node) {
	peer, err := decode(node.Name, node.Meta)
	if err != nil {
		r.note(err.Error())
	}
	peer.Alive = true
	m := member{name: node.Name, peer: peer, address: node.Address()}
	r.change(func(members map[string]member) { members[m.name] = m })
}

// namesake returns another node that is there under a node's name, at another address.
func (r *roster) namesake(node *memberlist.Node) (other member, ok bool) {
	peer, err := decode(node.Name, node.Meta)
	if err != nil {
		return member{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.gone.IsZero() && m.peer.Name == peer.Name && m.node() != peer.NodeID && m.address != node.Address() {
			return m, true
		}
	}
	return member{}, false
}

// silent returns how many others are there, and the addresses of those that are gone.
func (r *roster) silent() (others int, addresses []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.members {
		switch {
		case name == r.self:
		case m.gone.IsZero():
			others++
		default:
			addresses = append(addresses, m.address)
		}
	}
	slices.Sort(addresses)
	return others, slices.Compact(addresses)
}

// forget drops those who have been gone for a day, and the first gone when there are too many.
func (r *roster) forget(now time.Time) {
	r.change(func(members map[string]member) {
		var gone []member
		for _, m := range members {
			if !m.gone.IsZero() {
				gone = append(gone, m)
			}
		}
		slices.SortFunc(gone, func(a, b member) int { return a.gone.Compare(b.gone) })
		for i, m := range gone {
			if len(gone)-i > maxGone || now.Sub(m.gone) > forgetAfter {
				delete(members, m.name)
			}
		}
	})
}

func (r *roster) NotifyUpdate(node *memberlist.Node) { r.here(node) }

func (r *roster) NotifyJoin(node *memberlist.Node) {
	if other, ok := r.namesake(node); ok {
		r.note("two nodes use the name " + other.peer.Name + ", at " + other.address + " and at " + node.Address() + "; give each its own --name")
	}
	r.here(node)
}

func (r *roster) NotifyLeave(node *memberlist.Node) {
	r.change(func(members map[string]member) {
		m, ok := members[node.Name]
		if !ok {
			return
		}
		m.peer.Alive, m.gone = false, time.Now()
		members[node.Name] = m
	})
}

// NotifyConflict hears of two processes under one name of memberlist's. Those of this build never share one.
func (r *roster) NotifyConflict(existing, other *memberlist.Node) {
	r.note("two nodes use the name " + other.Name + ": " + existing.Address() + " and " + other.Address() + "; give each its own --name")
}

// NotifyAlive keeps the nodes of another cluster out. One of them may have the address of a member that is no more; mixed up with this
// cluster's, they would take each other's names.
func (r *roster) NotifyAlive(node *memberlist.Node) error {
	if r.kin(node) == otherCluster {
		return fmt.Errorf("%s belongs to another cluster", node.Name)
	}
	return nil
}

// NotifyMerge refuses to exchange members with a node that knows another cluster and nobody of this one.
func (r *roster) NotifyMerge(nodes []*memberlist.Node) error {
	other := false
	for _, node := range nodes {
		switch r.kin(node) {
		case ownCluster:
			return nil
		case otherCluster:
			other = true
		case noCluster: // it may join either
		}
	}
	if other {
		return errors.New("these are the members of another cluster")
	}
	return nil
}

type kinship int

const (
	noCluster kinship = iota
	ownCluster
	otherCluster
)

// kin tells whether a node belongs to this cluster. One without a cluster, or seen by one, may come to belong to any.
func (r *roster) kin(node *memberlist.Node) kinship {
	self, err1 := decode("", *r.meta.Load())
	peer, err2 := decode(node.Name, node.Meta)
	switch {
	case err1 != nil || err2 != nil || self.ClusterID == "" || peer.ClusterID == "":
		return noCluster
	case self.ClusterID == peer.ClusterID:
		return ownCluster
	default:
		return otherCluster
	}
}

func (r *roster) NodeMeta(int) []byte               { return *r.meta.Load() }
func (r *roster) NotifyMsg([]byte)                  {}
func (r *roster) GetBroadcasts(int, int) [][]byte   { return nil }
func (r *roster) LocalState(bool) []byte            { return nil }
func (r *roster) MergeRemoteState(_ []byte, _ bool) {}
