//go:build unix

package callboard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// session runs the commands of one document as if typed into one terminal (and, while something keeps running, a second
// one): directory and exported variables carry over from command to command.
type session struct {
	state      string // a script that restores directory and variables
	env        []string
	addresses  *strings.Replacer // those in the documents → those used here
	health     string
	patience   time.Duration // until what a command expects must have become true
	startLimit time.Duration // for one command, and until what keeps running is there; both may have to compile first
	running    []*process
}

// newSession chooses free ports, so that an engine that already runs on this machine is not in the way.
func newSession(t *testing.T, bin string) *session {
	t.Helper()
	free := freeAddresses(t, 5)
	httpAddr, grpcAddr := free[0], free[1]
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "CALLBOARD_") || strings.HasPrefix(variable, "RIVET_")
	})
	env = append(env,
		"CALLBOARD_HTTP_ADDR="+httpAddr,
		"CALLBOARD_GRPC_ADDR="+grpcAddr,
		"CALLBOARD_RAFT_ADDR="+free[2],
		"CALLBOARD_GOSSIP_ADDR="+free[3],
		"CALLBOARD_METRICS_ADDR="+free[4],
		"CALLBOARD_ADDRESS="+grpcAddr,
		"CALLBOARD_ENDPOINT="+grpcAddr,
		"GOBIN="+bin,
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"TMPDIR="+t.TempDir(),
	)
	s := &session{
		state: filepath.Join(t.TempDir(), "state"),
		env:   env,
		addresses: strings.NewReplacer(
			"127.0.0.1:6420", httpAddr, "localhost:6420", httpAddr,
			"127.0.0.1:6421", grpcAddr, "localhost:6421", grpcAddr,
		),
		health:     "http://" + httpAddr + "/health",
		patience:   30 * time.Second,
		startLimit: 3 * time.Minute,
	}
	if err := os.WriteFile(s.state, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.stop() }) // for a test that failed half-way; stop is asked for its error before
	return s
}

// freeAddresses are free when it returns; all are held at once, so that they differ.
func freeAddresses(t *testing.T, count int) []string {
	t.Helper()
	var addresses []string
	for range count {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses
}

func (s *session) run(ctx context.Context, step step) error {
	switch {
	case step.command == theTestCommand:
		return nil
	case strings.HasPrefix(step.command, "# Ctrl-C"):
		return s.interrupt()
	case step.keepsRunning:
		return s.start(ctx, step)
	case len(step.expects) == 0:
		return s.attempt(ctx, step)
	default:
		return eventually(ctx, s.patience, func() error { return s.attempt(ctx, step) })
	}
}

// attempt runs a command once, to its end.
func (s *session) attempt(ctx context.Context, step step) error {
	command, err := s.spawn(step.command)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.startLimit)
	defer cancel()
	select {
	case <-command.done:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("still running after %v", s.startLimit), command.stop())
	}
	if command.err != nil {
		return command.said(command.err)
	}
	return command.said(s.misses(step, command))
}

// start leaves a command running once the engine answers.
func (s *session) start(ctx context.Context, step step) error {
	command, err := s.spawn(step.command)
	if err != nil {
		return err
	}
	s.running = append(s.running, command)
	return command.said(eventually(ctx, s.startLimit, func() error {
		if command.ended() {
			return final{errors.New("it ended, but was to keep running")}
		}
		return errors.Join(s.answers(ctx), s.misses(step, command))
	}))
}

// answers reports whether the engine says that it is well.
func (s *session) answers(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.health, nil)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", s.health, response.Status)
	}
	return nil
}

// misses names the expected texts that a command has not written.
func (s *session) misses(step step, command *process) error {
	output := command.output.String()
	for _, expect := range step.expects {
		if !wholeWords(s.addresses.Replace(expect)).MatchString(output) {
			return fmt.Errorf("expected %q", expect)
		}
	}
	return nil
}

var wordAtEdge = regexp.MustCompile(`^\w|\w$`)

// wholeWords matches a text where it is no part of a longer word: "connected" is not in "disconnected".
func wholeWords(text string) *regexp.Regexp {
	pattern := regexp.QuoteMeta(text)
	for _, edge := range wordAtEdge.FindAllStringIndex(text, -1) {
		if edge[0] == 0 {
			pattern = `\b` + pattern
		}
		if edge[1] == len(text) {
			pattern += `\b`
		}
	}
	return regexp.MustCompile(pattern)
}

// interrupt is stop in the middle of a document, where something must be running.
func (s *session) interrupt() error {
	if len(s.running) == 0 || s.running[len(s.running)-1].ended() {
		return errors.New("nothing keeps running")
	}
	return s.stop()
}

// stop ends what keeps running, the last one first, as Ctrl-C would.
func (s *session) stop() error {
	var failures []error
	for _, command := range slices.Backward(s.running) {
		failures = append(failures, command.stop())
	}
	s.running = nil
	return errors.Join(failures...)
}

// process is a command and everything it started: a process group.
type process struct {
	text   string
	group  int
	output lockedBuffer
	done   chan struct{} // closed when it has ended; err is set before
	err    error
}

func (s *session) spawn(text string) (*process, error) {
	script := `. "$1"
` + s.addresses.Replace(text) + `
code=$?
{ export -p; printf 'cd %q\n' "$PWD"; } >"$1"
exit $code`
	p := &process{text: text, done: make(chan struct{})}
	command := exec.Command("bash", "--noprofile", "--norc", "-c", script, "bash", s.state)
	command.Env = s.env
	command.Stdout, command.Stderr = &p.output, &p.output
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.WaitDelay = 5 * time.Second // for a grandchild that keeps the output open
	if err := command.Start(); err != nil {
		return nil, err
	}
	p.group = command.Process.Pid
	go func() {
		p.err = command.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the group to end. One that has to be killed is a finding: Ctrl-C would not have ended it either.
func (p *process) stop() error {
	const grace = 20 * time.Second
	if p.ended() {
		return nil
	}
	_ = syscall.Kill(-p.group, syscall.SIGINT)
	select {
	case <-p.done:
		_ = syscall.Kill(-p.group, syscall.SIGKILL) // whatever it left behind
		return nil
	case <-time.After(grace):
	}
	_ = syscall.Kill(-p.group, syscall.SIGKILL)
	<-p.done
	return p.said(fmt.Errorf("$ %s: still there %v after Ctrl-C", p.text, grace))
}

// said adds to an error what the command wrote.
func (p *process) said(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w\n%s", err, p.output.String())
}

// lockedBuffer is written by a process while the test reads it.
type lockedBuffer struct {
	mutex sync.Mutex // os/exec writes from a goroutine of its own
	bytes bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.bytes.String()
}

// final is an error that trying again cannot mend.
type final struct{ error }

// eventually tries until there is no error, and returns the last one when the limit has passed.
func eventually(ctx context.Context, limit time.Duration, try func() error) error {
	deadline := time.After(limit)
	pause := time.NewTicker(200 * time.Millisecond)
	defer pause.Stop()
	for {
		err := try()
		if err == nil || errors.As(err, &final{}) {
			return err
		}
		select {
		case <-pause.C:
		case <-deadline:
			return fmt.Errorf("not within %v: %w", limit, err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// TestDocumentSessionCanFail runs small documents that must be refused, beside those that must pass.
func TestDocumentSessionCanFail(t *testing.T) {
	engine := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(engine.Close)
	dead := freeAddresses(t, 1)[0]

	tests := []struct {
		name, document, health, want string
	}{
		{"success", "$ true", engine.URL, ""},
		{"what is expected", "$ echo one two\n# expect: one", engine.URL, ""},
		{"variables and directories carry over", "$ export A=7\n$ cd docs\n$ echo $A $PWD\n# expect: 7 /", engine.URL, ""},
		{"part of a text", `$ echo '{"generation":7}'` + "\n# expect: \"generation\"", engine.URL, ""},
		{"a command of two lines", "$ echo one \\\n    two\n# expect: one two", engine.URL, ""},
		{"the test command is left out", "$ go test ./...", engine.URL, ""},
		{"it becomes true", "$ echo x >>$TMPDIR/n; wc -l <$TMPDIR/n\n# expect: 3", engine.URL, ""},
		{"something keeps running", "$ echo ready; sleep 60\n# keeps running\n# expect: ready", engine.URL, ""},
		{"it is ended", "$ echo $$ >$TMPDIR/n; sleep 60\n# keeps running\n$ kill -0 $(cat $TMPDIR/n)\n# expect: \n$ # Ctrl-C\n$ ! kill -0 $(cat $TMPDIR/n)", engine.URL, ""},
		{"addresses are replaced", "$ echo 127.0.0.1:6420; echo $CALLBOARD_HTTP_ADDR\n# expect: 127.0.0.1:6420\n$ [ 127.0.0.1:6420 = $CALLBOARD_HTTP_ADDR ]", engine.URL, ""},

		{"failure", "$ false", engine.URL, "exit status 1"},
		{"an unknown command", "$ callbord status", engine.URL, "callbord: command not found"},
		{"failure that printed what is expected", "$ echo one; false\n# expect: one", engine.URL, "exit status 1"},
		{"something else", "$ echo one\n# expect: two", engine.URL, "expected \"two\"\none"},
		{"part of a word", "$ echo disconnected\n# expect: connected", engine.URL, `expected "connected"`},
		{"the second expectation", "$ echo one\n# expect: one\n# expect: two", engine.URL, `expected "two"`},
		{"it does not keep running", "$ echo sorry\n# keeps running", "http://" + dead, "it ended, but was to keep running\nsorry"},
		{"no engine answers", "$ sleep 60\n# keeps running", "http://" + dead, "not within"},
		{"nothing to end", "$ # Ctrl-C in the first terminal", engine.URL, "nothing keeps running"},
		{"it never ends", "$ sleep 60", engine.URL, "still running after"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			steps, err := parseConsole("```console\n" + test.document + "\n```")
			if err != nil {
				t.Fatal(err)
			}
			s := newSession(t, t.TempDir())
			s.health, s.patience, s.startLimit = test.health, 2*time.Second, 2*time.Second
			for _, step := range steps {
				if err = s.run(t.Context(), step); err != nil {
					break
				}
			}
			expectError(t, errors.Join(err, s.stop()), test.want)
		})
	}
}

func TestDocumentParserCanFail(t *testing.T) {
	tests := []struct {
		name, document, want string
	}{
		{"a command in another block", "```sh\n$ callboard status\n```", "2: a command in a block that is not marked console"},
		{"a block without end", "text\n```console\n$ true", "2: this block has no end"},
		{"an expectation without a command", "```console\n$ true\n```\n```console\n# expect: x\n```", "5: \"# expect: x\" belongs to no command"},
		{"a mark without a command", "```console\n# keeps running\n```", "belongs to no command"},
		{"prose with a dollar", "$ 5 is not a command", ""},
		{"sample output", "```console\n$ true\nsome output\n```", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseConsole(test.document)
			expectError(t, err, test.want)
		})
	}
}

// expectError wants an error that contains want, or none when want is empty.
func expectError(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused without reason: %v", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v, want an error with %q", err, want)
	}
}
