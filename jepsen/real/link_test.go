//go:build unix

package real

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// newEcho makes a World, and a server that says every line again.
func newEcho(t *testing.T) (w *World, addr string) {
	w = newWorld(t, "")
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = echo.Close() })
	go func() { // ends with its listener
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { // ends with its connection
				lines := bufio.NewScanner(conn)
				for lines.Scan() && lines.Text() != "end" {
					_, _ = fmt.Fprintln(conn, lines.Text())
				}
				_ = conn.Close()
			}()
		}
	}()
	return w, echo.Addr().String()
}

func TestALinkIsCutAndHealed(t *testing.T) {
	w, echo := newEcho(t)
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
	say(echo) // where to
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

func TestAMuteLinkSwallowsAnswers(t *testing.T) {
	w, echo := newEcho(t)
	l, err := w.NewMuteLink(echo, "marker")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	back := bufio.NewReader(conn)
	for _, text := range []string{"one\n", "the mar", "ker\nthree\n", "end\n"} {
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if text != "one\n" {
			continue
		}
		if got, err := back.ReadString('\n'); err != nil || got != text {
			t.Fatalf("heard %q, %v", got, err)
		}
	}
	if got, err := io.ReadAll(back); err != nil || len(got) > 0 {
		t.Errorf("behind the marker it heard %q, %v; want the end of the connection alone", got, err)
	}
}
