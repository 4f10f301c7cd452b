//go:build unix

package callboard_test

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

var (
	linked = regexp.MustCompile(`^\[(\w+)\]\(([^)]+)\)$`)
	amount = regexp.MustCompile(`^(\d[\d ]*?) ?(bytes|characters|KiB|MiB|GiB|s|min)?(,.*)?$`)
)

// unitsOfLimits are what a value is multiplied with, to compare it with its constant: bytes and nanoseconds.
var unitsOfLimits = map[string]int64{
	"": 1, "bytes": 1, "characters": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1_000_000_000, "min": 60_000_000_000,
}

// namesOfRefusals are codes that tests know by a variable.
var namesOfRefusals = map[string]string{"cluster.overloaded": "ErrOverloaded"}

// TestLimitsAreAsDocumented: every row of docs/limits.md has the value of its constant, the status of its code, and a test that is there
// and knows the code.
func TestLimitsAreAsDocumented(t *testing.T) {
	const document, least = "docs/limits.md", 50
	rows := 0
	for i, line := range strings.Split(readDocument(t, document), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what |") {
			continue
		}
		rows++
		columns := strings.Split(strings.Trim(line, "| "), " | ")
		if len(columns) != 5 && len(columns) != 6 {
			t.Errorf("%s:%d: %d columns", document, i+1, len(columns))
			continue
		}
		complain := func(format string, args ...any) {
			t.Errorf("%s:%d: %s: %s", document, i+1, columns[0], fmt.Sprintf(format, args...))
		}
		checkValueOfLimit(columns[1], columns[2], complain)
		code := checkCodeOfLimit(columns[3:len(columns)-1], complain)
		checkTestOfLimit(columns[len(columns)-1], code, complain)
	}
	if rows < least {
		t.Errorf("%s has %d rows, want %d at least: are they read at all?", document, rows, least)
	}
}

func checkValueOfLimit(value, name string, complain func(string, ...any)) {
	if name == "–" {
		return
	}
	link, written := linked.FindStringSubmatch(name), amount.FindStringSubmatch(value)
	if link == nil || written == nil {
		complain("%q is no constant, or %q is no value", name, value)
		return
	}
	number, err := strconv.ParseInt(strings.ReplaceAll(written[1], " ", ""), 10, 64)
	if err != nil {
		complain("%v", err)
		return
	}
	is, err := constantIn(filepath.Join("docs", filepath.Dir(link[2])), link[1])
	if err != nil {
		complain("%v", err)
	} else if want := number * unitsOfLimits[written[2]]; is != want {
		complain("%s is %d, not %d", link[1], is, want)
	}
	if code, err := os.ReadFile(filepath.Join("docs", link[2])); err != nil || !strings.Contains(string(code), link[1]) {
		complain("%s does not have %s", link[2], link[1])
	}
}

func checkCodeOfLimit(columns []string, complain func(string, ...any)) (code string) {
	if len(columns) == 1 { // nothing is refused
		return ""
	}
	name := strings.Trim(columns[0], "`")
	group, code, ok := strings.Cut(name, ".")
	if !ok {
		complain("%q is no code", columns[0])
	}
	if got := callboardv1.Refuse(group, code, "").HTTPStatus(); columns[1] != "-" && strconv.Itoa(got) != columns[1] {
		complain("the status of %s is %d, not %s", name, got, columns[1])
	}
	return name
}

func checkTestOfLimit(link, code string, complain func(string, ...any)) {
	found := linked.FindStringSubmatch(link)
	if found == nil {
		complain("%q names no test", link)
		return
	}
	text, err := os.ReadFile(filepath.Join("docs", found[2]))
	if err != nil || !strings.Contains(string(text), "\nfunc "+found[1]+"(") {
		complain("%s does not have %s (%v)", found[2], found[1], err)
	}
	short := code[strings.Index(code, ".")+1:]
	known := strings.Contains(string(text), code) || strings.Contains(string(text), strconv.Quote(short))
	if variable := namesOfRefusals[code]; !known && (variable == "" || !strings.Contains(string(text), variable)) {
		complain("%s does not know %s", found[2], code)
	}
}

// constantIn finds the value of a constant of a package, from its source.
func constantIn(dir, name string) (int64, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return 0, err
	}
	set := token.NewFileSet()
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return 0, err
		}
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.GenDecl); !ok || d.Tok != token.CONST {
				continue
			}
			for _, spec := range decl.(*ast.GenDecl).Specs {
				s := spec.(*ast.ValueSpec)
				for i, n := range s.Names {
					if n.Name == name && i < len(s.Values) {
						return evaluated(types.ExprString(s.Values[i]))
					}
				}
			}
		}
	}
	return 0, fmt.Errorf("%s has no constant %s", dir, name)
}

// evaluated computes a constant expression of numbers and times.
func evaluated(expression string) (int64, error) {
	for unit, ns := range map[string]string{"time.Millisecond": "1000000", "time.Second": "1000000000", "time.Minute": "60000000000"} {
		expression = strings.ReplaceAll(expression, unit, ns)
	}
	value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, expression)
	if err != nil {
		return 0, err
	}
	number, ok := constant.Int64Val(constant.ToInt(value.Value))
	if !ok {
		return 0, fmt.Errorf("%s is no whole number", expression)
	}
	return number, nil
}
