package raftnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// A process whose node has another start that counts is not let in, and is told so; one that cannot be judged yet is not let in either.
func TestAProcessThatIsNotItsNodeIsNotLetIn(t *testing.T) {
	listen := func(id string, door Door) *TCP {
		transport, err := ListenTCP(id, "127.0.0.1:0", "", nil, nil, quiet)
		must(t, err)
		transport.Guard(door)
		t.Cleanup(func() { must(t, transport.Close()) })
		return transport
	}
	here := listen("n1", Door{Caller: "n1#1", Judge: func(caller string) error {
		switch caller {
		case "n2#2":
			return nil
		case "n2#1":
			return fmt.Errorf("%w: it is start 2", ErrOtherStart)
		}
		return errors.New("who knows")
	}})
	for caller, want := range map[string]string{"n2#2": "", "n2#1": "it is start 2", "n2#3": "who knows"} {
		told := make(chan string, 1)
		from := listen("n2", Door{Caller: caller, Refused: func(reason string) { told <- reason }})
		conn, err := from.stream.Dial(meant("n1", here.LocalAddr()), time.Minute)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", caller, err)
				continue
			}
			must(t, conn.Close())
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", caller, err, want)
		}
		if definite := caller == "n2#1"; definite != (len(told) == 1) {
			t.Errorf("%s: told %d times", caller, len(told))
		}
	}
}

// A node of a former build answers no greeting: it is called again as it knows it. One that is known to be of this build is not.
func TestAFormerBuildIsGreetedAsItKnows(t *testing.T) {
	former, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer former.Close()
	heard := make(chan string, 10)
	go func() {
		for {
			conn, err := former.Accept()
			if err != nil {
				close(heard)
				return
			}
			magic := make([]byte, len(formerMagic)+3)
			_, _ = io.ReadFull(conn, magic)
			heard <- string(magic)
			if !strings.HasPrefix(string(magic), formerMagic) {
				_ = conn.Close()
			}
		}
	}()
	for build, want := range map[Build][]string{
		UnknownBuild: {greetingMagic + "\x02n1", formerMagic + "\x02n1"}, FormerBuild: {formerMagic + "\x02n1"}, ThisBuild: {greetingMagic + "\x02n1"},
	} {
		from, err := ListenTCP("n2", "127.0.0.1:0", "", nil, nil, quiet)
		must(t, err)
		from.Guard(Door{Caller: "n2#1", Build: func(string) Build { return build }})
		conn, err := from.stream.Dial(meant("n1", raft.ServerAddress(former.Addr().String())), time.Minute)
		if ok := build != ThisBuild; ok != (err == nil) {
			t.Errorf("build %d: %v", build, err)
		}
		if conn != nil {
			must(t, conn.Close())
		}
		for _, greeting := range want {
			if got := <-heard; got != greeting {
				t.Errorf("build %d: it heard %q, want %q", build, got, greeting)
			}
		}
		must(t, from.Close())
	}
}

// A node of a former build may still call.
func TestAFormerBuildIsLetIn(t *testing.T) {
	here, err := ListenTCP("n1", "127.0.0.1:0", "", nil, nil, quiet)
	must(t, err)
	here.Guard(Door{Caller: "n1#1", Judge: func(string) error { return ErrOtherStart }})
	defer func() { must(t, here.Close()) }()
	conn, err := here.stream.dialFormer("n1", string(here.LocalAddr()), time.Minute)
	must(t, err)
	defer conn.Close()
	must(t, conn.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it is not kept: %v", err)
	}
}
