package callboard_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A mutant is the product with one guard taken out, and the tests that must then fail: each of them, by itself. It is how it is shown that
// what guards liveness and "at most one body" is tested: a test that passes without what it tests is worth nothing.
type mutant struct {
	name  string
	edits []edit
	red   []suite
}

// edit replaces a text that is in a file exactly once.
type edit struct{ file, old, new string }

// suite is some tests of one package.
type suite struct{ dir, run string }

// Where the suites are.
const (
	inRunner    = "./runner"
	inServer    = "./server"
	inSession   = "./transport/session"
	inScheduler = "./scheduler"
	inFSM       = "./fsm"
	inRelay     = "./transport/peer"
)

// Every mutant still fits the code. Whether its tests go red takes a while, and is tried by `make mutants`, which sets CALLBOARD_MUTANTS
// to the beginning of a name, or to "all".
func TestMutantsAreCaught(t *testing.T) {
	chosen := os.Getenv("CALLBOARD_MUTANTS")
	tried, deadline := 0, deadlineOf(t)
	all := slices.Concat(mutants, sessionMutants, coreMutants)
	for i, m := range all {
		files, err := m.files()
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		if chosen == "" || chosen != "all" && !strings.HasPrefix(m.name, chosen) {
			continue
		}
		tried++
		if left := time.Until(deadline); left < mutantTakes {
			t.Errorf("%s: not tried, %v are left of the time: run it alone with CALLBOARD_MUTANTS, or give -timeout more", m.name, left.Round(time.Second))
			continue
		}
		t.Logf("mutant %d of %d: %s", i+1, len(all), m.name)
		t.Run(m.name, func(t *testing.T) { m.try(t, files) })
	}
	switch {
	case chosen == "":
		t.Logf("!!! SKIPPED: whether the tests of %d mutants go red is not tried: run `make mutants`", len(all))
	case tried == 0:
		t.Errorf("CALLBOARD_MUTANTS=%s: no mutant begins like that", chosen)
	}
}

// mutantTakes is more than a mutant takes: what would not be over in time is not begun, so that every one has a verdict or is named.
const mutantTakes = 5 * time.Minute

func deadlineOf(t *testing.T) time.Time {
	if deadline, ok := t.Deadline(); ok {
		return deadline
	}
	return time.Now().Add(24 * time.Hour)
}

// files returns the changed files.
func (m mutant) files() (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, known := changed[e.file]
		if !known {
			original, err := os.ReadFile(e.file)
			if err != nil {
				return nil, err
			}
			text = string(original)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times what it would change:\n%s\nchange the mutant with the code", e.file, n, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// try runs the suites on the changed code. It changes no file of the tree: the compiler is shown others in their place.
func (m mutant) try(t *testing.T, files map[string]string) {
	overlay := m.overlay(t, files)
	binaries := map[string]string{} // one for each package: most of the time goes into making them
	for _, s := range m.red {
		if binaries[s.dir] == "" {
			binary := filepath.Join(t.TempDir(), "tests")
			if output, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-overlay", overlay, "-o", binary, s.dir).CombinedOutput(); err != nil {
				t.Fatalf("%s is not built with the mutant: %v\n%s", s.dir, err, output)
			}
			binaries[s.dir] = binary
		}
		began := time.Now()
		red, output := s.goesRed(t.Context(), binaries[s.dir])
		if !red {
			t.Errorf("%s %s does not fail:\n%s", s.dir, s.run, output)
			continue
		}
		t.Logf("%s %s: red after %v", s.dir, s.run, time.Since(began).Round(time.Millisecond))
	}
}

// overlay writes the changed files, and the list that shows them to the compiler.
func (m mutant) overlay(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, text := range files {
		original, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[original] = changed
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return list
}

// suiteTakes bounds the tests of one suite. One that is not over by then has not failed: a busy machine may be all that is wrong.
const suiteTakes = 3 * time.Minute

// goesRed tells whether the tests ran and failed.
func (s suite) goesRed(ctx context.Context, binary string) (bool, string) {
	command := exec.CommandContext(ctx, binary, "-test.run="+s.run, "-test.timeout="+suiteTakes.String())
	if s.dir == inFSM || s.dir == inScheduler {
		command.Args = append(command.Args, "-rapid.nofailfile", "-rapid.shrinktime=1ms") // the tree stays as it is; a small failure is not needed
	}
	command.Dir = s.dir
	output, err := command.CombinedOutput()
	failed := (*exec.ExitError)(nil)
	return errors.As(err, &failed) && strings.Contains(string(output), "--- FAIL: Test"), string(output)
}
