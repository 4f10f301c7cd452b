package raftnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

const (
	logFile    = "raft.db"
	newLogFile = "raft.db.new"
	// diskFormat is how the log file is laid out: 1 is the buckets of raft-boltdb with every entry sealed (seal.go), 2 has sealed what else
	// Raft keeps there as well.
	diskFormat = 2
)

var formatKey = []byte("callboard.format")

// boltStore is what a log file is used as.
type boltStore interface {
	raft.LogStore
	raft.StableStore
	Close() error
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        lockTimeout,
		NoFreelistSync: true, // the free list is rebuilt at the start instead of written with every entry
		FreelistType:   bbolt.FreelistMapType,
	}
}

// createLog makes an empty log under another name and renames it: so a log that is missing, empty or half there is never one of a first
// start that was cut off.
func createLog(path string) error {
	fresh := filepath.Join(filepath.Dir(path), newLogFile)
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: fresh, BoltOptions: boltOptions()})
	if err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	if err := errors.Join(bolt.Set(formatKey, []byte(strconv.Itoa(diskFormat))), bolt.Close()); err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	return replaceLog(path)
}

// replaceLog puts the new log in the place of the log.
func replaceLog(path string) error {
	dir := filepath.Dir(path)
	if err := errors.Join(os.Rename(filepath.Join(dir, newLogFile), path), syncDirectory(dir)); err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	return nil
}

// openLog opens a log that inspect has found whole.
func openLog(path string) (_ boltStore, err error) {
	defer recoverDamage(&err)
	if err := upgradeLog(path); err != nil {
		return nil, explain(err)
	}
	store, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions(), MsgpackUseNewTimeFormat: true})
	if err != nil {
		return nil, explain(err)
	}
	return store, nil
}

// upgradeLog seals term and vote of a log of format 1, in one transaction.
func upgradeLog(path string) (err error) {
	db, err := bbolt.Open(path, 0o600, boltOptions())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	old := false
	err = db.View(func(tx *bbolt.Tx) error {
		conf := tx.Bucket([]byte("conf"))
		old = conf == nil || string(conf.Get(formatKey)) != strconv.Itoa(diskFormat)
		return nil
	})
	if err != nil || !old {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		conf, err := tx.CreateBucketIfNotExists([]byte("conf"))
		if err != nil {
			return err
		}
		sealedValues := map[string][]byte{}
		if err := conf.ForEach(func(key, value []byte) error {
			if string(key) != string(formatKey) {
				sealedValues[string(key)] = sealValue(key, value)
			}
			return nil
		}); err != nil {
			return err
		}
		sealedValues[string(formatKey)] = []byte(strconv.Itoa(diskFormat))
		for key, value := range sealedValues {
			if err := conf.Put([]byte(key), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// inspect reads all pages of a log before bolt opens it.
func inspect(path string) error {
	file, err := lockedForReading(path)
	if err != nil {
		return fmt.Errorf("raft log: %w", err)
	}
	defer func() { _ = file.Close() }()
	meta, err := readBoltMetas(file)
	if err != nil && meta.pageSize == 0 {
		return fmt.Errorf("%s: %w, or %w: %w", path, ErrForeign, ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrDamaged, err)
	}
	format, content := []byte(nil), false
	pages := &boltPages{file: file, meta: meta, found: func(bucket string, key, value []byte) error {
		content = true
		if bucket == "conf" && string(key) == string(formatKey) {
			format = append(format, value...)
		}
		if bucket == "logs" && len(key) != binary.Size(uint64(0)) {
			return fmt.Errorf("%w: the key %x is none of an entry", ErrDamaged, key)
		}
		return nil
	}}
	if err := pages.walk(); err != nil {
		if !errors.Is(err, ErrForeign) && !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := checkFormat(format, content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// checkFormat accepts a log of this or an older format, and a file that a first start of an older build left without any content.
func checkFormat(format []byte, content bool) error {
	switch {
	case format == nil && !content:
		return nil
	case format == nil:
		return fmt.Errorf("%w: no format is written in it", ErrForeign)
	}
	number, err := strconv.Atoi(string(format))
	if err != nil || number < 1 {
		return fmt.Errorf("%w: format %q", ErrDamaged, format)
	}
	if number > diskFormat {
		return fmt.Errorf("%w: format %d, this one reads %d", ErrNewer, number, diskFormat)
	}
	return nil
}

// explain turns what bbolt reports into what Open promises.
func explain(err error) error {
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return ErrInUse
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrVersionMismatch), errors.Is(err, bbolterrors.ErrChecksum):
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// recoverDamage makes an error of the panic with which bbolt meets a page that contradicts itself.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, p)
	}
}
