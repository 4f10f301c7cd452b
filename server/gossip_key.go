package server

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	gossipKeyBytes  = 32
	maxGossipKeys   = 4
	maxKeyFileBytes = 4096
)

// NewGossipKey makes a key of gossip, as --gossip-key takes it.
func NewGossipKey() string {
	key := make([]byte, gossipKeyBytes)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// gossipKeys reads the keys of gossip: the one that is used, and those that are understood too. given is a key, or the path of a file with
// one key a line. None: gossip is plain text.
func gossipKeys(given string) ([][]byte, error) {
	if given == "" {
		return nil, nil
	}
	if key, err := decodeGossipKey(given); err == nil {
		return [][]byte{key}, nil
	}
	info, err := os.Stat(given)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("--gossip-key is neither a key (32 bytes in base64) nor a file: `callboard operator gossip keyring generate` makes a key")
	case err != nil:
		return nil, fmt.Errorf("--gossip-key: %w", err)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("--gossip-key: %s may be read by others (mode %#o): make it private with `chmod 600 %s`", given, info.Mode().Perm(), given)
	case info.Size() > maxKeyFileBytes:
		return nil, fmt.Errorf("--gossip-key: %s has %d bytes: want one key a line, at most %d", given, info.Size(), maxGossipKeys)
	}
	content, err := os.ReadFile(filepath.Clean(given))
	if err != nil {
		return nil, fmt.Errorf("--gossip-key: %w", err)
	}
	var keys [][]byte
	for i, line := range strings.Split(string(content), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		key, err := decodeGossipKey(line)
		if err != nil {
			return nil, fmt.Errorf("--gossip-key: line %d of %s is no key: %w", i+1, given, err)
		}
		if slices.ContainsFunc(keys, func(other []byte) bool { return string(other) == string(key) }) {
			return nil, fmt.Errorf("--gossip-key: line %d of %s repeats a key", i+1, given)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxGossipKeys {
		return nil, fmt.Errorf("--gossip-key: %s has %d keys: want 1 to %d, one a line", given, len(keys), maxGossipKeys)
	}
	return keys, nil
}

func decodeGossipKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err == nil && len(key) != gossipKeyBytes {
		err = fmt.Errorf("it has %d bytes, and not %d", len(key), gossipKeyBytes)
	}
	return key, err
}
