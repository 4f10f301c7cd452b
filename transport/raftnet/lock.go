//go:build unix

package raftnet

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockRetry is how often a lock that somebody has is asked for again.
const lockRetry = 50 * time.Millisecond

// lockDirectory takes a data directory for this process: the files are read before bolt has its own lock, and are moved when something
// of them was lost. It waits lockTimeout, then returns ErrInUse.
func lockDirectory(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	if err := lock(d, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), d.Close())
	}
	return d, nil
}

// lock waits for a lock as bolt does.
func lock(file *os.File, how int) error {
	for began := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock: %w", err)
		}
		if time.Since(began) > lockTimeout-lockRetry {
			return ErrInUse
		}
		time.Sleep(lockRetry)
	}
}

// lockedForReading opens a file once no other process writes to it: a build that locks no directory locks this one.
func lockedForReading(path string) (*os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := lock(file, syscall.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return file, nil
}
