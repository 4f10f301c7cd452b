package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard/callboard/certs"
)

// Who founds a cluster: one alone, unless it was told where others are; as many as it was told.
func TestFounders(t *testing.T) {
	for _, test := range []struct {
		expect int
		join   []string
		want   int
	}{{0, nil, 1}, {1, nil, 1}, {0, []string{"n2:6423"}, 0}, {1, []string{"n2:6423"}, 1}, {3, []string{"n2:6423"}, 3}} {
		c := Config{BootstrapExpect: test.expect, Join: test.join}
		if got := c.founders(); got != test.want {
			t.Errorf("expect %d, join %v: %d found it, want %d", test.expect, test.join, got, test.want)
		}
	}
}

// What a node tells others must be of use to them, and what is wrong is blamed on its flag.
func TestAddressesForOthers(t *testing.T) {
	for _, test := range []struct {
		name, says string
		change     func(*Config)
	}{
		{"loopback", "", func(*Config) {}},
		{"a host", "", func(c *Config) { c.Advertise = "node-1.example" }},
		{"an IPv6 host", "", func(c *Config) { c.Advertise = "fd00::1" }},
		{"every address with one for others", "", func(c *Config) { c.RaftAddr, c.Advertise = "[::]:6422", "10.0.0.1" }},
		{"metrics at every address", "", func(c *Config) { c.MetricsAddr = "0.0.0.0:6430" }},
		{"every IPv4 address", `--grpc-addr "0.0.0.0:6421" is every address of this machine`, func(c *Config) { c.GRPCAddr = "0.0.0.0:6421" }},
		{"every address", `--raft-addr "[::]:6422" is every address of this machine`, func(c *Config) { c.RaftAddr = "[::]:6422" }},
		{"no host", `--gossip-addr ":6423" is every address of this machine`, func(c *Config) { c.GossipAddr = ":6423" }},
		{"advertised: every IPv4 address", `--advertise "0.0.0.0"`, func(c *Config) { c.Advertise = "0.0.0.0" }},
		{"advertised: every address", `--advertise "::"`, func(c *Config) { c.Advertise = "::" }},
		{"advertised: brackets", `--advertise "[::1]"`, func(c *Config) { c.Advertise = "[::1]" }},
		{"advertised: a port", `--advertise "n1:6421"`, func(c *Config) { c.Advertise = "n1:6421" }},
		{"advertised: too long", `--advertise`, func(c *Config) { c.Advertise = strings.Repeat("a", 254) }},
		{"a seed that is everywhere", `--join "0.0.0.0:6423"`, func(c *Config) { c.Join = []string{"0.0.0.0:6423"} }},
		{"a seed without a port", `--join "n2"`, func(c *Config) { c.Join = []string{"n2"} }},
		{"a seed with port 0", `--join "n2:0"`, func(c *Config) { c.Join = []string{"n2:0"} }},
	} {
		c := Config{
			Name: "n1", DataDir: "d", HTTPAddr: DefaultHTTPAddr, GRPCAddr: DefaultGRPCAddr, RaftAddr: DefaultRaftAddr, GossipAddr: DefaultGossipAddr,
			Insecure: true, Timing: DefaultTiming(),
		}
		test.change(&c)
		err := c.Validate()
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", test.name, err, test.says)
		}
	}
}

// Outside loopback each port needs what protects it, or the word that the network is the operator's alone.
func TestAddressesOutsideLoopback(t *testing.T) {
	files := certs.Files{CA: "ca.pem", Cert: "n1.pem", Key: "n1-key.pem"}
	base := Config{
		Name: "n1", DataDir: "d", HTTPAddr: "10.0.0.1:6420", GRPCAddr: "10.0.0.1:6421", RaftAddr: "10.0.0.1:6422", GossipAddr: "10.0.0.1:6423",
		Timing: DefaultTiming(), TLS: files, TLSVerifyClients: true, GossipKey: NewGossipKey(),
	}
	for name, test := range map[string]struct {
		change func(*Config)
		want   string // what the error names; empty: none
	}{
		"everything":          {func(*Config) {}, ""},
		"no TLS":              {func(c *Config) { c.TLS, c.TLSVerifyClients = certs.Files{}, false }, "--http-addr"},
		"callers not checked": {func(c *Config) { c.TLSVerifyClients = false }, "--tls-verify-clients"},
		"no gossip key":       {func(c *Config) { c.GossipKey = "" }, "--gossip-key"},
		"a short gossip key":  {func(c *Config) { c.GossipKey = "c2hvcnQ=" }, "--gossip-key"},
		"metrics for all":     {func(c *Config) { c.MetricsAddr = "10.0.0.1:6430" }, "--metrics-addr"},
		"half of the files":   {func(c *Config) { c.TLS.Key = "" }, "belong together"},
		"a bad cluster name":  {func(c *Config) { c.ClusterName = "My.Cluster" }, "--cluster-name"},
		"the word": {func(c *Config) {
			*c = Config{Name: "n1", DataDir: "d", HTTPAddr: c.HTTPAddr, GRPCAddr: c.GRPCAddr, RaftAddr: c.RaftAddr, Timing: c.Timing, Insecure: true}
		}, ""},
		"a name without TLS": {func(c *Config) {
			*c = Config{Name: "n1", DataDir: "d", Timing: c.Timing, Insecure: true, ClusterName: "prod"}
		}, "--cluster-name"},
	} {
		c := base
		test.change(&c)
		if err := c.Validate(); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

func TestGossipKeys(t *testing.T) {
	first, second := NewGossipKey(), NewGossipKey()
	file := func(mode os.FileMode, lines ...string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		given string
		keys  int
		want  string // what the error says
	}{
		"none":         {"", 0, ""},
		"a key":        {first, 1, ""},
		"a file":       {file(0o600, first), 1, ""},
		"two keys":     {file(0o600, first, "", second), 2, ""},
		"for everyone": {file(0o644, first), 0, "chmod 600"},
		"no key in it": {file(0o600, ""), 0, "has 0 keys"},
		"twice":        {file(0o600, first, first), 0, "repeats a key"},
		"garbage":      {file(0o600, first, "garbage"), 0, "line 2"},
		"five":         {file(0o600, first, second, NewGossipKey(), NewGossipKey(), NewGossipKey()), 0, "5 keys"},
		"no file":      {"nowhere", 0, "keyring generate"},
	} {
		keys, err := gossipKeys(test.given)
		if len(keys) != test.keys || (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %d keys, %v, want %d and %q", name, len(keys), err, test.keys, test.want)
		}
	}
}
