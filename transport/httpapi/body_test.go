package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func readAnswer(t *testing.T, conn net.Conn) (status int, text string) {
	t.Helper()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(all)
}

// TestWhoSendsTooMuchComesToReadWhy: many clients read nothing before they have sent everything. Nobody cuts them off until then.
func TestWhoSendsTooMuchComesToReadWhy(t *testing.T) {
	const large = 3 << 20
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", large)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<10, strings.Repeat("x", 1<<10))
	for name, test := range map[string]struct {
		line, rest string
		status     int
	}{
		"its length is known":         {"POST /namespaces", length + strings.Repeat("x", large), 413},
		"its length is not known":     {"POST /namespaces", "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, large>>10) + "0\r\n\r\n", 413},
		"a pool's config":             {"PUT /runner-configs/p?namespace=default", length + strings.Repeat("x", large), 413},
		"a parameter is wrong":        {"POST /actors?namespace=default&colour=red", length + strings.Repeat("x", large), 400},
		"nothing is there":            {"POST /nothing", length + strings.Repeat("x", large), 404},
		"its encoding is not known":   {"POST /namespaces", "Content-Encoding: gzip\r\n" + length + strings.Repeat("x", large), 415},
		"nobody asks for such a body": {"GET /health", length + strings.Repeat("x", large), 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, h := newHandler(1)
				serve(t, h, func(conn net.Conn) {
					if _, err := io.WriteString(conn, test.line+" HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"+test.rest); err != nil {
						t.Fatalf("the connection was cut while it sent: %v", err)
					}
					if status, text := readAnswer(t, conn); status != test.status {
						t.Errorf("%d %s; want %d", status, text, test.status)
					}
					// It is as good as before.
					_, _ = io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n")
					if status, text := readAnswer(t, conn); status != http.StatusOK {
						t.Errorf("the next request: %d %s", status, text)
					}
				})
			})
		})
	}
}

// TestNobodySendsForEver: more than can be waited for is refused at once, and so is what the caller asks about before it sends it.
// What comes slowly is cut off.
func TestNobodySendsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := newHandler(1)
		const head = "POST /namespaces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
		for _, rest := range []string{"Content-Length: 1000000000000\r\n\r\n", "Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n"} {
			begin := time.Now()
			serve(t, h, func(conn net.Conn) {
				_, _ = io.WriteString(conn, head+rest)
				if status, text := readAnswer(t, conn); status != http.StatusRequestEntityTooLarge {
					t.Errorf("%s: %d %s", rest, status, text)
				}
				_, _ = io.ReadAll(conn)
			})
			if took := time.Since(begin); took > time.Second {
				t.Errorf("%s: it took %v", rest, took)
			}
		}
		begin := time.Now()
		serve(t, h, func(conn net.Conn) {
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				_, _ = io.WriteString(conn, head+"Content-Length: 3000000\r\n\r\n")
				for {
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
					time.Sleep(time.Second) // slow, and never silent
				}
			}()
			if status, text := readAnswer(t, conn); status != http.StatusRequestEntityTooLarge {
				t.Errorf("%d %s", status, text)
			}
			_, _ = io.ReadAll(conn)
			_ = conn.Close()
			<-gone
		})
		if took := time.Since(begin); took < drainTimeout || took > drainTimeout+time.Second {
			t.Errorf("a byte a second: it took %v", took)
		}
	})
}

// TestABodyThatBreaksOffIsNoFailureOfTheNode.
func TestABodyThatBreaksOffIsNoFailureOfTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, h := newHandler(1)
		serve(t, h, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "POST /namespaces HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n")
			if status, text := readAnswer(t, conn); status != http.StatusBadRequest || !strings.Contains(text, `"field":"body"`) {
				t.Errorf("%d %s", status, text)
			}
		})
	})
}
