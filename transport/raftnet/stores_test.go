package raftnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

func open(t *testing.T, dir string) *Stores {
	t.Helper()
	stores, err := Open(dir, Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return stores
}

func entries(from, to uint64) []*raft.Log {
	var out []*raft.Log
	for i := from; i <= to; i++ {
		out = append(out, &raft.Log{Index: i, Term: 1, Data: fmt.Appendf(nil, "entry %d", i)})
	}
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStoresKeepWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	stores := open(t, dir)
	if used, err := stores.Used(); used || err != nil {
		t.Fatalf("a new directory: used %v, %v", used, err)
	}
	must(t, stores.Log.StoreLogs(entries(1, 10)))
	must(t, stores.Stable.SetUint64([]byte("CurrentTerm"), 7))
	must(t, stores.Close())

	stores = open(t, dir)
	defer stores.Close()
	if used, err := stores.Used(); !used || err != nil {
		t.Fatalf("a directory with a term: used %v, %v", used, err)
	}
	var entry raft.Log
	must(t, stores.Log.GetLog(10, &entry))
	if string(entry.Data) != "entry 10" || entry.Term != 1 {
		t.Fatalf("entry 10 came back as %+v", entry)
	}
	if err := stores.Log.GetLog(11, &entry); !errors.Is(err, raft.ErrLogNotFound) {
		t.Fatalf("entry 11: %v", err)
	}
}

// Compaction leaves nothing behind: bolt's cursor is known to skip keys when something is deleted under it.
func TestStoresDeleteEveryEntryOfARange(t *testing.T) {
	stores := open(t, t.TempDir())
	defer stores.Close()
	must(t, stores.Log.StoreLogs(entries(1, 20_000)))
	must(t, stores.Log.DeleteRange(1, 12_345))
	first, _ := stores.Log.FirstIndex()
	last, _ := stores.Log.LastIndex()
	if first != 12_346 || last != 20_000 {
		t.Fatalf("%d … %d are left, want 12346 … 20000", first, last)
	}
	for i := uint64(1); i <= 20_000; i++ {
		if err := stores.Log.GetLog(i, &raft.Log{}); (err == nil) != (i > 12_345) {
			t.Fatalf("entry %d: %v", i, err)
		}
	}
}

func TestOpenRefusesADirectoryInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		stores := open(t, dir)
		defer stores.Close()
		begin := time.Now()
		if _, err := Open(dir, Options{Log: quiet}); !errors.Is(err, ErrInUse) {
			t.Fatalf("got %v", err)
		}
		if waited := time.Since(begin); waited < 4*time.Second || waited > 6*time.Second {
			t.Fatalf("gave up after %v", waited)
		}
	})
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	edit := func(t *testing.T, path string, change func(*bbolt.Tx) error) {
		t.Helper()
		db, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		must(t, db.Update(change))
		must(t, db.Close())
	}
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
	}{
		"a text": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte("to whom it may concern"), 0o600))
		}, ErrForeign},
		"another program's database": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			edit(t, path, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("users")); return err })
		}, ErrForeign},
		"another program's raft log": {func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Delete(formatKey) })
		}, ErrForeign},
		"a newer format": {func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Put(formatKey, []byte("9")) })
		}, ErrNewer},
		"a format that is none": {func(t *testing.T, path string) {
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("conf")).Put(formatKey, []byte("x")) })
		}, ErrDamaged},
		"a file cut short": {func(t *testing.T, path string) { must(t, os.Truncate(path, 3*4096)) }, ErrDamaged},
		"pages overwritten": {func(t *testing.T, path string) {
			file, err := os.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			info, err := file.Stat()
			must(t, err)
			noise := make([]byte, info.Size()-2*4096)
			for i := range noise {
				noise[i] = 0xa5
			}
			_, err = file.WriteAt(noise, 2*4096)
			must(t, errors.Join(err, file.Close()))
		}, ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			stores := open(t, dir)
			must(t, stores.Log.StoreLogs(entries(1, 1000)))
			must(t, stores.Close())
			test.spoil(t, filepath.Join(dir, logFile))
			_, err := Open(dir, Options{Log: quiet})
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			t.Log(err)
		})
	}
}

func TestAFlippedBitIsNoticed(t *testing.T) {
	dir := t.TempDir()
	stores := open(t, dir)
	must(t, stores.Log.StoreLogs(entries(1, 3)))
	must(t, stores.Close())
	path := filepath.Join(dir, logFile)
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		key := []byte{0, 0, 0, 0, 0, 0, 0, 2}
		value := append([]byte{}, tx.Bucket([]byte("logs")).Get(key)...)
		for i := range value {
			if string(value[i:min(len(value), i+7)]) == "entry 2" {
				value[i] ^= 1
			}
		}
		return tx.Bucket([]byte("logs")).Put(key, value)
	}))
	must(t, db.Close())

	if _, err := Open(dir, Options{Log: quiet}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path+": log entry 2") {
		t.Fatalf("got %v", err)
	}
}

// A first start that was killed right after it made the file leaves it without content.
func TestOpenTakesAnUnfinishedFirstStart(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, logFile), 0o600, nil)
	must(t, err)
	must(t, db.Close())
	must(t, open(t, dir).Close())
}
