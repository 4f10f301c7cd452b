package runner

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "CALLBOARD_") || strings.HasPrefix(name, "RIVET_") {
			t.Setenv(name, value) // so that it comes back
			_ = os.Unsetenv(name)
		}
	}
}

func TestFromEnv(t *testing.T) {
	clearEnvironment(t)
	if c, err := FromEnv(); err != nil || c.Slots != 0 || c.Endpoint != "" {
		t.Errorf("nothing set: %+v %v", c, err)
	}
	for name, value := range map[string]string{
		"RIVET_ENDPOINT": "http://rivet:6420", "CALLBOARD_ENDPOINT": "a:1,b:2", "RIVET_TOKEN": "secret", "RIVET_NAMESPACE": "space",
		"RIVET_RUNNER": "pool", "RIVET_RUNNER_KEY": "key", "RIVET_RUNNER_VERSION": "1", "CALLBOARD_RUNNER_VERSION": "4294967295",
		"RIVET_TOTAL_SLOTS": "16", "CALLBOARD_RUNNER_METADATA": `{"a":1}`, "CALLBOARD_ADVERTISED_ADDR": "10.0.0.1:80",
		"CALLBOARD_SHUTDOWN_GRACE": "90", "CALLBOARD_ON_STUCK": "exit", "CALLBOARD_ON_LEASE_LOST": "keep", "CALLBOARD_WHEN_DRAINED": "stay",
		"CALLBOARD_NAMESPACE": "", // empty counts as not set
	} {
		t.Setenv(name, value)
	}
	got, err := FromEnv()
	want := Config{
		Endpoint: "a:1,b:2", Token: "secret", Namespace: "space", Pool: "pool", Key: "key", Version: 4294967295, Slots: 16,
		MetadataJSON: `{"a":1}`, AdvertisedAddr: "10.0.0.1:80", ShutdownGrace: 90 * time.Second,
		OnStuck: ExitProcess, OnLeaseLost: Keep, WhenDrained: Stay,
	}
	if err != nil {
		t.Fatal(err)
	}
	got.Dial, got.exit, got.Logger, got.TLS, got.Clock = nil, nil, nil, nil, nil
	if g, w := describeConfig(got), describeConfig(want); g != w {
		t.Errorf("\n  got  %s\n  want %s", g, w)
	}
}

func describeConfig(c Config) string {
	return strings.Join([]string{
		c.Endpoint, c.Token, c.Namespace, c.Pool, c.Key, time.Duration(c.Version).String(), time.Duration(c.Slots).String(), c.MetadataJSON,
		c.AdvertisedAddr, c.ShutdownGrace.String(), string(c.OnStuck), string(c.OnLeaseLost), string(c.WhenDrained),
	}, " | ")
}

func TestFromEnvRefuses(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"CALLBOARD_RUNNER_VERSION", "v1.2", "not a whole number"},
		{"CALLBOARD_RUNNER_VERSION", "-1", "not a whole number"},
		{"RIVET_RUNNER_VERSION", "1764000000000", "milliseconds"},
		{"CALLBOARD_RUNNER_VERSION", "4294967296", "too large"},
		{"CALLBOARD_RUNNER_VERSION", "99999999999999999999", "not a whole number"},
		{"RIVET_TOTAL_SLOTS", "0", "from 1 to 1000000"},
		{"CALLBOARD_TOTAL_SLOTS", "2147483648", "from 1 to 1000000"},
		{"CALLBOARD_TOTAL_SLOTS", "many", "from 1 to 1000000"},
		{"CALLBOARD_SHUTDOWN_GRACE", "soon", "duration"},
		{"CALLBOARD_SHUTDOWN_GRACE", "0", "duration"},
		{"CALLBOARD_SHUTDOWN_GRACE", "31m", "ShutdownGrace"},
		{"CALLBOARD_ON_STUCK", "panic", "OnStuck"},
		{"CALLBOARD_ON_LEASE_LOST", "pray", "OnLeaseLost"},
		{"CALLBOARD_WHEN_DRAINED", "leave", "WhenDrained"},
		{"CALLBOARD_RUNNER_METADATA", "{", "JSON"},
		{"CALLBOARD_RUNNER_KEY", strings.Repeat("k", 257), "Key"},
		{"CALLBOARD_RUNNER_KEY", "a\nb", "control character"},
		{"CALLBOARD_RUNNER_KEY", "\xff", "UTF-8"},
		{"RIVET_ENDPOINT", "localhost", "host:port"},
		{"RIVET_ENDPOINT", "a:1,http://", "URL"},
		{"RIVET_ENDPOINT", " , ", "names no address"},
		{"RIVET_ENDPOINT", "host:", "host:port"},
		{"RIVET_ENDPOINT", "ftp://host", "host:port"},
		{"RIVET_ENDPOINT", "host:65536", "host:port"},
	} {
		t.Run(c.name+"="+c.value[:min(len(c.value), 20)], func(t *testing.T) {
			clearEnvironment(t)
			t.Setenv(c.name, c.value)
			_, err := FromEnv()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		clearEnvironment(t)
		t.Setenv("RIVET_TOTAL_SLOTS", "0")
		t.Setenv("RIVET_RUNNER_VERSION", "x")
		if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "RIVET_TOTAL_SLOTS") || !strings.Contains(err.Error(), "RIVET_RUNNER_VERSION") {
			t.Errorf("error %v", err)
		}
	})
	if err := New(Config{Slots: MaxSlots + 1}).Run(context.Background()); ExitCode(err) != CodeUsage {
		t.Errorf("Run: %v", err)
	}
}

// metadataNode answers GET /metadata at addr of a fake network.
func metadataNode(t *testing.T, n *fakeNet, addr, body string, code int) {
	lis := newFakeListener(n, addr)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metadata" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("asked for %s with %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	})}
	done := make(chan struct{})
	go func() { _ = server.Serve(lis); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

func TestEndpointURLIsAskedForAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{}
		e := newFakeEngine(t, n, "grpc:6421")
		metadataNode(t, n, "web:80", `{"runtime":"callboard","grpc_addrs":["grpc:6421"]}`, http.StatusOK)
		r := startRunner(t, n, Config{Endpoint: "http://web:80/", Token: "secret"}, untilStopped)
		s := e.session(0)
		synctest.Wait()
		if s.hello.GetToken() != "secret" || r.Status().Address != "grpc:6421" {
			t.Errorf("token %q, status %+v", s.hello.GetToken(), r.Status())
		}
	})
}

func TestBadMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		code int
		want string
	}{
		"status":       {"", http.StatusServiceUnavailable, "503"},
		"not JSON":     {"<html>", http.StatusOK, "invalid character"},
		"no addresses": {`{"runtime":"rivet"}`, http.StatusOK, "grpc_addrs"},
		"too large":    {strings.Repeat(" ", maxMetadataAnswer+1), http.StatusOK, "larger"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &fakeNet{}
				metadataNode(t, n, "web:80", c.body, c.code)
				cfg, err := Config{Token: "secret", Dial: n.dial, Logger: slog.New(slog.DiscardHandler)}.withDefaults()
				if err != nil {
					t.Fatal(err)
				}
				_, err = askMetadata(t.Context(), cfg, "http://web:80")
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want one with %q", err, c.want)
				}
			})
		})
	}
}

// A fleet that was at one node spreads over the others when it dies, though all were told the same list.
func TestALearntListSpreadsAFleet(t *testing.T) {
	at := map[string]int{}
	for range 300 {
		b := newAddressBook("a:1")
		b.pick("")
		b.learn([]string{"a:1", "b:1", "c:1", "d:1"})
		b.failed("a:1")
		at[b.pick("")]++
	}
	for _, addr := range []string{"b:1", "c:1", "d:1"} {
		if at[addr] < 50 {
			t.Errorf("300 runners went to %v", at)
			break
		}
	}
}

func TestAddressBook(t *testing.T) {
	b := newAddressBook("a:1,b:1,a:1")
	if len(b.entries) != 2 {
		t.Fatalf("%d entries", len(b.entries))
	}
	b.learn([]string{"b:1", "c:1", ""})
	seen := map[string]bool{}
	for range 3 {
		seen[b.pick("")] = true
	}
	if len(seen) != 3 {
		t.Errorf("rotates over %v", seen)
	}
	b.failed("a:1")
	b.failed("b:1")
	if got := b.pick(""); got != "c:1" {
		t.Errorf("picks %s", got)
	}
	if got := b.pick("c:1"); got == "c:1" {
		t.Error("picks what is to be avoided")
	}
	b.learn([]string{"d:1"}) // what was configured stays
	for _, target := range []string{"a:1", "b:1", "d:1"} {
		if b.find(target) == nil {
			t.Errorf("forgot %s", target)
		}
	}
	if b.find("c:1") != nil {
		t.Error("kept c:1")
	}
	b.learn(make([]string, 1000))
	if alone := newAddressBook("a:1"); alone.pick("a:1") != "a:1" {
		t.Error("nowhere to go")
	}
}

// Every variable that FromEnv looks at is in the manual.
func TestEveryVariableIsInTheManual(t *testing.T) {
	manual, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	_, err = readEnvironment(func(name string) (string, bool) {
		asked[name] = true
		return "", false
	})
	if err != nil {
		t.Logf("an empty environment is refused, after it was read: %v", err)
	}
	if len(asked) < 13 {
		t.Fatalf("it looks at %d variables only", len(asked))
	}
	for name := range asked {
		if strings.HasPrefix(name, "CALLBOARD_") && !strings.Contains(string(manual), "| `"+name+"` |") {
			t.Errorf("docs/operations.md has no row for %s", name)
		}
	}
}
