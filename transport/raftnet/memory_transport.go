package raftnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

var (
	errLost    = errors.New("raft in memory: no answer in time")
	errRefused = errors.New("raft in memory: connection refused")
	errDead    = errors.New("raft in memory: this node is dead")
)

// MemoryTransport is one node's end of a Memory. An RPC runs wholly on its caller's goroutine: it starts none, and when it returns
// nothing of it is left behind.
type MemoryTransport struct {
	network   *Memory
	address   string
	consumer  chan raft.RPC
	heartbeat atomic.Pointer[func(raft.RPC)]

	dead chan struct{} // closed by kill
	once sync.Once
}

var (
	_ raft.Transport   = (*MemoryTransport)(nil)
	_ raft.WithPreVote = (*MemoryTransport)(nil)
	_ raft.WithClose   = (*MemoryTransport)(nil)
)

func (t *MemoryTransport) kill() { t.once.Do(func() { close(t.dead) }) }

// Close is called by Raft's shutdown.
func (t *MemoryTransport) Close() error {
	t.kill()
	return nil
}

func (t *MemoryTransport) Consumer() <-chan raft.RPC     { return t.consumer }
func (t *MemoryTransport) LocalAddr() raft.ServerAddress { return raft.ServerAddress(t.address) }

// SetHeartbeatHandler takes the fast path that Raft's TCP transport offers too: heartbeats do not queue behind appends.
func (t *MemoryTransport) SetHeartbeatHandler(handle func(raft.RPC)) { t.heartbeat.Store(&handle) }

func (t *MemoryTransport) EncodePeer(_ raft.ServerID, address raft.ServerAddress) []byte {
	return []byte(address)
}

func (t *MemoryTransport) DecodePeer(peer []byte) raft.ServerAddress { return raft.ServerAddress(peer) }

// AppendEntriesPipeline is not there, as with MaxRPCsInFlight 1.
func (t *MemoryTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

func (t *MemoryTransport) AppendEntries(_ raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	sent := *args
	sent.Entries = make([]*raft.Log, len(args.Entries))
	for i, entry := range args.Entries {
		copied := *entry // two nodes never share an entry
		sent.Entries[i] = &copied
	}
	return call(t, target, raft.RPC{Command: &sent}, memoryTimeout, resp)
}

func (t *MemoryTransport) RequestVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return call(t, target, raft.RPC{Command: args}, memoryTimeout, resp)
}

func (t *MemoryTransport) RequestPreVote(_ raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return call(t, target, raft.RPC{Command: args}, memoryTimeout, resp)
}

func (t *MemoryTransport) TimeoutNow(_ raft.ServerID, target raft.ServerAddress, args *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return call(t, target, raft.RPC{Command: args}, 10*memoryTimeout, resp)
}

func (t *MemoryTransport) InstallSnapshot(_ raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	// The receiver may go on reading after the sender has given up, so it gets its own copy.
	content, err := io.ReadAll(data)
	if err != nil {
		return fmt.Errorf("read the snapshot to send: %w", err)
	}
	return call(t, target, raft.RPC{Command: args, Reader: bytes.NewReader(content)}, 10*memoryTimeout, resp)
}

// call carries one RPC there and its answer back. A lost message costs the caller the whole time-out, as on a real network.
func call[Response any](t *MemoryTransport, target raft.ServerAddress, rpc raft.RPC, timeout time.Duration, resp *Response) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	if err := t.travel(t.address, string(target), deadline); err != nil {
		return err
	}
	peer := t.network.node(string(target))
	if peer == nil {
		return errRefused
	}
	answers := make(chan raft.RPCResponse, 1)
	rpc.RespChan = answers
	if err := peer.deliver(rpc, t, deadline); err != nil {
		return err
	}
	var answer raft.RPCResponse
	select {
	case answer = <-answers:
	case <-deadline.C:
		return errLost
	case <-peer.dead:
		return errRefused
	case <-t.dead:
		return errDead
	}
	if err := t.travel(string(target), t.address, deadline); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	*resp = *answer.Response.(*Response)
	return nil
}

// deliver hands a request to this node.
func (t *MemoryTransport) deliver(rpc raft.RPC, from *MemoryTransport, deadline *time.Timer) error {
	select {
	case <-t.dead:
		return errRefused
	default:
	}
	if handle := t.heartbeat.Load(); handle != nil && *handle != nil && isHeartbeat(rpc.Command) {
		(*handle)(rpc)
		return nil
	}
	select {
	case t.consumer <- rpc:
		return nil
	case <-deadline.C:
		return errLost
	case <-t.dead:
		return errRefused
	case <-from.dead:
		return errDead
	}
}

// isHeartbeat recognises what the library's TCP transport takes for one.
func isHeartbeat(command any) bool {
	request, ok := command.(*raft.AppendEntriesRequest)
	return ok && request.Term != 0 && request.Addr != nil && request.PrevLogEntry == 0 && request.PrevLogTerm == 0 &&
		len(request.Entries) == 0 && request.LeaderCommitIndex == 0
}

// travel waits as long as a message from one node to the other is under way. A cut when it arrives has lost it.
func (t *MemoryTransport) travel(from, to string, deadline *time.Timer) error {
	arrival := time.NewTimer(memoryLatency + t.network.condition(from, to).delay)
	defer arrival.Stop()
	arrived := arrival.C
	for {
		select {
		case <-arrived:
			if !t.network.condition(from, to).cut {
				return nil
			}
			arrived = nil // lost: wait for the deadline
		case <-deadline.C:
			return errLost
		case <-t.dead:
			return errDead
		}
	}
}
