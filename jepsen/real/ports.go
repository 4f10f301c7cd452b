//go:build unix

package real

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Ports come from a range in which no system that we know gives out ports by itself, so that nothing takes one while its node is dead
// for a moment.
const (
	firstPort = 21_000
	lastPort  = 31_999
)

// ports gives out ports of the loopback address. A port belongs to who has locked its file: no two harnesses of a machine share one.
type ports struct {
	dir string // of the lock files, the same for every process

	mu    sync.Mutex // several nodes are made at once
	locks []*os.File

	candidate func() int // replaced in tests
	free      func(port int) error
}

func newPorts() *ports {
	return &ports{
		dir:       filepath.Join(os.TempDir(), "callboard-jepsen-ports"),
		candidate: func() int { return firstPort + rand.IntN(lastPort-firstPort+1) },
		free:      portIsFree,
	}
}

var errNoPort = errors.New("no free port")

// take returns an address with a port that is nobody's.
func (p *ports) take() (string, error) {
	port, err := p.takeAll(0)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// takeAll returns a port to which each of the offsets can be added, and the sum is nobody's port.
func (p *ports) takeAll(offsets ...int) (int, error) {
	if err := os.MkdirAll(p.dir, 0o777); err != nil {
		return 0, fmt.Errorf("lock a port: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var last error
	for range 1000 {
		port := p.candidate()
		if last = p.tryAll(port, offsets); last == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("%w from %d to %d: %w", errNoPort, firstPort, lastPort, last)
}

func (p *ports) tryAll(port int, offsets []int) error {
	var locks []*os.File
	for _, offset := range offsets {
		lock, err := lockPort(filepath.Join(p.dir, strconv.Itoa(port+offset)))
		if err == nil {
			locks = append(locks, lock)
			err = p.free(port + offset) // somebody may have it without a lock
		}
		if err != nil {
			for _, lock := range locks {
				err = errors.Join(err, lock.Close())
			}
			return err
		}
	}
	p.locks = append(p.locks, locks...)
	return nil
}

func lockPort(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// portIsFree tries it with both protocols: gossip uses both.
func portIsFree(port int) error {
	at := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	tcp, err := net.ListenTCP("tcp", &at)
	if err != nil {
		return err
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: port})
	if err != nil {
		return errors.Join(err, tcp.Close())
	}
	return errors.Join(tcp.Close(), udp.Close())
}

// release gives all of them back.
func (p *ports) release() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for _, lock := range p.locks {
		errs = append(errs, lock.Close())
	}
	p.locks = nil
	return errors.Join(errs...)
}
