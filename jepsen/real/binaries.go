//go:build unix

package real

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries are what a run is about.
type Binaries struct {
	Callboard  string
	TestRunner string
}

// Build builds them into a directory. CALLBOARD_BINARY names a callboard to be used instead.
func Build(ctx context.Context, dir string) (Binaries, error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("find the module: %w", err)
	}
	b := Binaries{Callboard: filepath.Join(dir, "callboard"), TestRunner: filepath.Join(dir, "testrunner")}
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	args = append(args, "./jepsen/cmd/testrunner")
	if given := os.Getenv("CALLBOARD_BINARY"); given != "" {
		b.Callboard = given
	} else {
		args = append(args, "./cmd/callboard")
	}
	build := exec.CommandContext(ctx, "go", args...)
	build.Dir = strings.TrimSpace(string(root))
	if output, err := build.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("%s: %w\n%s", build, err, output)
	}
	return b, nil
}
