//go:build unix

package real

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries are what a run is about.
type Binaries struct {
	Callboard  string
	TestRunner string
	Serverless string // the example of a service that is a serverless pool
}

// Build builds them into a directory. CALLBOARD_BINARY names a callboard to be used instead.
func Build(ctx context.Context, dir string) (Binaries, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("find the module: %w", err)
	}
	b := Binaries{Callboard: filepath.Join(dir, "callboard"), TestRunner: filepath.Join(dir, "testrunner"), Serverless: filepath.Join(dir, "serverless")}
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	args = append(args, "./jepsen/cmd/testrunner", "./examples/serverless")
	if given := os.Getenv("CALLBOARD_BINARY"); given != "" {
		b.Callboard = given
	} else {
		args = append(args, "./cmd/callboard")
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = strings.TrimSpace(string(root))
	if err := nameSources(build.Dir); err != nil {
		return Binaries{}, err
	}
	if output, err := build.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("%s: %w\n%s", build, err, output)
	}
	return b, nil
}

// nameSources looks at every file that the binaries are made of. `go test` repeats an old result as long as what a test has looked at
// is unchanged; it does not see what a compiler that the test runs looks at, and would go on about a binary of yesterday.
func nameSources(root string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		case strings.HasSuffix(path, ".go") || d.Name() == "go.mod" || d.Name() == "go.sum":
			_, err = os.Stat(path)
		}
		return err
	})
}
