package real

import (
	"fmt"
	"strconv"
)

// Service is a process of the serverless example: an HTTP service whose calls are runners.
type Service struct {
	*Process
	URL  string // of its endpoint
	addr string
}

// StartService starts a service of a version on a port of its own.
func (w *World) StartService(version uint32) (*Service, error) {
	port, err := w.FirstPort(0)
	if err != nil {
		return nil, err
	}
	s := &Service{addr: "127.0.0.1:" + strconv.Itoa(port)}
	s.URL = fmt.Sprintf("http://%s/api/rivet", s.addr)
	return s, w.Restart(s, version)
}

// Restart starts the service again, at the same address, after it has ended.
func (w *World) Restart(s *Service, version uint32) (err error) {
	s.Process, err = w.start(w.nextName("service"), nil, w.Binaries.Serverless, "--listen", s.addr, "--version", strconv.FormatUint(uint64(version), 10))
	return err
}
