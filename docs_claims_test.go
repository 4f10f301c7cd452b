//go:build unix

package callboard_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkToTest = regexp.MustCompile(`\[([^\]]+)\]\(([^)#\s]+_test\.go)[^)]*\)`)
	linkToCode = regexp.MustCompile(`\[([^\]]+)\]\(([^)#\s]+\.go)\)`)
	linkToTold = regexp.MustCompile(`\]\([^)\s]+(_test\.go|/testdata/[^)\s]+\.txt)\)`)
)

// TestClaimsNameTheirTests: a link to a file of tests names a function of that file, here a test or a scenario that a test tells.
func TestClaimsNameTheirTests(t *testing.T) {
	for _, document := range allDocuments(t) {
		for _, found := range linkToTest.FindAllStringSubmatch(readDocument(t, document), -1) {
			name, file := found[1], filepath.Join(filepath.Dir(document), found[2])
			code, err := os.ReadFile(file)
			if err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if !strings.Contains(string(code), "\nfunc "+name+"(") {
				t.Errorf("%s says that %s shows it, and %s has no such function", document, name, file)
			}
		}
	}
}

// TestEveryClaimIsShown: each row of the failure modes and each guarantee has its test or story, or says that it has none.
func TestEveryClaimIsShown(t *testing.T) {
	const failures, guarantees = "docs/failure-modes.md", "docs/guarantees.md"
	rows := 0
	for i, line := range strings.Split(readDocument(t, failures), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| what fails |") {
			continue
		}
		rows++
		columns := strings.Split(strings.Trim(line, "| "), " | ")
		if len(columns) != 5 {
			t.Errorf("%s:%d: %d columns, want 5", failures, i+1, len(columns))
		} else if shown := columns[4]; !linkToTold.MatchString(shown) && !strings.Contains(shown, "untested") {
			t.Errorf("%s:%d: no test shows it, and it does not say so", failures, i+1)
		}
	}
	if rows == 0 {
		t.Errorf("%s has no rows", failures)
	}
	promises := strings.Split(readDocument(t, guarantees), "\n## G")[1:]
	if len(promises) != 12 {
		t.Errorf("%s has %d guarantees, want G1 to G12", guarantees, len(promises))
	}
	for _, promise := range promises {
		if !linkToTold.MatchString(promise) && !strings.Contains(promise, "**Not built yet.**") {
			title, _, _ := strings.Cut(promise, "\n")
			t.Errorf("%s: no test shows G%s, and it does not say so", guarantees, title)
		}
	}
}

// TestEveryRuleIsShown: each row of the rules names the declaration that decides it, and its test or story, or says that it is open.
func TestEveryRuleIsShown(t *testing.T) {
	const rules = "docs/conformance.md"
	rows := 0
	for i, line := range strings.Split(readDocument(t, rules), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| rule |") {
			continue
		}
		rows++
		columns := strings.Split(strings.Trim(line, "| "), " | ")
		if len(columns) != 3 {
			t.Errorf("%s:%d: %d columns, want 3", rules, i+1, len(columns))
			continue
		}
		decided, shown := columns[1], columns[2]
		if !linkToTold.MatchString(shown) && !strings.Contains(shown, "**open**") {
			t.Errorf("%s:%d: no test shows it, and it does not say so", rules, i+1)
		}
		places := linkToCode.FindAllStringSubmatch(decided, -1)
		if len(places) == 0 {
			t.Errorf("%s:%d: it does not say where it is decided", rules, i+1)
		}
		for _, place := range places {
			code, err := os.ReadFile(filepath.Join(filepath.Dir(rules), place[2]))
			if err != nil {
				t.Errorf("%s:%d: %v", rules, i+1, err)
			} else if !declares(string(code), place[1]) {
				t.Errorf("%s:%d: %s declares no %s", rules, i+1, place[2], place[1])
			}
		}
	}
	if rows == 0 {
		t.Errorf("%s has no rows", rules)
	}
}

// declares tells whether a file of Go declares something of a name: a function, a method, a type, a constant or a variable.
func declares(code, name string) bool {
	return regexp.MustCompile(`(?m)^(func |func \([^)]*\) |type |var |const )` + regexp.QuoteMeta(name) + `\b`).MatchString(code)
}

// allDocuments lists the documents of this repository.
func allDocuments(t *testing.T) []string {
	t.Helper()
	documents := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	return documents
}
