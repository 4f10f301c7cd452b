//go:build linux

package real_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
)

// diskSize is that of each node's disk: room for a few logs of such a test.
const diskSize = "size=48m"

// The disk of a node is full, the leader's and then another's. The node says so and ends; the others go on, and nothing acknowledged is
// missing. Started on the full disk it says so again. With room it comes back and catches up.
func TestAFullDiskEndsOneNode(t *testing.T) {
	t.Parallel()
	s := emptyWorld(t)
	for _, id := range []string{"n1", "n2", "n3"} {
		s.mount(filepath.Join(s.Dir, "data", id))
	}
	s.found("n1", "n2", "n3")
	s.run(real.RunnerConfig{Key: "r", Pool: pool, Version: 1, Slots: 100_000})
	s.connected(pool, s.runners...)
	writers := s.write(5*time.Millisecond, s.callerOf("pulse", s.cluster.GRPCAddrs()))
	s.written(0)

	leader, err := s.cluster.Leader(s.Context())
	s.must(err)
	s.fullDisk(leader)
	leader, err = s.cluster.Leader(s.Context())
	s.must(err)
	s.fullDisk(s.follower(leader))
	writers.end()
	s.judge(pulse)
}

// fullDisk fills the disk of a node, and gives it room again.
func (s *scenario) fullDisk(n *real.Node) {
	s.Helper()
	filler := filepath.Join(n.DataDir, "filler")
	s.must(fill(filler))
	filled := time.Now()
	code, err := n.Wait(s.Context(), patience)
	s.must(err)
	ended := int64(history.Now())
	s.Logf("%s ended %v after its disk was full", n.ID, round(time.Since(filled)))
	if says := "the disk is full"; code != 1 || !strings.Contains(n.Log(), says) {
		s.Errorf("%s ended with code %d, want 1, and its log should say %q:\n%s", n.ID, code, says, n.Log())
	}
	s.promised("from its end until a write is acknowledged", s.written(ended), 3*time.Second)

	_, told, code, err := s.Command(s.Context(), nil, n.CommandLine()...)
	s.must(err)
	if says := "the disk is full"; code != 1 || !strings.Contains(told, says) {
		s.Errorf("on a full disk it starts with code %d, and %q: want 1, and %q", code, lastLine(told), says)
	}
	s.must(os.Remove(filler))
	s.must(s.cluster.Start(s.Context(), n))
	s.caughtUp(n)
}

// mount gives a directory a small disk of its own.
func (s *scenario) mount(dir string) {
	s.Helper()
	s.must(os.MkdirAll(dir, 0o700))
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, diskSize); err != nil {
		s.Skipf("!!! SKIPPED: a full disk is not tried, for this machine lets nobody mount one: %v", err)
	}
	s.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			s.Error(err)
		}
	})
}

// fill writes a file until there is no room.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if closed := f.Close(); !errors.Is(err, syscall.ENOSPC) {
		return errors.Join(err, closed)
	}
	return nil
}
