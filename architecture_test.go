// Package callboard_test holds what is true of the module as a whole: which room may import which (this file), what must
// stay pure (purity_test.go), and that the documents' commands work (docs_test.go).
package callboard_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/callboard/callboard"

// A room is a directory, with everything below it that has no row of its own. It may import itself and what its row says:
// "x" is the package x, "x/..." is x and everything below. Imports from outside the module are free, unless the room is pure.
type room struct {
	dir      string
	may      []string // rooms of this module
	tests    bool     // the row holds for _test.go files too
	pure     bool     // imports from outside come from pureImports and `also`; purity_test.go reads the code
	also     []string
	required bool // the product is not whole without it: its loss is an error, not one check less
}

// rooms says how imports flow: cmd → server → transport, scheduler → fsm → proto. Never back, and never sideways between
// the rooms of transport: what one needs from a node it declares as a small interface, and server implements it.
var rooms = []room{
	{dir: "proto", required: true},

	{dir: "fsm", may: []string{"fsm/table", "proto/..."}, pure: true, required: true},
	{dir: "fsm/table", pure: true, also: []string{"sync", "sync/atomic"}},
	{dir: "fsm/snapshot", may: []string{"fsm", "fsm/table", "proto/..."}, pure: true, also: []string{"bufio", "io", "github.com/klauspost/compress/zstd"}},

	{dir: "scheduler", may: []string{"fsm", "proto/..."}, pure: true, required: true},

	{dir: "transport/auth", may: []string{"fsm", "proto/..."}},
	{dir: "transport/gossip", may: []string{"fsm", "proto/..."}},
	{dir: "transport/peer", may: []string{"fsm", "proto/..."}},
	{dir: "transport/raftnet", may: []string{"fsm", "proto/..."}},
	{dir: "transport/serverless", may: []string{"fsm", "proto/..."}},
	{dir: "transport/session", may: []string{"fsm", "proto/..."}},
	// These two answer with what scheduler.Explain and scheduler.Plan return.
	{dir: "transport/grpcapi", may: []string{"scheduler", "fsm", "proto/..."}},
	{dir: "transport/httpapi", may: []string{"scheduler", "fsm", "proto/..."}},

	// Nothing but the standard library: what an engine, a client and a runner know of certificates.
	{dir: "certs"},

	{dir: "server", may: []string{"transport/...", "certs", "scheduler", "fsm", "fsm/snapshot", "internal/logqueue", "proto/..."}, required: true},

	// Nothing but the standard library: what both the engine and the library put before their loggers.
	{dir: "internal/logqueue"},

	// What users import sees the public protocol and nothing of the engine.
	{dir: "client", may: []string{"proto/callboard/v1"}},
	{dir: "runner", may: []string{"certs", "proto/callboard/v1", "internal/logqueue"}, required: true},
	{dir: "examples", may: []string{"certs", "runner", "client", "proto/callboard/v1"}},

	{dir: "cmd/callboard", may: []string{"server", "certs", "runner", "client", "examples/...", "internal/logqueue", "proto/callboard/v1"}, required: true},

	// The benchmarks measure what users run, from outside; Raft's stores are there for Raft alone. bench/etcd is another module.
	{dir: "bench", may: []string{"jepsen/real", "runner", "client", "proto/callboard/v1", "transport/raftnet"}, tests: true},

	// The black box judges the product from outside; only the simulation looks in.
	{dir: "jepsen", may: []string{"certs", "runner", "client", "proto/callboard/v1"}, tests: true},
	{dir: "jepsen/sim", may: []string{"..."}, tests: true},

	// Tests of the module as a whole.
	{dir: ".", may: []string{"..."}},
}

// pureImports is all that a pure room may import from outside the module. An import belongs here when equal inputs give
// equal results: no clock, no randomness, no I/O, no goroutines, no logging. purity_test.go bans what is left of time, fmt
// and maps.
var pureImports = []string{
	"bytes", "cmp", "container/heap", "crypto/sha256", "encoding/base64", "encoding/binary", "encoding/hex", "encoding/json",
	"errors", "fmt", "hash", "hash/crc32", "hash/fnv", "iter", "maps", "math", "math/bits", "net/url", "slices", "sort", "strconv",
	"strings", "time", "unicode", "unicode/utf8",
	"github.com/cespare/xxhash/v2", "google.golang.org/protobuf/...",
}

// pureExceptions are single files that may import more, each for one reason.
var pureExceptions = map[string][]string{
	"fsm/view.go": {"sync"}, // Begin holds the only lock of the package
}

// source is one Go file, as far as imports go.
type source struct {
	path    string // from the module's root, with slashes
	imports []string
}

func TestImportsFlowOneWay(t *testing.T) {
	for _, finding := range checkImports(readSources(t)) {
		t.Error(finding)
	}
}

func TestRequiredRoomsExist(t *testing.T) {
	sources := readSources(t)
	for _, room := range rooms {
		if room.required && !slices.ContainsFunc(sources, func(s source) bool { return ships(s) && within(path.Dir(s.path), room.dir) }) {
			t.Errorf("%s: no Go file here; every check of this room would pass unseen", room.dir)
		}
	}
}

// TestImportCheckCanFail shows the check one file per rule that it must refuse, beside those that it must let pass.
func TestImportCheckCanFail(t *testing.T) {
	tests := []struct {
		name, file, imports, want string
	}{
		{"server uses a transport", "server/node.go", module + "/transport/session", ""},
		{"server uses the scheduler", "server/loop.go", module + "/scheduler", ""},
		{"a room uses itself", "cmd/callboard/main.go", module + "/cmd/callboard/output", ""},
		{"the API answers with explanations", "transport/httpapi/explain.go", module + "/scheduler", ""},
		{"the view locks", "fsm/view.go", "sync", ""},
		{"tables lock", "fsm/table/rows.go", "sync/atomic", ""},
		{"snapshots are compressed", "fsm/snapshot/write.go", "github.com/klauspost/compress/zstd", ""},
		{"the bench knows Raft's stores", "bench/child_bare.go", module + "/transport/raftnet", ""},
		{"tests of the core import what they like", "fsm/actor_test.go", "os", ""},
		{"the simulation looks in", "jepsen/sim/world.go", module + "/server", ""},
		{"outside modules are free elsewhere", "server/replica.go", "github.com/hashicorp/raft", ""},

		{"fsm looks up", "fsm/actor.go", module + "/scheduler", "fsm may not import scheduler"},
		{"scheduler looks up", "scheduler/place.go", module + "/server", "scheduler may not import server"},
		{"scheduler reaches into fsm", "scheduler/place.go", module + "/fsm/table", "scheduler may not import fsm/table"},
		{"a table knows the state", "fsm/table/rows.go", module + "/fsm", "fsm/table may not import fsm"},
		{"transport looks up", "transport/peer/peer.go", module + "/server", "transport/peer may not import server"},
		{"transport looks sideways", "transport/session/hold.go", module + "/transport/peer", "transport/session may not import transport/peer"},
		{"a session decides", "transport/session/hold.go", module + "/scheduler", "transport/session may not import scheduler"},
		{"the runner library sees the engine", "runner/run.go", module + "/fsm", "runner may not import fsm"},
		{"the runner library sees the log", "runner/run.go", module + "/proto/callboard/log/v1", "runner may not import proto/callboard/log/v1"},
		{"the client sees the runner library", "client/client.go", module + "/runner", "client may not import runner"},
		{"the binary goes past server", "cmd/callboard/main.go", module + "/fsm", "cmd/callboard may not import fsm"},
		{"the black box looks in", "jepsen/history.go", module + "/server", "jepsen may not import server"},
		{"the black box looks in from a test", "jepsen/history_test.go", module + "/fsm", "jepsen may not import fsm"},
		{"the bench looks in", "bench/case_million.go", module + "/fsm/snapshot", "bench may not import fsm/snapshot"},
		{"the root is imported", "server/node.go", module, "server may not import the root"},
		{"a room without a row", "util/strings.go", "strings", "util/strings.go: no room of architecture_test.go covers this directory"},
		{"code in transport itself", "transport/transport.go", "strings", "transport/transport.go: no room of architecture_test.go covers this directory"},

		{"fsm knows raft", "fsm/state.go", "github.com/hashicorp/raft", "fsm is pure and may not import github.com/hashicorp/raft"},
		{"fsm knows gRPC", "fsm/state.go", "google.golang.org/grpc", "fsm is pure and may not import google.golang.org/grpc"},
		{"fsm reads files", "fsm/state.go", "os", "fsm is pure and may not import os"},
		{"fsm locks outside view.go", "fsm/actor.go", "sync", "fsm is pure and may not import sync"},
		{"fsm does snapshots' I/O", "fsm/state.go", "io", "fsm is pure and may not import io"},
		{"scheduler logs", "scheduler/step.go", "log/slog", "scheduler is pure and may not import log/slog"},
		{"scheduler rolls dice", "scheduler/place.go", "math/rand/v2", "scheduler is pure and may not import math/rand/v2"},
		{"scheduler opens sockets", "scheduler/serverless.go", "net", "scheduler is pure and may not import net"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			findings := checkImports([]source{{path: test.file, imports: []string{test.imports}}})
			expectFinding(t, findings, test.want)
		})
	}
}

// expectFinding wants a finding that contains want, or none at all when want is empty.
func expectFinding(t *testing.T, findings []string, want string) {
	t.Helper()
	switch {
	case want == "" && len(findings) > 0:
		t.Errorf("reported without reason: %q", findings)
	case want != "" && !slices.ContainsFunc(findings, func(f string) bool { return strings.Contains(f, want) }):
		t.Errorf("got %q, want a finding with %q", findings, want)
	}
}

// checkImports returns a sentence for every import that the table does not allow.
func checkImports(sources []source) []string {
	var findings []string
	for _, source := range sources {
		room, found := roomOf(path.Dir(source.path))
		if !found {
			findings = append(findings, source.path+": no room of architecture_test.go covers this directory; give it a row there")
			continue
		}
		if !ships(source) && !room.tests {
			continue
		}
		for _, imported := range source.imports {
			if problem := room.refuses(source.path, imported); problem != "" {
				findings = append(findings, source.path+": "+problem)
			}
		}
	}
	return findings
}

// refuses says what is wrong with an import, or nothing.
func (r room) refuses(file, imported string) string {
	if inside, ok := strings.CutPrefix(imported+"/", module+"/"); ok {
		dir := path.Clean(inside) // "." for the root
		home, found := roomOf(dir)
		if (found && home.dir == r.dir) || matchesAny(dir, r.may) {
			return ""
		}
		if dir == "." {
			return r.dir + " may not import the root"
		}
		return fmt.Sprintf("%s may not import %s (it may import: %s)", r.dir, dir, strings.Join(r.may, ", "))
	}
	if !r.pure || matchesAny(imported, allowedOutside(file)) {
		return ""
	}
	return fmt.Sprintf("%s is pure and may not import %s", r.dir, imported)
}

// allowedOutside lists what a file of a pure room may import from outside the module.
func allowedOutside(file string) []string {
	room, _ := roomOf(path.Dir(file))
	return slices.Concat(pureImports, room.also, pureExceptions[file])
}

// roomOf finds the row with the longest directory around dir.
func roomOf(dir string) (room, bool) {
	best, found := room{}, false
	for _, candidate := range rooms {
		if within(dir, candidate.dir) && (!found || len(candidate.dir) > len(best.dir)) {
			best, found = candidate, true
		}
	}
	return best, found
}

// within reports whether dir is room or below it. The root is a room of its own and not around the others.
func within(dir, room string) bool {
	return dir == room || strings.HasPrefix(dir, room+"/")
}

func matchesAny(importPath string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		prefix, tree := strings.CutSuffix(pattern, "...")
		return importPath == strings.TrimSuffix(prefix, "/") || (tree && strings.HasPrefix(importPath, prefix))
	})
}

// ships reports whether a file is part of what users run, as opposed to a test.
func ships(s source) bool { return !strings.HasSuffix(s.path, "_test.go") }

// readSources parses the imports of every Go file of the module, whatever its build tags.
func readSources(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipForeign(file, entry.Name())
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(file)}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: import %s: %w", file, spec.Path.Value, err)
			}
			s.imports = append(s.imports, imported)
		}
		sources = append(sources, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// skipForeign leaves out what the go command leaves out too: testdata, hidden directories and other modules.
func skipForeign(dir, name string) error {
	if dir == "." {
		return nil
	}
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}
