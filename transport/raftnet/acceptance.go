package raftnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Acceptance is an operator's word that a node may start on what is left of a data directory. It is written beside the files, for one start
// and for exactly what was found.
type Acceptance struct {
	// Refusal is why the node does not start; empty: only because the directory is a copy.
	Refusal string `json:"refusal,omitempty"`
	// Copied says that the directory is a copy.
	Copied bool `json:"copied,omitempty"`
	// Report says what is kept, and what is given up.
	Report []string `json:"report"`
	// NodeID is whose directory it is.
	NodeID string `json:"node_id"`
}

const (
	acceptanceFile = "accept-loss.json"
	lostTail       = ".lost" // of files that are set aside
)

// ErrWhole is the answer of AcceptLoss where nothing is refused.
var ErrWhole = errors.New("nothing is missing: this directory needs no acceptance")

// AcceptLoss finds out why a data directory is refused and what of it can be kept. It changes nothing that is kept there, and takes the
// directory's lock (ErrInUse) while it looks. Write makes the next start do it.
func AcceptLoss(dir string, o Options) (*Acceptance, error) {
	held, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = held.Close() }()
	copied, refusal := lookAt(dir, o)
	if refusal == nil && !copied {
		return nil, ErrWhole
	}
	a := &Acceptance{Copied: copied, NodeID: o.NodeID}
	if copied {
		a.Report = []string{"the directory is accepted as this node's own, although it is a copy: what the node has written elsewhere since is not in it"}
	}
	if refusal == nil {
		return a, nil
	}
	if !errors.Is(refusal, ErrDamaged) {
		return nil, refusal // a newer build's files, or another program's, are no loss
	}
	a.Refusal = withoutDir(dir, refusal)
	scratch, err := os.MkdirTemp(dir, "accept-loss-")
	if err != nil {
		return nil, fmt.Errorf("look for what is left: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()
	left, err := salvage(dir, filepath.Join(scratch, logFile))
	if err != nil {
		return nil, fmt.Errorf("%s; %w", a.Refusal, err)
	}
	a.Report = append(a.Report, left.report...)
	return a, nil
}

// lookAt returns why a directory is refused, apart from being a copy.
func lookAt(dir string, o Options) (copied bool, refusal error) {
	o.look = true
	files, err := openWhole(dir, o)
	if copied = errors.Is(err, ErrCopy); copied {
		o.AdoptCopy = true
		files, err = openWhole(dir, o)
	}
	if err != nil {
		return copied, err
	}
	return copied, files.close()
}

// withoutDir is a refusal as it reads from wherever the directory is named.
func withoutDir(dir string, err error) string {
	return strings.ReplaceAll(strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""), dir, ".")
}

// Write leaves the acceptance for the next start.
func (a *Acceptance) Write(dir string) error {
	content, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	if err := errors.Join(writeSynced(filepath.Join(dir, acceptanceFile), append(content, '\n')), syncDirectory(dir)); err != nil {
		return fmt.Errorf("write the acceptance: %w", err)
	}
	return nil
}

// ReadAcceptance returns the acceptance that waits in a directory; nil: none.
func ReadAcceptance(dir string) (*Acceptance, error) {
	path := filepath.Join(dir, acceptanceFile)
	content, err := readSmall(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // there is none as a rule
	}
	a := &Acceptance{}
	if err == nil {
		err = json.Unmarshal(content, a)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: remove it, and accept the loss again", path, err)
	}
	return a, nil
}

// acceptLoss returns the refusal of a start, or nil when there is none, or none any more since it was accepted.
func acceptLoss(dir string, o Options, refusal error) error {
	a, err := ReadAcceptance(dir)
	if err != nil || a == nil {
		return errors.Join(refusal, err)
	}
	path := filepath.Join(dir, acceptanceFile)
	if refusal == nil {
		o.Log.Warn("a loss was accepted, and nothing is missing: the acceptance is removed", "path", path)
		return os.Remove(path)
	}
	copied, damage := lookAt(dir, o)
	if damage != nil && !errors.Is(damage, ErrDamaged) {
		return refusal
	}
	now := ""
	if damage != nil {
		now = withoutDir(dir, damage)
	}
	if a.NodeID != o.NodeID || a.Copied != copied || a.Refusal != now {
		return fmt.Errorf("%w (something else was accepted: %q)", refusal, a.Refusal)
	}
	if damage != nil {
		left, err := salvage(dir, filepath.Join(dir, newLogFile))
		if err != nil {
			return fmt.Errorf("%w; %w", refusal, err)
		}
		if err := left.commit(dir); err != nil {
			return fmt.Errorf("%w; what is left cannot be put in its place: %w", refusal, err)
		}
	}
	o.Log.Warn("a loss was accepted", "refusal", a.Refusal, "report", strings.Join(a.Report, "; "))
	return errors.Join(os.Remove(path), syncDirectory(dir))
}
