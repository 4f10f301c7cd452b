package callboard_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// What a pure room may not do. Equal inputs must give equal results on every node, today and when the log is read again in
// a year: so nothing in it may depend on a clock, on chance, on the order of goroutines or of a map, or on how a processor
// rounds. Which packages it may use at all is pureImports in architecture_test.go; this is about what the code does with
// them, and with the language.

// allowedOfTime: units of time are values, the clock is not. Cluster time is an int64 of milliseconds.
var allowedOfTime = []string{"Duration", "ParseDuration", "Nanosecond", "Microsecond", "Millisecond", "Second", "Minute", "Hour"}

// consoleOfFmt is the I/O in fmt.
var consoleOfFmt = []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"}

// unorderedOfMaps iterate over a map as range does.
var unorderedOfMaps = []string{"All", "Keys", "Values"}

// orderedMark, on the line above, says why the order of a map cannot reach a result: "//callboard:ordered sorted below".
const orderedMark = "//callboard:ordered"

func TestPureRoomsArePure(t *testing.T) {
	for _, pkg := range loadPureRooms(t) {
		if len(pkg.Errors) > 0 {
			t.Errorf("%s does not compile: %v (and %d more)", pkg.PkgPath, pkg.Errors[0], len(pkg.Errors)-1)
		}
		for _, finding := range checkPurity(pkg.Fset, pkg.Syntax, pkg.TypesInfo) {
			t.Error(finding)
		}
	}
}

// TestPurityCheckCanFail shows the check one small function per rule that it must refuse, beside those that it must let pass.
func TestPurityCheckCanFail(t *testing.T) {
	tests := []struct {
		name, imports, body, want string
	}{
		{"integers", "", `x := int64(7) * 1e3; _ = x`, ""},
		{"units of time", "time", `const lost = 15 * time.Second; _ = lost.Milliseconds()`, ""},
		{"text", "fmt", `_ = fmt.Sprintf("%d", 7)`, ""},
		{"range over a slice", "", `for range []int{1} { }`, ""},
		{"looking into a map", "", `m := map[string]int{}; m["a"]++; delete(m, "a")`, ""},
		{"a map whose order is explained", "", "m := map[string]int{}\n//callboard:ordered counts only\nfor range m { }", ""},
		{"keys that are sorted", "maps slices", "m := map[string]int{}\n//callboard:ordered sorted at once\n_ = slices.Sorted(maps.Keys(m))", ""},

		{"the clock", "time", `_ = time.Now()`, "uses time.Now"},
		{"the clock as a value", "time", `now := time.Now; _ = now`, "uses time.Now"},
		{"sleep", "time", `time.Sleep(time.Second)`, "uses time.Sleep"},
		{"a timer", "time", `time.AfterFunc(time.Second, func() {})`, "uses time.AfterFunc"},
		{"the clock without its name", ".time", `_ = Now`, "uses time.Now"},
		{"dice", "math/rand", `_ = rand.Int()`, "uses math/rand.Int"},
		{"new dice", "math/rand/v2", `_ = rand.IntN(6)`, "uses math/rand/v2.IntN"},
		{"true dice", "crypto/rand", `rand.Read(nil)`, "uses crypto/rand.Read"},
		{"files", "os", `os.Remove("x")`, "uses os.Remove"},
		{"the environment", "os", `_ = os.Args`, "uses os.Args"},
		{"the network", "net", `net.Dial("tcp", "x")`, "uses net.Dial"},
		{"a log", "log", `log.Print("x")`, "uses log.Print"},
		{"a structured log", "log/slog", `slog.Info("x")`, "uses log/slog.Info"},
		{"standard output", "fmt", `fmt.Println("x")`, "uses fmt.Println"},
		{"the built-in print", "", `println("x")`, "uses println"},
		{"a goroutine", "", `go func() {}()`, "starts a goroutine"},
		{"a channel", "", `var c chan int; _ = c`, "uses a channel"},
		{"sending", "", "}\nfunc send[C ~chan int](c C) {\nc <- 1", "9: uses a channel"},
		{"receiving", "time", "c := time.NewTimer(1).C\n<-c", "8: uses a channel"},
		{"ranging over a channel", "time", "c := time.NewTimer(1).C\nfor range c { }", "8: uses a channel"},
		{"select", "", `select { default: }`, "uses select"},
		{"a lock", "sync", `var m sync.Mutex; m.Lock()`, "uses sync.Mutex"},
		{"an atomic", "sync/atomic", `var n atomic.Int64; _ = &n`, "uses sync/atomic.Int64"},
		{"float64", "", `var rate float64; _ = rate`, "uses float64"},
		{"float32 inside a type", "", `var rates map[string]float32; _ = rates`, "uses float32"},
		{"a constant with a fraction", "", `const rate = 0.5`, "uses untyped float"},
		{"a float by inference", "", `x := 0.5; _ = x`, "uses float64"},
		{"a float from elsewhere", "time", `_ = time.Second.Seconds()`, "uses float64"},
		{"complex numbers", "", `_ = complex64(1)`, "uses complex64"},
		{"range over a map", "", `for range map[string]int{} { }`, "ranges over a map"},
		{"range over a named map", "", `type set map[string]bool; for range (set{}) { }`, "ranges over a map"},
		{"range over a generic map", "", "}\nfunc each[M ~map[string]int](m M) { for range m { }", "ranges over a map"},
		{"an iterator over a map", "maps", `for range maps.Keys(map[string]int{}) { }`, "ranges over a map (maps.Keys)"},
		{"a mark without a reason", "", "m := map[string]int{}\n//callboard:ordered\nfor range m { }", "needs a reason"},
		{"a mark on nothing", "", "//callboard:ordered counts only\nx := 1; _ = x", "marks nothing"},
	}
	var imports []string
	for _, test := range tests {
		imports = append(imports, strings.Fields(strings.ReplaceAll(test.imports, ".", ""))...)
	}
	standard := loadTypes(t, imports)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			expectFinding(t, checkSnippet(t, standard, test.imports, test.body), test.want)
		})
	}
}

// checkSnippet checks the body of a function in a file of fsm. An import with a leading dot is a dot import.
func checkSnippet(t *testing.T, standard importerOf, imports, body string) []string {
	t.Helper()
	text := "package fsm\n\nimport (\n"
	for name := range strings.FieldsSeq(imports) {
		dot, name := name[:len(name)-len(strings.TrimPrefix(name, "."))], strings.TrimPrefix(name, ".")
		text += fmt.Sprintf("%s %q; ", dot, name)
	}
	text += "\n)\n\nfunc snippet() { " + body + " }\n"

	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "fsm/snippet.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: standard}
	if _, err := config.Check("fsm", files, []*ast.File{file}, info); err != nil {
		t.Fatalf("the snippet does not compile: %v", err)
	}
	return checkPurity(files, []*ast.File{file}, info)
}

// checkPurity returns a sentence for every rule that a file breaks. Each file is named by its path from the module's root.
func checkPurity(files *token.FileSet, syntax []*ast.File, info *types.Info) []string {
	var findings []string
	for _, file := range syntax {
		p := &purity{files: files, info: info, marks: orderedMarks(files, file), seen: map[finding]bool{}}
		p.file = fromRoot(files.Position(file.Package).Filename)
		ast.Inspect(file, p.visit)
		for line, mark := range p.marks {
			switch {
			case mark.reason == "":
				p.seen[finding{line, orderedMark + " needs a reason"}] = true
			case !mark.used:
				p.seen[finding{line, orderedMark + " marks nothing"}] = true
			}
		}
		for _, found := range slices.SortedFunc(maps.Keys(p.seen), func(a, b finding) int { return a.line - b.line }) {
			findings = append(findings, fmt.Sprintf("%s:%d: %s", p.file, found.line, found.text))
		}
	}
	return findings
}

// purity reads one file.
type purity struct {
	files *token.FileSet
	info  *types.Info
	file  string
	marks map[int]*mark // by the line that they stand on
	seen  map[finding]bool
}

type finding struct {
	line int
	text string
}

type mark struct {
	reason string
	used   bool
}

func orderedMarks(files *token.FileSet, file *ast.File) map[int]*mark {
	marks := map[int]*mark{}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if reason, ok := strings.CutPrefix(comment.Text, orderedMark); ok {
				marks[files.Position(comment.Pos()).Line] = &mark{reason: strings.TrimSpace(reason)}
			}
		}
	}
	return marks
}

func (p *purity) report(node ast.Node, text string) {
	p.seen[finding{p.line(node), text}] = true
}

func (p *purity) line(node ast.Node) int { return p.files.Position(node.Pos()).Line }

func (p *purity) visit(node ast.Node) bool {
	switch node := node.(type) {
	case *ast.GoStmt:
		p.report(node, "starts a goroutine")
	case *ast.SelectStmt:
		p.report(node, "uses select")
	case *ast.ChanType, *ast.SendStmt:
		p.report(node, "uses a channel")
	case *ast.UnaryExpr:
		if node.Op == token.ARROW {
			p.report(node, "uses a channel")
		}
	case *ast.RangeStmt:
		p.visitRange(node)
	case *ast.Ident:
		p.visitUse(node)
	}
	if expression, ok := node.(ast.Expr); ok {
		p.visitType(expression)
	}
	return true
}

func (p *purity) visitRange(node *ast.RangeStmt) {
	over := p.info.TypeOf(node.X)
	switch {
	case hasCore[*types.Map](over):
		p.reportUnordered(node, "ranges over a map")
	case hasCore[*types.Chan](over):
		p.report(node, "uses a channel")
	}
}

// reportUnordered reports what depends on the order of a map, unless the line above says why that does not matter.
func (p *purity) reportUnordered(node ast.Node, text string) {
	if mark := p.marks[p.line(node)-1]; mark != nil {
		mark.used = true
		return
	}
	p.report(node, text+"; sort first, or say on the line above why its order reaches no result: "+orderedMark+" reason")
}

// visitUse looks at a name that was declared elsewhere.
func (p *purity) visitUse(name *ast.Ident) {
	switch object := p.info.Uses[name]; {
	case object == nil:
	case object.Pkg() == nil:
		if _, builtin := object.(*types.Builtin); builtin && (object.Name() == "print" || object.Name() == "println") {
			p.report(name, "uses "+object.Name())
		}
	case object.Parent() == object.Pkg().Scope(): // not a method, a field or a local name
		p.visitImported(name, object.Pkg().Path(), object.Name())
	}
}

func (p *purity) visitImported(node ast.Node, from, name string) {
	switch full := from + "." + name; {
	case from == "fsm" || from == module || strings.HasPrefix(from, module+"/"):
		// Directions between rooms are architecture_test.go's.
	case from == "maps" && slices.Contains(unorderedOfMaps, name):
		p.reportUnordered(node, "ranges over a map ("+full+")")
	case !matchesAny(from, allowedOutside(p.file)),
		from == "time" && !slices.Contains(allowedOfTime, name),
		from == "fmt" && slices.Contains(consoleOfFmt, name):
		p.report(node, "uses "+full)
	}
}

// visitType refuses floats, named or not. Types that merely contain one are found where the float is declared or read.
func (p *purity) visitType(expression ast.Expr) {
	of := p.info.TypeOf(expression)
	if of == nil {
		return
	}
	if basic, ok := of.Underlying().(*types.Basic); ok && basic.Info()&(types.IsFloat|types.IsComplex) != 0 {
		p.report(expression, "uses "+of.String()+"; rates are integers here (millionths)")
	}
}

// hasCore reports whether a type is a C underneath, or a type parameter that may be one.
func hasCore[C types.Type](t types.Type) bool {
	if t == nil {
		return false
	}
	if _, ok := t.Underlying().(C); ok {
		return true
	}
	switch t := t.Underlying().(type) {
	case *types.Interface:
		for i := range t.NumEmbeddeds() {
			if hasCore[C](t.EmbeddedType(i)) {
				return true
			}
		}
	case *types.Union:
		for i := range t.Len() {
			if hasCore[C](t.Term(i).Type()) {
				return true
			}
		}
	}
	return false
}

func loadPureRooms(t *testing.T) []*packages.Package {
	t.Helper()
	var patterns []string
	for _, room := range rooms {
		// A missing room is TestRequiredRoomsExist's to report.
		if _, err := os.Stat(room.dir); err == nil && room.pure {
			patterns = append(patterns, "./"+path.Join(room.dir, "..."))
		}
	}
	mode := packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes | packages.NeedTypesInfo | packages.NeedSyntax
	loaded, err := packages.Load(&packages.Config{Mode: mode}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) == 0 {
		t.Fatalf("no packages in %v", patterns)
	}
	return loaded
}

// importerOf gives a type checker packages that were loaded before.
type importerOf map[string]*types.Package

func (i importerOf) Import(path string) (*types.Package, error) {
	if found := i[path]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("%s was not loaded", path)
}

func loadTypes(t *testing.T, importPaths []string) importerOf {
	t.Helper()
	mode := packages.NeedName | packages.NeedImports | packages.NeedTypes | packages.NeedTypesSizes
	loaded, err := packages.Load(&packages.Config{Mode: mode}, importPaths...)
	if err != nil {
		t.Fatal(err)
	}
	found := importerOf{}
	for _, pkg := range loaded {
		found[pkg.PkgPath] = pkg.Types
	}
	return found
}

// fromRoot names a file by its path from the module's root, which is where tests of this package run.
func fromRoot(file string) string {
	if root, err := os.Getwd(); err == nil && filepath.IsAbs(file) {
		if relative, err := filepath.Rel(root, file); err == nil {
			file = relative
		}
	}
	return filepath.ToSlash(file)
}
