//go:build unix

package callboard_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// executedDocuments are those whose commands a newcomer types first, in this order. Their blocks marked "console" run here:
//
//	$ callboard actor list --name counter     a command; a line that ends in a backslash goes on in the next one
//	# expect: counter                          a text that its output must contain, after 30 s at the latest
//	# keeps running                            it is not waited for, only until the engine answers /health
//	$ # Ctrl-C …                               ends what keeps running
//
// All other lines are sample output, for people.
var executedDocuments = []string{"README.md", "docs/quickstart.md", "docs/failure-modes.md"}

// theTestCommand is the one command that cannot run here: it would run this test again.
const theTestCommand = "go test ./..."

func TestDocumentCommands(t *testing.T) {
	if _, err := os.Stat("cmd/callboard"); errors.Is(err, fs.ErrNotExist) {
		skipLoudly(t, "there is no cmd/callboard yet, so no document can be tried")
	}
	if _, err := exec.LookPath("bash"); err != nil {
		if runtime.GOOS != "linux" {
			skipLoudly(t, "no bash here: "+err.Error())
		}
		t.Fatal(err)
	}
	bin := t.TempDir()
	if output, err := exec.Command("go", "build", "-o", filepath.Join(bin, "callboard"), "./cmd/callboard").CombinedOutput(); err != nil {
		t.Fatalf("go build ./cmd/callboard: %v\n%s", err, output)
	}
	for _, document := range executedDocuments {
		t.Run(document, func(t *testing.T) {
			steps, err := parseConsole(readDocument(t, document))
			if err != nil {
				t.Fatalf("%s:%v", document, err)
			}
			if len(steps) == 0 {
				t.Fatalf("%s has no commands", document)
			}
			s := newSession(t, bin)
			for _, step := range steps {
				t.Logf("%s:%d: $ %s", document, step.line, step.command)
				if err := s.run(t.Context(), step); err != nil {
					t.Fatalf("%s:%d: $ %s\n%v", document, step.line, step.command, err)
				}
			}
			if err := s.stop(); err != nil {
				t.Errorf("%s: %v", document, err)
			}
		})
	}
}

// TestReadmeCommands keeps the README's promise: two commands, executed here and by .ci/run.
func TestReadmeCommands(t *testing.T) {
	steps, err := parseConsole(readDocument(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"go run ./cmd/callboard dev --demo", theTestCommand} {
		if !slices.ContainsFunc(steps, func(s step) bool { return s.command == want }) {
			t.Errorf("README.md has no command %q", want)
		}
	}
}

var (
	link      = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)
	shownCode = regexp.MustCompile("(?s)```go title=(\\S+)\n(.*?)```")
)

// TestDocumentsPointSomewhere checks relative links, and that a Go block with a title is that file, word for word.
func TestDocumentsPointSomewhere(t *testing.T) {
	for _, document := range allDocuments(t) {
		text := readDocument(t, document)
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], ":") {
				continue // not a file
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), found[1])); err != nil {
				t.Errorf("%s links to %s: %v", document, found[1], err)
			}
		}
		for _, found := range shownCode.FindAllStringSubmatch(text, -1) {
			if file := readDocument(t, found[1]); file != found[2] {
				t.Errorf("%s shows a %s that differs from the file; copy it again", document, found[1])
			}
		}
	}
}

// TestEveryPieceOfANodeIsNamed: the architecture names each file of package server, so that a new piece gets its line there.
func TestEveryPieceOfANodeIsNamed(t *testing.T) {
	const document = "docs/architecture.md"
	text := readDocument(t, document)
	pieces, err := filepath.Glob("server/*.go")
	if err != nil || len(pieces) == 0 {
		t.Fatalf("server has no files: %v", err)
	}
	for _, piece := range pieces {
		if strings.HasSuffix(piece, "_test.go") || piece == "server/doc.go" {
			continue
		}
		if !strings.Contains(text, "(../"+piece+")") {
			t.Errorf("%s does not name %s: say what it is for, under \"Inside an engine node\"", document, piece)
		}
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func skipLoudly(t *testing.T, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "!!! SKIPPED %s: %s\n", t.Name(), why)
	t.Skip(why)
}

// step is one command of a document.
type step struct {
	line         int
	command      string
	expects      []string
	keepsRunning bool
}

// parseConsole finds the commands of a document. Prompts in another kind of block would never be tried: they are an error.
func parseConsole(text string) ([]step, error) {
	var steps []step
	block, blockLine, open := "", 0, false // what the fence says, and where it stands
	continued := false
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		if fence, ok := strings.CutPrefix(line, "```"); ok {
			block, blockLine, open, continued = fence, number, !open, false
			continue
		}
		command, prompt := strings.CutPrefix(line, "$ ")
		expect, expected := strings.CutPrefix(line, "# expect: ")
		marked := expected || strings.HasPrefix(line, "# keeps running")
		switch {
		case !open:
		case block != "console" && prompt:
			return nil, fmt.Errorf("%d: a command in a block that is not marked console", number)
		case block != "console":
		case continued:
			last := &steps[len(steps)-1]
			last.command, continued = strings.CutSuffix(last.command+strings.TrimSpace(line), "\\")
		case prompt:
			command, continued = strings.CutSuffix(command, "\\")
			steps = append(steps, step{line: number, command: command})
		case marked && (len(steps) == 0 || steps[len(steps)-1].line < blockLine):
			return nil, fmt.Errorf("%d: %q belongs to no command of its block", number, line)
		case expected:
			last := &steps[len(steps)-1]
			last.expects = append(last.expects, expect)
		case marked:
			steps[len(steps)-1].keepsRunning = true
		}
	}
	if open {
		return nil, fmt.Errorf("%d: this block has no end", blockLine)
	}
	return steps, nil
}
