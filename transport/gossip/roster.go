package gossip

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
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
type roster struct {
	board board
	meta  atomic.Pointer[[]byte] // of this node
	notes chan string            // remarks for Gossip.Run to log

	// Not a loop: the callbacks must not wait for one.
	mu      sync.Mutex
	members map[string]member
}

type member struct {
	peer    Peer
	address string    // for gossip
	gone    time.Time // when it was found silent or said goodbye (memberlist does not tell which); zero: there
}

func newRoster() *roster {
	return &roster{notes: make(chan string, maxNotes), members: map[string]member{}}
}

func byName(a, b Peer) int { return cmp.Compare(a.Name, b.Name) }

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
	for _, m := range r.members {
		peers = append(peers, m.peer)
	}
	slices.SortFunc(peers, byName)
	r.board.publish(peers)
}

// here takes down a node that is there.
func (r *roster) here(node *memberlist.Node) {
	peer, err := decode(node.Name, node.Meta)
	if err != nil {
		r.note(err.Error())
	}
	peer.Alive = true
	address := node.Address()
	r.change(func(members map[string]member) { members[peer.Name] = member{peer: peer, address: address} })
}

// silent returns how many others are there, and the addresses of those that are gone.
func (r *roster) silent(self string) (others int, addresses []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.members {
		switch {
		case name == self:
		case m.gone.IsZero():
			others++
		default:
			addresses = append(addresses, m.address)
		}
	}
	slices.Sort(addresses)
	return others, addresses
}

// forget drops those who have been gone for a day, and the first gone when there are too many.
func (r *roster) forget(now time.Time) {
	r.change(func(members map[string]member) {
		gone := slices.DeleteFunc(slices.Collect(maps.Keys(members)), func(name string) bool { return members[name].gone.IsZero() })
		slices.SortFunc(gone, func(a, b string) int { return members[a].gone.Compare(members[b].gone) })
		for i, name := range gone {
			if len(gone)-i > maxGone || now.Sub(members[name].gone) > forgetAfter {
				delete(members, name)
			}
		}
	})
}

func (r *roster) NotifyJoin(node *memberlist.Node)   { r.here(node) }
func (r *roster) NotifyUpdate(node *memberlist.Node) { r.here(node) }

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
