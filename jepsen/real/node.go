//go:build unix

package real

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// upLimit is how long a node may take from its start until it answers.
const upLimit = 60 * time.Second

// ErrPortTaken means that a node found somebody else on one of its ports.
var ErrPortTaken = errors.New("a port is taken")

// Node is one engine node: what it is stays, its process and its addresses may change.
type Node struct {
	*Process // the one that runs, or ran last; nil before the first start
	ID       string
	DataDir  string
	Addrs    Addrs
	Expect   int      // 0: the flag is not given
	Join     []string // gossip addresses
	Args     []string // more of the command line
	Stderr   *os.File // of its next start; nil: its log

	world *World
}

// Addrs are the addresses of a node.
type Addrs struct{ HTTP, GRPC, Raft, Gossip, Metrics string }

// NewNode makes a node with a data directory and ports of its own. It does not start it.
func (w *World) NewNode(id string) (*Node, error) {
	n := &Node{ID: id, DataDir: filepath.Join(w.Dir, "data", id), Expect: 1, world: w}
	if w.Secure != nil {
		n.Args = w.Secure.NodeArgs(id)
	}
	return n, n.Move()
}

// Move gives the node other ports, for its next start.
func (n *Node) Move() error {
	for _, addr := range []*string{&n.Addrs.HTTP, &n.Addrs.GRPC, &n.Addrs.Raft, &n.Addrs.Gossip, &n.Addrs.Metrics} {
		taken, err := n.world.ports.take()
		if err != nil {
			return err
		}
		*addr = taken
	}
	return nil
}

// FirstPort returns a port to which each of the offsets can be added, for nodes that somebody else starts.
func (w *World) FirstPort(offsets ...int) (int, error) { return w.ports.takeAll(offsets...) }

// CommandLine is what the node is started with.
func (n *Node) CommandLine() []string {
	args := []string{
		"server", "--name", n.ID, "--data-dir", n.DataDir, "--http-addr", n.Addrs.HTTP, "--grpc-addr", n.Addrs.GRPC,
		"--raft-addr", n.Addrs.Raft, "--gossip-addr", n.Addrs.Gossip, "--metrics-addr", n.Addrs.Metrics,
	}
	if n.Expect != 0 {
		args = append(args, "--bootstrap-expect", strconv.Itoa(n.Expect))
	}
	if len(n.Join) > 0 {
		args = append(args, "--join", strings.Join(n.Join, ","))
	}
	return append(args, n.Args...)
}

// Start starts it on its data directory, and returns when it answers HTTP. That says nothing about a leader.
func (n *Node) Start(ctx context.Context) error {
	p, err := n.world.startTo(n.Stderr, n.world.nextName(n.ID), nil, n.world.Binaries.Callboard, n.CommandLine()...)
	if err != nil {
		return err
	}
	n.Process = p
	_, err = Until(ctx, upLimit, n.ID+" is up", func(ctx context.Context) error {
		if !p.Running() {
			return nil // never will be
		}
		return n.answers(ctx)
	})
	if err == nil && !p.Running() {
		err = fmt.Errorf("%s ended at once:\n%s", p.Name, p.Log())
		if strings.Contains(p.Log(), "is in use by another process") {
			err = errors.Join(ErrPortTaken, err)
		}
	}
	return err
}

func (n *Node) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.Addrs.HTTP+"/health", http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// Alive tells whether its process runs.
func (n *Node) Alive() bool { return n.Process != nil && n.Running() }

// Wipe removes its data directory. It must not run.
func (n *Node) Wipe() error {
	if n.Alive() {
		return fmt.Errorf("%s runs: its directory is not to be wiped", n.ID)
	}
	return os.RemoveAll(n.DataDir)
}
