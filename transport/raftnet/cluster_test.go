package raftnet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// cluster is three raft nodes n1, n2, n3 on a Memory; their state is the list of numbers applied.
type cluster struct {
	t       *testing.T
	network *Memory
	disks   map[string]*Disk
	nodes   map[string]*node
}

type node struct {
	raft  *raft.Raft
	list  *list
	store *Stores
}

var names = []string{"n1", "n2", "n3"}

func newCluster(t *testing.T) *cluster {
	c := &cluster{t: t, network: NewMemory(), disks: map[string]*Disk{}, nodes: map[string]*node{}}
	for _, name := range names {
		c.disks[name] = NewDisk()
		c.start(name)
	}
	var servers []raft.Server
	for _, name := range names {
		servers = append(servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name)})
	}
	must(t, c.nodes["n1"].raft.BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	t.Cleanup(func() {
		for _, node := range c.nodes {
			must(t, node.raft.Shutdown().Error())
		}
	})
	return c
}

func (c *cluster) start(name string) {
	stores := c.disks[name].Open()
	list := &list{}
	config := Config(name, DefaultTiming(), quiet)
	config.TrailingLogs = 100
	r, err := raft.NewRaft(config, list, stores.Log, stores.Stable, stores.Snapshots, c.network.Join(name))
	must(c.t, err)
	c.nodes[name] = &node{raft: r, list: list, store: stores}
}

// crash ends a node without a goodbye: nothing that it does later reaches the others or its disk.
func (c *cluster) crash(name string) {
	c.network.Kill(name)
	must(c.t, c.nodes[name].store.Close())
	must(c.t, c.nodes[name].raft.Shutdown().Error())
	delete(c.nodes, name)
}

// leader waits until the nodes named agree on one of them, and returns its name.
func (c *cluster) leader(among ...string) string {
	c.t.Helper()
	if among == nil {
		among = names
	}
	for range 1000 {
		_, first := c.nodes[among[0]].raft.LeaderWithID()
		agreed := slices.Contains(among, string(first))
		for _, name := range among {
			_, id := c.nodes[name].raft.LeaderWithID()
			agreed = agreed && id == first
		}
		if agreed && c.nodes[string(first)].raft.State() == raft.Leader {
			return string(first)
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatalf("no leader among %v in 10 s", among)
	return ""
}

func (c *cluster) apply(leader string, number uint64) error {
	return c.nodes[leader].raft.Apply(binary.BigEndian.AppendUint64(nil, number), time.Second).Error()
}

// agree waits until every node running has applied exactly these numbers.
func (c *cluster) agree(want ...uint64) {
	c.t.Helper()
	var got string
	for range 3000 { // a healed follower may wait 10 s for raft's back-off
		got = ""
		for _, name := range names {
			if node := c.nodes[name]; node != nil && !slices.Equal(node.list.numbers(), want) {
				got += fmt.Sprintf(" %s has %v", name, node.list.numbers())
			}
		}
		if got == "" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	c.t.Fatalf("after 30 s:%s, want %v", got, want)
}

func others(name string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == name })
}

// list is a state machine that remembers what was applied.
type list struct {
	mu      sync.Mutex
	applied []uint64
}

func (l *list) numbers() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.applied)
}

func (l *list) Apply(entry *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied = append(l.applied, binary.BigEndian.Uint64(entry.Data))
	return nil
}

func (l *list) Snapshot() (raft.FSMSnapshot, error) { return listSnapshot(l.numbers()), nil }

func (l *list) Restore(source io.ReadCloser) error {
	content, err := io.ReadAll(source)
	if err != nil {
		return err
	}
	numbers := make([]uint64, len(content)/8)
	if err := binary.Read(bytes.NewReader(content), binary.BigEndian, numbers); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.applied = numbers
	return nil
}

type listSnapshot []uint64

func (s listSnapshot) Persist(sink raft.SnapshotSink) error {
	if err := binary.Write(sink, binary.BigEndian, []uint64(s)); err != nil {
		return err
	}
	return sink.Close()
}

func (s listSnapshot) Release() {}
