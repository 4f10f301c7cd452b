//go:build unix

package real_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The scenarios are part of every run of the tests: none may skip itself. Only figures, which are no tests, are taken on demand, and what
// mounts a disk of its own needs a machine that lets it.
func TestNothingIsSkipped(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files of tests: %v", len(files), err)
	}
	may := []string{"failover_figures_test.go", "ten_thousand_runners_test.go", "a_full_disk_ends_one_node_test.go"}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range []string{".Skip(", ".Skipf(", ".SkipNow(", "testing.Short("} {
			if strings.Contains(string(text), call) && !slices.Contains(may, file) && file != "nothing_is_skipped_test.go" {
				t.Errorf("%s calls %s)", file, call)
			}
		}
	}
}
