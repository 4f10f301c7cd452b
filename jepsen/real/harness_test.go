//go:build unix

package real

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/callboard/callboard/jepsen/history"
)

// newWorld makes a World of a shell script instead of the binaries.
func newWorld(t *testing.T, script string) *World {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := NewWorld(dir, Binaries{Callboard: program, TestRunner: program})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAPortBelongsToOneHarness(t *testing.T) {
	next := 0
	sequence := func() int { next++; return firstPort + next%3 }
	taken, dir := map[string]bool{}, t.TempDir()
	for range 2 {
		p := newPorts()
		p.dir = dir
		p.candidate = sequence
		p.free = func(int) error { return nil }
		t.Cleanup(func() { _ = p.release() })
		addr, err := p.take()
		if err != nil {
			t.Fatal(err)
		}
		if taken[addr] {
			t.Errorf("%s was given out twice", addr)
		}
		taken[addr] = true
		next = 0 // the second one begins where the first did
	}
}

func TestAPortThatSomebodyHasIsNotGivenOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	p := newPorts()
	defer func() { _ = p.release() }()
	p.candidate = func() int { return l.Addr().(*net.TCPAddr).Port }
	if addr, err := p.take(); !errors.Is(err, errNoPort) {
		t.Errorf("%s was given out, %v", addr, err)
	}
}

// A node that finds its port taken says so, and its cluster is tried again with other ports.
func TestAClusterIsTriedAgainWhenAPortIsTaken(t *testing.T) {
	w := newWorld(t, `echo 'Error: --grpc-addr: 127.0.0.1:1 is in use by another process: stop it' >&2; exit 1`)
	_, err := w.StartCluster(t.Context(), "n1")
	if !errors.Is(err, ErrPortTaken) {
		t.Errorf("got %v, want that a port is taken", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	events, err := w.History()
	if err != nil {
		t.Fatal(err)
	}
	starts := 0
	for _, e := range events {
		if e.Kind == history.Started {
			starts++
		}
	}
	if starts != startTries {
		t.Errorf("%d starts, want %d", starts, startTries)
	}
}

func TestANodeThatEndsAtOnceShowsItsLog(t *testing.T) {
	w := newWorld(t, "echo no space left; exit 3")
	_, err := w.StartCluster(t.Context(), "n1")
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v, want the log", err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestAPanicIsReported(t *testing.T) {
	w := newWorld(t, "echo 'panic: index out of range'")
	p, err := w.start("x", nil, w.Binaries.Callboard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context(), time.Minute); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "x: panic: index out of range") {
		t.Errorf("got %v, want the panic", err)
	}
}

func TestAProcessIsFrozenThawedAndKilled(t *testing.T) {
	w := newWorld(t, "echo running; exec sleep 1000")
	p, err := w.start("x", nil, w.Binaries.Callboard)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := p.Freeze(ctx); err != nil {
		t.Error(err)
	}
	if still, err := standsStill(p.PID()); err != nil || !still {
		t.Errorf("it does not stand still, %v", err)
	}
	if err := p.Thaw(); err != nil {
		t.Error(err)
	}
	if _, err := Until(ctx, time.Minute, "it runs again", func(context.Context) error {
		still, err := standsStill(p.PID())
		if err == nil && still {
			err = errors.New("it stands still")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if p.Running() {
		t.Error("it runs after it was killed")
	}
	if code, err := p.Wait(ctx, time.Minute); code != -1 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	events, err := w.History()
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range events {
		kinds = append(kinds, string(e.Kind))
	}
	if got := strings.Join(kinds, " "); got != "started frozen thawed ended killed" {
		t.Errorf("the history is: %s", got)
	}
}

// A process that does not end when it should is made to print its goroutines; a World that closes leaves none behind.
func TestNobodyIsLeftBehind(t *testing.T) {
	w := newWorld(t, "trap '' TERM; echo ready; exec sleep 1000")
	stubborn, err := w.start("x", nil, w.Binaries.Callboard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Until(t.Context(), time.Minute, "it is ready", func(context.Context) error {
		if !strings.Contains(stubborn.Log(), "ready") {
			return errors.New("it has not said so")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := stubborn.Terminate(); err != nil {
		t.Error(err)
	}
	if _, err := stubborn.Wait(t.Context(), 50*time.Millisecond); err == nil {
		t.Error("it ended, although it ignores SIGTERM")
	}
	other, err := w.start("y", nil, w.Binaries.Callboard)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if stubborn.Running() || other.Running() {
		t.Error("a process has outlived its World")
	}
}

func TestUntilSaysWhatIsMissing(t *testing.T) {
	looks := 0
	took, err := Until(t.Context(), time.Minute, "it is there", func(context.Context) error {
		if looks++; looks < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || looks != 3 || took <= 0 {
		t.Errorf("%v after %d looks and %v", err, looks, took)
	}
	_, err = Until(t.Context(), 20*time.Millisecond, "it is there", func(context.Context) error { return errors.New("no sign of it") })
	if err == nil || !strings.Contains(err.Error(), "it is there") || !strings.Contains(err.Error(), "no sign of it") {
		t.Errorf("got %v", err)
	}
}
