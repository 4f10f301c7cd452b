package raftnet

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// flipsVariable asks for more flips than a usual run makes.
const flipsVariable = "CALLBOARD_FLIPS"

// One bit anywhere in the files of a node: it is refused, or nothing is missing. It never ends the process, and never serves less.
func TestAFlippedBitIsRefusedOrHarmless(t *testing.T) {
	flips := 60
	if text := os.Getenv(flipsVariable); text != "" {
		n, err := strconv.Atoi(text)
		must(t, err)
		flips = n
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	dir := aNode(t)
	saved := contentsOf(t, dir)
	paths := slices.Sorted(maps.Keys(saved))
	refused := 0
	for i := range flips {
		path := paths[random.IntN(len(paths))]
		at, bit := random.Int64N(int64(len(saved[path]))), byte(1)<<random.IntN(8)
		if i%4 == 0 {
			at = random.Int64N(min(int64(len(saved[path])), 2*4096)) // the meta pages, the mark, what is told about snapshots
		}
		flip(t, path, at, bit)
		stores, err := Open(dir, options())
		switch {
		case err == nil:
			wholeNode(t, stores)
			must(t, stores.Close())
		case errors.Is(err, ErrDamaged), errors.Is(err, ErrForeign), errors.Is(err, ErrNewer):
			refused++
		default:
			t.Errorf("not called damage: %v", err)
		}
		if t.Failed() {
			t.Fatalf("seed %d, flip %d: bit %#x at %d of %s", seed, i, bit, at, path)
		}
		restore(t, saved)
	}
	if refused == 0 || refused == flips {
		t.Errorf("%d of %d flips are refused: the test looks at nothing", refused, flips)
	}
	t.Logf("%d of %d flips are refused", refused, flips)
}

func contentsOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	saved := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if len(content) > 0 {
			saved[path] = content
		}
		return err
	}))
	return saved
}

// restore writes into the same files, so that they keep their birth.
func restore(t *testing.T, saved map[string][]byte) {
	t.Helper()
	for path, content := range saved {
		if now, err := os.ReadFile(path); err == nil && bytes.Equal(now, content) {
			continue
		}
		must(t, os.WriteFile(path, content, 0o600))
	}
}
