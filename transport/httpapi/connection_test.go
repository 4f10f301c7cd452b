package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a network without one: its connections live in the test's own time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serve runs the real server on a connection and lets the test speak raw HTTP to it.
func serve(t *testing.T, h http.Handler, talk func(conn net.Conn)) {
	t.Helper()
	listener := &pipes{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	server := NewServer(h, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	mine, its := net.Pipe()
	listener.conns <- its
	talk(mine)
	_ = mine.Close()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}

func statusLine(t *testing.T, conn net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestAWaitOutlivesTheDeadlineOfItsBody: a call with a body waits for minutes. A deadline for reading that stayed would end it, because
// the server watches the connection meanwhile.
func TestAWaitOutlivesTheDeadlineOfItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, h := newHandler(1)
		id := create(t, h, newActor)
		time.AfterFunc(5*time.Minute, e.ReportRunning)
		begin := time.Now()
		serve(t, h, func(conn net.Conn) {
			_, _ = fmt.Fprintf(conn, "POST /actors/%s/resolve?namespace=default&timeout=10m HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", id)
			if got := statusLine(t, conn); got != "HTTP/1.1 200 OK" {
				t.Error(got)
			}
		})
		if took := time.Since(begin); took != 5*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestABodyThatNeverComesIsGivenUp, and so are headers that never come.
func TestABodyThatNeverComesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := newHandler(0)
		begin := time.Now()
		serve(t, h, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "POST /actors?namespace=default HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{")
			if got := statusLine(t, conn); got != "HTTP/1.1 408 Request Timeout" {
				t.Error(got)
			}
		})
		if took := time.Since(begin); took != requestTimeout {
			t.Errorf("it took %v", took)
		}
		begin = time.Now()
		serve(t, h, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\n")
			_, _ = io.ReadAll(conn)
		})
		if took := time.Since(begin); took != headerTimeout {
			t.Errorf("headers: it took %v", took)
		}
		begin = time.Now()
		serve(t, h, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
			if got := statusLine(t, conn); got != "HTTP/1.1 200 OK" {
				t.Error(got)
			}
			_, _ = io.ReadAll(conn)
		})
		if took := time.Since(begin); took > idleTimeout+requestTimeout {
			t.Errorf("a body that nobody asked for: it took %v", took)
		}
	})
}

// TestConnectionsAreBounded: headers that are too large are refused; a connection that nobody uses, or whose answers nobody takes, is closed.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := newHandler(0)
		serve(t, h, func(conn net.Conn) {
			go func() {
				_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\nX: "+strings.Repeat("x", maxHeaderBytes+8<<10)+"\r\n\r\n")
			}()
			if got := statusLine(t, conn); got != "HTTP/1.1 431 Request Header Fields Too Large" {
				t.Error(got)
			}
		})
		begin := time.Now()
		serve(t, h, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
			_, _ = io.ReadAll(conn) // the answer, and then the end
		})
		if took := time.Since(begin); took != idleTimeout {
			t.Errorf("it is closed after %v", took)
		}
		begin = time.Now()
		serve(t, h, func(conn net.Conn) {
			for { // requests, and never a look at an answer
				if _, err := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"); err != nil {
					return
				}
			}
		})
		if took := time.Since(begin); took != writeTimeout {
			t.Errorf("an answer that nobody takes is given up after %v", took)
		}
	})
}

func TestAPanicIsA500(t *testing.T) {
	_, h := newHandler(0)
	broken := New(Config{Log: slog.New(slog.DiscardHandler)}) // no services behind it
	expectError(t, call(broken, "GET", "/cluster", ""), http.StatusInternalServerError, "cluster.internal_error", "")
	ok(t, call(h, "GET", "/cluster", ""))
}
