package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/callboard/callboard/certs"
	"github.com/callboard/callboard/server"
)

// tlsCommand makes what a cluster with TLS needs. Certificates from elsewhere do as well: what counts is the name in them.
func tlsCommand(g *globals) *cobra.Command {
	cmd := group("tls", "Make and look at the certificates of a cluster",
		group("ca", "The CA that issues the certificates", tlsCACreateCommand(g)),
		group("cert", "Certificates of nodes and of those who call them", tlsCertCreateCommand(g)),
		tlsInspectCommand(g))
	cmd.Long = `Make and look at the certificates of a cluster.

Certificates from another CA do as well, if they have these DNS names: node.CLUSTER.callboard and engine.CLUSTER.callboard for a node,
operator.CLUSTER.callboard for a client, runner.CLUSTER.callboard for a runner. CLUSTER is the --cluster-name of the nodes.`
	return cmd
}

// offline marks a command that works on files.
func offline(cmd *cobra.Command) *cobra.Command {
	idle(cmd, ": it works on files, and asks no node", "address", "namespace", "timeout", "tls-ca", "tls-cert", "tls-key", "tls-server-name")
	return cmd
}

type certificateJSON struct {
	CA      string `json:"ca,omitempty"`
	Cert    string `json:"cert"`
	Key     string `json:"key"`
	Expires string `json:"expires"`
}

func tlsCACreateCommand(g *globals) *cobra.Command {
	var dir string
	cmd := leaf("create", "Make a CA: ca.pem, for every node and client, and ca-key.pem, for whoever makes certificates", nil, func(cmd *cobra.Command, _ []string) error {
		if dir == "" {
			return usage(cmd, "--dir: name the directory for ca.pem and ca-key.pem")
		}
		authority, err := certs.CreateAuthority(dir)
		if err != nil {
			return err
		}
		files := authority.Files()
		answer := certificateJSON{Cert: files.Cert, Key: files.Key, Expires: authority.Expires().UTC().Format(time.RFC3339)}
		return g.print(answer, func(t *table) {
			t.row("CA", answer.Cert)
			t.row("key", answer.Key)
			t.row("expires", answer.Expires)
			t.line("Copy %s to every node and client. Keep %s where certificates are made: who has it can be anybody.", answer.Cert, answer.Key)
		})
	})
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` of the CA")
	return offline(cmd)
}

func tlsCertCreateCommand(g *globals) *cobra.Command {
	var dir, node, caller, role, cluster string
	var hosts []string
	var days int
	cmd := leaf("create", "Make a certificate of a node, a client or a runner", nil, func(cmd *cobra.Command, _ []string) error {
		roles := map[string][]certs.Role{"operator": {certs.Operator}, "runner": {certs.Runner}}[role]
		switch {
		case dir == "":
			return usage(cmd, "--dir: name the directory of the CA, which `callboard tls ca create` made")
		case (node == "") == (caller == ""):
			return usage(cmd, "want --node NAME for an engine node, or --client NAME for a client or a runner")
		case roles == nil:
			return usage(cmd, "--role %s: want operator or runner", role)
		case node != "" && cmd.Flags().Changed("role"):
			return usage(cmd, "--role is for --client: a node is a node")
		case days < 1 || days > 3650:
			return usage(cmd, "--days %d: want 1 to 3650", days)
		}
		if node != "" {
			roles = []certs.Role{certs.Node, certs.Engine}
			hosts = append([]string{node, "localhost", "127.0.0.1", "::1"}, hosts...)
		}
		authority, err := certs.OpenAuthority(dir)
		if err != nil {
			return err
		}
		files, until, err := authority.Issue(certs.Request{Name: node + caller, Cluster: cluster, Roles: roles, Hosts: hosts, Life: time.Duration(days) * 24 * time.Hour})
		if err != nil {
			return err
		}
		answer := certificateJSON{files.CA, files.Cert, files.Key, until.UTC().Format(time.RFC3339)}
		return g.print(answer, func(t *table) {
			t.row("CA", answer.CA)
			t.row("certificate", answer.Cert)
			t.row("key", answer.Key)
			t.row("expires", answer.Expires)
			t.line("Use: --tls-ca %s --tls-cert %s --tls-key %s", answer.CA, answer.Cert, answer.Key)
		})
	})
	flags := cmd.Flags()
	flags.StringVar(&dir, "dir", "", "`directory` of the CA; the new files go there too")
	flags.StringVar(&node, "node", "", "`name` of an engine node")
	flags.StringVar(&caller, "client", "", "`name` of a client or a runner")
	flags.StringVar(&role, "role", "operator", "what a client may do: `operator` (everything), or runner (connect)")
	flags.StringVar(&cluster, "cluster-name", certs.DefaultCluster, "`name` of the cluster, as its nodes have it")
	flags.StringSliceVar(&hosts, "host", nil, "`names` and addresses by which others reach the node, separated by commas")
	flags.IntVar(&days, "days", 365, "`number` of days that it is good")
	return offline(cmd)
}

type descriptionJSON struct {
	Subject string   `json:"subject"`
	Issuer  string   `json:"issuer"`
	Names   []string `json:"names"`
	CA      bool     `json:"ca"`
	From    string   `json:"not_before"`
	Until   string   `json:"not_after"`
	Days    int      `json:"days_left"`
}

func tlsInspectCommand(g *globals) *cobra.Command {
	cmd := leaf("inspect", "Say what the certificates of a PEM file are for, and how long they are good", []string{"FILE"}, func(_ *cobra.Command, args []string) error {
		described, err := certs.Inspect(args[0])
		if err != nil {
			return err
		}
		answer := struct {
			Certificates []descriptionJSON `json:"certificates"`
		}{[]descriptionJSON{}}
		for _, d := range described {
			answer.Certificates = append(answer.Certificates, descriptionJSON{
				d.Subject, d.Issuer, append([]string{}, d.Names...), d.CA, d.From.UTC().Format(time.RFC3339), d.Until.UTC().Format(time.RFC3339),
				int(time.Until(d.Until).Hours() / 24),
			})
		}
		return g.print(answer, func(t *table) {
			t.row("SUBJECT", "ISSUER", "NAMES", "CA", "FROM", "UNTIL", "DAYS LEFT")
			for _, d := range answer.Certificates {
				t.row(d.Subject, d.Issuer, strings.Join(d.Names, ", "), d.CA, d.From, d.Until, d.Days)
			}
		})
	})
	return offline(cmd)
}

func gossipKeyGenerateCommand(g *globals) *cobra.Command {
	cmd := leaf("generate", "Make a key for --gossip-key: the same on every node", nil, func(*cobra.Command, []string) error {
		key := server.NewGossipKey()
		return g.print(struct {
			Key string `json:"key"`
		}{key}, func(t *table) { t.line("%s", key) })
	})
	cmd.Long = `Make a key for --gossip-key: the same on every node. Keep it in a file that only its owner may read, and name that file.

To change the key of a running cluster, restart its nodes one after the other, three times round: with the new key as the second line of the
file, then as the first, then alone.`
	return offline(cmd)
}
