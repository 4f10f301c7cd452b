package server

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/callboard/callboard/transport/gossip"
	"github.com/callboard/callboard/transport/raftnet"
)

// identity is what a node is, for as long as its data directory lives.
type identity struct {
	NodeID    string `json:"node_id"`
	ClusterID string `json:"cluster_id,omitempty"` // empty: it has not been part of one yet
	Joins     string `json:"joins,omitempty"`      // the cluster that it comes back to as a blank node: it founds none
	Marked    bool   `json:"marked,omitempty"`     // there is a mark beside the log, and never none again
	Starts    uint64 `json:"starts,omitempty"`     // how often the node has been started on this directory
	Barred    string `json:"barred,omitempty"`     // why it must not be started on this directory again; empty: it may
	Sum       string `json:"sum"`                  // checksum of the file with an empty one here
}

const (
	identityFile = "node.json"
	// identityBytes are the random bytes of a node's id.
	identityBytes = 6
)

// bornAs returns the name that a node had when its id was made; empty: the id is of no such form.
func bornAs(id string) string {
	name, random, ok := cutLast(id, "-")
	if _, err := hex.DecodeString(random); !ok || err != nil || len(random) != 2*identityBytes {
		return ""
	}
	return name
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// loadIdentity reads the node's identity from its data directory, or makes one in a new directory. An id begins with the name that
// the node had then, so that people can tell members apart; a wiped node is another one, and gets another id.
func loadIdentity(dir, name string) (identity, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return identity{}, fmt.Errorf("data directory: %w", err)
	}
	id, err := readIdentity(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		id = identity{NodeID: newNodeID(name)}
		return id, id.save(dir)
	case errors.Is(err, raftnet.ErrDamaged):
		return acceptedIdentity(dir, err)
	}
	return id, err
}

// newNodeID makes the id of a node that is new.
func newNodeID(name string) string {
	var entropy [identityBytes]byte
	_, _ = rand.Read(entropy[:])
	return name + "-" + hex.EncodeToString(entropy[:])
}

// options say whose stores are to be opened.
func (id identity) options(cfg Config) raftnet.Options {
	return raftnet.Options{NodeID: id.NodeID, Marked: id.Marked, Member: id.ClusterID != "", AdoptCopy: cfg.AdoptCopy, Log: cfg.Log}
}

// readIdentity reads node.json; fs.ErrNotExist: this is a new directory.
func readIdentity(dir string) (identity, error) {
	path := filepath.Join(dir, identityFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		for _, file := range []string{"raft.db", "raft.mark"} {
			if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
				return identity{}, fmt.Errorf("data directory: %w: %s is missing beside %s", raftnet.ErrDamaged, path, file)
			}
		}
		return identity{}, err
	}
	if err != nil {
		return identity{}, fmt.Errorf("read identity: %w", err)
	}
	var id identity
	if err := json.Unmarshal(data, &id); err != nil {
		return identity{}, fmt.Errorf("%s is %w: %w", path, raftnet.ErrDamaged, err)
	}
	if id.NodeID == "" {
		return identity{}, fmt.Errorf("%s is %w: it has no node_id", path, raftnet.ErrDamaged)
	}
	if id.Sum != identitySum(data, id.Sum) && (id.Sum != "" || id.Marked) { // older builds wrote neither
		return identity{}, fmt.Errorf("%s is %w: its checksum does not match", path, raftnet.ErrDamaged)
	}
	return id, nil
}

// identitySum is the checksum of the file as it is without its checksum, whatever a newer build keeps in it.
func identitySum(data []byte, sum string) string {
	blank := bytes.Replace(data, []byte(strconv.Quote(sum)), []byte(`""`), 1)
	return fmt.Sprintf("%08x", crc32.ChecksumIEEE(blank))
}

// nextStart counts one start more, on the disk before anybody hears of it: no two starts on one directory have the same count. Only who
// holds the lock of the directory may call it.
func (id *identity) nextStart(dir string) (gossip.Start, error) {
	next := *id
	next.Starts++
	if err := next.save(dir); err != nil {
		return gossip.Start{}, err
	}
	*id = next
	return gossip.NewStart(id.Starts), nil
}

// save writes the identity so that a power cut leaves the old one or the new one.
func (id identity) save(dir string) error {
	id.Sum = ""
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	data = bytes.Replace(data, []byte(`"sum": ""`), []byte(`"sum": "`+identitySum(data, "")+`"`), 1)
	if err := replaceFile(dir, identityFile, data); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// replaceFile writes a small file so that a power cut leaves the old one or the new one.
func replaceFile(dir, name string, content []byte) error {
	temporary, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	if _, err = temporary.Write(content); err == nil {
		err = temporary.Sync()
	}
	if closed := temporary.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir has the disk take the names of a directory.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}
