//go:build unix

package real_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/callboard/callboard/jepsen/real"
)

// What `make cluster` runs starts three nodes in the background. Again it starts those that do not run, and leaves the others alone;
// `make cluster-down` ends all of them, and does so twice without a complaint.
func TestMakeClusterStartsThreeNodes(t *testing.T) {
	t.Parallel()
	b, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	w, err := real.NewWorld(t.TempDir(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}()
	port, err := w.FirstPort(0, 1, 2, 3, 10, 100, 101, 102, 103, 110, 200, 201, 202, 203, 210)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(w.Dir, "cluster")
	cluster := func(verb string, env ...string) string {
		t.Helper()
		cmd := exec.Command(filepath.Join("..", "..", "scripts", "cluster"), verb)
		cmd.Env = append(os.Environ(), "CLUSTER_DIR="+dir, "CLUSTER_PORT="+strconv.Itoa(port), "CALLBOARD_BINARY="+b.Callboard)
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("cluster %s: %v\n%s", verb, err, out)
		}
		return string(out)
	}
	defer func() { cluster("down") }()

	before := pids(t, cluster("up"))
	if status := cluster("status"); strings.Count(status, "follower") != 2 || strings.Count(status, "leader") != 1 {
		t.Errorf("the members are:\n%s", status)
	}
	if err := exec.Command("kill", "-9", before["n2"]).Run(); err != nil {
		t.Fatal(err)
	}
	after := pids(t, cluster("up"))
	if before["n1"] != after["n1"] || before["n3"] != after["n3"] || before["n2"] == after["n2"] {
		t.Errorf("the processes were %v and are %v; only n2 was killed", before, after)
	}
	cluster("down")
	if left, err := filepath.Glob(filepath.Join(dir, "*.pid")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	for _, offset := range []int{1, 101, 201} {
		if conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+offset))); err == nil {
			_ = conn.Close()
			t.Errorf("somebody answers at %s after the end of the cluster", conn.RemoteAddr())
		}
	}

	// With certificates: what it prints is all that a command needs, and who has none is not served.
	dir = filepath.Join(w.Dir, "secure")
	said := cluster("up", "TLS=1")
	address := []string{"CALLBOARD_ADDRESS=127.0.0.1:" + strconv.Itoa(port+1)}
	env := regexp.MustCompile(`CALLBOARD_\w+=\S+`).FindAllString(said, -1)
	if out, errOut, code, err := w.Command(t.Context(), env, "operator", "raft", "list-peers"); err != nil || code != 0 || !strings.Contains(out, "n3") {
		t.Errorf("list-peers: code %d, %v: %s%s", code, err, out, errOut)
	}
	if _, errOut, code, err := w.Command(t.Context(), address, "status", "--timeout", "2s"); err != nil || code == 0 || !strings.Contains(errOut, "--tls-ca") {
		t.Errorf("status without a certificate: code %d, %v: %s", code, err, errOut)
	}
}

// pids reads which process each node has.
func pids(t *testing.T, said string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^(n\d) .* process (\d+) `).FindAllStringSubmatch(said, -1) {
		found[line[1]] = line[2]
	}
	if len(found) != 3 {
		t.Fatalf("three processes are not named in:\n%s", said)
	}
	return found
}
