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

const (
	greetingMagic = "callboard raft 1"
	// greetingTimeout is how long the greeting of a new connection may take.
	greetingTimeout = 5 * time.Second
	maxNodeID       = 255
)

var errOtherNode = errors.New("the connection was meant for another node")

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

// greet names the node that is meant.
func greet(conn net.Conn, id string, within time.Duration) error {
	if len(id) > maxNodeID {
		return fmt.Errorf("the node id %q has %d bytes: at most %d", id, len(id), maxNodeID)
	}
	if err := conn.SetWriteDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	greeting := append([]byte(greetingMagic), byte(len(id)))
	if _, err := conn.Write(append(greeting, id...)); err != nil {
		return err
	}
	return conn.SetWriteDeadline(time.Time{})
}

// hear reads the greeting of a connection to this node.
func hear(conn net.Conn, own string) error {
	if err := conn.SetReadDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return err
	}
	var head [len(greetingMagic) + 1]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if string(head[:len(greetingMagic)]) != greetingMagic {
		return errors.New("who connected speaks another protocol")
	}
	id := make([]byte, head[len(greetingMagic)])
	if _, err := io.ReadFull(conn, id); err != nil {
		return err
	}
	if string(id) != own {
		return fmt.Errorf("%w: %q, and this is %q", errOtherNode, id, own)
	}
	return conn.SetReadDeadline(time.Time{})
}
