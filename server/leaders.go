package server

import (
	"sync"

	"github.com/hashicorp/raft"
)

// directory tells where a member's gRPC door is.
type directory interface {
	// GRPCAddr returns the address of a node by its id; empty: not known.
	GRPCAddr(nodeID string) string
	// Changed returns a channel that is closed when an answer may have changed.
	Changed() <-chan struct{}
}

// leaders tells where the leader is: Raft knows who, the directory knows where.
type leaders struct {
	self      string
	raft      *raft.Raft
	directory directory
	gate      *gate // of this node's own loop

	mu      sync.Mutex // guards changed: Raft's observer replaces it while relays wait for it
	changed chan struct{}
}

func newLeaders(self string, r *raft.Raft, d directory, own *gate) *leaders {
	return &leaders{self: self, raft: r, directory: d, gate: own, changed: make(chan struct{})}
}

// Here tells whether this node leads and takes reports itself.
func (l *leaders) Here() bool { return l.gate.isOpen() }

// Leader returns the leader's gRPC address, empty when none is known or this node leads itself, and a channel that is closed when
// that may have changed.
func (l *leaders) Leader() (address string, changed <-chan struct{}) {
	l.mu.Lock()
	changed = l.changed
	l.mu.Unlock()
	_, id := l.raft.LeaderWithID()
	if id == "" || string(id) == l.self {
		return "", changed
	}
	return l.directory.GRPCAddr(string(id)), changed
}

// note wakes those who wait for news of the leader.
func (l *leaders) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}
