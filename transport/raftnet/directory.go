package raftnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// Directory is the data directory of a node that is down, whole or not, with what can be kept of it. Nobody else uses it until Close.
type Directory struct {
	NodeID string
	// Refusal is why the node does not start; empty: the directory is whole, or only a copy.
	Refusal string
	Copied  bool
	// Held is the newest entry that the directory says it has held, and Kept the newest one that can be kept with all before it; zero: none can.
	Held, Kept Position
	// Configuration is the newest one among what can be kept.
	Configuration raft.Configuration
	// Report says what is kept, and what is given up.
	Report []string

	dir, scratch string
	options      Options
	held         *os.File
	left         *remains // nil: nothing can be kept
}

// OpenDirectory takes the lock of a data directory (ErrInUse) and finds out what can be kept. It changes nothing that is kept there.
func OpenDirectory(dir string, o Options) (_ *Directory, err error) {
	d := &Directory{NodeID: o.NodeID, dir: dir, options: o}
	if d.held, err = lockDirectory(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	var refusal error
	if d.Copied, refusal = lookAt(dir, o); refusal != nil {
		if !errors.Is(refusal, ErrDamaged) {
			return nil, refusal
		}
		d.Refusal = withoutDir(dir, refusal)
	}
	if d.scratch, err = os.MkdirTemp(dir, "recover-"); err != nil {
		return nil, fmt.Errorf("look for what is left: %w", err)
	}
	mark, err := ReadMark(dir)
	if err == nil {
		d.Held.Term, d.Held.Index = mark.Position()
	}
	d.left, err = salvage(dir, filepath.Join(d.scratch, logFile))
	if errors.Is(err, errNothingKept) {
		d.Report = []string{err.Error()}
		return d, nil
	}
	if err != nil {
		return nil, err
	}
	d.Report, d.Kept = d.left.report, d.left.kept
	d.Held = d.Held.later(d.Kept)
	if d.Configuration, err = d.left.configuration(); err != nil {
		return nil, err
	}
	return d, nil
}

// configuration returns the newest one among the entries that are kept, or the snapshot's.
func (r *remains) configuration() (newest raft.Configuration, err error) {
	bolt, err := openLog(r.log)
	if err != nil {
		return newest, fmt.Errorf("read what is left of the log: %w", err)
	}
	defer func() { err = errors.Join(err, bolt.Close()) }()
	log := sealed{bolt, r.log}
	for index := r.end; index >= r.first && index > 0; index-- {
		entry := &raft.Log{}
		if err := log.GetLog(index, entry); err != nil {
			return newest, err
		}
		if entry.Type == raft.LogConfiguration {
			return raft.DecodeConfiguration(entry.Data), nil
		}
	}
	return r.members, nil
}

// Found puts what can be kept in the place of what is there, and behind it a configuration with one member, in a later term: its next
// start elects that one alone, and everything that is kept commits. Whoever was a member is none any more, and must not start on its old
// files: two nodes of the former configuration would elect a leader of their own, for nothing in the log tells the two clusters apart.
// A number of the cluster's foundings that nodes compare would, and belongs into this entry.
func (d *Directory) Found(only raft.Server) error {
	if d.left == nil {
		return fmt.Errorf("%s: %w", d.dir, errNothingKept)
	}
	if err := d.left.found(only); err != nil {
		return fmt.Errorf("write the new configuration: %w", err)
	}
	if err := os.Rename(d.left.log, filepath.Join(d.dir, newLogFile)); err != nil {
		return fmt.Errorf("put the new log in its place: %w", err)
	}
	if err := d.left.commit(d.dir); err != nil {
		return fmt.Errorf("put what is left in its place: %w", err)
	}
	o := d.options
	o.Marked, o.Member, o.AdoptCopy = false, false, true
	files, err := openWhole(d.dir, o) // makes the mark
	if err != nil {
		return err
	}
	return files.close()
}

func (r *remains) found(only raft.Server) (err error) {
	bolt, err := openLog(r.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bolt.Close()) }()
	term, err := sealedStable{bolt, r.log}.GetUint64(keyTerm) // a new one already
	if err != nil {
		return err
	}
	return sealed{bolt, r.log}.StoreLogs([]*raft.Log{{
		Index: r.kept.Index + 1, Term: term, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{only}}),
	}})
}

// Close gives the directory back.
func (d *Directory) Close() error {
	var err error
	if d.scratch != "" {
		err = os.RemoveAll(d.scratch)
	}
	return errors.Join(err, d.held.Close())
}
