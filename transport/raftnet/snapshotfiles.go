package raftnet

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/crc64"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// errNoSeal is a snapshot of a build that made no seals.
var errNoSeal = errors.New("it has no " + sealFile)

// readSnapshot reads what is told about a snapshot, and checks all of its files.
func readSnapshot(dir string) (*snapshotMeta, error) {
	content, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	return checkSnapshot(dir, content)
}

// readMeta returns the content of meta.json, when it is what was sealed.
func readMeta(dir string) ([]byte, error) {
	path := filepath.Join(dir, metaFile)
	content, err := readSmall(path)
	if err != nil {
		return nil, asDamage(path, err)
	}
	copied, err := readSeal(dir)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(content, copied) {
		return nil, fmt.Errorf("%s: %w: it is not what %s says that it was", path, ErrDamaged, sealFile)
	}
	return content, nil
}

// readSeal returns the copy of meta.json in meta.seal.
func readSeal(dir string) ([]byte, error) {
	path := filepath.Join(dir, sealFile)
	sealed, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, errNoSeal)
	}
	if err != nil {
		return nil, asDamage(path, err)
	}
	sum, copied, ok := bytes.Cut(sealed, []byte("\n"))
	if !ok || string(sum) != sumText(copied) {
		return nil, fmt.Errorf("%s: %w: its checksum does not match", path, ErrDamaged)
	}
	return copied, nil
}

// checkSnapshot decodes what meta.json holds, and compares it with the name of the snapshot and with its state.
func checkSnapshot(dir string, content []byte) (*snapshotMeta, error) {
	path := filepath.Join(dir, metaFile)
	var meta snapshotMeta
	if err := json.Unmarshal(content, &meta); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	id := filepath.Base(dir)
	if meta.Version < raft.SnapshotVersionMin || meta.Version > raft.SnapshotVersionMax {
		return nil, fmt.Errorf("%s: %w: it is of version %d", path, ErrNewer, meta.Version)
	}
	if meta.ID != id || !strings.HasPrefix(id, fmt.Sprintf("%d-%d-", meta.Term, meta.Index)) {
		return nil, fmt.Errorf("%s: %w: it says snapshot %q, term %d, index %d, and its directory is %s", path, ErrDamaged, meta.ID, meta.Term, meta.Index, id)
	}
	if err := checkServers(meta.Configuration); err != nil || meta.ConfigurationIndex > meta.Index {
		return nil, fmt.Errorf("%s: %w: its configuration, of index %d, cannot be meant: %w", path, ErrDamaged, meta.ConfigurationIndex, err)
	}
	path = filepath.Join(dir, stateFile)
	file, err := os.Open(path)
	if err != nil {
		return nil, asDamage(path, err)
	}
	defer func() { _ = file.Close() }()
	sum := crc64.New(crc64Table)
	n, err := io.Copy(sum, file)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if n != meta.Size || !bytes.Equal(sum.Sum(nil), meta.CRC) {
		return nil, fmt.Errorf("%s: %w: its %d bytes do not match the checksum of the %d that were written", path, ErrDamaged, n, meta.Size)
	}
	return &meta, nil
}

// checkServers refuses a configuration that Raft would not have made.
func checkServers(configuration raft.Configuration) error {
	seen := map[raft.ServerID]bool{}
	for _, server := range configuration.Servers {
		if server.ID == "" || server.Address == "" || seen[server.ID] {
			return fmt.Errorf("server %q at %q: an id or address is missing, or stands there twice", server.ID, server.Address)
		}
		seen[server.ID] = true
		if server.Suffrage < raft.Voter || server.Suffrage > raft.Staging {
			return fmt.Errorf("server %s has the suffrage %d", server.ID, int(server.Suffrage))
		}
	}
	return nil
}

// sealSnapshot writes the checksum and the copy of what meta.json holds.
func sealSnapshot(dir string, content []byte) error {
	return writeSynced(filepath.Join(dir, sealFile), append([]byte(sumText(content)+"\n"), content...))
}

func sumText(content []byte) string {
	return hex.EncodeToString(binaryUint32(crc32.Checksum(content, castagnoli)))
}

func binaryUint32(n uint32) []byte {
	return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

// sumOf returns the checksum of a snapshot's meta.json.
func sumOf(dir string) (uint32, error) {
	content, err := readSmall(filepath.Join(dir, metaFile))
	return crc32.Checksum(content, castagnoli), err
}

// findSnapshots returns what the names of the snapshots of a data directory say, the newest first, whatever is in them.
func findSnapshots(dir string) ([]*snapshotMeta, error) {
	entries, err := os.ReadDir(filepath.Join(dir, snapshotsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	var named []*snapshotMeta
	for _, entry := range entries {
		meta := &snapshotMeta{}
		var made uint64
		if _, err := fmt.Sscanf(entry.Name(), "%d-%d-%d", &meta.Term, &meta.Index, &made); err != nil || !entry.IsDir() ||
			entry.Name() != fmt.Sprintf("%d-%d-%d", meta.Term, meta.Index, made) {
			continue // set aside, or unfinished, or nothing of ours
		}
		meta.ID = entry.Name()
		named = append(named, meta)
	}
	slices.SortFunc(named, newestFirst)
	return named, nil
}

func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, maxMetaBytes+1))
	if err == nil && len(content) > maxMetaBytes {
		err = fmt.Errorf("it has more than %d bytes", maxMetaBytes)
	}
	return content, err
}

// asDamage is an error of reading a file that has to be there.
func asDamage(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: it is missing", path, ErrDamaged)
	}
	return fmt.Errorf("%s: %w", path, err)
}

func writeSynced(path string, content []byte) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}
