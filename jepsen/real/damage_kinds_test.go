//go:build unix

package real_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.etcd.io/bbolt"
)

// damage is one kind of what can happen to the directory of a node that is down.
type damage struct {
	name  string
	spoil func(d spoiled) error
	// unseen: nothing on the node itself says so. It is found only with the help of a node that knows what the other had.
	unseen bool
}

// spoiled is the directory, and what it held earlier.
type spoiled struct {
	dir   string
	older *image
}

func (d spoiled) path(name string) string { return filepath.Join(d.dir, name) }

// errCannot means that this directory or file system has nothing that could be damaged so.
var errCannot = errors.New("there is nothing to damage so")

const (
	logName  = "raft.db"
	markName = "raft.mark"
)

var damages = []damage{
	{name: "one bit in the newest meta page", spoil: func(d spoiled) error { return spoilMeta(d, true) }},
	{name: "raft.db missing", spoil: func(d spoiled) error { return os.Remove(d.path(logName)) }},
	{name: "raft.db of an older day", spoil: func(d spoiled) error { return d.older.overwrite(logName) }},
	{name: "raft.mark missing", spoil: func(d spoiled) error { return os.Remove(d.path(markName)) }},
	{name: "an older copy of the directory", spoil: func(d spoiled) error {
		if born, err := exec.Command("stat", "-c", "%W", d.path(markName)).Output(); err != nil || strings.Trim(string(born), "0-\n") == "" {
			return errCannot // no birth of files: not seen, as docs/failure-modes.md says
		}
		return d.older.replace()
	}},
	{name: "one bit in the older meta page", spoil: func(d spoiled) error { return spoilMeta(d, false) }},
	{name: "raft.db empty", spoil: func(d spoiled) error { return os.Truncate(d.path(logName), 0) }},
	{name: "raft.db cut in half", spoil: func(d spoiled) error {
		info, err := os.Stat(d.path(logName))
		if err != nil {
			return err
		}
		return os.Truncate(d.path(logName), info.Size()/2)
	}},
	{name: "raft.mark of an older day", spoil: func(d spoiled) error { return d.older.overwrite(markName) }},
	{name: "node.json missing", spoil: func(d spoiled) error { return os.Remove(d.path("node.json")) }},
	{name: "a lower count in a branch page", spoil: func(d spoiled) error { return lowerCount(d, "branch") }},
	{name: "a lower count in a leaf page", spoil: func(d spoiled) error { return lowerCount(d, "leaf") }},
	{name: "an older CurrentTerm", spoil: func(d spoiled) error { return olderValues(d, "CurrentTerm") }},
	{name: "an older vote", spoil: func(d spoiled) error { return olderValues(d, "LastVoteTerm", "LastVoteCand") }},
	{name: "one bit in CurrentTerm", spoil: func(d spoiled) error { return changeValue(d, "CurrentTerm") }},
	{name: "one bit in the vote", spoil: func(d spoiled) error { return changeValue(d, "LastVoteCand") }},
	{name: "one digit in Index of the newest snapshot", spoil: func(d spoiled) error { return spoilSnapshots(d, 1, `"Index":\d*(\d)`) }},
	{name: "one digit in Term of the newest snapshot", spoil: func(d spoiled) error { return spoilSnapshots(d, 1, `"Term":\d*(\d)`) }},
	{name: "one digit in Index of all snapshots", spoil: func(d spoiled) error { return spoilSnapshots(d, 9, `"Index":\d*(\d)`) }},
	{name: "a server's id in all snapshots", spoil: func(d spoiled) error { return spoilSnapshots(d, 9, `"ID":"n(\d)`) }},
	{name: "all files of an older day, in place", unseen: true, spoil: func(d spoiled) error {
		for name := range d.older.files {
			if err := d.older.overwrite(name); err != nil {
				return err
			}
		}
		return nil
	}},
}

// spoilMeta flips a bit in one of the two pages that bolt's file begins with.
func spoilMeta(d spoiled, newest bool) error {
	content, err := os.ReadFile(d.path(logName))
	if err != nil {
		return err
	}
	const txid, root = 64, 40
	at := os.Getpagesize()
	firstIsNewer := binary.LittleEndian.Uint64(content[txid:]) > binary.LittleEndian.Uint64(content[at+txid:])
	if firstIsNewer == newest {
		at = 0
	}
	content[at+root] ^= 1
	return os.WriteFile(d.path(logName), content, 0o600)
}

// lowerCount takes the last keys of the fullest page of a type away, as one bit in its header does.
func lowerCount(d spoiled, pageType string) error {
	db, err := bbolt.Open(d.path(logName), 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return err
	}
	size, fullest, most := db.Info().PageSize, 0, 1
	err = db.View(func(tx *bbolt.Tx) error {
		for id := 2; ; id++ {
			page, err := tx.Page(id)
			if page == nil || err != nil {
				return err
			}
			if page.Type == pageType && page.Count > most {
				fullest, most = id, page.Count
			}
			id += page.OverflowCount
		}
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if fullest == 0 {
		return errCannot
	}
	content, err := os.ReadFile(d.path(logName))
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint16(content[fullest*size+10:], uint16(most/2))
	return os.WriteFile(d.path(logName), content, 0o600)
}

// values reads term and vote out of a log.
func values(path string, keys ...string) (map[string][]byte, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	found := map[string][]byte{}
	err = db.View(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			found[key] = bytes.Clone(tx.Bucket([]byte("conf")).Get([]byte(key)))
		}
		return nil
	})
	return found, errors.Join(err, db.Close())
}

func putValues(path string, changed map[string][]byte) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for key, value := range changed {
			if err := tx.Bucket([]byte("conf")).Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}

// olderValues puts values of an older day in, which have checksums that fit.
func olderValues(d spoiled, keys ...string) error {
	aside := d.older.links + ".values"
	if err := os.WriteFile(aside, d.older.files[logName], 0o600); err != nil {
		return err
	}
	old, err := values(aside, keys...)
	if err != nil {
		return err
	}
	now, err := values(d.path(logName), keys...)
	if err != nil {
		return err
	}
	for key, value := range old {
		if value == nil {
			return errCannot
		}
		if !bytes.Equal(value, now[key]) {
			return putValues(d.path(logName), old)
		}
	}
	return errCannot
}

func changeValue(d spoiled, key string) error {
	now, err := values(d.path(logName), key)
	if err != nil {
		return err
	}
	if len(now[key]) == 0 {
		return errCannot
	}
	now[key][len(now[key])/2] ^= 1
	return putValues(d.path(logName), now)
}

// spoilSnapshots changes a digit in meta.json of the newest snapshots.
func spoilSnapshots(d spoiled, newest int, digit string) error {
	paths, err := filepath.Glob(d.path("snapshots/*/meta.json"))
	if err != nil || len(paths) == 0 {
		return errors.Join(err, errCannot)
	}
	slices.SortFunc(paths, func(a, b string) int { return snapshotIndex(b) - snapshotIndex(a) })
	for _, path := range paths[:min(newest, len(paths))] {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := regexp.MustCompile(digit).FindSubmatchIndex(content)
		if at == nil {
			return fmt.Errorf("%s has no %s", path, digit)
		}
		content[at[2]] ^= 1
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// snapshotIndex reads it from the name of the directory, TERM-INDEX-MS.
func snapshotIndex(path string) (index int) {
	_, _ = fmt.Sscanf(strings.SplitN(filepath.Base(filepath.Dir(path)), "-", 2)[1], "%d", &index)
	return index
}
