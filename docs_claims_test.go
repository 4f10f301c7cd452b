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
