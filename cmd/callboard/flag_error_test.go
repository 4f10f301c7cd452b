package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAFlagSaysWhatItWants: nobody has to know how Go reads numbers.
func TestAFlagSaysWhatItWants(t *testing.T) {
	for _, test := range []struct {
		want string
		args []string
	}{
		{"--limit -1: want a whole number, 0 to 4294967295", []string{"actor", "list", "--name", "a", "--limit", "-1"}},
		{"--id x: want a whole number, 0 to 18446744073709551615", []string{"rollout", "status", "p", "--id", "x"}},
		{"--count many: want a whole number", []string{"actor", "create", "--name", "a", "--count", "many"}},
		{"--count 0: want 1 or more", []string{"actor", "create", "--name", "a", "--count", "0"}},
		{"--concurrency 0: want 1 to 4096", []string{"actor", "create", "--name", "a", "--count", "2", "--concurrency", "0"}},
		{"--timeout soon: want a time, such as 30s", []string{"status", "--timeout", "soon"}},
		{"--stale perhaps: want true or false", []string{"actor", "list", "--stale=perhaps"}},
		{"--to 1.5: want a whole number, 0 to 4294967295", []string{"rollout", "plan", "p", "--to", "1.5"}},
		{"--slots 0: want 1 to 1000000", []string{"runner", "--slots", "0"}},
		{"--on-stuck x: want abandon or exit", []string{"runner", "--on-stuck", "x"}},
		{"--on-lease-lost x: want fence or keep", []string{"runner", "--on-lease-lost", "x"}},
		{"--when-drained : want exit or stay", []string{"runner", "--when-drained", ""}},
		{"--metadata {: want JSON", []string{"runner", "--metadata", "{"}},
		{"--shutdown-grace 31m0s: want a time above zero", []string{"runner", "--shutdown-grace", "31m"}},
		{"--pool is empty", []string{"runner", "--pool", ""}},
		{"--key is empty", []string{"runner", "--key", ""}},
		{"unknown flag: --colour", []string{"status", "--colour"}},
	} {
		fails(t, callboard(test.args...), exitUsage, "Error: "+test.want, "--help`")
	}
	t.Setenv("CALLBOARD_TIMEOUT", "soon")
	fails(t, callboard("status"), exitUsage, "CALLBOARD_TIMEOUT=soon (in the environment): want a time, such as 30s")
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte("bootstrap-expect: many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CALLBOARD_TIMEOUT", "1s")
	fails(t, callboard("server", "--config", file), exitUsage, "bootstrap-expect: many: want a whole number")
}

// TestAFlagThatWouldDoNothingIsRefused, on the command line; in the environment it is there for other commands.
func TestAFlagThatWouldDoNothingIsRefused(t *testing.T) {
	for _, test := range []struct {
		want string
		args []string
	}{
		{"--address does nothing for callboard server: --http-addr", []string{"server", "--address", "0.0.0.0:6421", "--data-dir", t.TempDir()}},
		{"--namespace does nothing for callboard dev", []string{"dev", "--namespace", "a"}},
		{"--output does nothing for callboard server", []string{"server", "-o", "table"}},
		{"--address does nothing for callboard runner: --endpoint", []string{"runner", "--address", "127.0.0.1:6521"}},
		{"--timeout does nothing for callboard runner", []string{"runner", "--timeout", "1s"}},
		{"--address does nothing for callboard version", []string{"version", "--address", "127.0.0.1:6521"}},
	} {
		fails(t, callboard(test.args...), exitUsage, "Error: "+test.want, "--help`")
		// Nor is it in the help of that command; it is in that of others.
		global := map[string]string{
			"--address": "gRPC addresses", "--namespace": "namespace that", "--output": "format of", "--timeout": "how long to wait for an answer",
		}[strings.Fields(test.want)[0]]
		if help := callboard(test.args[0], "--help"); help.code != exitOK || strings.Contains(help.out, global) {
			t.Errorf("the help of %s:\n%s", test.args[0], help.out)
		}
		if help := callboard("actor", "list", "--help"); !strings.Contains(help.out, global) {
			t.Errorf("the help of actor list:\n%s", help.out)
		}
	}
	t.Setenv("CALLBOARD_ADDRESS", "127.0.0.1:6521")
	if r := callboard("version"); r.code != exitOK {
		t.Errorf("%d %s%s", r.code, r.out, r.errOut)
	}
}
