package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"

	"github.com/callboard/callboard/certs"
	"github.com/callboard/callboard/transport/httpapi"
	"github.com/callboard/callboard/transport/raftnet"
	"github.com/callboard/callboard/transport/serverless"
)

// The ports of a node.
const (
	DefaultHTTPAddr    = "127.0.0.1:6420"
	DefaultGRPCAddr    = "127.0.0.1:6421"
	DefaultRaftAddr    = "127.0.0.1:6422"
	DefaultGossipAddr  = "127.0.0.1:6423"
	DefaultMetricsAddr = "127.0.0.1:6430"
)

// Config says how a node runs. The same on every start; what a node is (its id, its cluster) is in its data directory.
type Config struct {
	Name        string // unique in the cluster
	DataDir     string
	HTTPAddr    string // public HTTP API
	GRPCAddr    string // public gRPC API, runners, and other nodes
	RaftAddr    string
	GossipAddr  string
	MetricsAddr string // empty: no metrics
	Advertise   string // host that others reach this node by; empty: the host of each address

	// TLS is for every port but those of gossip and metrics; empty: none. ClusterName is what certificates are checked for. With TLSVerifyClients
	// clients and runners have to show a certificate of the cluster.
	TLS              certs.Files
	ClusterName      string // empty: certs.DefaultCluster
	TLSVerifyClients bool
	GossipKey        string // 32 bytes in base64, or a private file with one key a line; empty: gossip is plain text
	gossipKeys       [][]byte

	AllowOrigins []string // of web pages that may call HTTP besides the node's own; *: all

	BootstrapExpect int      // how many nodes found the cluster; 0: this one alone, and with Join none
	Join            []string // gossip addresses of other nodes
	Insecure        bool     // allows addresses outside loopback
	AdoptCopy       bool     // accepts a data directory that was copied or moved to another file system
	RejoinBlank     string   // RejoinDamaged, or a node id: begin anew as a blank node of the same cluster; empty: never
	Replaces        string   // name or id of a dead member that this new node takes the place of; empty: none

	// Which addresses may be called for serverless pools: hosts, *.suffixes and networks. Those of this machine only if EndpointLoopback
	// says so, or while the node itself listens on loopback alone.
	EndpointAllow, EndpointDeny []string
	EndpointLoopback            bool

	Timing   raftnet.Timing
	Version  string
	Revision string // commit that the binary was built from
	Log      *slog.Logger

	// Ready is called once, when the doors are open, with the addresses that they really have.
	Ready func(Addrs)
}

// Addrs are the addresses of a running node's doors.
type Addrs struct{ HTTP, GRPC, Metrics string }

// Validate refuses a configuration that cannot work, naming the flag.
func (c *Config) Validate() error {
	if c.Name == "" || len(c.Name) > 64 || strings.ContainsAny(c.Name, " /,\t\n\r") {
		return errors.New("--name: 1 to 64 characters without space, comma or slash")
	}
	if c.DataDir == "" {
		return errors.New("--data-dir: name the directory that holds this node's log and snapshots")
	}
	if c.BootstrapExpect < 0 || c.BootstrapExpect > 9 {
		return fmt.Errorf("--bootstrap-expect: 1 to 9 nodes, got %d", c.BootstrapExpect)
	}
	if err := c.validateAdvertise(); err != nil {
		return err
	}
	if err := c.validateTLS(); err != nil {
		return err
	}
	var err error
	if c.gossipKeys, err = gossipKeys(c.GossipKey); err != nil {
		return err
	}
	if c.BootstrapExpect > 1 && len(c.Join) == 0 {
		return fmt.Errorf("--bootstrap-expect %d needs --join with the gossip address of at least one other node", c.BootstrapExpect)
	}
	if (c.RejoinBlank != "" || c.Replaces != "") && (len(c.Join) == 0 || c.GossipAddr == "") {
		return errors.New("--rejoin-blank and --replaces need --join with the gossip address of a node of the cluster, and a --gossip-addr")
	}
	for _, a := range []struct{ flag, addr string }{
		{"--http-addr", c.HTTPAddr},
		{"--grpc-addr", c.GRPCAddr},
		{"--raft-addr", c.RaftAddr},
		{"--gossip-addr", c.GossipAddr}, // empty: alone
		{"--metrics-addr", c.MetricsAddr},
	} {
		if a.addr == "" && (a.flag == "--metrics-addr" || a.flag == "--gossip-addr" && c.BootstrapExpect <= 1 && len(c.Join) == 0) {
			continue
		}
		if err := c.validateAddr(a.flag, a.addr); err != nil {
			return err
		}
	}
	for _, origin := range c.AllowOrigins {
		if err := httpapi.CheckOrigin(origin); err != nil {
			return fmt.Errorf("--http-allow-origin %w", err)
		}
	}
	for _, list := range []struct {
		flag     string
		patterns []string
	}{{"--endpoint-allow", c.EndpointAllow}, {"--endpoint-deny", c.EndpointDeny}} {
		if err := serverless.CheckPatterns(list.patterns); err != nil {
			return fmt.Errorf("%s: %w", list.flag, err)
		}
	}
	for _, seed := range c.Join {
		host, port, err := net.SplitHostPort(seed)
		if err != nil {
			return fmt.Errorf("--join %q: want HOST:GOSSIPPORT: %w", seed, err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || everywhere(host) {
			return fmt.Errorf("--join %q: want HOST:GOSSIPPORT of another node, the port a number from 1 to 65535", seed)
		}
	}
	return c.Timing.Validate()
}

func (c *Config) validateAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s %q: want HOST:PORT: %w", flag, addr, err)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%s %q: the port must be a number from 0 to 65535", flag, addr)
	}
	if host, _, _ := net.SplitHostPort(addr); c.Insecure && c.Advertise == "" && flag != "--metrics-addr" && everywhere(host) {
		return fmt.Errorf("%s %q is every address of this machine, and none that others could use: give --advertise with the host by which they reach it",
			flag, addr)
	}
	if c.Insecure || loopback(addr) {
		return nil
	}
	switch flag {
	case "--metrics-addr":
		return fmt.Errorf("%s %q is not a loopback address: metrics are plain text, for everybody who reaches them; give --insecure if the network is yours alone", flag, addr)
	case "--gossip-addr":
		if len(c.gossipKeys) > 0 {
			return nil
		}
		return fmt.Errorf("%s %q is not a loopback address, and anyone who reaches it may mislead the nodes: give --gossip-key, or --insecure if the network is yours "+
			"alone", flag, addr)
	}
	if c.TLS.Cert == "" || !c.TLSVerifyClients {
		return fmt.Errorf("%s %q is not a loopback address, and anyone who reaches it may do anything: give --tls-ca, --tls-cert, --tls-key and --tls-verify-clients, "+
			"or --insecure if the network is yours alone", flag, addr)
	}
	return nil
}

// joinsOnly reports whether the node has been told to take a place in a cluster that is there: it founds none.
func (c *Config) joinsOnly() bool { return c.RejoinBlank != "" || c.Replaces != "" }

// validateAdvertise refuses a host that others cannot use.
func (c *Config) validateAdvertise() error {
	a := c.Advertise
	ip := net.ParseIP(a)
	switch {
	case a == "":
		return nil
	case ip != nil && ip.IsUnspecified():
		return fmt.Errorf("--advertise %q is no address that other nodes could use: give the host by which they reach this machine", a)
	case ip != nil:
		return nil
	case strings.ContainsAny(a, ":[]/ ,"):
		return fmt.Errorf("--advertise %q: want a host alone, without port or brackets: the ports are those of the other flags", a)
	case len(a) > 253:
		return fmt.Errorf("--advertise: a host has at most 253 characters, this one %d", len(a))
	}
	return nil
}

// everywhere reports whether a host to listen on means all addresses of the machine.
func everywhere(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// founders returns how many nodes found the cluster; 0: this node founds none, it joins.
func (c *Config) founders() int {
	if c.BootstrapExpect == 0 && len(c.Join) == 0 {
		return 1
	}
	return c.BootstrapExpect
}

// loopback tells whether a host:port is on this machine.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// DefaultTiming is how fast Raft notices things, for nodes in one region.
func DefaultTiming() raftnet.Timing { return raftnet.DefaultTiming() }
