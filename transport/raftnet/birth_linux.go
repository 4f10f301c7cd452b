package raftnet

import (
	"os"

	"golang.org/x/sys/unix"
)

// birthOf returns what tells a file from every copy of it: its inode, and when it was made. Zeros where an old kernel or the file system
// does not know.
func birthOf(file *os.File) (inode, sec uint64, nsec uint32) {
	var stat unix.Statx_t
	err := unix.Statx(int(file.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &stat)
	if err != nil || stat.Mask&unix.STATX_BTIME == 0 {
		return 0, 0, 0
	}
	return stat.Ino, uint64(stat.Btime.Sec), stat.Btime.Nsec
}

// syncData has the content of a file on the disk; its length did not change.
func syncData(file *os.File) error { return unix.Fdatasync(int(file.Fd())) }
