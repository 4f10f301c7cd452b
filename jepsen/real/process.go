//go:build unix

package real

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/callboard/callboard/jepsen/history"
)

// freezeLimit is how long a process may take to stand still.
const freezeLimit = 10 * time.Second

// Process is one process of a World, from its start to its end.
type Process struct {
	Name string // unique in the World: a second start has another

	world *World
	cmd   *exec.Cmd
	log   string
	done  chan struct{} // closed when it has ended and its end is in the history
}

// Start starts any program as a process of the World.
func (w *World) Start(name, program string, args ...string) (*Process, error) {
	return w.start(name, nil, program, args...)
}

// start runs a program. Its output goes to a file, which Log returns.
func (w *World) start(name string, env []string, program string, args ...string) (*Process, error) {
	return w.startTo(nil, name, env, program, args...)
}

// startTo is start with another place for standard error, unless it is nil.
func (w *World) startTo(stderr *os.File, name string, env []string, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, world: w, log: filepath.Join(w.Dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer func() { _ = out.Close() }() // the process has its own
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = environment(env)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if stderr != nil {
		p.cmd.Stderr = stderr
	}
	p.cmd.SysProcAttr = diesWithUs()
	w.tell(p, history.Started)
	if err := w.fork(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	w.waits.Go(func() {
		_ = p.cmd.Wait() // how it ended is in its ProcessState
		w.tell(p, history.Ended)
		close(p.done)
	})
	return p, nil
}

// environment is this process's own, without what would change what a process of ours does, and with more.
func environment(more []string) []string {
	ours := func(variable string) bool {
		return strings.HasPrefix(variable, "CALLBOARD_") || strings.HasPrefix(variable, "RIVET_")
	}
	return append(slices.DeleteFunc(os.Environ(), ours), more...)
}

// PID is its number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running tells whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Kill ends it with SIGKILL, and returns when it is gone.
func (p *Process) Kill() error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	p.world.tell(p, history.Killed)
	return nil
}

// Terminate asks it to end, with SIGTERM.
func (p *Process) Terminate() error { return p.signal(syscall.SIGTERM) }

// Wait waits for its end and returns its exit code; -1: a signal ended it. One that does not end in time is made to print where all its
// goroutines are, and so to end.
func (p *Process) Wait(ctx context.Context, limit time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, errors.Join(fmt.Errorf("%s has not ended after %v: see the goroutines in its log", p.Name, limit), p.signal(syscall.SIGQUIT))
	}
}

// Freeze stops it with SIGSTOP, and returns when it stands still.
func (p *Process) Freeze(ctx context.Context) error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	_, err := Until(ctx, freezeLimit, p.Name+" stands still", func(context.Context) error {
		still, err := standsStill(p.cmd.Process.Pid)
		if err == nil && !still {
			err = errors.New("it runs")
		}
		return err
	})
	if err == nil {
		p.world.tell(p, history.Frozen)
	}
	return err
}

// Thaw lets it go on.
func (p *Process) Thaw() error {
	err := p.signal(syscall.SIGCONT)
	p.world.tell(p, history.Thawed)
	return err
}

func (p *Process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%v to %s: %w", s, p.Name, err)
	}
	return nil
}

// Log returns what it has printed.
func (p *Process) Log() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// crashes are texts that no process prints unless it is broken.
var crashes = [][]byte{[]byte("panic: "), []byte("fatal error: "), []byte("WARNING: DATA RACE"), []byte("[signal SIG")}

// crashed returns the line that shows that it is broken; nothing if it is not.
func (p *Process) crashed() string {
	text := []byte(p.Log())
	for _, sign := range crashes {
		if at := bytes.Index(text, sign); at >= 0 {
			line, _, _ := bytes.Cut(text[at:], []byte("\n"))
			return p.Name + ": " + string(line)
		}
	}
	return ""
}
