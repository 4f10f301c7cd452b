//go:build unix

package real

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/callboard/callboard/client"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

const (
	// startTries is how often a new cluster is tried when others are on its ports.
	startTries = 5
	// leaderLimit is how long a cluster may take until every node reads linearizably.
	leaderLimit = 60 * time.Second
	// askLimit bounds one question to one node.
	askLimit = 5 * time.Second
)

// Cluster is the nodes that found a cluster together; with one node it is alone.
type Cluster struct {
	Nodes []*Node
	world *World
}

// StartCluster starts n new nodes and returns when each of them reads linearizably.
func (w *World) StartCluster(ctx context.Context, ids ...string) (*Cluster, error) {
	c := &Cluster{world: w}
	for _, id := range ids {
		n, err := w.NewNode(id)
		if err != nil {
			return nil, err
		}
		n.Expect = len(ids)
		c.Nodes = append(c.Nodes, n)
	}
	for try := 1; ; try++ {
		c.introduce()
		err := c.Start(ctx, c.Nodes...)
		if !errors.Is(err, ErrPortTaken) || try == startTries {
			return c, err
		}
		if err := c.startOver(); err != nil {
			return nil, err
		}
	}
}

// introduce tells every node where the others gossip.
func (c *Cluster) introduce() {
	var join []string
	if len(c.Nodes) > 1 {
		for _, n := range c.Nodes {
			join = append(join, n.Addrs.Gossip)
		}
	}
	for _, n := range c.Nodes {
		n.Join = join
	}
}

// startOver takes new nodes back to before their first start, with other ports.
func (c *Cluster) startOver() error {
	for _, n := range c.Nodes {
		if n.Alive() {
			if err := n.Kill(); err != nil {
				return err
			}
		}
		if err := errors.Join(n.Wipe(), n.Move()); err != nil {
			return err
		}
	}
	return nil
}

// Start starts some nodes at once, and returns when each of them reads linearizably.
func (c *Cluster) Start(ctx context.Context, nodes ...*Node) error {
	if err := c.each(nodes, func(n *Node) error { return n.Start(ctx) }); err != nil {
		return err
	}
	return c.each(nodes, func(n *Node) error { return n.Reads(ctx) })
}

// Kill kills some nodes at once, with SIGKILL.
func (c *Cluster) Kill(nodes ...*Node) error {
	return c.each(nodes, (*Node).kill)
}

func (n *Node) kill() error { return n.Kill() }

func (c *Cluster) each(nodes []*Node, do func(*Node) error) error {
	errs := make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { errs[i] = do(n) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// Reads waits until the node answers a linearizable read: there is a leader, and the node has caught up.
func (n *Node) Reads(ctx context.Context) error {
	c, err := n.Client()
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = Until(ctx, leaderLimit, n.ID+" reads linearizably", func(ctx context.Context) error {
		if !n.Alive() {
			return fmt.Errorf("%s has ended", n.ID)
		}
		ctx, cancel := context.WithTimeout(ctx, askLimit)
		defer cancel()
		_, err := c.Namespaces.List(ctx, &callboardv1.NamespaceServiceListRequest{})
		return err
	})
	return err
}

// Client speaks to this node only.
func (n *Node) Client() (*client.Client, error) {
	return client.New([]string{n.Addrs.GRPC}, n.world.secure()...)
}

// GRPCAddrs lists where the nodes take calls and runners.
func (c *Cluster) GRPCAddrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addrs.GRPC
	}
	return addrs
}

// Alive lists the nodes whose processes run.
func (c *Cluster) Alive() []*Node {
	var alive []*Node
	for _, n := range c.Nodes {
		if n.Alive() {
			alive = append(alive, n)
		}
	}
	return alive
}

// Leader waits until a node that runs says that it leads.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	var leader *Node
	_, err := Until(ctx, leaderLimit, "there is a leader", func(ctx context.Context) error {
		for _, n := range c.Alive() {
			peers, err := n.Peers(ctx)
			if err != nil {
				return err
			}
			for _, p := range peers {
				if p.GetName() == n.ID && p.GetState() == "leader" {
					leader = n
					return nil
				}
			}
		}
		return errors.New("nobody leads")
	})
	return leader, err
}

// Peers lists the members of the cluster as this node sees them.
func (n *Node) Peers(ctx context.Context) ([]*callboardv1.Peer, error) {
	c, err := n.Client()
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	answer, err := c.Cluster.ListPeers(ctx, &callboardv1.ListPeersRequest{})
	return answer.GetPeers(), err
}

// ClusterID is the id of the cluster that this node belongs to, as it knows itself.
func (n *Node) ClusterID(ctx context.Context) (string, error) {
	c, err := n.Client()
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	answer, err := c.Cluster.Get(ctx, &callboardv1.ClusterServiceGetRequest{Consistency: callboardv1.Consistency_CONSISTENCY_STALE})
	return answer.GetClusterId(), err
}
