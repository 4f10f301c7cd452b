package gossip

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"
)

// meta is a Peer on the wire, beside its name. Keys are short, for there is little room; they are never used again for something
// else. A node ignores the keys it does not know.
type meta struct {
	NodeID    string `json:"n"`
	ClusterID string `json:"c,omitempty"`
	RaftAddr  string `json:"r"`
	GRPCAddr  string `json:"g"`
	HTTPAddr  string `json:"h,omitempty"`
	Version   string `json:"v,omitempty"`
	Blank     bool   `json:"b,omitempty"`
}

func encode(p Peer) ([]byte, error) {
	if p.Name == "" {
		return nil, errors.New("gossip: a node needs a name")
	}
	encoded, err := json.Marshal(meta{p.NodeID, p.ClusterID, p.RaftAddr, p.GRPCAddr, p.HTTPAddr, p.Version, p.Blank})
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	if len(encoded) > memberlist.MetaMaxSize {
		return nil, fmt.Errorf("gossip: ids, addresses and version of %s take %d bytes, at most %d fit: advertise shorter addresses",
			p.Name, len(encoded), memberlist.MetaMaxSize)
	}
	return encoded, nil
}

func decode(name string, encoded []byte) (Peer, error) {
	var m meta
	if err := json.Unmarshal(encoded, &m); err != nil {
		return Peer{Name: name}, fmt.Errorf("gossip: what %s tells about itself cannot be read: %w", name, err)
	}
	return Peer{
		Name: name, NodeID: m.NodeID, ClusterID: m.ClusterID,
		RaftAddr: m.RaftAddr, GRPCAddr: m.GRPCAddr, HTTPAddr: m.HTTPAddr, Version: m.Version, Blank: m.Blank,
	}, nil
}
