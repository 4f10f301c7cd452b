package raftnet

import (
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// memoryLatency keeps a cluster from doing endless work in no time when time is virtual.
	memoryLatency = 200 * time.Microsecond
	// memoryTimeout bounds one RPC in memory; installing a snapshot and handing over leadership get ten times that.
	memoryTimeout = 500 * time.Millisecond
)

// Memory is a network for tests: every node of it lives in this process, and each direction between two of them can be cut or slowed
// down. It works inside testing/synctest. The zero state of a pair is connected, 200 µs each way.
//
//	network := raftnet.NewMemory()
//	transport := network.Join("n1") // again after a restart: the former transport is dead
//	network.Cut("n1", "n2")         // what n1 sends to n2 vanishes; n2's questions arrive, its answers do not come back
type Memory struct {
	mu    sync.Mutex // guards the fields; nothing waits while holding it
	nodes map[string]*MemoryTransport
	links map[link]condition
}

type link struct{ from, to string }

type condition struct {
	cut   bool
	delay time.Duration // added to memoryLatency
}

// NewMemory makes an empty network.
func NewMemory() *Memory {
	return &Memory{nodes: map[string]*MemoryTransport{}, links: map[link]condition{}}
}

// Join attaches a node under an address. A transport that held the address before is killed.
func (m *Memory) Join(address string) *MemoryTransport {
	t := &MemoryTransport{network: m, address: address, consumer: make(chan raft.RPC), dead: make(chan struct{})}
	m.mu.Lock()
	former := m.nodes[address]
	m.nodes[address] = t
	m.mu.Unlock()
	if former != nil {
		former.kill()
	}
	return t
}

// Kill makes a node dead: every RPC from and to it fails at once, those under way too, until the address joins again.
func (m *Memory) Kill(address string) {
	m.mu.Lock()
	t := m.nodes[address]
	delete(m.nodes, address)
	m.mu.Unlock()
	if t != nil {
		t.kill()
	}
}

// Cut loses everything sent from one node to another, requests and answers, until Heal. The other direction stays.
func (m *Memory) Cut(from, to string) { m.set(from, to, func(c *condition) { c.cut = true }) }

// CutBoth cuts both directions between two nodes.
func (m *Memory) CutBoth(a, b string) {
	m.Cut(a, b)
	m.Cut(b, a)
}

// Isolate cuts a node off from every node that has joined, in both directions.
func (m *Memory) Isolate(address string) {
	for _, other := range m.addresses() {
		if other != address {
			m.CutBoth(address, other)
		}
	}
}

// Delay adds to the latency of one direction until Heal. A message that takes longer than its RPC's time-out is lost.
func (m *Memory) Delay(from, to string, delay time.Duration) {
	m.set(from, to, func(c *condition) { c.delay = delay })
}

// Heal ends every cut and delay. Dead nodes stay dead.
func (m *Memory) Heal() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.links)
}

func (m *Memory) set(from, to string, change func(*condition)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.links[link{from, to}]
	change(&c)
	m.links[link{from, to}] = c
}

func (m *Memory) addresses() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []string
	for address := range m.nodes {
		all = append(all, address)
	}
	return all
}

func (m *Memory) condition(from, to string) condition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.links[link{from, to}]
}

func (m *Memory) node(address string) *MemoryTransport {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.nodes[address]
}
