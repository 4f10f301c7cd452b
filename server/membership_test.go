package server

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// A vote for a node that is not there would leave a cluster of one without a majority, for good: it is refused, and the cluster goes on.
func TestNobodyThereGetsNoVote(t *testing.T) {
	const anyPort = "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan Addrs, 1), make(chan error, 1)
	go func() {
		done <- Run(ctx, Config{
			Name: "n1", DataDir: t.TempDir(), BootstrapExpect: 1, HTTPAddr: anyPort, GRPCAddr: anyPort, RaftAddr: anyPort,
			Timing: DefaultTiming(), Log: slog.New(slog.DiscardHandler), Ready: func(a Addrs) { ready <- a },
		})
	}()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var at Addrs
	select {
	case at = <-ready:
	case err := <-done:
		done <- nil
		t.Fatal(err)
	}
	c, err := client.New([]string{at.GRPC})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	asked, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := c.Namespaces.Create(asked, &callboardv1.NamespaceServiceCreateRequest{Name: "before"}); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{"127.0.0.1:1", ""} {
		_, err := c.Cluster.AddVoter(asked, &callboardv1.AddVoterRequest{NodeId: "ghost", RaftAddr: addr})
		if refusal, _ := callboardv1.AsRefusal(err); refusal.Name() != "cluster.membership_change_rejected" || refusal.GetMetadata()["field"] != "node_id" {
			t.Errorf("a vote for nobody at %q: %v", addr, err)
		}
	}
	// Nor is a member moved to where it is not.
	got, err := c.Cluster.ListPeers(asked, &callboardv1.ListPeersRequest{})
	if err != nil || len(got.GetPeers()) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	self := got.GetPeers()[0]
	_, err = c.Cluster.AddVoter(asked, &callboardv1.AddVoterRequest{NodeId: self.GetNodeId(), RaftAddr: "127.0.0.1:1"})
	if refusal, _ := callboardv1.AsRefusal(err); refusal.GetMetadata()["field"] != "raft_addr" {
		t.Errorf("a vote at another address: %v", err)
	}
	if _, err := c.Cluster.AddVoter(asked, &callboardv1.AddVoterRequest{NodeId: self.GetNodeId(), RaftAddr: self.GetRaftAddr()}); err != nil {
		t.Errorf("a vote for who has one: %v", err)
	}
	if _, err := c.Namespaces.Create(asked, &callboardv1.NamespaceServiceCreateRequest{Name: "later"}); err != nil {
		t.Errorf("the cluster does not go on: %v", err)
	}
}
