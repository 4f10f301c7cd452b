//go:build unix

package real

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"
)

func TestALinkIsCutAndHealed(t *testing.T) {
	w := newWorld(t, "")
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = echo.Close() }()
	go func() { // ends with its listener
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its connection
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					_, _ = fmt.Fprintln(conn, lines.Text())
				}
				_ = conn.Close()
			}()
		}
	}()
	l, err := w.NewLink()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	back := bufio.NewReader(conn)
	say := func(text string) {
		t.Helper()
		if _, err := fmt.Fprintln(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want string, within time.Duration) {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		got, err := back.ReadString('\n')
		if want == "" && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("heard %q, %v; want silence", got, err)
		}
		if want != "" && got != want+"\n" {
			t.Fatalf("heard %q, %v; want %q", got, err, want)
		}
	}
	say(echo.Addr().String()) // where to
	say("one")
	hear("one", time.Minute)
	l.Cut()
	l.Cut()
	say("two")
	hear("", 50*time.Millisecond)
	l.Heal()
	l.Heal()
	hear("two", time.Minute)
	say("three")
	hear("three", time.Minute)
}
