package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var quiet = slog.New(slog.DiscardHandler)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := CreateAuthority(t.TempDir())
	must(t, err)
	return a
}

// issue makes a certificate that is good since long ago, for in a bubble of synctest it is the year 2000.
func issue(t *testing.T, a *Authority, name, cluster string, life time.Duration, roles ...Role) Files {
	t.Helper()
	files, _, err := a.Issue(Request{Name: name, Cluster: cluster, Roles: roles, Life: life})
	must(t, err)
	return files
}

func node(t *testing.T, a *Authority, name, cluster string) Files {
	t.Helper()
	return issue(t, a, name, cluster, CertLife, Node, Engine)
}

// meet shakes hands and has the server send a byte: in TLS 1.3 the refusal of a client's certificate comes with the first one.
func meet(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	there, here := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	must(t, errors.Join(there.SetDeadline(deadline), here.SetDeadline(deadline)))
	served := make(chan error, 1)
	go func() {
		s := tls.Server(there, server)
		_, err := s.Write([]byte("x"))
		if err != nil {
			_ = there.Close()
		}
		served <- err
	}()
	c := tls.Client(here, client)
	_, clientErr = c.Read(make([]byte, 1))
	_ = here.Close()
	return <-served, clientErr
}

// TestWhoIsLetIn is the table of who may connect to which port, with which certificate.
func TestWhoIsLetIn(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	here, err := Open(node(t, ours, "here", "prod"), "prod", quiet)
	must(t, err)
	open := func(f Files, cluster string) *tls.Config {
		t.Helper()
		s, err := Open(f, cluster, quiet)
		must(t, err)
		return s.NodeClient()
	}
	caller := func(f Files) *tls.Config {
		t.Helper()
		f.CA = here.files.CA
		c, err := Client(f, "")
		must(t, err)
		return c
	}
	right := open(node(t, ours, "n2", "prod"), "prod")
	// A foreign node that trusts our CA, and one of our CA that belongs to another cluster.
	foreign, other := node(t, theirs, "n3", "prod"), node(t, ours, "n4", "dev")
	foreignClient := caller(foreign)
	expired := issue(t, ours, "old", "prod", -time.Minute, Node, Engine, Operator)
	const no, yes = "no", ""
	for _, test := range []struct {
		name                       string
		client                     *tls.Config
		nodePort, anybody, callers string // why it is refused; empty: let in
	}{
		{"a node of the cluster", right, yes, yes, yes},
		{"a node of another CA", foreignClient, no, no, no},
		{"a node of another cluster of the CA", caller(other), "not for a node of this cluster", no, no},
		{"an operator", caller(issue(t, ours, "op", "prod", CertLife, Operator)), "not for a node of this cluster", yes, yes},
		{"a runner", caller(issue(t, ours, "ru", "prod", CertLife, Runner)), "not for a node of this cluster", yes, yes},
		{"an operator of another cluster", caller(issue(t, ours, "op2", "dev", CertLife, Operator)), no, no, no},
		{"no certificate", caller(Files{}), no, yes, "has no certificate"},
		{"an expired one", caller(expired), "expired", "expired", "expired"},
		{"a name without a role", caller(issue(t, ours, "plain", "prod", CertLife)), no, no, no},
	} {
		for port, c := range map[string]struct {
			config *tls.Config
			want   string
		}{
			"node port": {here.NodeServer(), test.nodePort}, "port for anybody": {here.Server(false), test.anybody}, "port for callers": {here.Server(true), test.callers},
		} {
			serverErr, clientErr := meet(t, c.config, test.client)
			switch {
			case c.want == yes && errors.Join(serverErr, clientErr) != nil:
				t.Errorf("%s at the %s: %v, %v", test.name, port, serverErr, clientErr)
			case c.want != yes && (serverErr == nil || clientErr == nil):
				t.Errorf("%s at the %s was let in", test.name, port)
			case c.want != yes && c.want != no && !strings.Contains(serverErr.Error(), c.want):
				t.Errorf("%s at the %s: %v, want one that says %q", test.name, port, serverErr, c.want)
			}
		}
	}
	// TLS 1.2 is not spoken.
	old := caller(Files{})
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if serverErr, _ := meet(t, here.Server(false), old); serverErr == nil {
		t.Error("TLS 1.2 was let in")
	}
}

// TestWhichServerIsTaken: a node takes nodes of its cluster only, a client engines of its CA.
func TestWhichServerIsTaken(t *testing.T) {
	ours, theirs := authority(t), authority(t)
	server := func(f Files, cluster string) *tls.Config {
		t.Helper()
		s, err := Open(f, cluster, quiet)
		must(t, err)
		return s.Server(false)
	}
	files := node(t, ours, "n1", "prod")
	prod, dev, foreign := server(files, "prod"), server(node(t, ours, "n2", "dev"), "dev"), server(node(t, theirs, "n3", "prod"), "prod")
	self, err := Open(files, "prod", quiet)
	must(t, err)
	client := func(serverName string) *tls.Config {
		t.Helper()
		c, err := Client(Files{CA: files.CA}, serverName)
		must(t, err)
		return c
	}
	for name, test := range map[string]struct {
		server, client *tls.Config
		want           string
	}{
		"a node and its like":                  {prod, self.NodeClient(), ""},
		"a node and another cluster":           {dev, self.NodeClient(), "not for a node of this cluster"},
		"a node and another CA":                {foreign, self.NodeClient(), "not good here"},
		"a client and an engine":               {prod, client(""), ""},
		"a client that names the engine":       {prod, client("engine.prod.callboard"), ""},
		"a client that names another":          {prod, client("engine.dev.callboard"), "not for --tls-server-name"},
		"a client and an engine of another CA": {foreign, client(""), "of none of the CAs"},
	} {
		if _, err := meet(t, test.server, test.client); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestFilesThatChange: new handshakes use the new files, open connections are checked again, and files that cannot be used change nothing.
func TestFilesThatChange(t *testing.T) {
	first, second := authority(t), authority(t)
	files := node(t, first, "n1", "prod")
	next := node(t, second, "n1", "prod")
	peer := node(t, first, "n2", "prod")
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock stands in 2000; what is tested here is not the dates.
		time.Sleep(time.Until(time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC)))
		s, err := Open(files, "prod", quiet)
		must(t, err)
		go func() { must(t, s.Run(t.Context())) }()
		other, err := Open(peer, "prod", quiet)
		must(t, err)

		there, here := net.Pipe()
		server, client := tls.Server(there, s.NodeServer()), tls.Client(here, other.NodeClient())
		go func() { _, _ = io.Copy(io.Discard, client) }()
		must(t, server.Handshake())
		var checked atomic.Int64
		release, err := s.Keep(server, func() error {
			checked.Add(1)
			return s.Member(server.ConnectionState(), x509.ExtKeyUsageClientAuth)
		})
		must(t, err)
		defer release()

		put := func(path string, content []byte) {
			t.Helper()
			must(t, os.WriteFile(path, content, 0o600))
			time.Sleep(2 * lookEvery)
			synctest.Wait()
		}
		content := func(path string) []byte {
			t.Helper()
			b, err := os.ReadFile(path)
			must(t, err)
			return b
		}
		ca, cert := content(files.CA), content(files.Cert)
		put(files.CA, []byte("garbage"))
		if serverErr, err := meet(t, s.NodeServer(), other.NodeClient()); !s.Broken() || serverErr != nil || err != nil || checked.Load() != 1 {
			t.Errorf("broken: %v, %v, %v, checked %d times", s.Broken(), serverErr, err, checked.Load())
		}
		put(files.CA, append(ca, content(next.CA)...)) // a bundle
		if s.Broken() || checked.Load() != 2 {
			t.Errorf("a bundle: broken %v, checked %d times", s.Broken(), checked.Load())
		}
		if _, err := server.Write([]byte("x")); err != nil {
			t.Errorf("a connection that may stay was ended: %v", err)
		}
		// The certificate of the next CA: its key comes a moment later, and until then the pair before is used.
		put(files.Cert, content(next.Cert))
		if !s.Broken() {
			t.Error("a certificate without its key was taken")
		}
		put(files.Key, content(next.Key))
		if s.Broken() {
			t.Error("the new pair was not taken")
		}
		if _, err := meet(t, s.NodeServer(), other.NodeClient()); err == nil {
			t.Error("who knows the former CA alone took the new certificate")
		}
		put(files.CA, content(next.CA)) // the former CA is out: so is what it had let in
		if _, err := server.Write([]byte("x")); err == nil {
			t.Error("a connection of the former CA is still there")
		}
		_ = cert
		_ = client.Close()
	})
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	a := authority(t)
	files := node(t, a, "n1", "prod")
	op := issue(t, a, "op", "prod", CertLife, Operator)
	soft := node(t, a, "soft", "prod")
	must(t, os.Chmod(soft.Key, 0o640)) //nolint:gosec // that is the test
	text := filepath.Join(t.TempDir(), "text.pem")
	must(t, os.WriteFile(text, []byte("no certificate"), 0o600))
	large := filepath.Join(t.TempDir(), "large.pem")
	must(t, os.WriteFile(large, make([]byte, maxFileBytes+1), 0o600))
	for name, test := range map[string]struct {
		files   Files
		cluster string
		want    string
	}{
		"no CA":              {Files{Cert: files.Cert, Key: files.Key}, "prod", "--tls-ca"},
		"no key":             {Files{CA: files.CA, Cert: files.Cert}, "prod", "belong together"},
		"no certificate":     {Files{CA: files.CA}, "prod", "a node needs"},
		"a missing file":     {Files{CA: files.CA, Cert: files.Cert + "x", Key: files.Key}, "prod", "no such file"},
		"text for a CA":      {Files{CA: text, Cert: files.Cert, Key: files.Key}, "prod", "want PEM"},
		"a large file":       {Files{CA: large, Cert: files.Cert, Key: files.Key}, "prod", "more than the"},
		"another key":        {Files{CA: files.CA, Cert: files.Cert, Key: op.Key}, "prod", "private key does not match"},
		"a key for all":      {soft, "prod", "chmod 600"},
		"another cluster":    {files, "dev", "node.dev.callboard"},
		"an operator's":      {op, "prod", "not good here"},
		"a bad cluster name": {files, "Prod", "cluster name"},
	} {
		if _, err := Open(test.files, test.cluster, quiet); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want one that says %q", name, err, test.want)
		}
	}
}

func TestAnAuthorityReplacesNothing(t *testing.T) {
	dir := t.TempDir()
	a, err := CreateAuthority(dir)
	must(t, err)
	if _, err := CreateAuthority(dir); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Errorf("a second CA: %v", err)
	}
	node(t, a, "n1", "prod")
	for _, name := range []string{"n1", "ca", "", "../n1", ".n1"} {
		if _, _, err := a.Issue(Request{Name: name, Cluster: "prod", Life: CertLife}); err == nil {
			t.Errorf("%q was made", name)
		}
	}
	if _, err := OpenAuthority(t.TempDir()); err == nil || !strings.Contains(err.Error(), "tls ca create") {
		t.Errorf("no CA: %v", err)
	}
	for file, mode := range map[string]os.FileMode{"ca-key.pem": 0o600, "n1-key.pem": 0o600, "ca.pem": 0o644, "n1.pem": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, file)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	described, err := Inspect(filepath.Join(dir, "n1.pem"))
	if err != nil || len(described) != 1 || strings.Join(described[0].Names, " ") != "node.prod.callboard engine.prod.callboard" || described[0].CA {
		t.Errorf("%+v, %v", described, err)
	}
}
