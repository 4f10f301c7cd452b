package server

import (
	"context"
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

	mu      sync.Mutex // guards what follows: Raft's observer replaces it while calls and relays wait for it
	changed chan struct{}
	reign   reign
}

// reign is the time in which one node leads, as far as this node knows. It lasts until another one is known to lead.
type reign struct {
	id  string
	ctx context.Context // ends with it
	end context.CancelFunc
}

func newLeaders(self string, r *raft.Raft, d directory, own *gate) *leaders {
	l := &leaders{self: self, raft: r, directory: d, gate: own, changed: make(chan struct{})}
	l.reign.ctx, l.reign.end = context.WithCancel(context.Background())
	return l
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

// follow returns the leader's address as Leader does, and a context that ends when another node leads: a leader that has vanished answers
// nobody, and the connection to it is given up much later.
func (l *leaders) follow(ctx context.Context) (address string, call context.Context, done func()) {
	id, during := l.now()
	call, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(during, cancel)
	if id != "" && id != l.self {
		address = l.directory.GRPCAddr(id)
	}
	return address, call, func() { stop(); cancel() }
}

// now returns the leader's id, and a context that ends with its reign. While nobody is known to lead the last reign goes on.
func (l *leaders) now() (id string, during context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.look()
}

// look is now under the lock. It asks Raft there, so that who leads is never taken back.
func (l *leaders) look() (id string, during context.Context) {
	_, leader := l.raft.LeaderWithID()
	if id = string(leader); id != "" && id != l.reign.id {
		l.reign.end()
		l.reign.id = id
		l.reign.ctx, l.reign.end = context.WithCancel(context.Background())
	}
	return id, l.reign.ctx
}

// note wakes those who wait for news of the leader, and ends the calls to one that another has followed.
func (l *leaders) note() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	close(l.changed)
	l.changed = make(chan struct{})
}
