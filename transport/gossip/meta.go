package gossip

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// meta is a Peer on the wire, beside its start: that is in memberlist's name of it, with the node's id, so that two processes never have
// the same. A build that knows no starts has the display name there. Keys are short, for there is little room; they are never used again for something
// else. A node ignores the keys it does not know.
type meta struct {
	NodeID    string `json:"n"`
	ClusterID string `json:"c,omitempty"`
	RaftAddr  string `json:"r"`
	GRPCAddr  string `json:"g"`
	HTTPAddr  string `json:"h,omitempty"`
	Version   string `json:"v,omitempty"`
	Blank     bool   `json:"b,omitempty"`
	Name      string `json:"m,omitempty"`
	Running   bool   `json:"s,omitempty"`
}

func encode(p Peer) ([]byte, error) {
	if p.Name == "" {
		return nil, errors.New("gossip: a node needs a name")
	}
	encoded, err := json.Marshal(meta{
		NodeID: p.NodeID, ClusterID: p.ClusterID, RaftAddr: p.RaftAddr, GRPCAddr: p.GRPCAddr, HTTPAddr: p.HTTPAddr, Version: p.Version,
		Blank: p.Blank, Name: p.Name, Running: p.Running,
	})
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if len(encoded) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("gossip: ids, addresses and version of %s take %d bytes, at most %d fit: advertise shorter addresses",
			p.Name, len(encoded), memberlist.MetaMaxSize)
	}
	return encoded, nil
}

// decode reads what memberlist knows of a node, under the name that it has there.
func decode(member string, encoded []byte) (Peer, error) {
	var m meta
	if err := json.Unmarshal(encoded, &m); err != nil {
		return Peer{Name: member}, fmt.Errorf("gossip: what %s tells about itself cannot be read: %w", member, err)
	}
	p := Peer{
		Name: member, NodeID: m.NodeID, ClusterID: m.ClusterID,
		RaftAddr: m.RaftAddr, GRPCAddr: m.GRPCAddr, HTTPAddr: m.HTTPAddr, Version: m.Version, Blank: m.Blank, Running: m.Running,
	}
	if id, start := ParseCaller(member); id == m.NodeID && m.Name != "" {
		p.Name, p.Start = m.Name, start
	}
	return p, nil
}
