#!/usr/bin/env bash
# github.com/hashicorp/raft v1.7.3: a Restore that fails stays in the state of the node that was asked, for good.
#
# Expected: Restore on a leader that has no majority fails and, as a write there does, leaves no trace once the node follows the next leader.
#   The documentation warns of a dangerous time in which the leader is ahead of its followers, and says of errors only that it blocks until
#   the restore is complete or one occurs.
# Seen: Restore returns ErrLeadershipLost. After the network is healed the node is a follower of the new leader, which goes on writing; ten seconds
#   later it still has the restored state, without the write that all had acknowledged, and has applied nothing that came after. Nothing says so.
# Matters to: whoever restores a backup into a running cluster with this call. Put the restore through the log instead.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// list is a state machine: the entries in their order, with commas.
type list struct {
	mu   sync.Mutex
	text string
}

func (l *list) Apply(e *raft.Log) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text += string(e.Data) + ","
	return nil
}

func (l *list) read() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text
}

func (l *list) Snapshot() (raft.FSMSnapshot, error) { return image(l.read()), nil }

func (l *list) Restore(r io.ReadCloser) error {
	content, err := io.ReadAll(r)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = string(content)
	return errors.Join(err, r.Close())
}

type image string

func (i image) Persist(s raft.SnapshotSink) error {
	_, err := s.Write([]byte(i))
	return errors.Join(err, s.Close())
}
func (image) Release() {}

func main() {
	var transports []*raft.InmemTransport
	var conf raft.Configuration
	for i := range 3 {
		addr, t := raft.NewInmemTransportWithTimeout(raft.ServerAddress(fmt.Sprint("n", i)), 500*time.Millisecond)
		transports = append(transports, t)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(addr), Address: addr})
	}
	connect := func(i, j int) { transports[i].Connect(conf.Servers[j].Address, transports[j]) }
	all := func(do func(i, j int)) {
		for i := range 3 {
			for j := range 3 {
				if i != j {
					do(i, j)
				}
			}
		}
	}
	all(connect)
	nodes, states := make([]*raft.Raft, 3), make([]*list, 3)
	for i, t := range transports {
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = conf.Servers[i].ID, hclog.NewNullLogger()
		store, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(c, store, store, snapshots, t, conf); err != nil {
			panic(err)
		}
		states[i] = &list{}
		n, err := raft.NewRaft(c, states[i], store, store, snapshots, t)
		if err != nil {
			panic(err)
		}
		nodes[i] = n
	}
	leading := func(but int) int {
		for {
			for i, n := range nodes {
				if i != but && n.State() == raft.Leader {
					return i
				}
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	old := leading(-1)
	if err := nodes[old].Apply([]byte("acknowledged"), time.Second).Error(); err != nil {
		panic(err)
	}
	all(func(i, j int) {
		if i == old || j == old {
			transports[i].Disconnect(conf.Servers[j].Address)
		}
	})
	backup := "restored,"
	failed := nodes[old].Restore(&raft.SnapshotMeta{Version: 1, Index: 1, Term: 1, Size: int64(len(backup))}, strings.NewReader(backup), 10*time.Second)
	fmt.Println("restore on the leader that is cut off:", failed)
	next := leading(old)
	all(connect)
	for i := range 20 {
		if err := nodes[next].Apply([]byte(fmt.Sprint(i)), 5*time.Second).Error(); err != nil {
			next = leading(-1)
		}
		time.Sleep(20 * time.Millisecond)
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && nodes[old].AppliedIndex() < nodes[next].AppliedIndex(); {
		time.Sleep(20 * time.Millisecond)
	}
	caughtUp := nodes[old].AppliedIndex() >= nodes[next].AppliedIndex()
	there, here := states[next].read(), states[old].read()
	_, follows := nodes[old].LeaderWithID()
	fmt.Printf("it follows the new leader: %v\nit has applied as much: %v\nstate of the leader: %.30s…\nstate of the other:  %s\n",
		follows == conf.Servers[next].ID, caughtUp, there, here)
	if failed == nil || follows != conf.Servers[next].ID || caughtUp || strings.Contains(there, "restored") || here != backup {
		fmt.Println("CHANGED: the library behaves in another way now")
		os.Exit(1)
	}
	fmt.Println("as seen: it keeps the state of the restore that failed, and follows without ever catching up")
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/hashicorp/raft@v1.7.3 github.com/hashicorp/go-hclog@v1.6.3 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
timeout 180 go run .
