//go:build unix && !linux

package real

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// diesWithUs cannot be had here: after a harness that was killed, its processes are left.
func diesWithUs() *syscall.SysProcAttr { return nil }

// standsStill tells whether SIGSTOP has taken hold of a process.
func standsStill(pid int) (bool, error) {
	state, err := exec.Command("ps", "-o", "state=", "-p", strconv.Itoa(pid)).Output()
	return strings.HasPrefix(string(state), "T"), err
}
