package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/callboard/callboard/certs"
	"github.com/callboard/callboard/server"
)

// nodeFlags are the flags of a node. Each is also a key of the file that --config names, and a variable CALLBOARD_<FLAG>; the command
// line wins over the environment, and that over the file.
type nodeFlags struct {
	cfg      server.Config
	config   string
	join     []string
	logLevel string
	logJSON  bool
}

func (f *nodeFlags) add(flags *pflag.FlagSet) {
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	timing := server.DefaultTiming()
	flags.StringVar(&f.config, "config", "", "YAML `file` with a key for every flag")
	flags.StringVar(&f.cfg.Name, "name", host, "`name` of this node, unique in the cluster")
	flags.StringVar(&f.cfg.DataDir, "data-dir", "", "`directory` of this node's log and snapshots")
	flags.StringVar(&f.cfg.HTTPAddr, "http-addr", server.DefaultHTTPAddr, "`address` of the HTTP API")
	flags.StringVar(&f.cfg.GRPCAddr, "grpc-addr", server.DefaultGRPCAddr, "`address` for runners, gRPC clients and other nodes")
	flags.StringVar(&f.cfg.RaftAddr, "raft-addr", server.DefaultRaftAddr, "`address` for the Raft of other nodes")
	flags.StringVar(&f.cfg.GossipAddr, "gossip-addr", server.DefaultGossipAddr, "`address` where nodes find each other (TCP and UDP)")
	flags.StringVar(&f.cfg.MetricsAddr, "metrics-addr", server.DefaultMetricsAddr, "`address` of metrics and profiles; empty: none")
	flags.StringVar(&f.cfg.Advertise, "advertise", "", "`host` by which others reach this node; empty: that of each address")
	flags.IntVar(&f.cfg.BootstrapExpect, "bootstrap-expect", 0, "`number` of nodes that found the cluster together; not given: this node alone, and with --join none")
	flags.StringSliceVar(&f.join, "join", nil, "gossip `addresses` of other nodes, separated by commas; its own does no harm. Without --bootstrap-expect the node only joins")
	flags.StringVar(&f.cfg.RejoinBlank, "rejoin-blank", "", "if the data directory is damaged, leave the cluster, move the files aside, and join it as a new node; with a `node id`: that node, damaged or not")
	flags.Lookup("rejoin-blank").NoOptDefVal = server.RejoinDamaged
	flags.StringVar(&f.cfg.Replaces, "replaces", "", "a new node: `name` or id of the dead member whose place it takes")
	flags.BoolVar(&f.cfg.Insecure, "insecure", false, "allow addresses outside loopback, where anyone who reaches them may do anything")
	flags.BoolVar(&f.cfg.AdoptCopy, "adopt-copy", false, "accept, at this start, a data directory that was copied or moved to another file system")
	flags.StringSliceVar(&f.cfg.AllowOrigins, "http-allow-origin", nil, "`origins` of web pages that may call the HTTP API, such as https://console.example; * for all")
	flags.StringSliceVar(&f.cfg.EndpointAllow, "endpoint-allow", nil, "`hosts`, *.suffixes and networks that may be called for serverless pools; empty: all but the denied")
	flags.StringSliceVar(&f.cfg.EndpointDeny, "endpoint-deny", nil, "`hosts`, *.suffixes and networks that must not be called for serverless pools")
	flags.BoolVar(&f.cfg.EndpointLoopback, "endpoint-allow-loopback", false, "let serverless pools call this machine itself; a node that listens on loopback alone does so anyway")
	flags.DurationVar(&f.cfg.Timing.Heartbeat, "raft-heartbeat-timeout", timing.Heartbeat, "silence of the leader after which a node asks for votes")
	flags.DurationVar(&f.cfg.Timing.Election, "raft-election-timeout", timing.Election, "how long a candidate waits for votes")
	flags.DurationVar(&f.cfg.Timing.LeaderLease, "raft-leader-lease", timing.LeaderLease, "silence of a majority after which a leader steps down")
	flags.DurationVar(&f.cfg.Timing.Commit, "raft-commit-timeout", timing.Commit, "how long a follower waits at most for news of a commit")
	flags.StringVar(&f.logLevel, "log-level", "info", "`level` of the log: debug, info, warn, error")
	flags.BoolVar(&f.logJSON, "log-json", false, "log as JSON")
}

// addTLS adds the flags of a node that others reach.
func (f *nodeFlags) addTLS(flags *pflag.FlagSet) {
	flags.StringVar(&f.cfg.TLS.CA, "tls-ca", "", "PEM `file` with the CAs of the other nodes and of callers; given, every port but gossip and metrics is TLS")
	flags.StringVar(&f.cfg.TLS.Cert, "tls-cert", "", "PEM `file` with this node's certificate")
	flags.StringVar(&f.cfg.TLS.Key, "tls-key", "", "PEM `file` with its key, readable by its owner alone")
	flags.StringVar(&f.cfg.ClusterName, "cluster-name", certs.DefaultCluster, "`name` that certificates of the cluster are for: node.NAME.callboard; the same on every node")
	flags.BoolVar(&f.cfg.TLSVerifyClients, "tls-verify-clients", false, "take only callers with a certificate of the cluster: operators for the API, runners for sessions")
	flags.StringVar(&f.cfg.GossipKey, "gossip-key", "", "`key` of gossip, 32 bytes in base64, or a private file with one key a line: the first is used, all are understood")
}

// complete reads the file and makes the logger.
func (f *nodeFlags) complete(cmd *cobra.Command, errOut io.Writer) error {
	if err := f.readFile(cmd); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return usage(cmd, "--log-level %s: want debug, info, warn or error", f.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewTextHandler(errOut, options)
	if f.logJSON {
		handler = slog.NewJSONHandler(errOut, options)
	}
	f.cfg.Log, f.cfg.Join, f.cfg.Version = slog.New(handler), f.join, version
	f.cfg.Revision = revision()
	return nil
}

// readFile sets the flags that neither the command line nor the environment did. A key that is no flag is a mistake.
func (f *nodeFlags) readFile(cmd *cobra.Command) error {
	if f.config == "" {
		return nil
	}
	data, err := os.ReadFile(f.config)
	if err != nil {
		return usage(cmd, "--config: %v", err)
	}
	var keys map[string]any
	if err := yaml.Unmarshal(data, &keys); err != nil {
		return usage(cmd, "--config %s: %v", f.config, err)
	}
	for key, value := range keys {
		flag := cmd.LocalFlags().Lookup(key)
		if flag == nil || key == "config" {
			return usage(cmd, "--config %s: %q is not a setting of this command", f.config, key)
		}
		if flag.Changed {
			continue
		}
		if err := cmd.LocalFlags().Set(key, yamlText(value)); err != nil {
			return usage(cmd, "--config %s: %s: %s: %s", f.config, key, yamlText(value), flagProblem(err))
		}
	}
	return nil
}

// yamlText is a value as it would stand on the command line.
func yamlText(value any) string {
	list, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ",")
}

func serverCommand(g *globals) *cobra.Command {
	f := &nodeFlags{}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run one engine node",
		Long: `Run one engine node. The same line on every node and at every start: nodes that find each other found a cluster when
--bootstrap-expect of them have met, and join it later. A node with --join and without --bootstrap-expect joins, and founds none. A node
whose data directory was wiped joins as a new one.

Exit codes: 30 another process is this node (a copied data directory), 31 the node was removed from its cluster; to start it again on the
same directory changes neither.`,
		Example: `  callboard server --name n1 --data-dir /var/lib/callboard
  callboard server --name n1 --data-dir /var/lib/callboard --bootstrap-expect 3 --join n1:6423,n2:6423,n3:6423`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.complete(cmd, g.errOut); err != nil {
				return err
			}
			if err := f.cfg.Validate(); err != nil {
				return usage(cmd, "%v", err)
			}
			g.service = true
			return server.Run(cmd.Context(), f.cfg)
		},
	}
	f.add(cmd.Flags())
	f.addTLS(cmd.Flags())
	idleForNodes(cmd)
	return cmd
}

// idleForNodes marks the flags of clients, which a node would ignore.
func idleForNodes(cmd *cobra.Command) {
	idle(cmd, ": --http-addr, --grpc-addr and the others say where it listens", "address")
	idle(cmd, ": it is for commands that ask a cluster", "namespace", "output", "timeout", "tls-server-name")
}

// temporaryDir makes a directory that lives as long as the command.
func temporaryDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "callboard-dev-")
	if err != nil {
		return "", nil, fmt.Errorf("temporary data directory: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}
