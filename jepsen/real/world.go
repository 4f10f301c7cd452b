//go:build unix

package real

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/callboard/callboard/client"
	"github.com/callboard/callboard/jepsen/history"
)

// World is everything that one run has started.
type World struct {
	Dir      string // of every file of the run
	Binaries Binaries
	Secure   *Secure // set before the first node; nil: nothing speaks TLS

	recorder *history.Recorder
	ports    *ports
	forks    chan func()
	waits    sync.WaitGroup // goroutines that wait for processes, and the one that forks

	mu        sync.Mutex // scenarios start several things at once
	starts    map[string]int
	processes []*Process
	records   []string // files of the history
	links     []*Link
}

// Secure is the TLS of a world.
type Secure struct {
	NodeArgs func(id string) []string // of the command line of a node
	Client   *tls.Config              // of callers
	Env      []string                 // of runners
}

// secure is what a client needs.
func (w *World) secure() []client.Option {
	if w.Secure == nil {
		return nil
	}
	return []client.Option{client.WithTLS(w.Secure.Client)}
}

// NewWorld makes an empty World in a directory that exists.
func NewWorld(dir string, binaries Binaries) (*World, error) {
	own := filepath.Join(dir, "history.jsonl")
	recorder, err := history.Append(own, "harness")
	if err != nil {
		return nil, err
	}
	w := &World{
		Dir: dir, Binaries: binaries, recorder: recorder, ports: newPorts(), forks: make(chan func()),
		starts: map[string]int{}, records: []string{own},
	}
	w.waits.Go(w.forkAll)
	return w, nil
}

// forkAll starts all processes from one thread that lives as long as the World: "dies with its parent" is about threads.
func (w *World) forkAll() {
	runtime.LockOSThread() // never unlocked: the thread ends here
	for f := range w.forks {
		f()
	}
}

func (w *World) fork(start func() error) error {
	done := make(chan error, 1)
	w.forks <- func() { done <- start() }
	return <-done
}

// nextName names the next start of something.
func (w *World) nextName(what string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.starts[what]++
	return fmt.Sprintf("%s.%d", what, w.starts[what])
}

// Record adds an event to the history.
func (w *World) Record(e history.Event) { w.recorder.Record(e) }

func (w *World) tell(p *Process, kind history.Kind) {
	w.Record(history.Event{Process: p.Name, Kind: kind})
}

// History returns what has happened so far.
func (w *World) History() ([]history.Event, error) {
	w.mu.Lock()
	paths := append([]string(nil), w.records...)
	w.mu.Unlock()
	return history.Read(paths...)
}

// Command runs a client command of callboard to its end.
func (w *World) Command(ctx context.Context, env []string, args ...string) (stdout, stderr string, code int, err error) {
	cmd := exec.CommandContext(ctx, w.Binaries.Callboard, args...)
	cmd.Env = environment(env)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = w.fork(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && ctx.Err() == nil {
		err = nil
	}
	if err != nil {
		return "", "", 0, fmt.Errorf("callboard %s: %w\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode(), nil
}

// Close kills what is left and waits for it. Its error names what is broken: a process that panicked, a history with holes.
func (w *World) Close() error {
	w.mu.Lock()
	processes, links := w.processes, w.links
	w.mu.Unlock()
	var errs []error
	for _, p := range processes {
		if p.Running() {
			errs = append(errs, p.Kill())
		}
		if line := p.crashed(); line != "" {
			errs = append(errs, errors.New(line))
		}
	}
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	close(w.forks)
	w.waits.Wait()
	return errors.Join(append(errs, w.ports.release(), w.recorder.Close())...)
}

// Logs returns the last lines of every process's log, for whoever wants to know why a run failed.
func (w *World) Logs(lines int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, p := range w.processes {
		text := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
		fmt.Fprintf(&b, "=== %s", p.Name)
		if len(text) > lines {
			fmt.Fprintf(&b, " (the last %d of %d lines)", lines, len(text))
			text = text[len(text)-lines:]
		}
		b.WriteString("\n" + strings.Join(text, "\n") + "\n")
	}
	return b.String()
}

// Keep copies everything to a directory, when CALLBOARD_JEPSEN_KEEP names one.
func (w *World) Keep(name string) error {
	dir := os.Getenv("CALLBOARD_JEPSEN_KEEP")
	if dir == "" {
		return nil
	}
	return os.CopyFS(filepath.Join(dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(name, "/", "-"), time.Now().Unix())), os.DirFS(w.Dir))
}
