package raftnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/raft"
)

// Raft sends its messages to addresses, and an address can be another node's by now: that of a node whose disk was wiped and which is
// another member since, or of a node of another cluster. It would take the messages for its own, give a second vote in a term, or lose
// its log to a foreign leader. So each connection begins with a greeting that names the node that is meant, and every other node hangs up.
//
// Who calls may be wrong as well: a process whose data directory is a copy, or one that another start of its node has replaced. So the
// greeting names the caller and its start too, and waits for one answer. A build that does not know this greeting hangs up without one,
// and is greeted as it knows it.

const (
	greetingMagic = "callboard raft 2"
	// formerMagic is the greeting that names no caller, and is not answered.
	formerMagic = "callboard raft 1"
	// greetingTimeout is how long the greeting of a new connection may take.
	greetingTimeout = 5 * time.Second
	maxNodeID       = 255
	maxReason       = 1024
)

// The answers to a greeting. A reason follows all but the first.
const (
	welcome    byte = iota
	otherNode       // the caller meant another node
	otherStart      // another start of the caller's node counts
	notNow          // that cannot be told yet
)

var (
	errOtherNode = errors.New("the connection was meant for another node")
	// ErrOtherStart says that a process must not act for its node: another start of it does.
	ErrOtherStart = errors.New("another process is this node")
)

// Door is how a process names itself to others, and whom it lets in.
type Door struct {
	Caller string // of this process: its node and its start
	// Judge reports whether a process may act for the node that it calls itself: ErrOtherStart if not, any other error if that cannot be
	// told yet. It may take a second or two.
	Judge func(caller string) error
	// Build tells what is known of the build of another node; nil: nothing.
	Build func(id string) Build
	// Refused hears that another node has answered ErrOtherStart to this process, and why. It must not block.
	Refused func(reason string)
}

// meant is an address together with the node that is meant by it; the library takes it for an address.
func meant(id raft.ServerID, at raft.ServerAddress) raft.ServerAddress {
	return raft.ServerAddress(string(id) + "@" + string(at))
}

// split is the way back. An address without a node means whoever is there.
func split(target raft.ServerAddress) (id, at string) {
	if i := strings.LastIndexByte(string(target), '@'); i >= 0 {
		return string(target[:i]), string(target[i+1:])
	}
	return "", string(target)
}

// Build is what a node knows of another one's build.
type Build int

// What there is to know: whether it answers greetings.
const (
	UnknownBuild Build = iota
	FormerBuild
	ThisBuild
)

func (d *Door) build(id string) Build {
	if d.Build == nil {
		return UnknownBuild
	}
	return d.Build(id)
}

// greet names the node that is meant and the caller, and returns the answer; io.EOF if there is none, which is how a former build answers.
func greet(conn net.Conn, id, caller string, within time.Duration) (answer byte, reason string, err error) {
	if len(id) > maxNodeID || len(caller) > maxNodeID {
		return 0, "", fmt.Errorf("the node id %q or the caller %q is too long: at most %d bytes", id, caller, maxNodeID)
	}
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return 0, "", err
	}
	greeting := append([]byte(greetingMagic), byte(len(id)))
	greeting = append(append(greeting, id...), byte(len(caller)))
	if _, err := conn.Write(append(greeting, caller...)); err != nil {
		return 0, "", err
	}
	var head [1]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return 0, "", err
	}
	if head[0] == welcome {
		return welcome, "", conn.SetDeadline(time.Time{})
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxReason))
	return head[0], string(text), err
}

// greetFormer names the node that is meant to a build that knows no more.
func greetFormer(conn net.Conn, id string, within time.Duration) error {
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	greeting := append([]byte(formerMagic), byte(len(id)))
	if _, err := conn.Write(append(greeting, id...)); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// hear reads the greeting of a connection to this node, and answers it.
func hear(conn net.Conn, own string, judge func(caller string) error) error {
	if err := conn.SetDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return err
	}
	var magic [len(greetingMagic)]byte
	if _, err := io.ReadFull(conn, magic[:]); err != nil {
		return err
	}
	former := string(magic[:]) == formerMagic
	if !former && string(magic[:]) != greetingMagic {
		return errors.New("who connected speaks another protocol")
	}
	id, err := readShort(conn)
	if err != nil {
		return err
	}
	caller := ""
	if !former {
		if caller, err = readShort(conn); err != nil {
			return err
		}
	}
	answer, reason := welcome, error(nil)
	if id != own {
		answer, reason = otherNode, fmt.Errorf("%w: %q, and this is %q", errOtherNode, id, own)
	} else if judge != nil && caller != "" {
		if reason = judge(caller); errors.Is(reason, ErrOtherStart) {
			answer = otherStart
		} else if reason != nil {
			answer = notNow
		}
	}
	if !former {
		if err := conn.SetWriteDeadline(time.Now().Add(greetingTimeout)); err != nil {
			return err
		}
		text := []byte{answer}
		if reason != nil {
			text = append(text, reason.Error()...)
		}
		if _, err := conn.Write(text[:min(len(text), maxReason)]); err != nil {
			return err
		}
	}
	if reason != nil {
		return fmt.Errorf("%w: %w", errNotLetIn, reason)
	}
	return conn.SetDeadline(time.Time{})
}

// errNotLetIn is the end of a connection that was not let in. Its caller has been told.
var errNotLetIn = errors.New("refused")

func readShort(from io.Reader) (string, error) {
	var size [1]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return "", err
	}
	text := make([]byte, size[0])
	_, err := io.ReadFull(from, text)
	return string(text), err
}
