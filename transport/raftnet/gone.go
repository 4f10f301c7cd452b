package raftnet

import (
	"errors"
	"net"
	"syscall"
	"time"

	"github.com/hashicorp/raft"
)

// A process that is killed takes its connections and its listener with it, and the kernel tells the other side at once. That is better
// news than silence: silence must last a heartbeat time-out to mean anything, for a busy leader is silent too.

// goneTimeout bounds the dial that asks whether a node is there. A machine that does not answer is no proof of anything.
const goneTimeout = 250 * time.Millisecond

// Broken tells that a connection which another node held to this one has ended: perhaps its process has.
func (t *TCP) Broken() <-chan struct{} { return t.stream.broken }

// Gone tells whether nobody listens at a node's address any more: its machine refuses the connection. No answer is not gone, and
// neither is another process there.
func (t *TCP) Gone(id raft.ServerID, at raft.ServerAddress) bool {
	if t.where != nil {
		if now, err := t.where(id); err == nil {
			at = now
		}
	}
	conn, err := net.DialTimeout("tcp", string(at), goneTimeout)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = conn.Close()
	return false
}

// Campaign makes this node ask for votes at once, as if the leader had told it to take over: the others vote although they have heard
// of that leader a moment ago. The message goes to this node's own door, for Raft takes it from its transport alone.
func (t *TCP) Campaign() error {
	var answer raft.TimeoutNowResponse
	self := raft.ServerID(t.stream.id)
	at := raft.ServerAddress(t.stream.Listener.Addr().String()) // also when there is a Where: it knows this node there
	request := &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax}}
	return t.TimeoutNow(self, meant(self, at), request, &answer)
}
