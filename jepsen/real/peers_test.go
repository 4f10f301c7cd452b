//go:build unix

package real_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/callboard/callboard/jepsen/real"
)

// nearly is how many entries a node may be behind and count as caught up, while others write.
const nearly = 100

// peerLine is what `operator raft list-peers -o json` says of a member.
type peerLine struct {
	Name         string `json:"name"`
	NodeID       string `json:"node_id"`
	State        string `json:"state"`
	Voter        bool   `json:"voter"`
	RaftAddr     string `json:"raft_addr"`
	GRPCAddr     string `json:"grpc_addr"`
	AppliedIndex uint64 `json:"applied_index"`
}

// listPeers asks a node by the command that an operator would use.
func (s *scenario) listPeers(ctx context.Context, at *real.Node) ([]peerLine, error) {
	out, errOut, code, err := s.Command(ctx, nil, "operator", "raft", "list-peers", "--address", at.Addrs.GRPC, "-o", "json")
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("exit code %d: %s", code, errOut)
	}
	var answer struct {
		Peers []peerLine `json:"peers"`
	}
	return answer.Peers, json.Unmarshal([]byte(out), &answer)
}

// caughtUp waits until another node lists a node as a voting follower at its addresses that is hardly behind, and one leader.
func (s *scenario) caughtUp(n *real.Node) {
	s.Helper()
	others := slices.DeleteFunc(s.cluster.Alive(), func(other *real.Node) bool { return other == n })
	s.until(n.ID+" has caught up", func(ctx context.Context) error {
		peers, err := s.listPeers(ctx, others[0])
		if err != nil {
			return err
		}
		var newest uint64
		var line *peerLine
		leaders := 0
		for i, p := range peers {
			newest = max(newest, p.AppliedIndex)
			if p.Name == n.ID {
				line = &peers[i]
			}
			if p.State == "leader" {
				leaders++
			}
		}
		switch {
		case len(peers) != len(s.cluster.Nodes):
			return fmt.Errorf("%d members, want %d: %+v", len(peers), len(s.cluster.Nodes), peers)
		case leaders != 1:
			return fmt.Errorf("%d leaders: %+v", leaders, peers)
		case line == nil:
			return fmt.Errorf("not a member: %+v", peers)
		case line.State != "follower" || !line.Voter || line.AppliedIndex+nearly < newest:
			return fmt.Errorf("it is %+v, and the newest index %d", *line, newest)
		case line.RaftAddr != n.Addrs.Raft || line.GRPCAddr != n.Addrs.GRPC:
			return fmt.Errorf("it is listed at %s and %s, and is at %s and %s", line.RaftAddr, line.GRPCAddr, n.Addrs.Raft, n.Addrs.GRPC)
		}
		return nil
	})
}

// peer returns how a node lists another.
func (s *scenario) peer(at *real.Node, name string) peerLine {
	s.Helper()
	p, err := s.peerNow(s.Context(), at, name, "")
	s.must(err)
	return p
}

// peerNow returns how a node lists another that is not the former one of that name.
func (s *scenario) peerNow(ctx context.Context, at *real.Node, name, former string) (peerLine, error) {
	peers, err := s.listPeers(ctx, at)
	if err != nil {
		return peerLine{}, err
	}
	for _, p := range peers {
		if p.Name == name && p.NodeID != former {
			return p, nil
		}
	}
	return peerLine{}, errors.New("it is not listed")
}
