//go:build unix

package callboard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// documentedMetric is a metric in the first column of a table.
var documentedMetric = regexp.MustCompile("(?m)^\\| `(callboard_[a-z0-9_]+)` \\|")

// TestMetricsAreDocumented: an operator finds every metric of a node in docs/operations.md, and none that does not exist.
func TestMetricsAreDocumented(t *testing.T) {
	const document = "docs/operations.md"
	documented := map[string]bool{}
	for _, found := range documentedMetric.FindAllStringSubmatch(readDocument(t, document), -1) {
		documented[found[1]] = true
	}
	registered := registeredMetrics(t, "server")
	if len(registered) == 0 {
		t.Fatal("no metric found in server/: has the way changed in which they are declared?")
	}
	for name, at := range registered {
		if !documented[name] {
			t.Errorf("%s: %s is not in a table of %s", at, name, document)
		}
	}
	for name := range documented {
		if _, there := registered[name]; !there {
			t.Errorf("%s describes %s, which server/ does not register", document, name)
		}
	}
}

// registeredMetrics finds every Name: "callboard_…" and NewDesc("callboard_…", …) in the Go files of a directory, and where it stands.
func registeredMetrics(t *testing.T, dir string) map[string]token.Position {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	metrics, set := map[string]token.Position{}, token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if value, ok := nameOfMetric(n).(*ast.BasicLit); ok && value.Kind == token.STRING {
				if text, err := strconv.Unquote(value.Value); err == nil && strings.HasPrefix(text, "callboard_") {
					metrics[text] = set.Position(value.Pos())
				}
			}
			return true
		})
	}
	return metrics
}

// nameOfMetric returns what names a metric, if this is where one is declared.
func nameOfMetric(n ast.Node) ast.Expr {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Name" {
			return n.Value
		}
	case *ast.CallExpr:
		if called, ok := n.Fun.(*ast.SelectorExpr); ok && called.Sel.Name == "NewDesc" && len(n.Args) > 0 {
			return n.Args[0]
		}
	}
	return nil
}
