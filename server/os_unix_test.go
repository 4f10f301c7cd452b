//go:build unix

package server

import (
	"log/slog"
	"syscall"
	"testing"
)

// TestOpenFilesAreRaised to what the machine allows.
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
	raiseOpenFiles(slog.New(slog.DiscardHandler))
	var after syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &after); err != nil || after.Cur != before.Max {
		t.Errorf("%d files may be open, the machine allows %d (%v)", after.Cur, before.Max, err)
	}
}
