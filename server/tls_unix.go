//go:build unix

package server

import (
	"os"
	"syscall"
)

// reloadSignals have a node look at its TLS files at once.
var reloadSignals = []os.Signal{syscall.SIGHUP}
