package real

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// diesWithUs makes a process end when this one does, however that happens.
func diesWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// standsStill tells whether SIGSTOP has taken hold of a process.
func standsStill(pid int) (bool, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false, err
	}
	after := stat[bytes.LastIndexByte(stat, ')')+1:] // its name, in brackets, may hold anything
	return bytes.HasPrefix(after, []byte(" T")), nil
}
