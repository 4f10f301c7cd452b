package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/callboard/callboard/transport/raftnet"
)

var errKilled = errors.New("killed")

// damagedNode is the directory of a damaged node that begins anew, and what its cluster has been asked.
type damagedNode struct {
	*rejoin
	removals []string
	steps    []string
	killAt   string
}

func newDamagedNode(t *testing.T) *damagedNode {
	t.Helper()
	d := &damagedNode{rejoin: &rejoin{dir: t.TempDir(), name: "n1", only: RejoinDamaged, log: slog.New(slog.DiscardHandler)}}
	d.whole = func() error {
		unlock, err := lockDataDir(d.dir) // as opening the stores does
		if err != nil {
			return err
		}
		return errors.Join(fmt.Errorf("raft.db: %w", raftnet.ErrDamaged), unlock())
	}
	d.remove = func(_ context.Context, r rejoinRecord) error {
		d.removals = append(d.removals, r.OldID)
		return nil
	}
	d.done = func(step string) error {
		d.steps = append(d.steps, step)
		if step == d.killAt {
			return errKilled
		}
		return nil
	}
	for name, content := range map[string]string{
		"raft.db": "x", "raft.mark": "y", "snapshots/one/state": "z",
	} {
		path := filepath.Join(d.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (identity{NodeID: "n1-old", ClusterID: "c1", Marked: true}).save(d.dir); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *damagedNode) holds(name string) bool {
	_, err := os.Stat(filepath.Join(d.dir, name))
	return err == nil
}

// A damaged node that is killed at any step of beginning anew ends there all the same when it is started again: one new id, the old files
// aside, whole, and not one of them moved before the old id was removed.
func TestBeginningAnewMayBeInterruptedAnywhere(t *testing.T) {
	whole := newDamagedNode(t)
	if err := whole.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(whole.steps) < 7 {
		t.Fatalf("steps %q: this test should see each file", whole.steps)
	}
	for _, step := range whole.steps {
		t.Run(step, func(t *testing.T) {
			d := newDamagedNode(t)
			d.killAt = step
			if err := d.run(t.Context()); !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			if len(d.removals) == 0 && (!d.holds("raft.db") || !d.holds(identityFile)) {
				t.Error("a file was moved before the old id was removed")
			}
			meant, err := d.begun()
			if err != nil {
				t.Fatal(err)
			}
			d.killAt = ""
			if len(d.removals) > 0 && step != "removed" {
				d.only = "" // what has begun goes on without the flag
			}
			if err := d.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			d.only = RejoinDamaged
			now, err := readIdentity(d.dir)
			if err != nil || now.NodeID != meant.NewID || now.ClusterID != "" || now.NodeID == "n1-old" {
				t.Errorf("it is %+v (%v), want the new id %s and no cluster yet", now, err, meant.NewID)
			}
			for _, name := range []string{"raft.db", "raft.mark", "snapshots/one/state", identityFile} {
				if !d.holds(filepath.Join(asidePrefix+"n1-old", name)) {
					t.Errorf("%s is not aside", name)
				}
			}
			if d.holds("raft.db") || d.holds(rejoinFile) {
				t.Error("something is left in the old place")
			}
			if slices.ContainsFunc(d.removals, func(id string) bool { return id != "n1-old" }) {
				t.Errorf("removed %q", d.removals)
			}
			// The flag may stay on the line: the node is whole now.
			d.whole = func() error { return nil }
			if err := d.run(t.Context()); err != nil {
				t.Error(err)
			}
			if again, _ := readIdentity(d.dir); again != now {
				t.Errorf("a start later it is %+v", again)
			}
		})
	}
}

// Without a removal nothing is changed; a directory that is whole, in use, or another node's is left alone; one that names nobody is refused.
func TestBeginningAnewChangesNothingWithoutReason(t *testing.T) {
	refused := errors.New("no quorum")
	for name, c := range map[string]struct {
		with func(d *damagedNode)
		want error // nil: the node starts as it is
	}{
		"the others have no quorum": {func(d *damagedNode) { d.remove = func(context.Context, rejoinRecord) error { return refused } }, refused},
		"it is in use":              {func(d *damagedNode) { d.whole = func() error { return raftnet.ErrInUse } }, raftnet.ErrInUse},
		"it is of a newer build":    {func(d *damagedNode) { d.whole = func() error { return raftnet.ErrNewer } }, raftnet.ErrNewer},
		"it is whole":               {func(d *damagedNode) { d.whole = func() error { return nil } }, nil},
		"another node is meant":     {func(d *damagedNode) { d.only = "n2-other" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDamagedNode(t)
			c.with(d)
			if err := d.run(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if id, err := readIdentity(d.dir); err != nil || id.NodeID != "n1-old" || !d.holds("raft.db") || len(d.removals) > 0 {
				t.Errorf("it is %v (%v), removals %q", id, err, d.removals)
			}
		})
	}
	t.Run("a whole node that is named", func(t *testing.T) {
		d := newDamagedNode(t)
		d.only, d.whole = "n1-old", func() error { return nil }
		if err := d.run(t.Context()); err != nil || len(d.removals) != 1 || d.holds("raft.db") {
			t.Errorf("%v, removals %q", err, d.removals)
		}
	})
	t.Run("node.json is gone", func(t *testing.T) {
		d := newDamagedNode(t)
		_ = os.Remove(filepath.Join(d.dir, identityFile))
		if err := d.run(t.Context()); err == nil || !d.holds("raft.db") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a first start", func(t *testing.T) {
		d := newDamagedNode(t)
		d.dir = filepath.Join(d.dir, "nothing")
		if err := d.run(t.Context()); err != nil || len(d.removals) > 0 {
			t.Errorf("%v", err)
		}
	})
}
