//go:build unix && !linux

package main

import (
	"errors"
	"runtime"
	"time"
)

// errNoProc: what a process costs is read from /proc. The page is made on Linux.
var errNoProc = errors.New("the benchmarks read /proc, which only Linux has")

func cpuTime(int) (time.Duration, error)          { return 0, errNoProc }
func memoryOf(int) (now, peak float64, err error) { return 0, 0, errNoProc }
func busyTime() time.Duration                     { return 0 }
func loadAverage() string                         { return "unknown" }
func processor() string                           { return runtime.GOARCH }
func memoryOfMachine() string                     { return "memory unknown" }
func kernel() string                              { return runtime.GOOS }
