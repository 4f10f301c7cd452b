#!/usr/bin/env bash
# github.com/hashicorp/raft v1.7.3: leadership is given away to a server that may not have it, and that counts as done.
#
# Expected: LeadershipTransferToServer for a non-voter fails, and the leader goes on. Its documentation says that a follower that cannot be
#   promoted fails gracefully; LeadershipTransfer, which chooses a server by itself, leaves non-voters out (hashicorp/raft pull request 398).
# Seen: it returns no error, within a millisecond. The leader steps down, the non-voter stands for election without a vote, the term rises, and
#   after some time without a leader one of the voters leads.
# Matters to: whoever passes an operator's choice of server on. Check the suffrage first.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

type nothing struct{}

func (nothing) Apply(*raft.Log) any                 { return nil }
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }
func (nothing) Restore(r io.ReadCloser) error       { return r.Close() }
func (nothing) Persist(s raft.SnapshotSink) error   { return s.Close() }
func (nothing) Release()                            {}

func leading(nodes []*raft.Raft) int {
	for {
		for i, n := range nodes {
			if n.State() == raft.Leader {
				return i
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func main() {
	var transports []*raft.InmemTransport
	var conf raft.Configuration
	for i := range 4 {
		addr, t := raft.NewInmemTransportWithTimeout(raft.ServerAddress(fmt.Sprint("n", i)), time.Second)
		suffrage := raft.Voter
		if i == 3 {
			suffrage = raft.Nonvoter
		}
		transports = append(transports, t)
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(addr), Address: addr, Suffrage: suffrage})
	}
	var nodes []*raft.Raft
	for i, t := range transports {
		for j, other := range transports {
			if i != j {
				t.Connect(conf.Servers[j].Address, other)
			}
		}
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = conf.Servers[i].ID, hclog.NewNullLogger()
		store, snapshots := raft.NewInmemStore(), raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(c, store, store, snapshots, t, conf); err != nil {
			panic(err)
		}
		n, err := raft.NewRaft(c, nothing{}, store, store, snapshots, t)
		if err != nil {
			panic(err)
		}
		nodes = append(nodes, n)
	}
	before := nodes[leading(nodes)]
	if err := before.Apply([]byte("x"), time.Second).Error(); err != nil {
		panic(err)
	}
	time.Sleep(500 * time.Millisecond) // the non-voter catches up
	term := before.CurrentTerm()
	err := before.LeadershipTransferToServer("n3", "n3").Error()
	fmt.Println("transfer to the non-voter returns:", err)
	led := before.State() == raft.Leader
	for end := time.Now().Add(3 * time.Second); led && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		led = before.State() == raft.Leader
	}
	fmt.Println("the leader still leads:", led)
	now := leading(nodes)
	fmt.Println("the non-voter leads now:", now == 3)
	fmt.Println("the term has risen:", nodes[now].CurrentTerm() > term)
	if err != nil || led || now == 3 || nodes[now].CurrentTerm() <= term {
		fmt.Println("CHANGED: the library behaves in another way now")
		os.Exit(1)
	}
	fmt.Println("as seen: no error, and nobody had the leadership that was given away")
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/hashicorp/raft@v1.7.3 github.com/hashicorp/go-hclog@v1.6.3 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
timeout 120 go run .
