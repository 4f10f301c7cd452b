//go:build !unix

package server

import "os"

// reloadSignals: there are none here.
var reloadSignals []os.Signal
