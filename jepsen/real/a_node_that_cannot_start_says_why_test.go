//go:build unix

package real_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/callboard/callboard/jepsen/real"
)

// A second process on a data directory, a port that somebody has, an address that anyone could reach, a damaged directory: the node
// ends at once with an exit code and a sentence that names the flag or file. The node that was there notices nothing.
func aNodeThatCannotStartSaysWhy(s *scenario) {
	there := s.cluster.Nodes[0]
	tests := []struct {
		name string
		code int
		says string
		make func(t *testing.T, n *real.Node)
	}{
		{"a data directory in use", 1, "another process uses this data directory", func(_ *testing.T, n *real.Node) { n.DataDir = there.DataDir }},
		{"no data directory", 2, "--data-dir", func(_ *testing.T, n *real.Node) { n.DataDir = "" }},
		{"a data directory that is a file", 1, "data directory", func(t *testing.T, n *real.Node) { write(t, n.DataDir, "") }},
		{"a damaged identity", 1, "node.json is damaged", func(t *testing.T, n *real.Node) { write(t, filepath.Join(n.DataDir, "node.json"), "{") }},
		{"a log without an identity", 1, "node.json is missing", func(t *testing.T, n *real.Node) { write(t, filepath.Join(n.DataDir, "raft.db"), "") }},
		{"the HTTP port taken", 1, "--http-addr: " + there.Addrs.Raft + " is in use by another process", func(_ *testing.T, n *real.Node) { n.Addrs.HTTP = there.Addrs.Raft }},
		{"the gRPC port taken", 1, "--grpc-addr: " + there.Addrs.Raft + " is in use by another process", func(_ *testing.T, n *real.Node) { n.Addrs.GRPC = there.Addrs.Raft }},
		{"the Raft port taken", 1, "--raft-addr: " + there.Addrs.GRPC + " is in use by another process", func(_ *testing.T, n *real.Node) { n.Addrs.Raft = there.Addrs.GRPC }},
		{"the gossip port taken", 1, "--gossip-addr: " + there.Addrs.GRPC + " is in use by another process", func(_ *testing.T, n *real.Node) { n.Addrs.Gossip = there.Addrs.GRPC }},
		{"the metrics port taken", 1, "--metrics-addr: " + there.Addrs.GRPC + " is in use by another process", func(_ *testing.T, n *real.Node) { n.Addrs.Metrics = there.Addrs.GRPC }},
		{"an address for everybody", 2, "--http-addr \"0.0.0.0:1\" is not a loopback address", func(_ *testing.T, n *real.Node) { n.Addrs.HTTP = "0.0.0.0:1" }},
		{"an address without a port", 2, "--grpc-addr \"127.0.0.1\"", func(_ *testing.T, n *real.Node) { n.Addrs.GRPC = "127.0.0.1" }},
		{"a cluster of three alone", 2, "--bootstrap-expect 3 needs --join", func(_ *testing.T, n *real.Node) { n.Expect = 3 }},
		{"a cluster of no nodes", 2, "--bootstrap-expect: 1 to 9", func(_ *testing.T, n *real.Node) { n.Expect = -1 }},
		{"a seed without a port", 2, "--join \"n2\"", func(_ *testing.T, n *real.Node) { n.Join = []string{"n2"} }},
		{"a seed with a port that is none", 2, "--join \"n2:gossip\"", func(_ *testing.T, n *real.Node) { n.Join = []string{"n2:gossip"} }},
		{"every address, and none for others", 2, "--raft-addr \"[::]:1\" is every address of this machine", func(_ *testing.T, n *real.Node) {
			n.Addrs.Raft, n.Args = "[::]:1", []string{"--insecure"}
		}},
		{"an advertised address for everybody", 2, "--advertise \"0.0.0.0\"", func(_ *testing.T, n *real.Node) { n.Args = []string{"--advertise", "0.0.0.0"} }},
		{"an advertised address with a port", 2, "--advertise \"127.0.0.1:6421\"", func(_ *testing.T, n *real.Node) {
			n.Args = []string{"--advertise", "127.0.0.1:6421"}
		}},
		{"an advertised host that nobody knows", 1, "--advertise \"no-such-host.invalid\"", func(_ *testing.T, n *real.Node) {
			n.Args = []string{"--advertise", "no-such-host.invalid"}
		}},
	}
	for _, test := range tests {
		s.Run(test.name, func(t *testing.T) {
			n, err := s.NewNode("stillborn")
			if err != nil {
				t.Fatal(err)
			}
			n.DataDir = filepath.Join(t.TempDir(), "data")
			test.make(t, n)
			_, errOut, code, err := s.Command(t.Context(), nil, n.CommandLine()...)
			if err != nil {
				t.Fatal(err)
			}
			last := lastLine(errOut)
			if code != test.code || !strings.Contains(errOut, test.says) {
				t.Errorf("exit code %d, want %d; it ends with %q, want %q", code, test.code, last, test.says)
			}
		})
	}
	s.serves("nodes that could not start")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
