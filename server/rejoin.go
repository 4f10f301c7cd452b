package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/callboard/callboard/transport/raftnet"
)

// RejoinDamaged, as Config.RejoinBlank, lets a node begin anew only if its directory is damaged. A node id lets that node do so in any case.
const RejoinDamaged = "damaged"

const (
	// rejoinFile remembers how far a node has come that begins anew, so that it may be interrupted at any point.
	rejoinFile = "rejoin.json"
	// asidePrefix begins the name of the directory, within the data directory, into which the old files go.
	asidePrefix = "aside-"
	// rejoinLimit is how long it looks for others that can let the old member go, before it gives up and has changed nothing.
	rejoinLimit = 15 * time.Second
)

// rejoinRecord is the content of that file.
type rejoinRecord struct {
	OldID     string `json:"old_node_id"`
	NewID     string `json:"new_node_id"`
	ClusterID string `json:"cluster_id"`
	Removed   bool   `json:"removed,omitempty"` // the old id is no member any more: the files may go
}

// ifRemoved returns the record if the old id is gone: then the rest follows, whatever the command line says.
func (r *rejoinRecord) ifRemoved() *rejoinRecord {
	if r.Removed {
		return r
	}
	return nil
}

func rejoinPath(dir string) string { return filepath.Join(dir, rejoinFile) }

// rejoin is how a node whose files are damaged begins anew in its cluster: the old member is removed, and only when that has committed are its
// files moved aside, and the node is a blank one with a new id. Each step is done once and written down, or does no harm twice.
type rejoin struct {
	dir, name string
	only      string // RejoinDamaged, or the id of the node that is meant; empty: only go on with what has begun
	log       *slog.Logger

	whole  func() error                                    // returns nil if the directory is whole
	remove func(ctx context.Context, r rejoinRecord) error // has the others remove the old id, which they do only with a quorum
	done   func(step string) error                         // for tests: called after each step
}

func (j *rejoin) run(ctx context.Context) error {
	if r, err := j.begun(); err != nil || r == nil {
		return err
	}
	unlock, err := lockDataDir(j.dir)
	if err != nil {
		return err
	}
	defer func() { _ = unlock() }()
	r, err := j.read() // again: another process may have begun at the same time, and may have come to the end
	if err != nil || r == nil {
		return err
	}
	j.log.Warn("this node begins anew: its old id leaves the cluster, then its files are moved aside", "old_node_id", r.OldID, "new_node_id", r.NewID)
	if !r.Removed {
		if err := j.remove(ctx, *r); err != nil {
			return fmt.Errorf("--rejoin-blank: %w: nothing was moved; run it again", err)
		}
		if err := j.step("removed"); err != nil {
			return err
		}
		r.Removed = true
		if err := j.write(r); err != nil {
			return err
		}
		if err := j.step("written"); err != nil {
			return err
		}
	}
	if err := j.moveAside(r); err != nil {
		return fmt.Errorf("--rejoin-blank: %w: run it again", err)
	}
	j.log.Warn("the old files are aside: remove them when nobody needs them any more", "directory", j.aside(r))
	return nil
}

func (j *rejoin) step(name string) error {
	if j.done == nil {
		return nil
	}
	return j.done(name)
}

// begun returns how far the node has come; nil: there is nothing to do.
func (j *rejoin) begun() (*rejoinRecord, error) {
	r, err := j.read()
	if err != nil {
		return nil, err
	}
	if r != nil && (r.Removed || j.only == "") {
		return r.ifRemoved(), nil
	}
	if j.only == "" {
		return nil, nil
	}
	old, damage, err := j.judge()
	if err != nil || old == nil {
		return nil, err
	}
	if r != nil {
		return r, nil
	}
	if damage != nil {
		j.log.Error("the data directory is damaged", "data_dir", j.dir, "error", damage)
	}
	r = &rejoinRecord{OldID: old.NodeID, NewID: newNodeID(j.name), ClusterID: old.ClusterID}
	if err := j.write(r); err != nil {
		return nil, err
	}
	return r, j.step("begun")
}

// read returns what is written down; nil: nothing.
func (j *rejoin) read() (*rejoinRecord, error) {
	data, err := os.ReadFile(rejoinPath(j.dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	r := &rejoinRecord{}
	if err := json.Unmarshal(data, r); err != nil || r.OldID == "" || r.NewID == "" {
		return nil, fmt.Errorf("%s is damaged: remove it and run --rejoin-blank again", rejoinPath(j.dir))
	}
	return r, nil
}

// judge returns who this node was, if it is to begin anew, and what is damaged; nil: it is to start as it is.
func (j *rejoin) judge() (old *identity, damage, err error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	used := false
	for _, e := range entries {
		used = used || !strings.HasPrefix(e.Name(), asidePrefix)
	}
	if !used {
		return nil, nil, nil // blank already
	}
	damage = j.whole()
	switch {
	case errors.Is(damage, raftnet.ErrInUse), errors.Is(damage, raftnet.ErrNewer):
		return nil, nil, damage
	case damage == nil && j.only == RejoinDamaged:
		j.log.Warn("--rejoin-blank: nothing is damaged here, and nothing was changed; to begin anew all the same, name this node's id in --rejoin-blank=NODE_ID", "data_dir", j.dir)
		return nil, nil, nil
	}
	was, err := readIdentity(j.dir)
	switch {
	case err != nil || was.ClusterID == "":
		return nil, nil, fmt.Errorf("--rejoin-blank: %s does not say which member of which cluster this node was: "+
			"empty the directory, and start the node with --replaces and its name", filepath.Join(j.dir, identityFile))
	case j.only != RejoinDamaged && j.only != was.NodeID:
		j.log.Warn("--rejoin-blank names another node, and nothing was changed", "named", j.only, "this", was.NodeID)
		return nil, nil, nil
	}
	return &was, damage, nil
}

func (j *rejoin) aside(r *rejoinRecord) string { return filepath.Join(j.dir, asidePrefix+r.OldID) }

// moveAside moves every old file and makes the node a blank one with its new id. What has been moved before an interruption stays moved.
func (j *rejoin) moveAside(r *rejoinRecord) error {
	if now, err := readIdentity(j.dir); err != nil || now.NodeID != r.NewID {
		if err := j.moveFiles(r); err != nil {
			return err
		}
		if err := (identity{NodeID: r.NewID, Joins: r.ClusterID}).save(j.dir); err != nil {
			return err
		}
		if err := j.step("named"); err != nil {
			return err
		}
	}
	if err := os.Remove(rejoinPath(j.dir)); err != nil {
		return err
	}
	return syncDir(j.dir)
}

func (j *rejoin) moveFiles(r *rejoinRecord) error {
	if err := os.MkdirAll(j.aside(r), 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == rejoinFile || strings.HasPrefix(e.Name(), asidePrefix) {
			continue
		}
		if err := os.Rename(filepath.Join(j.dir, e.Name()), filepath.Join(j.aside(r), e.Name())); err != nil {
			return err
		}
		if err := j.step("moved " + e.Name()); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(j.aside(r)), syncDir(j.dir))
}

func (j *rejoin) write(r *rejoinRecord) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(j.dir, rejoinFile, data)
}
