//go:build unix

package real

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Link is a network cable that can be cut: whoever dials through it (testrunner -through) names the target in a first line. While it is
// cut, connections stay open and new ones are accepted, and no byte gets through in either direction.
type Link struct {
	marker   []byte // a connection over which it was sent brings no answer any more; nil: none
	listener net.Listener
	ctx      context.Context // of all its connections
	cancel   context.CancelFunc
	tasks    sync.WaitGroup

	mu     sync.Mutex    // copying goroutines and the scenario share three words
	whole  chan struct{} // closed while it is not cut
	target string        // where new connections lead; empty: the first line of each says it
}

// NewLink makes a link that is whole.
func (w *World) NewLink() (*Link, error) { return w.newLink("", nil) }

// NewMuteLink makes a link to one address that swallows answers: once a connection has carried a text, nothing comes back on it but its
// end.
func (w *World) NewMuteLink(target, marker string) (*Link, error) {
	return w.newLink(target, []byte(marker))
}

// NewSwitch makes a link to one address that can lead elsewhere later: several processes behind one address.
func (w *World) NewSwitch(target string) (*Link, error) { return w.newLink(target, nil) }

// Lead has new connections lead to another address. Those that are open stay where they are.
func (l *Link) Lead(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

func (w *World) newLink(target string, marker []byte) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // it stays open as long as the World, so that nobody else gets its port
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{target: target, marker: marker, listener: listener, whole: make(chan struct{})}
	close(l.whole)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.tasks.Go(l.accept)
	w.mu.Lock()
	w.links = append(w.links, l)
	w.mu.Unlock()
	return l, nil
}

// Addr is where it is dialled.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Cut stops every byte.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.whole:
		l.whole = make(chan struct{})
	default:
	}
}

// Heal lets them go on: what was sent meanwhile arrives now, as with TCP.
func (l *Link) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.whole:
	default:
		close(l.whole)
	}
}

// Close ends it with all connections.
func (l *Link) Close() error {
	l.cancel()
	err := l.listener.Close()
	l.tasks.Wait()
	return err
}

// pass waits until the link is whole.
func (l *Link) pass() error {
	l.mu.Lock()
	whole := l.whole
	l.mu.Unlock()
	select {
	case <-whole:
		return nil
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.tasks.Go(func() { _ = l.serve(conn) }) // how it ends the two sides see
	}
}

func (l *Link) serve(near net.Conn) error {
	stop := context.AfterFunc(l.ctx, func() { _ = near.Close() })
	defer stop()
	defer func() { _ = near.Close() }()
	l.mu.Lock()
	from, target := bufio.NewReader(near), l.target
	l.mu.Unlock()
	if target == "" {
		var err error
		if target, err = from.ReadString('\n'); err != nil {
			return err
		}
	}
	if err := l.pass(); err != nil {
		return err
	}
	far, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(l.ctx, "tcp", strings.TrimSpace(target))
	if err != nil {
		return err
	}
	stopFar := context.AfterFunc(l.ctx, func() { _ = far.Close() })
	defer stopFar()
	mute := &muted{marker: l.marker}
	l.tasks.Go(func() { _ = l.copy(mute.back(near), far); _ = near.Close() })
	err = l.copy(mute.forth(far), from)
	return errors.Join(err, far.Close())
}

// muted is a connection of a link that swallows answers once a text has gone the other way.
type muted struct {
	marker []byte
	sent   atomic.Bool
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// forth looks for the text in what is sent. It may come in two pieces.
func (m *muted) forth(to io.Writer) io.Writer {
	if m.marker == nil {
		return to
	}
	var tail []byte
	return writer(func(p []byte) (int, error) {
		tail = append(tail, p...)
		if bytes.Contains(tail, m.marker) {
			m.sent.Store(true)
		}
		tail = bytes.Clone(tail[max(0, len(tail)-len(m.marker)):])
		return to.Write(p)
	})
}

func (m *muted) back(to io.Writer) io.Writer {
	return writer(func(p []byte) (int, error) {
		if m.sent.Load() {
			return len(p), nil
		}
		return to.Write(p)
	})
}

func (l *Link) copy(to io.Writer, from io.Reader) error {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if cut := l.pass(); cut != nil { // also the end of a connection does not get through
			return cut
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
	}
}
