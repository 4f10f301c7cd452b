//go:build unix

package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOpenFilesAreRaised to what the machine allows, before a node opens anything.
func TestOpenFilesAreRaised(t *testing.T) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) })
	low := before
	low.Cur = before.Max / 2
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "no directory")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const anyPort = "127.0.0.1:0"
	if err := Run(t.Context(), Config{
		Name: "n1", DataDir: file, BootstrapExpect: 1, HTTPAddr: anyPort, GRPCAddr: anyPort, RaftAddr: anyPort,
		Timing: DefaultTiming(), Log: slog.New(slog.DiscardHandler),
	}); err == nil {
		t.Error("a node runs without a directory")
	}
	var after syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after); err != nil || after.Cur != before.Max {
		t.Errorf("%d files may be open, the machine allows %d (%v)", after.Cur, before.Max, err)
	}
}
