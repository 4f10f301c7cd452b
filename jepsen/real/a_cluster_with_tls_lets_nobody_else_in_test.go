//go:build unix

package real_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/callboard/callboard/certs"
	"github.com/callboard/callboard/jepsen/history"
	"github.com/callboard/callboard/jepsen/real"
	callboardv1 "github.com/callboard/callboard/proto/callboard/v1"
)

// tlsWorld is a world whose every port speaks TLS, with what it takes to call it and to change its files.
type tlsWorld struct {
	*scenario
	dir string // of the files that are in use
	ca  *certs.Authority
}

const secureCluster = "prod"

// beginTLS makes a cluster of three nodes with TLS, a gossip key, and callers that have to have a certificate.
func beginTLS(t *testing.T) *tlsWorld {
	t.Helper()
	s := emptyWorld(t)
	w := &tlsWorld{scenario: s, dir: t.TempDir()}
	w.ca = w.authority()
	w.put(w.ca.Files().Cert, "ca.pem")
	for _, id := range []string{"n1", "n2", "n3"} {
		w.install(w.ca, id, certs.Node, certs.Engine)
	}
	w.install(w.ca, "operator", certs.Operator)
	w.install(w.ca, "runner", certs.Runner)
	out, _, code, err := s.Command(t.Context(), nil, "operator", "gossip", "keyring", "generate")
	s.must(err)
	if code != 0 {
		t.Fatalf("code %d", code)
	}
	key := filepath.Join(w.dir, "gossip.key")
	s.must(os.WriteFile(key, []byte(out), 0o600))
	config, err := certs.Client(w.files("operator"), "engine."+secureCluster+".callboard")
	s.must(err)
	f := w.files("runner")
	s.Secure = &real.Secure{
		NodeArgs: func(id string) []string {
			f := w.files(id)
			return []string{
				"--tls-ca", f.CA, "--tls-cert", f.Cert, "--tls-key", f.Key, "--cluster-name", secureCluster, "--tls-verify-clients",
				"--gossip-key", key,
			}
		},
		Client: config,
		Env:    []string{"CALLBOARD_TLS_CA=" + f.CA, "CALLBOARD_TLS_CERT=" + f.Cert, "CALLBOARD_TLS_KEY=" + f.Key},
	}
	s.found("n1", "n2", "n3")
	return w
}

func (w *tlsWorld) authority() *certs.Authority {
	w.Helper()
	a, err := certs.CreateAuthority(w.TempDir())
	w.must(err)
	return a
}

// files are those in use of a node or a caller.
func (w *tlsWorld) files(name string) certs.Files {
	return certs.Files{CA: filepath.Join(w.dir, "ca.pem"), Cert: filepath.Join(w.dir, name+".pem"), Key: filepath.Join(w.dir, name+"-key.pem")}
}

// install puts a new certificate in the place of the one that is in use.
func (w *tlsWorld) install(a *certs.Authority, name string, roles ...certs.Role) {
	w.Helper()
	made := w.issue(a, name, secureCluster, roles...)
	w.put(made.Key, name+"-key.pem")
	w.put(made.Cert, name+".pem")
}

func (w *tlsWorld) issue(a *certs.Authority, name, cluster string, roles ...certs.Role) certs.Files {
	w.Helper()
	f, _, err := a.Issue(certs.Request{Name: fmt.Sprintf("%s-%d", name, time.Now().UnixNano()), Cluster: cluster, Roles: roles, Life: certs.CertLife})
	w.must(err)
	return f
}

// put replaces a file that is in use, whole.
func (w *tlsWorld) put(from, name string) {
	w.Helper()
	content, err := os.ReadFile(from)
	w.must(err)
	temporary := filepath.Join(w.dir, name+".new")
	w.must(os.WriteFile(temporary, content, 0o600))
	w.must(os.Rename(temporary, filepath.Join(w.dir, name)))
}

// TestTLS: who is let in where, and that everything can be changed while it runs.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := beginTLS(t)
	w.tell("a cluster with TLS lets nobody else in", func(s *scenario) { (&tlsWorld{s, w.dir, w.ca}).letsNobodyElseIn() })
	w.tell("certificates and CAs change while it runs", func(s *scenario) { (&tlsWorld{s, w.dir, w.ca}).changesWhileItRuns() })
	w.judge(room, pulse)
}

// letsNobodyElseIn is the table of docs/security.md, tried on every port.
func (w *tlsWorld) letsNobodyElseIn() {
	foreign := w.authority()
	expired, _, err := w.ca.Issue(certs.Request{Name: "expired", Cluster: secureCluster, Roles: []certs.Role{certs.Operator, certs.Node, certs.Engine}, Life: time.Second})
	w.must(err)
	w.until("it has expired", func(context.Context) error {
		if d, err := certs.Inspect(expired.Cert); err != nil || time.Now().Before(d[0].Until) {
			return errors.Join(errors.New("not yet"), err)
		}
		return nil
	})
	type tried struct {
		name       string
		files      *certs.Files // nil: no TLS
		raft, grpc string       // refused, or let in
		forbidden  bool         // the node service
		api        codes.Code   // of an operator's call
		http       int          // of GET /namespaces; 0: no answer
	}
	const in, out = "let in", "refused"
	caller := func(a *certs.Authority, cluster string, roles ...certs.Role) *certs.Files {
		f := w.issue(a, "caller", cluster, roles...)
		f.CA = w.files("").CA
		return &f
	}
	expired.CA = w.files("").CA
	for _, try := range []tried{
		{"no TLS", nil, out, out, true, codes.Unavailable, http.StatusBadRequest},
		{"no certificate", &certs.Files{CA: w.files("").CA}, out, out, true, codes.Unavailable, 0},
		{"another CA", caller(foreign, secureCluster, certs.Operator, certs.Node, certs.Engine), out, out, true, codes.Unavailable, 0},
		{"another cluster", caller(w.ca, "dev", certs.Operator, certs.Node, certs.Engine), out, out, true, codes.Unavailable, 0},
		{"expired", &expired, out, out, true, codes.Unavailable, 0},
		{"a runner", caller(w.ca, secureCluster, certs.Runner), out, in, true, codes.PermissionDenied, http.StatusForbidden},
		{"an operator", caller(w.ca, secureCluster, certs.Operator), out, in, true, codes.OK, http.StatusOK},
		{"a node", caller(w.ca, secureCluster, certs.Node, certs.Engine), in, in, false, codes.PermissionDenied, http.StatusForbidden},
	} {
		var config *tls.Config
		if try.files != nil {
			config, err = certs.Client(*try.files, "")
			w.must(err)
		}
		n := w.cluster.Nodes[0]
		for port, c := range map[string]struct{ addr, want string }{"Raft": {n.Addrs.Raft, try.raft}, "gRPC": {n.Addrs.GRPC, try.grpc}} {
			if got := w.shakes(c.addr, config); got != c.want {
				w.Errorf("%s at the %s port: %s, want %s", try.name, port, got, c.want)
			}
		}
		if got := w.status(n.Addrs.HTTP, config); got != try.http {
			w.Errorf("%s over HTTP: %d, want %d", try.name, got, try.http)
		}
		if try.grpc == in || try.files == nil {
			if got := w.calls(n.Addrs.GRPC, config, "/callboard.node.v1.NodeService/Describe"); (got == codes.PermissionDenied || got == codes.Unavailable) != try.forbidden {
				w.Errorf("%s at the node service: %v, forbidden should be %v", try.name, got, try.forbidden)
			}
			if got := w.calls(n.Addrs.GRPC, config, callboardv1.NamespaceService_List_FullMethodName); got != try.api {
				w.Errorf("%s at the API: %v, want %v", try.name, got, try.api)
			}
		}
	}
	// The command line says why.
	for name, test := range map[string]struct {
		env  []string
		want string
	}{
		"no TLS":         {nil, "a node with TLS?"},
		"no certificate": {[]string{"CALLBOARD_TLS_CA=" + w.files("").CA}, "wants a certificate of its cluster"},
		"another CA":     {[]string{"CALLBOARD_TLS_CA=" + foreign.Files().Cert}, "of none of the CAs"},
	} {
		_, errOut, code, err := w.Command(w.Context(), test.env, "status", "--timeout", "3s", "--address", w.cluster.Nodes[0].Addrs.GRPC)
		w.must(err)
		if code == 0 || !strings.Contains(errOut, test.want) {
			w.Errorf("status with %s: code %d: %s", name, code, errOut)
		}
	}
	// A node with a certificate of another cluster, or with another gossip key, is no member, and says why.
	w.staysOut("another gossip key", "give all nodes the same --gossip-key", func(args []string) []string {
		out, _, _, err := w.Command(w.Context(), nil, "operator", "gossip", "keyring", "generate")
		w.must(err)
		return append(args, "--gossip-key", strings.TrimSpace(out))
	})
}

func (w *tlsWorld) staysOut(name, says string, change func(args []string) []string) {
	w.Helper()
	n, err := w.NewNode("n1")
	w.must(err)
	n.DataDir = filepath.Join(w.Dir, "data", "stranger")
	n.Expect, n.Join, n.Args = 0, w.cluster.Nodes[0].Join, change(n.Args)
	w.must(n.Start(w.Context()))
	w.until("a node with "+name+" says why it meets nobody", func(context.Context) error {
		if log := n.Log(); !strings.Contains(log, says) {
			return fmt.Errorf("it says %q", lastLine(log))
		}
		return nil
	})
	w.must(n.Kill())
}

// shakes tells whether a port lets a caller in: it answers, or keeps the connection open, after the handshake.
func (w *tlsWorld) shakes(addr string, config *tls.Config) string {
	w.Helper()
	if config == nil {
		return "refused" // a port without TLS would be known by what is called over it
	}
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := (&tls.Dialer{Config: config}).DialContext(w.Context(), "tcp", addr)
	if err != nil {
		return "refused"
	}
	defer func() { _ = conn.Close() }()
	w.must(conn.SetReadDeadline(time.Now().Add(time.Second)))
	if _, err := conn.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return "refused"
	}
	return "let in"
}

// status is what HTTP answers; 0: nothing.
func (w *tlsWorld) status(addr string, config *tls.Config) int {
	w.Helper()
	scheme := "https://"
	if config == nil {
		scheme = "http://"
	}
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, scheme+addr+"/namespaces", http.NoBody)
	w.must(err)
	res, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0
	}
	w.must(res.Body.Close())
	return res.StatusCode
}

// calls is the status of a call without a message.
func (w *tlsWorld) calls(addr string, config *tls.Config, method string) codes.Code {
	w.Helper()
	creds := insecure.NewCredentials()
	if config != nil {
		creds = credentials.NewTLS(config)
	}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds))
	w.must(err)
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	return status.Code(conn.Invoke(ctx, method, &callboardv1.NamespaceServiceListRequest{}, &callboardv1.NamespaceServiceListResponse{}))
}

// changesWhileItRuns replaces every certificate by one of another CA, and takes the former CA out, while actors run and writers write: no
// write fails, no actor stops, no runner is lost, and whoever has only the former certificate is out.
func (w *tlsWorld) changesWhileItRuns() {
	addrs := w.cluster.GRPCAddrs()
	for i := range 4 {
		w.run(real.RunnerConfig{Key: fmt.Sprint("r", i+1), Pool: pool, Version: 1, Slots: 600, Endpoints: append(slices.Clone(addrs[i%3:]), addrs[:i%3]...)})
	}
	w.connected(pool, w.runners...)
	w.create(room, "", 100)
	w.allRunning(room, 100)
	before := w.connected(pool, w.runners...)
	former := w.issue(w.ca, "former", secureCluster, certs.Operator)
	began := int64(history.Now())
	var callers []*real.Caller
	for i := range 4 {
		callers = append(callers, w.callerOf(fmt.Sprint("writer", i), addrs))
	}
	writing := w.write(10*time.Millisecond, callers...)

	next := w.authority()
	both := filepath.Join(w.TempDir(), "both.pem")
	var bundle []byte
	for _, a := range []*certs.Authority{w.ca, next} {
		content, err := os.ReadFile(a.Files().Cert)
		w.must(err)
		bundle = append(bundle, content...)
	}
	w.must(os.WriteFile(both, bundle, 0o600))
	w.put(both, "ca.pem")
	w.changed(1)
	for _, id := range []string{"n1", "n2", "n3"} {
		w.install(next, id, certs.Node, certs.Engine)
	}
	w.install(next, "operator", certs.Operator)
	w.install(next, "runner", certs.Runner)
	w.changed(2)
	w.put(next.Files().Cert, "ca.pem")
	w.changed(3)
	changed := int64(history.Now())
	w.until("writes go on", func(context.Context) error {
		if events, err := w.History(); err != nil || firstWriteAfter(events, changed) == 0 {
			return errors.Join(errors.New("none is acknowledged"), err)
		}
		return nil
	})
	writing.end()

	failed, written := 0, 0
	for _, e := range w.events() {
		switch {
		case e.AtNs < began || e.Op != history.Create || e.Name != pulse || e.Kind == history.Invoke:
		case e.Kind == history.OK:
			written++
		default:
			failed++
			w.Logf("%s: %s", e.Kind, e.Error)
		}
	}
	w.Logf("%d writes while every certificate changed, %d failed", written, failed)
	if failed > 0 || written < 100 {
		w.Errorf("%d writes failed of %d", failed, failed+written)
	}
	if moved := w.bodyEvents(room, began); moved > 0 {
		w.Errorf("bodies began or ended %d times", moved)
	}
	if err := sameRunners(before, w.connected(pool, w.runners...)); err != nil {
		w.Error(err)
	}
	former.CA = w.files("").CA
	config, err := certs.Client(former, "")
	w.must(err)
	if got := w.shakes(addrs[0], config); got != "refused" {
		w.Errorf("a certificate of the former CA: %s", got)
	}
}

// changed waits until every node has said that its files have changed, n times in all.
func (w *tlsWorld) changed(n int) {
	w.Helper()
	w.until("every node uses the new files", func(context.Context) error {
		for _, node := range w.cluster.Nodes {
			if got := strings.Count(node.Log(), "the TLS files have changed"); got < n {
				return fmt.Errorf("%s has said so %d times, want %d: %s", node.ID, got, n, lastLine(node.Log()))
			}
		}
		return nil
	})
}
