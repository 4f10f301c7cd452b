package server

import (
	"strings"
	"testing"
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
