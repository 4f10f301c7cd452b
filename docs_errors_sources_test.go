//go:build unix

package callboard_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A maker is a function that makes refusals of the group and code that it is given, or of its own group.
type maker struct {
	group             string
	groupArg, codeArg int // which argument; -1: it is fixed
}

// errorSources finds every group.code that the code can make. It knows what a refusal is by its fields Group and Code, and follows a
// code that is a parameter to whoever calls the function.
type errorSources struct {
	t       *testing.T
	set     *token.FileSet
	makers  map[string]maker    // by scope and name: a package's own, a function's own, or anybody's
	found   map[string][]string // name to files
	unknown map[string]bool     // expressions that are no literals
}

// codesInSources returns the files that make each group.code, and the places whose codes no literal tells.
func codesInSources(t *testing.T) (found map[string][]string, unknown map[string]bool) {
	s := &errorSources{t: t, set: token.NewFileSet(), makers: map[string]maker{}}
	files := s.parse()
	for known := -1; known != len(s.makers); { // a maker may be called by another one
		known, s.found, s.unknown = len(s.makers), map[string][]string{}, map[string]bool{}
		for path, file := range files {
			for _, decl := range file.Decls {
				s.look(path, decl)
			}
		}
	}
	return s.found, s.unknown
}

// parse reads all code that runs in a node, a runner, a client or the command line.
func (s *errorSources) parse() map[string]*ast.File {
	files := map[string]*ast.File{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && path != "." && (strings.HasPrefix(name, ".") || slices.Contains([]string{"apitest", "bench", "jepsen", "node_modules"}, name)):
			return filepath.SkipDir
		case entry.IsDir(), !strings.HasSuffix(name, ".go"), strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, ".pb.go"):
			return nil
		}
		file, err := parser.ParseFile(s.set, path, nil, parser.SkipObjectResolution)
		files[filepath.ToSlash(path)] = file
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// A scope is a function whose parameters may be a group or a code.
type scope struct {
	key    string // of its maker; empty: nobody can call it by a name
	params []string
}

// look goes through one declaration.
func (s *errorSources) look(path string, decl ast.Decl) {
	dir, own := filepath.ToSlash(filepath.Dir(path)), ""
	var scopes []scope
	if f, ok := decl.(*ast.FuncDecl); ok {
		own = path + ":" + f.Name.Name + ":"
		key := dir + ":" + f.Name.Name
		if f.Name.IsExported() {
			key = f.Name.Name
		}
		scopes = append(scopes, scope{key, paramsOf(f.Type)})
	}
	named := map[*ast.FuncLit]string{}
	lastGroup := "" // of the literal whose code the function changes afterwards
	ast.Inspect(decl, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.AssignStmt:
			if f, ok := n.Rhs[0].(*ast.FuncLit); ok {
				if name, ok := n.Lhs[0].(*ast.Ident); ok {
					named[f] = own + name.Name
				}
			}
			if group, code := assigned(n, lastGroup); code != nil {
				s.take(path, scopes, group, code)
			}
		case *ast.FuncLit:
			scopes = append(scopes, scope{named[n], paramsOf(n.Type)})
		case *ast.CompositeLit:
			group, code, is := fieldsOf(n)
			if text, literal := textOf(group); literal {
				lastGroup = text
			}
			if is {
				s.take(path, scopes, group, code)
			}
		case *ast.CallExpr:
			name := calleeOf(n)
			for _, key := range []string{own + name, dir + ":" + name, name} {
				if m, ok := s.makers[key]; ok && len(n.Args) > max(m.groupArg, m.codeArg) {
					group := ast.Expr(&ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(m.group)})
					if m.groupArg >= 0 {
						group = n.Args[m.groupArg]
					}
					s.take(path, scopes, group, n.Args[m.codeArg])
					break
				}
			}
		}
		return true
	})
}

// take notes a group and a code, or whose parameters they are.
func (s *errorSources) take(path string, scopes []scope, group, code ast.Expr) {
	groupText, groupIs := textOf(group)
	codeText, codeIs := textOf(code)
	if groupIs && codeIs {
		s.found[groupText+"."+codeText] = append(s.found[groupText+"."+codeText], path)
		return
	}
	for _, sc := range scopes {
		m := maker{groupText, slices.Index(sc.params, types.ExprString(group)), slices.Index(sc.params, types.ExprString(code))}
		if sc.key != "" && m.codeArg >= 0 && (groupIs || m.groupArg >= 0) {
			s.makers[sc.key] = m
			return
		}
	}
	s.unknown[path+": "+types.ExprString(group)+", "+types.ExprString(code)] = true
}

// fieldsOf returns the group and the code of a literal that has both. One without names of fields hides them.
func fieldsOf(literal *ast.CompositeLit) (group, code ast.Expr, is bool) {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			hidden := literal.Type != nil && strings.HasSuffix(types.ExprString(literal.Type), "errorBody")
			return literal, literal, hidden
		}
		switch types.ExprString(pair.Key) {
		case "Group":
			group = pair.Value
		case "Code":
			code = pair.Value
		}
	}
	return group, code, group != nil && code != nil
}

// assigned returns the group and the code that a statement gives to a refusal.
func assigned(n *ast.AssignStmt, lastGroup string) (group, code ast.Expr) {
	if len(n.Lhs) != len(n.Rhs) {
		return nil, nil
	}
	if lastGroup != "" {
		group = &ast.BasicLit{Kind: token.STRING, Value: strconv.Quote(lastGroup)}
	}
	for i, left := range n.Lhs {
		field, ok := left.(*ast.SelectorExpr)
		switch {
		case ok && field.Sel.Name == "Group":
			group = n.Rhs[i]
		case ok && field.Sel.Name == "Code":
			code = n.Rhs[i]
		}
	}
	if group == nil {
		return nil, nil
	}
	return group, code
}

func paramsOf(f *ast.FuncType) (names []string) {
	for _, field := range f.Params.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

func calleeOf(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func textOf(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}

func parsed(t *testing.T, path string) *ast.File {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
