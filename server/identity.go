package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// identity is what a node is, for as long as its data directory lives.
type identity struct {
	NodeID    string `json:"node_id"`
	ClusterID string `json:"cluster_id,omitempty"` // empty: it has not been part of one yet
	Marked    bool   `json:"marked,omitempty"`     // there is a mark beside the log, and never none again
}

const identityFile = "node.json"

// loadIdentity reads the node's identity from its data directory, or makes one in a new directory. An id begins with the name that
// the node had then, so that people can tell members apart; a wiped node is another one, and gets another id.
func loadIdentity(dir, name string) (identity, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return identity{}, fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "raft.db")); err == nil {
			return identity{}, fmt.Errorf("%s is missing beside raft.db: restore it, or wipe the directory and let the node rejoin", path)
		}
		var entropy [6]byte
		_, _ = rand.Read(entropy[:])
		id := identity{NodeID: name + "-" + hex.EncodeToString(entropy[:])}
		return id, id.save(dir)
	}
	if err != nil {
		return identity{}, fmt.Errorf("read identity: %w", err)
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, fmt.Errorf("%s is damaged: %w: restore it, or wipe the directory and let the node rejoin", path, err)
	}
	if id.NodeID == "" {
		return identity{}, fmt.Errorf("%s is damaged: it has no node_id: restore it, or wipe the directory and let the node rejoin", path)
	}
	return id, nil
}

// save writes the identity so that a power cut leaves the old one or the new one.
func (id identity) save(dir string) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, identityFile+".*")
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	if _, err = temporary.Write(append(data, '\n')); err == nil {
		err = temporary.Sync()
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(dir, identityFile))
	}
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
