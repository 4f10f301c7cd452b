//go:build unix

package callboard_test

import (
	"fmt"
	"go/ast"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// codesAtRunTime are the places where a refusal's group and code are no literals, and the codes that are made there.
var codesAtRunTime = map[string][]string{
	// The library refuses itself with a bare status of the stream: three of gRPC's codes, which the condition beside it names.
	`runner/session.go: "session", code.String()`: {"session.Unauthenticated", "session.PermissionDenied", "session.InvalidArgument"},
	// These hand on what somebody else refused.
	`transport/grpcapi/serverless.go: "serverless", q.Code`:                      nil,
	"transport/peer/cluster.go: ErrNotLeader.GetGroup(), ErrNotLeader.GetCode()": nil,
	"transport/peer/outcome.go: unknown.GetGroup(), unknown.GetCode()":           nil,
	"transport/httpapi/errors.go: errorBody{…}, errorBody{…}":                    nil,
	"runner/errors.go: e.GetGroup(), e.GetCode()":                                nil,
	"cmd/callboard/exit.go: refusal.GetGroup(), refusal.GetCode()":               nil,
}

// Where a code comes from says over what it is told: the library and the command line tell theirs without a status, and what is only
// made for the streams of runners has no HTTP.
var (
	madeByCaller  = regexp.MustCompile(`^(runner|cmd)/`)
	madeForStream = regexp.MustCompile(`^(runner|cmd|transport/session)/|^scheduler/(hello|heartbeat|report)\.go$`)
)

var effects = []string{"no", "unknown", "only the wait ended", "no, or only the wait ended"}

// TestErrorsAreAsDocumented: every code that the sources can make has its row in docs/errors.md, and every row has a code, its
// statuses, and says what took effect. The table of statuses names no code that nobody makes.
func TestErrorsAreAsDocumented(t *testing.T) {
	const document = "docs/errors.md"
	made := codesMade(t)
	rows := map[string]bool{}
	for i, line := range strings.Split(readDocument(t, document), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| code |") {
			continue
		}
		columns := strings.Split(strings.Trim(line, "| "), " | ")
		if len(columns) != 6 {
			t.Errorf("%s:%d: %d columns, want 6", document, i+1, len(columns))
			continue
		}
		name := strings.Trim(columns[0], "`")
		complain := func(format string, args ...any) {
			t.Errorf("%s:%d: %s: %s", document, i+1, name, fmt.Sprintf(format, args...))
		}
		if rows[name] {
			complain("it has two rows")
		}
		rows[name] = true
		if made[name] == nil {
			complain("no code makes it")
			continue
		}
		if grpc, http := statusesOf(name, made[name]); columns[1] != grpc || columns[2] != http {
			complain("its statuses are %s and %s, not %s and %s", grpc, http, columns[1], columns[2])
		}
		if !slices.Contains(effects, columns[4]) {
			complain("did it take effect? %q is none of %q", columns[4], effects)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(made)) {
		if !rows[name] {
			t.Errorf("%s has no row for %s, which is made in %s", document, name, strings.Join(slices.Compact(made[name]), ", "))
		}
	}
	for _, name := range codesWithStatus(t) {
		if made[name] == nil {
			t.Errorf("the table of statuses has %s, and nobody makes it", name)
		}
	}
}

// codesMade returns the files that make each code, those at run time included.
func codesMade(t *testing.T) map[string][]string {
	made, unknown := codesInSources(t)
	for place := range unknown {
		if _, ok := codesAtRunTime[place]; !ok {
			t.Errorf("%s: which code is that? Make it a literal, or list it in codesAtRunTime", place)
		}
	}
	for place, names := range codesAtRunTime {
		if !unknown[place] {
			t.Errorf("codesAtRunTime lists %s, which is not there", place)
		}
		file, _, _ := strings.Cut(place, ":")
		for _, name := range names {
			made[name] = append(made[name], file)
		}
	}
	return made
}

// statusesOf returns what the page has to say about a code that is made in some files.
func statusesOf(name string, files []string) (grpc, http string) {
	onlyIn := func(where *regexp.Regexp) bool {
		return !slices.ContainsFunc(files, func(file string) bool { return !where.MatchString(file) })
	}
	group, code, _ := strings.Cut(name, ".")
	refusal := callboardv1.Refuse(group, code, "")
	grpc, http = wordOf(refusal.GRPCStatus().Code().String()), strconv.Itoa(refusal.HTTPStatus())
	if onlyIn(madeByCaller) {
		grpc = "–"
	}
	if onlyIn(madeForStream) {
		http = "–"
	}
	return grpc, http
}

// wordOf is the name of a gRPC status as its specification writes it.
func wordOf(name string) string {
	if name == "Canceled" {
		return "CANCELLED"
	}
	return strings.ToUpper(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(name, "${1}_$2"))
}

// codesWithStatus returns the codes that the table of statuses names.
func codesWithStatus(t *testing.T) (names []string) {
	ast.Inspect(parsed(t, "proto/callboard/v1/errors.go"), func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || spec.Names[0].Name != "statusByName" {
			return true
		}
		for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
			name, _ := textOf(element.(*ast.KeyValueExpr).Key)
			names = append(names, name)
		}
		return false
	})
	if len(names) == 0 {
		t.Error("there is no table of statuses")
	}
	return names
}
